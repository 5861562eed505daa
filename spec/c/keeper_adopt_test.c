/* keeper_adopt_test.c
 * Spools that others left: one at a time, before one's own, and no trace of them at the end.
 * Does not know threads, files, real time, nor how an engine finds such spools.
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
#define LEFT_MS (INT64_C(100) * 1000)

/* A file of rows of ten events each, numbered from `first`. */
static fake_file *leave(world *w, size_t rows, uint64_t first) {
    fake_file *file = fake_disk_leave(w->disk);
    for (size_t i = 0; i < rows; i++)
        fake_file_add(file, 3 + i * 2, first + i * 10, 10, w->wall_ms - 1000, LEFT_MS);
    return file;
}

/* The first event of the request that is under way. */
static uint64_t under_way(const world *w) {
    size_t index = fake_transport_first_open(&w->transport);
    assert_true(index != SIZE_MAX);
    return strtoull(w->transport.requests[index].body + strlen("[{\"n\":"), NULL, 10);
}

/* ---- one after the other ---- */

static void the_oldest_comes_first_and_before_own_events(void **state) {
    world *w = *state;
    fake_file *first = leave(w, 2, 0), *second = leave(w, 2, 20);
    w->next_event = 40;
    w->config.batch_events = 10;
    w->config.max_in_flight = 1;
    world_start(w);
    world_report(w, 20);
    world_keep(w);
    assert_true(first->owned);
    assert_false(second->owned);
    assert_int_equal(world_stats(w).spool_adopted, 20);
    assert_int_equal(world_stats(w).counts.accepted, 40);
    assert_int_equal(world_stats(w).counts.spooled, 20);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND));
    assert_int_equal(l.tally.count, 40);
    assert_false(second->owned);
    life_run(&l, SECOND);
    life_assert_all_once(&l, 60);
    assert_true(first->gone && second->gone);
    assert_int_equal(world_stats(w).spool_adopted, 40);
    const fake_request *requests = w->transport.requests;
    assert_non_null(strstr(requests[0].body, "[{\"n\":0}"));
    assert_non_null(strstr(requests[1].body, "[{\"n\":10}"));
    assert_non_null(strstr(requests[2].body, "[{\"n\":40}"));
}

static void their_order_is_that_of_their_rows(void **state) {
    world *w = *state;
    leave(w, 40, 0);
    w->next_event = 400;
    w->config.queue_events = 200; /* four pages and more */
    world_started_with_tens(state);
    assert_in_range(world_stats(w).counts.spooled - world_stats(w).spool_paged, 50, 100);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, 5 * SECOND));
    life_assert_all_once(&l, 400);
    assert_true(l.tally.ordered);
}

static void receipts_and_deletions_go_to_the_file_they_are_about(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 2, 0);
    world_started_with_tens(state);
    world_step(w);
    world_answer_all(w, world_ok());
    assert_int_equal(left->receipt_count, 1);
    assert_true(fake_file_has_receipt(left, 3));
    assert_int_equal(world_file(w)->receipt_count, 0);
    world_step(w); /* no wait for the disk */
    assert_int_equal(under_way(w), 10);
    world_keep(w);
    assert_int_equal(left->row_count, 2);
    world_advance(w, w->config.commit_interval_us);
    world_keep(w);
    assert_int_equal(left->row_count, 1);
    assert_ptr_equal(w->disk->last.file, left);
    assert_int_equal(world_file(w)->commits, 0);
}

static void without_a_receipt_the_place_is_free_after_the_deletion(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 2, 0);
    w->disk->receipts_refused = true;
    world_started_with_tens(state);
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_true(world_keeper_is_called(w));
    size_t wakeups = w->transport.wakeups;
    world_keep(w);
    assert_int_equal(left->row_count, 1);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
}

static void what_is_left_later_is_found_within_three_seconds(void **state) {
    world *w = world_started_with_tens(state);
    life l;
    life_init(&l, w);
    life_run(&l, 10 * SECOND);
    fake_file *left = leave(w, 1, 0);
    life_run(&l, 3 * SECOND);
    assert_int_equal(l.tally.count, 10);
    life_run(&l, SECOND);
    assert_true(left->gone);
}

static void none_is_taken_while_memory_is_in_use(void **state) {
    world *w = *state;
    w->config.queue_events = 100;
    world_started_with_tens(state);
    world_report(w, 30);
    fake_file *left = leave(w, 1, 30);
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 10 * SECOND);
    assert_false(left->owned);
    l.deaf = false;
    assert_true(life_finish(&l, SECOND));
    life_run(&l, 4 * SECOND);
    life_assert_all_once(&l, 40);
    assert_true(left->gone);
}

