/* keeper_letter_test.c
 * Dead letters on disk: written with their reason, sent again when somebody asks for it.
 * Does not know threads, files, real time, nor letters of others (keeper_adopt_test.c).
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_life.h"
#include "support/sender_world.h"

#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)
#define REFUSAL                                                                                  \
    "{\"traceId\":\"trace-9\",\"success\":false,\"errorCode\":\"E7\","                           \
    "\"errorDesc\":\"bad event\",\"data\":null}"

/* The service has taken something: what it refuses alone is refused for itself. */
static world *started(void **state) {
    world *w = *state;
    w->config.batch_events = 10;
    world_start_kept(w);
    world_report(w, 10);
    world_step(w);
    world_answer_all(w, world_ok());
    return w;
}

static void refuse_one(world *w) {
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, REFUSAL));
}

/* The keeper's next look into the spool. */
static void tend(world *w) {
    world_advance(w, SECOND);
    world_keep(w);
}

static void a_dead_letter_is_written_at_once_with_its_reason(void **state) {
    world *w = started(state);
    refuse_one(w);
    assert_true(world_keeper_is_called(w));
    assert_int_equal(world_file(w)->letter_count, 0);
    world_keep(w);
    const fake_file *own = world_file(w);
    assert_int_equal(own->letter_count, 1);
    assert_int_equal(own->row_count, 0);
    assert_false(own->letters[0].retry);
    const qa_dead_letter *letter = &own->letters[0].letter;
    assert_string_equal(letter->event, "{\"n\":10}");
    assert_int_equal(letter->length, 8);
    assert_int_equal(letter->code, QA_REJECTED);
    assert_string_equal(letter->service_code, "E7");
    assert_string_equal(letter->trace_id, "trace-9");
    assert_non_null(strstr(letter->message, "bad event"));
    assert_int_equal(letter->attempts, 1);
    assert_int_equal(letter->wall_ms, w->wall_ms);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dead, 1);
}

static void its_row_goes_in_the_same_transaction(void **state) {
    world *w = started(state);
    world_report(w, 1);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_http(400, REFUSAL));
    world_keep(w);
    assert_int_equal(w->disk->commits, 2);
    assert_int_equal(w->disk->last.letter_puts, 1);
    assert_int_equal(w->disk->last.deletes, 1);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void a_letter_that_cannot_be_written_waits_for_the_disk(void **state) {
    world *w = started(state);
    refuse_one(w);
    w->disk->fail_commits = 1;
    world_keep(w);
    assert_int_equal(world_file(w)->letter_count, 0);
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_int_equal(world_file(w)->letter_count, 1);
    refuse_one(w);
    refuse_one(w);
    world_keep(w);
    assert_int_equal(world_file(w)->letter_count, 3);
}

static void the_end_writes_letters_too(void **state) {
    world *w = started(state);
    refuse_one(w);
    world_end(w);
    assert_int_equal(w->disk->files->letter_count, 1);
    assert_false(w->disk->files->gone);
}

static void a_marked_letter_is_sent_and_deleted_when_it_was_delivered(void **state) {
    world *w = started(state);
    (void)fake_file_add_letter(world_file(w), "{\"n\":500}", false);
    (void)fake_file_add_letter(world_file(w), "{\"n\":501}", true);
    world_step(w);
    size_t wakeups = w->transport.wakeups;
    tend(w);
    assert_int_equal(world_stats(w).counts.accepted, 11);
    assert_true(w->transport.wakeups > wakeups);
    world_step(w);
    assert_string_equal(w->transport.requests[1].body, "[{\"n\":501}]");
    assert_int_equal(world_file(w)->letter_count, 2);
    world_answer_all(w, world_ok());
    assert_true(world_keeper_is_called(w));
    world_keep(w);
    assert_int_equal(w->disk->last.letter_deletes, 1);
    assert_int_equal(w->disk->last.puts, 0);
    assert_int_equal(world_file(w)->letter_count, 1);
    assert_string_equal(world_file(w)->letters[0].letter.event, "{\"n\":500}");
    tend(w);
    assert_int_equal(world_stats(w).counts.accepted, 11);
}

