/* keeper_page_test.c
 * Between memory and disk: what leaves memory, how it is read back, and that nothing stalls.
 * Does not know threads, files, real time, nor spools of others (keeper_adopt_test.c).
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_life.h"
#include "support/sender_world.h"

#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

enum { QUEUE = 800 };

/* Memory for 80 chunks of ten. */
static world *started(void **state) {
    world *w = *state;
    w->config.batch_events = 10;
    w->config.queue_events = QUEUE;
    world_start_kept(w);
    return w;
}

static uint64_t in_memory(world *w) {
    qa_stats stats = world_stats(w);
    const qa_ledger_counts *counts = &stats.counts;
    return counts->queued + counts->spooled + counts->in_flight - stats.spool_paged;
}

static uint64_t paged(world *w) {
    return world_stats(w).spool_paged;
}

static void deliver_ten(world *w) {
    world_report(w, 10);
    world_step(w);
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.in_flight, 0);
}

/* ---- out ---- */

static void half_of_memory_is_used_while_the_service_is_away(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2);
    world_save(w);
    assert_int_equal(paged(w), 0);
    world_report(w, 10);
    world_save(w);
    assert_int_equal(paged(w), QUEUE / 4 + 10);
    assert_int_equal(in_memory(w), QUEUE / 4); /* the oldest stay */
    assert_int_equal(fake_disk_events(w->disk), QUEUE / 2 + 10);
}

static void seven_eighths_of_memory_are_used_while_the_service_takes_what_comes(void **state) {
    world *w = started(state);
    deliver_ten(w);
    world_report(w, QUEUE / 8 * 7);
    world_save(w);
    assert_int_equal(paged(w), 0);
    world_report(w, 10);
    world_save(w);
    assert_int_equal(paged(w), QUEUE / 8 * 5 + 10);
    assert_int_equal(in_memory(w), QUEUE / 4);
}

static void half_of_the_bytes_too(void **state) {
    world *w = *state;
    w->config.queue_bytes = 8200;
    started(state);
    char event[200] = "{\"text\":\"";
    memset(event + strlen(event), 'x', 88);
    strcpy(event + 97, "\"}");
    for (int i = 0; i < 40; i++)
        world_report_text(w, event);
    world_save(w);
    assert_int_equal(paged(w), 0);
    for (int i = 0; i < 10; i++)
        world_report_text(w, event);
    world_save(w);
    assert_true(paged(w) > 0);
    assert_in_range(world_stats(w).queue_bytes, 2050, 3050);
}

static void what_comes_behind_the_gap_leaves_as_soon_as_it_is_stored(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    uint64_t before = paged(w);
    world_report(w, 10);
    world_step(w);
    assert_int_equal(paged(w), before);
    world_save(w);
    assert_int_equal(paged(w), before + 10);
}

/* What is sent next would be deleted at once. The interval is long: nothing falls due. */
static void pressed_commits_spare_what_is_sent_next(void **state) {
    world *w = *state;
    w->config.commit_interval_us = 10 * SECOND;
    started(state);
    deliver_ten(w);
    world_report(w, QUEUE / 2);
    world_keep(w);
    assert_int_equal(w->disk->tries, 0);
    world_report(w, 10);
    assert_true(world_keeper_is_called(w));
    world_keep(w);
    assert_int_equal(w->disk->commits, 1);
    assert_int_equal(fake_disk_events(w->disk), QUEUE / 4 + 10);
    assert_int_equal(w->disk->last.ids[0], 1 + QUEUE / 4 / 10 + 1);
}

static void they_spare_nothing_while_the_service_is_away(void **state) {
    world *w = *state;
    w->config.commit_interval_us = 10 * SECOND;
    started(state);
    world_report(w, QUEUE / 4);
    world_keep(w);
    assert_int_equal(w->disk->tries, 0);
    world_report(w, 10);
    world_keep(w);
    assert_int_equal(fake_disk_events(w->disk), QUEUE / 4 + 10);
}

/* ---- and back ---- */

static void the_sender_is_woken_for_what_was_read_back(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    while (in_memory(w) > 0) {
        world_step(w);
        world_answer_all(w, world_ok());
    }
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_true(world_keeper_is_called(w));
    size_t wakeups = w->transport.wakeups;
    world_keep(w);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    assert_in_range(in_memory(w), QUEUE / 8, QUEUE / 2);
    world_step(w);
    assert_int_equal(w->transport.open, 4);
}

