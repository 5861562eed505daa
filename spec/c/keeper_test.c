/* keeper_test.c
 * What is written when: commits, flushes to disk, receipts and deletions, rows brought up to date.
 * Does not know threads, files, real time, nor a disk that fails (keeper_fault_test.c).
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

/* Chunks, and so requests, of ten events; one request at a time. */
/* ---- commits ---- */

static void what_is_acknowledged_before_it_is_due_costs_no_commit(void **state) {
    world *w = world_started(state);
    life l;
    life_init(&l, w);
    l.answer_us = 20 * MS;
    for (int i = 0; i < 100; i++) {
        l.to_report += 7;
        life_run(&l, 10 * MS);
    }
    assert_true(life_finish(&l, SECOND));
    life_run(&l, 10 * SECOND);
    life_assert_all_once(&l, 700);
    assert_int_equal(w->disk->tries, 0);
    assert_int_equal(world_stats(w).spool_commits, 0);
}

static void what_is_not_acknowledged_is_on_disk_within_the_interval(void **state) {
    world *w = world_started(state);
    life l;
    life_init(&l, w);
    l.deaf = true;
    w->commit_us = 5 * MS;
    for (uint64_t i = 1; i <= 30; i++) {
        world_report(w, 3);
        life_run(&l, w->config.commit_interval_us);
        if (i > 4) /* before, it has not learnt yet how long a commit takes */
            assert_int_equal(fake_disk_events(w->disk), 3 * i);
    }
    assert_int_equal(world_stats(w).spool_commit_us, 5 * MS);
}

/* The sender's thread would have closed it; but it may be held up. */
static void an_open_chunk_is_on_disk_within_the_interval_too(void **state) {
    world *w = world_started(state);
    world_report(w, 1);
    int64_t wait = world_keep(w);
    assert_in_range(wait, 1, w->config.commit_interval_us);
    world_report(w, 2);
    world_advance(w, wait);
    world_keep(w);
    assert_int_equal(fake_disk_events(w->disk), 3);
    assert_int_equal(world_file(w)->row_count, 1);
    assert_string_equal(world_file(w)->rows[0].row.data, "{\"n\":0},\n{\"n\":1},\n{\"n\":2}");
}

/* How many of eight chunks, closed 6 ms after each other, the first transaction takes. */
static size_t eight_chunks(world *w) {
    for (int i = 0; i < 8; i++) {
        world_report(w, 10);
        if (i == 0) /* its limit is an interval less a reserve of 1 ms */
            assert_int_equal(world_keep(w), 49 * MS);
        world_advance(w, i < 7 ? 6 * MS : 7 * MS);
    }
    assert_int_equal(w->disk->tries, 0);
    world_keep(w);
    assert_int_equal(w->disk->commits, 1);
    const fake_commit *last = &w->disk->last;
    assert_int_equal(last->attempts + last->deletes + last->letter_puts, 0);
    assert_int_equal(fake_disk_events(w->disk), 10 * last->puts);
    for (size_t i = 1; i < last->puts; i++)
        assert_true(last->ids[i - 1] < last->ids[i]);
    return last->puts;
}

static void all_that_is_due_soon_goes_into_one_transaction(void **state) {
    world *w = world_started_with_tens(state);
    assert_int_equal(eight_chunks(w), 5); /* nobody knows how the service does */
}

static void less_goes_along_while_the_service_answers(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_step(w);
    world_answer_all(w, world_ok());
    assert_int_equal(eight_chunks(w), 2);
}

static void all_goes_along_while_the_service_is_away(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_step(w);
    world_answer_all(w, world_failure(QA_NETWORK, QA_DELIVERY_UNSENT));
    assert_int_equal(eight_chunks(w), 9); /* that one too falls due with the others */
}

static void a_chunk_is_one_row_that_says_all_about_it(void **state) {
    world *w = world_started(state);
    int64_t accepted = w->wall_ms;
    world_report(w, 2);
    world_advance(w, 49 * MS);
    world_keep(w);
    const qa_spool_row *row = &world_file(w)->rows[0].row;
    assert_int_equal(world_file(w)->row_count, 1);
    assert_int_equal(row->id, 1);
    assert_int_equal(row->events, 2);
    assert_string_equal(row->data, "{\"n\":0},\n{\"n\":1}");
    assert_int_equal(row->attempts, 0);
    assert_false(row->possibly_stored);
    assert_int_equal(row->accepted_wall_ms, accepted);
    assert_int_equal(row->deadline_wall_ms, accepted + 300 * 1000);
    assert_int_equal(world_stats(w).counts.spooled, 2);
}