/* ---- what the rows say ---- */

static void their_deadlines_survive(void **state) {
    world *w = *state;
    fake_file *left = fake_disk_leave(w->disk);
    fake_file_add(left, 1, 0, 10, w->wall_ms - 400 * 1000, 300 * 1000);
    fake_file_add(left, 2, 10, 10, w->wall_ms - 299 * 1000, 300 * 1000);
    fake_file_add(left, 3, 20, 10, w->wall_ms - 100 * 1000, 300 * 1000);
    w->next_event = 30;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    l.http_status = 503;
    life_run(&l, SECOND - 1);
    assert_int_equal(world_take_reports(w, w->lane).dropped, 10); /* it was over already */
    life_run(&l, 2);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped, 10);
    assert_int_equal(reports.last_loss.code, QA_TIMEOUT);
    life_run(&l, 199 * SECOND - 10 * MS);
    assert_int_equal(world_take_reports(w, w->lane).dropped, 0);
    life_run(&l, 20 * MS);
    assert_int_equal(world_take_reports(w, w->lane).dropped, 10);
    life_run(&l, SECOND);
    assert_true(left->gone);
}

static void a_clock_that_was_set_back_gives_no_more_than_the_deadline(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 0);
    left->rows[0].row.deadline_wall_ms = w->wall_ms + INT64_C(86400) * 1000;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    l.http_status = 503;
    life_run(&l, 299 * SECOND);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 0);
    life_run(&l, 2 * SECOND);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 10);
}

static void their_attempts_go_on(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 0);
    left->rows[0].row.attempts = 4;
    left->rows[0].row.possibly_stored = true;
    world_started_with_tens(state);
    world_step(w);
    world_answer_all(w, world_failure(QA_NETWORK, QA_DELIVERY_UNSENT));
    world_advance(w, SECOND);
    world_step(w);
    world_answer_all(w, world_http(503, NULL));
    world_keep(w);
    assert_int_equal(left->rows[0].row.attempts, 5);
    assert_true(left->rows[0].row.possibly_stored);
    assert_int_equal(left->row_count, 1);
}

static void a_part_of_an_adopted_row_is_rewritten_where_it_is(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 0);
    world_started_with_tens(state);
    world_step(w);
    world_answer_all(w, world_http(413, NULL));
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    world_keep(w);
    assert_int_equal(left->row_count, 1);
    assert_int_equal(left->rows[0].row.id, 3);
    assert_int_equal(left->rows[0].row.events, 5);
    assert_non_null(strstr(left->rows[0].row.data, "{\"n\":5},"));
    assert_int_equal(left->rows[0].row.accepted_wall_ms, w->wall_ms - 1000);
    world_step(w);
    assert_int_equal(under_way(w), 5);
}

static void a_row_that_cannot_be_read_is_dropped_and_reported(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 3, 0);
    left->rows[1].unreadable = true;
    w->disk->damaged = true;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND));
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, 20);
    assert_int_equal(reports.dropped, 10);
    assert_int_equal(reports.last_loss.code, QA_SPOOL);
    assert_non_null(strstr(reports.last_loss.message, "10 events could not be read"));
    assert_int_equal(world_stats(w).counts.accepted, 30);
    assert_true(left->gone);
}

/* A damaged file was read anew, and more of it could be read than was thought. */
static void rows_that_nobody_counted_are_accepted_when_they_are_read(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 0);
    w->config.queue_events = 80; /* a page is two rows */
    world_started_with_tens(state);
    assert_int_equal(world_stats(w).counts.accepted, 10);
    fake_file_add(left, 100, 10, 10, w->wall_ms, LEFT_MS);
    life l;
    life_init(&l, w);
    life_run(&l, SECOND);
    life_assert_all_once(&l, 20);
    assert_int_equal(world_stats(w).counts.accepted, 20);
    assert_true(left->gone);
}

/* ---- letters ---- */