static void until_it_is_delivered_a_row_takes_its_place(void **state) {
    world *w = started(state);
    (void)fake_file_add_letter(world_file(w), "{\"n\":501}", true);
    world_step(w);
    tend(w);
    world_step(w); /* under way */
    world_keep(w);
    assert_int_equal(w->disk->last.puts, 1);
    assert_int_equal(w->disk->last.letter_deletes, 1);
    assert_int_equal(world_file(w)->letter_count, 0);
    assert_string_equal(world_file(w)->rows[0].row.data, "{\"n\":501}");
    world_answer_all(w, world_ok());
    world_advance(w, w->config.commit_interval_us);
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void a_marked_letter_that_is_refused_again_is_a_new_one(void **state) {
    world *w = started(state);
    uint64_t id = fake_file_add_letter(world_file(w), "{\"n\":501}", true)->id;
    world_step(w);
    tend(w);
    world_step(w);
    world_answer_all(w, world_http(400, REFUSAL));
    world_keep(w);
    const fake_file *own = world_file(w);
    assert_int_equal(w->disk->last.letter_puts, 1);
    assert_int_equal(w->disk->last.letter_deletes, 1);
    assert_int_equal(own->letter_count, 1);
    assert_true(own->letters[0].id != id);
    assert_false(own->letters[0].retry);
    assert_string_equal(own->letters[0].letter.event, "{\"n\":501}");
    assert_string_equal(own->letters[0].letter.service_code, "E7");
    tend(w);
    assert_int_equal(world_stats(w).counts.accepted, 11);
}

static void a_marked_letter_is_not_lost_by_a_commit_that_fails(void **state) {
    world *w = started(state);
    (void)fake_file_add_letter(world_file(w), "{\"n\":501}", true);
    life l;
    life_init(&l, w);
    l.http_status = 503;
    w->disk->fail_commits = 3;
    life_run(&l, 2 * SECOND);
    assert_int_equal(w->disk->fail_commits, 0);
    assert_int_equal(world_file(w)->letter_count, 0);
    assert_int_equal(world_file(w)->row_count, 1);
    l.http_status = 0;
    assert_true(life_finish(&l, 2 * SECOND));
    life_run(&l, 2 * SECOND);
    assert_int_equal(l.tally.seen[501], 1);
    assert_int_equal(world_file(w)->row_count, 0);
    assert_int_equal(world_stats(w).counts.accepted, 11);
}

static void many_marked_letters_are_all_sent_once(void **state) {
    world *w = started(state);
    for (int i = 0; i < 100; i++) {
        char event[32];
        snprintf(event, sizeof event, "{\"n\":%d}", i);
        (void)fake_file_add_letter(world_file(w), event, true);
    }
    life l;
    life_init(&l, w);
    life_run(&l, 10 * SECOND);
    life_assert_all_once(&l, 100);
    assert_int_equal(world_file(w)->letter_count, 0);
}

/* Nothing asks for it twice, and a kill in between loses nothing. */
static void a_kill_after_its_row_was_written_finds_the_row(void **state) {
    world *w = started(state);
    (void)fake_file_add_letter(world_file(w), "{\"n\":501}", true);
    tend(w);
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 1);
    world_kill(w);
    world_start(w);
    life l;
    life_init(&l, w);
    life_run(&l, 3 * SECOND);
    assert_int_equal(l.tally.count, 1);
    assert_int_equal(l.tally.seen[501], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

static void a_flush_to_disk_waits_for_letters(void **state) {
    world *w = started(state);
    refuse_one(w);
    uint64_t mark = qa_sender_save_begin(w->sender);
    assert_false(qa_sender_save_done(w->sender, mark));
    refuse_one(w); /* a later one is no part of it */
    w->disk->fail_commits = 1;
    world_keep(w);
    assert_false(qa_sender_save_done(w->sender, mark));
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_true(qa_sender_save_done(w->sender, mark));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_dead_letter_is_written_at_once_with_its_reason),
        TEST(its_row_goes_in_the_same_transaction),
        TEST(a_letter_that_cannot_be_written_waits_for_the_disk),
        TEST(the_end_writes_letters_too),
        TEST(a_marked_letter_is_sent_and_deleted_when_it_was_delivered),
        TEST(until_it_is_delivered_a_row_takes_its_place),
        TEST(a_marked_letter_that_is_refused_again_is_a_new_one),
        TEST(a_marked_letter_is_not_lost_by_a_commit_that_fails),
        TEST(many_marked_letters_are_all_sent_once),
        TEST(a_kill_after_its_row_was_written_finds_the_row),
        TEST(a_flush_to_disk_waits_for_letters),
    };
    return cmocka_run_group_tests_name("keeper_letter", tests, NULL, NULL);
}