/* ---- flush_to_disk ---- */

static void a_flush_to_disk_commits_at_once_and_is_done_then(void **state) {
    world *w = world_started(state);
    int64_t now = w->now_us;
    world_report(w, 3);
    uint64_t mark = qa_sender_save_begin(w->sender);
    world_report(w, 5); /* later ones don't count */
    assert_false(qa_sender_save_done(w->sender, mark));
    assert_true(world_keeper_is_called(w));
    world_keep(w);
    assert_true(qa_sender_save_done(w->sender, mark));
    assert_true(qa_sender_save_wait(w->sender, mark, 0));
    assert_int_equal(fake_disk_events(w->disk), 3);
    assert_int_equal(w->now_us, now);
}

static void a_flush_to_disk_is_done_when_all_is_acknowledged(void **state) {
    world *w = world_started(state);
    world_report(w, 3);
    uint64_t mark = qa_sender_save_begin(w->sender);
    world_step(w);
    assert_false(qa_sender_save_done(w->sender, mark));
    world_answer_all(w, world_ok());
    assert_true(qa_sender_save_done(w->sender, mark));
    world_keep(w);
    assert_int_equal(w->disk->tries, 0);
    mark = qa_sender_save_begin(w->sender);
    assert_true(qa_sender_save_done(w->sender, mark)); /* there is nothing at all */
}

static void what_is_being_committed_is_not_saved_yet(world *w) {
    assert_false(qa_sender_save_done(w->sender, 1));
}

static void a_flush_to_disk_waits_for_the_end_of_its_commit(void **state) {
    world *w = world_started(state);
    world_report(w, 3);
    w->meanwhile = what_is_being_committed_is_not_saved_yet;
    uint64_t mark = qa_sender_save_begin(w->sender);
    assert_int_equal(mark, 1);
    world_keep(w);
    assert_true(qa_sender_save_done(w->sender, mark));
}

/* ---- receipts and deletions ---- */

static void a_receipt_is_written_before_the_place_is_free(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_step(w);
    assert_false(fake_file_has_receipt(world_file(w), 1));
    world_answer_all(w, world_ok());
    assert_true(fake_file_has_receipt(world_file(w), 1));
    assert_false(fake_file_has_receipt(world_file(w), 2));
    assert_non_null(fake_file_row(world_file(w), 1));
    world_step(w); /* and the next one doesn't wait for the disk */
    assert_int_equal(w->transport.open, 1);
}

static void with_a_receipt_the_deletion_waits_for_one_interval(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    assert_int_equal(world_keep(w), w->config.commit_interval_us);
    assert_int_equal(w->disk->commits, 1);
    world_advance(w, w->config.commit_interval_us);
    world_keep(w);
    assert_int_equal(w->disk->last.deletes, 1);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void with_a_receipt_the_deletion_goes_along_with_the_next_commit(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    world_report(w, 5);
    world_save(w);
    assert_int_equal(w->disk->commits, 2);
    assert_int_equal(w->disk->last.deletes, 1);
    assert_int_equal(w->disk->last.puts, 1);
    assert_int_equal(fake_disk_events(w->disk), 5);
}

static void nothing_more_starts_during_this_commit(world *w) {
    world_step(w);
    assert_int_equal(w->transport.open, 0);
}

/* Of two chunks on disk the first is answered; its place is free once its row is deleted. */
static void check_that_the_deletion_comes_first(world *w) {
    world_report(w, 20);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    assert_int_equal(world_file(w)->receipt_count, 0);
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_true(world_keeper_is_called(w));
    w->meanwhile = nothing_more_starts_during_this_commit;
    size_t wakeups = w->transport.wakeups;
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 1);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    w->meanwhile = NULL;
}

static void without_a_receipt_the_place_is_free_after_the_deletion(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    check_that_the_deletion_comes_first(world_started_with_tens(state));
}

static void a_receipt_that_is_refused_is_none(void **state) {
    world *w = world_started_with_tens(state);
    w->disk->receipts_refused = true;
    check_that_the_deletion_comes_first(w);
}