static void letters_move_to_the_own_spool(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 0);
    uint64_t plain = fake_file_add_letter(left, "{\"n\":70}", false)->id;
    uint64_t marked = fake_file_add_letter(left, "{\"n\":10}", true)->id;
    world_started_with_tens(state);
    const fake_file *own = world_file(w);
    assert_int_equal(left->letter_count, 0);
    assert_int_equal(own->letter_count, 2);
    assert_int_equal(own->letters[0].id, plain);
    assert_false(own->letters[0].retry);
    assert_string_equal(own->letters[0].letter.event, "{\"n\":70}");
    assert_string_equal(own->letters[0].letter.message, "refused before");
    assert_int_equal(own->letters[0].letter.attempts, 3);
    assert_int_equal(own->letters[1].id, marked);
    assert_true(own->letters[1].retry);
    assert_int_equal(world_stats(w).dead_letters, 2);
    assert_int_equal(world_stats(w).counts.dead, 0); /* whoever had them has counted them */
    life l;
    life_init(&l, w);
    life_run(&l, 2 * SECOND);
    life_assert_all_once(&l, 10 + 1); /* the marked one was sent again */
    assert_int_equal(own->letter_count, 1);
}

static void a_file_of_letters_alone_is_emptied_and_goes(void **state) {
    world *w = *state;
    fake_file *left = fake_disk_leave(w->disk), *next = leave(w, 1, 0);
    for (int i = 0; i < 100; i++)
        fake_file_add_letter(left, "{\"n\":70}", false);
    world_started_with_tens(state);
    assert_true(left->gone);
    assert_int_equal(world_file(w)->letter_count, 100);
    assert_true(world_keeper_is_called(w));
    world_keep(w);
    assert_true(next->owned);
}

static void letters_that_cannot_be_moved_stay_and_keep_their_file(void **state) {
    world *w = *state;
    fake_file *left = fake_disk_leave(w->disk);
    fake_file_add_letter(left, "{\"n\":70}", false);
    w->disk->fail_commits = 2; /* when it is adopted, and when it would be released */
    world_started_with_tens(state);
    assert_int_equal(w->disk->fail_commits, 0);
    assert_int_equal(left->letter_count, 1);
    assert_int_equal(world_stats(w).dead_letters, 0);
    assert_true(left->owned);
    life l;
    life_init(&l, w);
    life_run(&l, 4 * SECOND);
    assert_true(left->gone);
    assert_int_equal(world_file(w)->letter_count, 1);
    assert_int_equal(world_stats(w).dead_letters, 1);
}

/* ---- what fails, and the end ---- */

static void a_failed_deletion_is_repeated_and_nothing_waits_for_it(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 2, 0);
    w->disk->receipts_refused = true;
    world_started_with_tens(state);
    w->disk->fail_commits = 1;
    life l;
    life_init(&l, w);
    life_run(&l, 100 * MS);
    assert_int_equal(l.tally.count, 20);
    assert_int_equal(world_stats(w).spool_status, QA_OK); /* own events are safe all the same */
    life_run(&l, 3 * SECOND);
    assert_true(left->gone);
    life_assert_all_once(&l, 20);
}

static void a_failed_read_is_repeated(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 2, 0);
    w->disk->fail_reads = 1;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    life_run(&l, SECOND);
    assert_int_equal(l.tally.count, 0);
    assert_true(left->owned);
    assert_true(life_finish(&l, 3 * SECOND));
    life_assert_all_once(&l, 20);
}

static void the_end_leaves_to_the_next_what_is_not_delivered(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 4, 0);
    w->next_event = 40;
    world_started_with_tens(state);
    world_report(w, 10);
    life l;
    life_init(&l, w);
    life_run(&l, 2 * MS + 1); /* two are delivered, the third is under way */
    assert_int_equal(l.tally.count, 20);
    life_tally before = l.tally;
    world_free(w);
    assert_int_equal(left->row_count, 2);
    assert_int_equal(left->rows[0].row.attempts, 1);
    assert_false(left->owned);
    assert_int_equal(fake_disk_events(w->disk), 30);

    w->ended = false;
    world_start_kept(w);
    life_init(&l, w);
    l.tally = before;
    assert_true(life_finish(&l, SECOND));
    life_run(&l, SECOND);
    life_assert_all_once(&l, 50);
    assert_int_equal(fake_disk_events(w->disk), 0);
}

static void a_backlog_larger_than_memory_takes_turns_with_new_events(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 300, 0);
    w->next_event = 3000;
    w->config.queue_events = 400;
    w->commit_us = 2 * MS;
    world_started_with_tens(state);
    life *l = malloc(sizeof *l);
    life_init(l, w);
    l->to_report = 3000;
    assert_true(life_finish(l, 60 * SECOND));
    life_assert_all_once(l, 6000);
    assert_true(l->most_idle_us < 50 * MS);
    assert_int_equal(l->most_vain_steps, 0);
    life_run(l, SECOND);
    assert_true(left->gone);
    free(l);
}