/* However long the service is away, all is accepted, and comes back in its order. */
static void memory_is_bounded_and_all_comes_back_in_its_order(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    started(state);
    life *l = malloc(sizeof *l);
    life_init(l, w);
    l->deaf = true;
    l->to_report = 6000;
    life_run(l, 5 * SECOND);
    assert_int_equal(l->to_report, 0);
    assert_in_range(in_memory(w), 1, QUEUE / 2);
    assert_int_equal(fake_disk_events(w->disk), 6000);
    l->deaf = false;
    assert_true(life_finish(l, 600 * 2 * MS));
    life_assert_all_once(l, 6000);
    assert_true(l->tally.ordered);
    life_run(l, SECOND);
    assert_int_equal(fake_disk_events(w->disk), 0);
    free(l);
}

static void the_same_while_new_ones_come(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    w->commit_us = 3 * MS;
    started(state);
    life *l = malloc(sizeof *l);
    life_init(l, w);
    l->answer_us = 4 * MS;
    for (int i = 0; i < 400; i++) {
        l->to_report += 37;
        l->http_status = i % 50 > 40 ? 503 : 0;
        life_run(l, 10 * MS);
    }
    l->http_status = 0;
    assert_true(life_finish(l, 60 * SECOND));
    life_assert_all_once(l, 400 * 37);
    life_run(l, SECOND);
    assert_int_equal(fake_disk_events(w->disk), 0);
    free(l);
}

/* Neither side moves but when it is woken or its time has come. */
static void check_that_nothing_stalls(void **state, bool receipts, int64_t commit_us,
                                      int64_t answer_us, bool away_first) {
    world *w = *state;
    fake_disk_init(w->disk);
    if (!receipts)
        w->disk->engine.receipt = NULL;
    started(state);
    w->commit_us = commit_us;
    life *l = malloc(sizeof *l);
    life_init(l, w);
    l->answer_us = answer_us;
    l->to_report = 20 * QUEUE;
    l->deaf = away_first;
    if (away_first)
        life_run(l, 2 * SECOND);
    l->deaf = false;
    bool done = life_finish(l, 20 * QUEUE / 10 * (2 * MS + 2 * answer_us + 2 * commit_us));
    if (!done || l->most_idle_us > 30 * MS + 2 * commit_us || l->most_vain_steps > 0)
        fail_msg("receipts %d, commit %lld, answer %lld, away %d: done %d, idle %lld, in vain %llu",
                 receipts, (long long)commit_us, (long long)answer_us, away_first, done,
                 (long long)l->most_idle_us, (unsigned long long)l->most_vain_steps);
    life_assert_all_once(l, 20 * QUEUE);
    free(l);
    world_free(w);
    fake_disk_free(w->disk);
    w->ended = false;
    w->next_event = 0;
}

static void nothing_stalls(void **state) {
    static const int64_t times[] = {0, 700, 20 * MS};
    for (int i = 0; i < 36; i++)
        check_that_nothing_stalls(state, i % 2 == 0, times[i / 2 % 3], times[i / 6 % 3], i / 18);
    fake_disk_init(((world *)*state)->disk);
}

/* ---- flush, failures, kills ---- */

static void a_flush_counts_what_is_on_disk_alone(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    uint64_t mark = qa_sender_flush_begin(w->sender), remaining = 0;
    assert_false(qa_sender_flush_wait(w->sender, mark, 0, &remaining));
    assert_int_equal(remaining, QUEUE / 2 + 10);
    assert_false(qa_sender_wait_lane(w->sender, w->lane, 0, &remaining));
    assert_int_equal(remaining, QUEUE / 2 + 10);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND));
    assert_true(qa_sender_flush_done(w->sender, mark));
    assert_true(qa_sender_wait_lane(w->sender, w->lane, 0, &remaining));
}