static void of_a_part_there_is_no_receipt_but_a_row_of_the_rest(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_http(413, NULL));
    world_step(w); /* the first half */
    world_answer_all(w, world_ok());
    assert_int_equal(world_file(w)->receipt_count, 0);
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_true(world_keeper_is_called(w));
    w->meanwhile = nothing_more_starts_during_this_commit;
    world_keep(w);
    w->meanwhile = NULL;
    const qa_spool_row *row = &fake_file_row(world_file(w), 1)->row;
    assert_int_equal(row->events, 5);
    assert_string_equal(row->data, "{\"n\":5},\n{\"n\":6},\n{\"n\":7},\n{\"n\":8},\n{\"n\":9}");
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    world_answer_all(w, world_ok()); /* the last part is all that is left */
    assert_true(fake_file_has_receipt(world_file(w), 1));
}

/* A row that ends without having been written is none, so nothing is to be deleted. */
static void requests_whose_rows_were_never_written_hold_no_place(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    world_started_with_tens(state);
    world_report(w, 20);
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(w->transport.open, 1);
}

/* It starts the next batch when it is time; each step of the keeper would wake it in vain. */
static void a_paced_thread_is_not_woken_by_the_keeper(void **state) {
    world *w = world_started(state);
    world_step(w);
    world_report_page_views(w, 400);
    assert_int_equal(world_step(w), 1000);
    assert_int_equal(w->transport.open, 1);
    size_t wakeups = w->transport.wakeups;
    world_keep(w);
    assert_int_equal(w->transport.wakeups, wakeups);
}

/* Else the pace alone would have a healthy stream written to disk. */
static void the_pace_leaves_time_before_a_commit(void **state) {
    world *w = *state;
    w->config.commit_interval_us = 8 * MS;
    world_start(w);
    world_step(w);
    world_report_page_views(w, 400);
    world_advance(w, 2 * MS);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
}

/* Of what the service has taken, how much a successor would find if the process were killed now. */
static struct {
    const life *life;
    void (*go_on)(world *w);
    uint64_t most;
} repeats;

static void count_repeats(world *w) {
    const fake_file *file = world_file(w);
    uint64_t events = 0;
    repeats.go_on(w);
    for (size_t i = 0; i < file->row_count; i++) {
        const qa_spool_row *row = &file->rows[i].row;
        uint64_t first = strtoull(row->data + strlen("{\"n\":"), NULL, 10);
        if (repeats.life->tally.seen[first] > 0 && !fake_file_has_receipt(file, row->id))
            events += row->events;
    }
    repeats.most = events > repeats.most ? events : repeats.most;
}

/* At the end of each commit, when most has been answered and nothing of it deleted. */
static uint64_t most_repeats(world *w) {
    life *l = malloc(sizeof *l);
    w->config.batch_events = 10;
    w->config.max_in_flight = 3;
    w->commit_us = 4 * MS;
    world_start_kept(w);
    world_report(w, 500);
    world_save(w);
    life_init(l, w);
    repeats.life = l;
    repeats.go_on = w->meanwhile;
    repeats.most = 0;
    w->meanwhile = count_repeats;
    assert_true(life_finish(l, 10 * SECOND));
    life_assert_all_once(l, 500);
    free(l);
    return repeats.most;
}

static void no_kill_repeats_what_left_a_receipt(void **state) {
    assert_int_equal(most_repeats(*state), 0);
}

static void no_kill_repeats_more_requests_than_may_be_under_way(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    assert_int_equal(most_repeats(w), 3 * 10);
}

/* ---- while a commit is under way ---- */

static void the_service_takes_all(world *w) {
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w);
}

static void a_chunk_that_ends_during_its_commit_is_deleted_afterwards(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    w->meanwhile = the_service_takes_all;
    world_save(w);
    w->meanwhile = NULL;
    assert_int_equal(world_stats(w).counts.delivered, 10);
    assert_string_equal(fake_file_row(world_file(w), 1)->row.data + 81, "{\"n\":9}");
    assert_true(fake_file_has_receipt(world_file(w), 1));
    world_advance(w, world_keep(w));
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 0);
    assert_int_equal(w->disk->commits, 2);
}