static fake_file *leave_one(world *w, int64_t age_ms, int64_t left_ms) {
    fake_file *file = fake_disk_leave(w->disk);
    fake_file_add(file, 1, 0, 10, w->wall_ms - age_ms, age_ms + left_ms);
    return file;
}

static void deliver_the_first_half(world *w) {
    world_step(w);
    world_answer_all(w, world_http(413, NULL));
    world_step(w);
    world_answer_all(w, world_ok());
}

static void a_part_of_an_adopted_row_holds_its_place_for_a_moment_only(void **state) {
    world *w = *state;
    leave_one(w, 0, 1000);
    world_started_with_tens(state);
    deliver_the_first_half(w);
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_true(world_keeper_is_called(w)); /* else it sleeps until it tends: a second */
}

/* Others may have been told to deliver for longer than we are. */
static void a_part_of_an_adopted_row_keeps_its_deadline(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 10 * SECOND;
    fake_file *left = leave_one(w, 3600 * 1000, 5000);
    world_started_with_tens(state);
    deliver_the_first_half(w);
    world_keep(w);
    assert_int_equal(left->rows[0].row.events, 5);
    assert_int_equal(left->rows[0].row.deadline_wall_ms, w->wall_ms + 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

/* What others left may be what fills the disk: it is delivered all the same. */
static void it_needs_no_file_of_ones_own(void **state) {
    world *w = *state;
    fake_file *left = leave(w, 1, 30);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_opens = 1000000;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    life_run(&l, 10 * SECOND);
    assert_int_equal(world_stats(w).spool_status, QA_SPOOL_FULL);
    assert_true(left->gone);
    w->disk->fail_opens = 0;
    life_run(&l, 10 * SECOND);
    assert_int_equal(world_stats(w).spool_status, QA_OK);
}

/* Its deletions fail, and there are no receipts: no reason to hold anybody's requests back. */
static void one_that_cannot_be_written_holds_nobody_up(void **state) {
    world *w = *state;
    fake_file *left = fake_disk_leave(w->disk);
    for (uint64_t i = 0; i < 100; i++)
        fake_file_add(left, 1 + i, i * 10, 10, w->wall_ms - 1000, 100 * 1000);
    w->next_event = 1000;
    w->config.batch_events = 10;
    w->disk->receipts_refused = true;
    world_start_kept(w);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = 1000000;
    life l;
    life_init(&l, w);
    life_run(&l, 10 * SECOND);
    life_assert_all_once(&l, 1000);
    w->disk->fail_commits = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_oldest_comes_first_and_before_own_events),
        TEST(their_order_is_that_of_their_rows),
        TEST(receipts_and_deletions_go_to_the_file_they_are_about),
        TEST(without_a_receipt_the_place_is_free_after_the_deletion),
        TEST(what_is_left_later_is_found_within_three_seconds),
        TEST(none_is_taken_while_memory_is_in_use),
        TEST(their_deadlines_survive),
        TEST(a_clock_that_was_set_back_gives_no_more_than_the_deadline),
        TEST(their_attempts_go_on),
        TEST(a_part_of_an_adopted_row_is_rewritten_where_it_is),
        TEST(a_row_that_cannot_be_read_is_dropped_and_reported),
        TEST(rows_that_nobody_counted_are_accepted_when_they_are_read),
        TEST(letters_move_to_the_own_spool),
        TEST(a_file_of_letters_alone_is_emptied_and_goes),
        TEST(letters_that_cannot_be_moved_stay_and_keep_their_file),
        TEST(a_failed_deletion_is_repeated_and_nothing_waits_for_it),
        TEST(a_failed_read_is_repeated),
        TEST(the_end_leaves_to_the_next_what_is_not_delivered),
        TEST(a_backlog_larger_than_memory_takes_turns_with_new_events),
        TEST(a_part_of_an_adopted_row_holds_its_place_for_a_moment_only),
        TEST(a_part_of_an_adopted_row_keeps_its_deadline),
        TEST(it_needs_no_file_of_ones_own),
        TEST(one_that_cannot_be_written_holds_nobody_up),
    };
    return cmocka_run_group_tests_name("keeper_adopt", tests, NULL, NULL);
}