static void a_read_that_fails_is_repeated(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    w->disk->fail_reads = 1;
    life l;
    life_init(&l, w);
    life_run(&l, SECOND);
    assert_int_equal(l.tally.count, QUEUE / 4);
    assert_int_equal(paged(w), QUEUE / 4 + 10);
    assert_true(life_finish(&l, 2 * SECOND));
    life_assert_all_once(&l, QUEUE / 2 + 10);
}

static void rows_that_cannot_be_read_are_dropped_and_reported(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    w->disk->damaged = true;
    world_file(w)->rows[30].unreadable = true;
    world_file(w)->rows[40].unreadable = true;
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND));
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, QUEUE / 2 - 10);
    assert_int_equal(reports.dropped, 20);
    assert_int_equal(reports.last_loss.code, QA_SPOOL);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DAMAGED], 20);
}

static void what_a_new_file_lost_behind_the_gap_is_dropped_and_reported(void **state) {
    world *w = started(state);
    world_report(w, QUEUE / 2 + 10);
    world_save(w);
    fake_file_renew(world_file(w), 25); /* twenty of them are in memory still */
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, 5 * SECOND));
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, QUEUE / 2 + 10 - 50);
    assert_int_equal(reports.dropped, 50);
    life_run(&l, SECOND);
    assert_int_equal(fake_disk_events(w->disk), 0);
}

static void a_kill_loses_nothing_on_either_side_of_the_gap(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    started(state);
    life *l = malloc(sizeof *l);
    life_init(l, w);
    l->to_report = 3000;
    life_run(l, 90 * MS);
    l->to_report = 0;
    world_save(w);
    uint64_t accepted = w->next_event;
    assert_true(accepted > 2 * QUEUE);
    assert_true(paged(w) > 0);
    life_tally before = l->tally;
    world_kill(w);

    world_start(w);
    life_init(l, w);
    l->tally = before;
    assert_true(life_finish(l, 60 * SECOND));
    life_assert_all_once(l, accepted);
    assert_true(l->tally.ordered);
    free(l);
}

/* Memory is over half full, but all that isn't stored is spared. */
static void a_keeper_that_spares_all_of_it_sleeps(void **state) {
    world *w = *state;
    w->config.queue_events = 800;
    w->config.batch_events = 10;
    w->config.max_in_flight = 1;
    world_start_kept(w);
    world_report(w, 350);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    world_report(w, 150);
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 40 * MS);
    assert_int_equal(l.most_vain_steps, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

/* The disk takes nothing, and what waits for it leaves no room for what is on it. */
static void what_waits_behind_a_gap_does_not_wait_for_a_broken_disk(void **state) {
    world *w = *state;
    w->config.queue_events = 100;
    w->config.batch_events = 10;
    world_start_kept(w);
    life l;
    life_init(&l, w);
    l.deaf = true;
    l.to_report = 300;
    life_run(&l, SECOND);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->full = true;
    l.to_report = 100; /* as many as there is room for */
    life_run(&l, SECOND);
    l.to_report = 0;
    l.deaf = false;
    assert_true(life_finish(&l, 60 * SECOND));
    life_assert_all_once(&l, w->next_event);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(half_of_memory_is_used_while_the_service_is_away),
        TEST(seven_eighths_of_memory_are_used_while_the_service_takes_what_comes),
        TEST(half_of_the_bytes_too),
        TEST(what_comes_behind_the_gap_leaves_as_soon_as_it_is_stored),
        TEST(pressed_commits_spare_what_is_sent_next),
        TEST(they_spare_nothing_while_the_service_is_away),
        TEST(the_sender_is_woken_for_what_was_read_back),
        TEST(memory_is_bounded_and_all_comes_back_in_its_order),
        TEST(the_same_while_new_ones_come),
        TEST(nothing_stalls),
        TEST(a_flush_counts_what_is_on_disk_alone),
        TEST(a_read_that_fails_is_repeated),
        TEST(rows_that_cannot_be_read_are_dropped_and_reported),
        TEST(what_a_new_file_lost_behind_the_gap_is_dropped_and_reported),
        TEST(a_kill_loses_nothing_on_either_side_of_the_gap),
        TEST(a_keeper_that_spares_all_of_it_sleeps),
        TEST(what_waits_behind_a_gap_does_not_wait_for_a_broken_disk),
    };
    return cmocka_run_group_tests_name("keeper_page", tests, NULL, NULL);
}