static void without_a_receipt_it_is_deleted_at_once(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    world_started(state);
    world_report(w, 10);
    w->meanwhile = the_service_takes_all;
    world_save(w);
    w->meanwhile = NULL;
    assert_int_equal(world_file(w)->row_count, 1);
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void the_service_takes_the_first_half(world *w) {
    world_step(w);
    world_answer_all(w, world_http(413, NULL));
    world_step(w);
    world_answer_all(w, world_ok());
}

static void a_chunk_that_partly_ends_during_its_commit_is_written_again(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    w->meanwhile = the_service_takes_the_first_half;
    world_save(w);
    w->meanwhile = NULL;
    assert_int_equal(fake_disk_events(w->disk), 10);
    world_keep(w);
    assert_int_equal(fake_disk_events(w->disk), 5);
    assert_string_equal(fake_file_row(world_file(w), 1)->row.data + 36, "{\"n\":9}");
}

/* ---- rows brought up to date ---- */

static void attempts_and_what_may_be_stored_are_written(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_failure(QA_NETWORK, QA_DELIVERY_POSSIBLE));
    world_advance(w, 49 * MS);
    world_keep(w);
    assert_int_equal(w->disk->last.attempts, 1);
    assert_int_equal(w->disk->last.puts, 0); /* its text is not written again */
    const qa_spool_row *row = &fake_file_row(world_file(w), 1)->row;
    assert_int_equal(row->attempts, 1);
    assert_true(row->possibly_stored);
    assert_int_equal(row->events, 10);
    assert_int_equal(world_stats(w).counts.spooled, 10);
}

static void a_request_that_never_left_changes_no_row(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    world_save(w);
    w->transport.refuse = true;
    world_step(w);
    w->transport.refuse = false;
    world_advance(w, 49 * MS);
    world_keep(w);
    assert_int_equal(w->disk->commits, 1);
}

/* What is dropped for its age is dropped from the disk too. */
static void what_expires_is_deleted(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 10 * SECOND;
    world_started(state);
    world_report(w, 10);
    world_save(w);
    world_advance(w, 10 * SECOND);
    world_step(w);
    assert_int_equal(world_take_reports(w, w->lane).dropped, 10);
    assert_true(world_keeper_is_called(w));
    world_keep(w);
    assert_int_equal(world_file(w)->row_count, 0);
}

/* With an interval that would hide it. */
static void a_flush_to_disk_larger_than_a_transaction_goes_on_at_once(void **state) {
    world *w = *state;
    w->config.batch_events = 1;
    w->config.commit_interval_us = 10 * SECOND;
    world_started(state);
    world_report(w, 3000);
    uint64_t mark = qa_sender_save_begin(w->sender);
    while (world_keep(w) == 0)
        continue;
    assert_true(qa_sender_save_done(w->sender, mark));
    assert_int_equal(world_file(w)->row_count, 3000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_acknowledged_before_it_is_due_costs_no_commit),
        TEST(what_is_not_acknowledged_is_on_disk_within_the_interval),
        TEST(an_open_chunk_is_on_disk_within_the_interval_too),
        TEST(all_that_is_due_soon_goes_into_one_transaction),
        TEST(less_goes_along_while_the_service_answers),
        TEST(all_goes_along_while_the_service_is_away),
        TEST(a_chunk_is_one_row_that_says_all_about_it),
        TEST(a_flush_to_disk_commits_at_once_and_is_done_then),
        TEST(a_flush_to_disk_is_done_when_all_is_acknowledged),
        TEST(a_flush_to_disk_waits_for_the_end_of_its_commit),
        TEST(a_receipt_is_written_before_the_place_is_free),
        TEST(with_a_receipt_the_deletion_waits_for_one_interval),
        TEST(with_a_receipt_the_deletion_goes_along_with_the_next_commit),
        TEST(without_a_receipt_the_place_is_free_after_the_deletion),
        TEST(a_receipt_that_is_refused_is_none),
        TEST(of_a_part_there_is_no_receipt_but_a_row_of_the_rest),
        TEST(requests_whose_rows_were_never_written_hold_no_place),
        TEST(a_paced_thread_is_not_woken_by_the_keeper),
        TEST(the_pace_leaves_time_before_a_commit),
        TEST(no_kill_repeats_what_left_a_receipt),
        TEST(no_kill_repeats_more_requests_than_may_be_under_way),
        TEST(a_chunk_that_ends_during_its_commit_is_deleted_afterwards),
        TEST(without_a_receipt_it_is_deleted_at_once),
        TEST(a_chunk_that_partly_ends_during_its_commit_is_written_again),
        TEST(attempts_and_what_may_be_stored_are_written),
        TEST(a_request_that_never_left_changes_no_row),
        TEST(what_expires_is_deleted),
        TEST(a_flush_to_disk_larger_than_a_transaction_goes_on_at_once),
    };
    return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
