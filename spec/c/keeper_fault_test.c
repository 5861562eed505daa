/* keeper_fault_test.c
 * A disk that fails: refusals, retries, recovery; a file that was replaced; what the end can save.
 * Does not know threads, files or real time.
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

/* The next commits fail; the first of them now. */
static void break_disk(world *w, unsigned count, qa_status failure) {
    uint64_t tries = w->disk->tries;
    w->disk->failure = failure;
    w->disk->fail_commits = count;
    (void)qa_sender_save_begin(w->sender);
    world_keep(w);
    assert_int_equal(w->disk->tries, tries + 1);
}

static qa_status try_report(world *w, qa_error *error) {
    return qa_sender_report(w->sender, w->lane, "{}", 2, 1, error);
}

/* ---- a commit that fails ---- */

static void check_refusal(world *w, qa_status failure) {
    qa_error error;
    uint64_t accepted = world_stats(w).counts.accepted;
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.spool_status, failure);
    assert_string_equal(stats.spool_message, "spool: fake failure");
    assert_int_equal(try_report(w, &error), failure);
    assert_string_equal(error.message, "spool: fake failure");
    assert_int_equal(world_stats(w).counts.accepted, accepted);
}

static void a_failed_commit_refuses_new_events(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    break_disk(w, 1, QA_SPOOL);
    check_refusal(w, QA_SPOOL);
}

static void a_full_disk_is_told_from_a_broken_one(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    break_disk(w, 1, QA_SPOOL_FULL);
    check_refusal(w, QA_SPOOL_FULL);
}

static void what_was_accepted_is_still_delivered(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_report(w, 20);
    break_disk(w, 1000, QA_SPOOL);
    assert_int_equal(world_stats(w).counts.spooled, 20);
    assert_int_equal(world_stats(w).counts.queued, 20);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND / 10));
    life_assert_all_once(&l, 40);
    assert_true(l.tally.ordered);
    w->disk->fail_commits = 0;
}

/* Nothing that could be deleted in vain may hold up a request either. */
static void while_the_disk_fails_no_deletion_holds_a_place(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    world_started_with_tens(state);
    world_report(w, 30);
    world_save(w);
    world_report(w, 10);
    break_disk(w, 1000, QA_SPOOL);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, SECOND / 10));
    life_assert_all_once(&l, 40);
    w->disk->fail_commits = 0;
}

static void a_deletion_that_fails_gives_its_place_up(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    size_t wakeups = w->transport.wakeups;
    w->disk->fail_commits = 1;
    world_keep(w);
    assert_int_equal(w->disk->tries, 2);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
}

static void it_is_tried_again_after_a_tenth_of_a_second_to_two(void **state) {
    static const int64_t pauses[] = {100, 200, 400, 800, 1600, 2000, 2000, 2000};
    enum { COUNT = sizeof pauses / sizeof pauses[0] };
    world *w = world_started(state);
    life l;
    life_init(&l, w);
    l.deaf = true;
    world_report(w, 10);
    break_disk(w, COUNT, QA_SPOOL);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t tries = w->disk->tries;
        life_run(&l, pauses[i] * MS - 1);
        assert_int_equal(w->disk->tries, tries);
        life_run(&l, 1);
        assert_int_equal(w->disk->tries, tries + 1);
    }
    assert_int_equal(world_stats(w).spool_status, QA_OK); /* and it has recovered by itself */
    assert_string_equal(world_stats(w).spool_message, "");
    assert_int_equal(fake_disk_events(w->disk), 10);
    world_report(w, 1);
    break_disk(w, 1, QA_SPOOL); /* the next failure begins anew */
    uint64_t tries = w->disk->tries;
    life_run(&l, 100 * MS);
    assert_int_equal(w->disk->tries, tries + 1);
    assert_int_equal(l.most_vain_steps, 0);
}

static void a_failed_commit_is_repeated_as_it_was(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 35);
    break_disk(w, 1, QA_SPOOL);
    assert_int_equal(fake_disk_events(w->disk), 0);
    world_advance(w, 100 * MS);
    world_keep(w);
    static const uint64_t ids[] = {1, 2, 3, 4};
    assert_int_equal(w->disk->last.puts, 4);
    assert_memory_equal(w->disk->last.ids, ids, sizeof ids);
    assert_int_equal(fake_disk_events(w->disk), 35);
}

static void what_ended_meanwhile_is_not_written_any_more(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    break_disk(w, 1, QA_SPOOL);
    world_step(w);
    world_answer_all(w, world_ok());
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_int_equal(w->disk->tries, 1);
    assert_int_equal(world_stats(w).spool_status, QA_OK); /* only the next one can tell */
    world_report(w, 1);
}

static void the_service_takes_all(world *w) {
    world_step(w);
    world_answer_all(w, world_ok());
}

static void what_ends_during_a_commit_that_fails_leaves_nothing(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    w->meanwhile = the_service_takes_all;
    break_disk(w, 1, QA_SPOOL);
    w->meanwhile = NULL;
    assert_int_equal(world_stats(w).counts.delivered, 10);
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_int_equal(w->disk->tries, 1);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void a_deletion_that_fails_is_repeated(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    world_report(w, 1);
    break_disk(w, 1, QA_SPOOL);
    assert_int_equal(fake_disk_events(w->disk), 10);
    world_advance(w, 100 * MS);
    while (world_keep(w) == 0)
        continue;
    assert_int_equal(fake_disk_events(w->disk), 1);
}

static void an_update_that_fails_is_repeated(void **state) {
    world *w = world_started(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_http(500, NULL));
    break_disk(w, 1, QA_SPOOL);
    assert_int_equal(world_file(w)->rows[0].row.attempts, 0);
    assert_int_equal(world_stats(w).counts.spooled, 10);
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_int_equal(world_file(w)->rows[0].row.attempts, 1);
}

/* They may make the room that is needed. */
static void after_a_failure_deletions_go_first(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_report(w, 10);
    w->disk->full = true;
    (void)qa_sender_save_begin(w->sender);
    world_keep(w);
    assert_int_equal(world_stats(w).spool_status, QA_SPOOL_FULL);
    world_step(w);
    world_answer_all(w, world_ok());
    world_step(w); /* the second is under way */
    world_advance(w, 100 * MS);
    world_keep(w);
    assert_int_equal(w->disk->commits, 2);
    assert_int_equal(w->disk->last.deletes, 1);
    assert_int_equal(w->disk->last.puts, 0);
    w->disk->full = false;
    world_keep(w);
    assert_int_equal(w->disk->last.puts, 1);
    assert_int_equal(fake_disk_events(w->disk), 10);
    assert_int_equal(world_stats(w).spool_status, QA_OK);
}

static void a_spool_that_cannot_be_opened_is_tried_again(void **state) {
    world *w = *state;
    w->disk->fail_opens = 2;
    world_start(w);
    world_report(w, 10); /* it isn't known yet */
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 100 * MS - 1);
    assert_int_equal(w->disk->fail_opens, 1);
    check_refusal(w, QA_SPOOL);
    life_run(&l, 200 * MS);
    assert_int_equal(w->disk->fail_opens, 0);
    assert_null(w->disk->files);
    life_run(&l, 1);
    assert_non_null(w->disk->files);
    assert_int_equal(world_stats(w).spool_status, QA_OK);
    assert_int_equal(fake_disk_events(w->disk), 10);
}

static void a_spool_that_never_opens_costs_no_event_while_the_service_answers(void **state) {
    world *w = *state;
    w->disk->fail_opens = 1000;
    world_start(w);
    world_report(w, 10);
    world_keep(w);
    world_flush(w);
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.delivered, 10);
    world_end(w);
    assert_null(w->disk->files);
}

static void what_is_tended_may_fail_too(void **state) {
    world *w = world_started(state);
    life l;
    life_init(&l, w);
    w->disk->fail_tends = 1;
    life_run(&l, 2 * SECOND);
    assert_int_equal(w->disk->fail_tends, 0);
    assert_int_equal(world_stats(w).spool_status, QA_OK);
    assert_int_equal(l.most_vain_steps, 0);
}

/* ---- a file that was replaced ---- */

static void a_new_file_gets_again_what_memory_holds(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 50);
    world_save(w);
    fake_file_renew(world_file(w), 3);
    assert_int_equal(fake_disk_events(w->disk), 20);
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 2 * SECOND);
    assert_int_equal(fake_disk_events(w->disk), 50);
    assert_int_equal(world_stats(w).counts.spooled, 40); /* and ten are under way */
    l.deaf = false;
    assert_true(life_finish(&l, SECOND));
    life_assert_all_once(&l, 50);
    life_run(&l, SECOND);
    assert_int_equal(world_file(w)->row_count, 0);
}

static void a_new_file_gets_what_remains_of_a_chunk(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_http(413, NULL));
    world_step(w);
    world_answer_all(w, world_ok());
    fake_file_renew(world_file(w), SIZE_MAX);
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 2 * SECOND);
    assert_int_equal(world_file(w)->row_count, 1);
    assert_int_equal(fake_disk_events(w->disk), 5);
}

/* ---- the end ---- */

static void the_end_commits_what_is_not_acknowledged(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 35);
    world_step(w); /* ten are under way, five in an open chunk */
    world_end(w);
    assert_int_equal(fake_disk_events(w->disk), 35);
    assert_null(fake_disk_own(w->disk));
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped + reports.dead + reports.delivered, 0);
    assert_int_equal(world_stats(w).counts.spooled, 35);
    const qa_spool_row *row = &w->disk->files->rows[0].row;
    assert_int_equal(row->attempts, 1); /* the request that was cut off may have been stored */
    assert_true(row->possibly_stored);
}

static void the_end_deletes_what_is_acknowledged(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    life l;
    life_init(&l, w);
    assert_true(life_finish(&l, 10 * MS));
    assert_true(fake_disk_events(w->disk) > 0);
    world_end(w);
    assert_true(w->disk->files->gone);
}

static void an_end_that_had_nothing_to_do_leaves_no_file(void **state) {
    world *w = world_started(state);
    world_end(w);
    assert_true(w->disk->files->gone);
    assert_int_equal(w->disk->tries, 0);
}

static void an_end_that_cannot_write_drops_and_says_so(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_report(w, 7);
    w->disk->fail_commits = 1000;
    world_end(w);
    assert_int_equal(fake_disk_events(w->disk), 20);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped, 7);
    assert_int_equal(reports.last_loss.code, QA_CLOSED);
    assert_int_equal(world_stats(w).counts.spooled, 20);
}

static void a_long_end_commits_all_of_it(void **state) {
    world *w = *state;
    w->config.batch_events = 1;
    world_started(state);
    world_report(w, 3000);
    world_end(w);
    assert_int_equal(fake_disk_events(w->disk), 3000);
    assert_in_range(w->disk->commits, 3, 4);
}

static void the_service_takes_one(world *w) {
    world_answer_all(w, world_ok());
    world_step(w);
}

/* A request is answered during a commit that fails: its place is given up with the failure. */
static void a_place_that_a_failed_commit_frees_is_used(void **state) {
    world *w = *state;
    w->disk->engine.receipt = NULL;
    world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    world_report(w, 10);
    w->meanwhile = the_service_takes_one;
    w->disk->fail_commits = 1000;
    (void)qa_sender_save_begin(w->sender);
    size_t wakeups = w->transport.wakeups;
    world_keep(w);
    w->meanwhile = NULL;
    assert_int_equal(w->transport.open, 0);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
}

/* After a failure all is delivered, and the deletions with a receipt aren't due yet. */
static void a_keeper_with_nothing_due_after_a_failure_sleeps(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    world_report(w, 10);
    w->disk->fail_commits = 1;
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, 130 * MS); /* it has failed, and is tried again after 20 ms more */
    assert_int_equal(world_stats(w).spool_status, QA_SPOOL);
    l.deaf = false;
    life_run(&l, 200 * MS);
    life_assert_all_once(&l, 20);
    assert_int_equal(l.most_vain_steps, 0);
}

/* The same with an event that isn't due: only where the interval is longer than the pause. */
static void a_keeper_with_nothing_due_yet_after_a_failure_sleeps(void **state) {
    world *w = *state;
    w->config.commit_interval_us = 10 * SECOND;
    world_started_with_tens(state);
    life l;
    life_init(&l, w);
    l.deaf = true;
    world_report(w, 20);
    w->disk->fail_tends = 1;
    life_run(&l, 3 * SECOND);
    assert_int_equal(l.most_vain_steps, 0);
}

/* The disk fails still when its new file is noticed; meanwhile all is delivered. */
static void what_a_new_file_took_along_is_deleted_once_it_was_delivered(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    fake_file_renew(world_file(w), 0); /* nothing was lost */
    w->disk->fail_commits = 1;
    life l;
    life_init(&l, w);
    l.deaf = true;
    life_run(&l, SECOND + 50 * MS);
    assert_int_equal(w->disk->fail_commits, 0);
    l.deaf = false;
    life_run(&l, SECOND);
    life_assert_all_once(&l, 20);
    assert_int_equal(fake_disk_events(w->disk), 0); /* or the next process sends them again */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

/* ---- a disk on which there is no room even for deletions ---- */

static world *spent(void **state, unsigned failures) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = failures;
    life l;
    life_init(&l, w);
    life_run(&l, 200 * MS);
    life_assert_all_once(&l, 20);
    return w;
}

static void a_file_whose_rows_have_all_ended_goes_as_a_whole(void **state) {
    world *w = spent(state, 1000);
    assert_int_equal(w->disk->clears, 1);
    assert_int_equal(fake_disk_events(w->disk), 0);
    assert_int_equal(world_stats(w).spool_status, QA_OK);
    w->disk->fail_commits = 0;
    world_report(w, 10);
    world_save(w);
    assert_int_equal(fake_disk_events(w->disk), 10);
}

static void a_file_that_holds_what_has_not_ended_stays(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_step(w);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = 1000;
    world_answer_all(w, world_ok());
    for (int i = 0; i < 20; i++) {
        world_keep(w);
        world_advance(w, 100 * MS);
    }
    assert_int_equal(w->disk->clears, 0);
    assert_int_equal(fake_disk_events(w->disk), 20); /* ten of them have a receipt */
}

static void a_file_with_a_dead_letter_stays(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 10);
    world_save(w);
    (void)fake_file_add_letter(world_file(w), "{\"n\":500}", false);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = 1000;
    life l;
    life_init(&l, w);
    life_run(&l, SECOND);
    assert_int_equal(w->disk->clears, 0);
    assert_int_equal(world_file(w)->letter_count, 1);
}

/* A new file took the rows along; their chunks are unwritten until they are put there again. */
static void a_file_that_took_rows_along_is_not_spent(void **state) {
    world *w = world_started_with_tens(state);
    world_report(w, 20);
    world_save(w);
    world_step(w);
    fake_file_renew(world_file(w), 0);
    world_answer_all(w, world_ok());
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = 100;
    world_advance(w, 1100 * MS); /* the keeper sees the new file */
    for (int i = 0; i < 3; i++) {
        world_keep(w);
        world_advance(w, 200 * MS);
    }
    assert_int_equal(w->disk->clears, 0);
    assert_true(fake_disk_events(w->disk) >= 10);
    w->disk->fail_commits = 0;
}

static void at_the_end_the_room_that_was_made_is_used(void **state) {
    world *w = *state;
    w->config.batch_events = 10;
    world_start_kept(w);
    world_report(w, 10);
    world_save(w);
    world_step(w);
    world_answer_all(w, world_ok());
    world_report(w, 5);
    w->disk->failure = QA_SPOOL_FULL;
    w->disk->fail_commits = 1;
    world_end(w);
    assert_int_equal(w->disk->clears, 1);
    assert_int_equal(fake_disk_events(w->disk), 5);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_CLOSED], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_failed_commit_refuses_new_events),
        TEST(a_full_disk_is_told_from_a_broken_one),
        TEST(what_was_accepted_is_still_delivered),
        TEST(while_the_disk_fails_no_deletion_holds_a_place),
        TEST(a_deletion_that_fails_gives_its_place_up),
        TEST(it_is_tried_again_after_a_tenth_of_a_second_to_two),
        TEST(a_failed_commit_is_repeated_as_it_was),
        TEST(what_ended_meanwhile_is_not_written_any_more),
        TEST(what_ends_during_a_commit_that_fails_leaves_nothing),
        TEST(a_deletion_that_fails_is_repeated),
        TEST(an_update_that_fails_is_repeated),
        TEST(after_a_failure_deletions_go_first),
        TEST(a_spool_that_cannot_be_opened_is_tried_again),
        TEST(a_spool_that_never_opens_costs_no_event_while_the_service_answers),
        TEST(what_is_tended_may_fail_too),
        TEST(a_new_file_gets_again_what_memory_holds),
        TEST(a_new_file_gets_what_remains_of_a_chunk),
        TEST(the_end_commits_what_is_not_acknowledged),
        TEST(the_end_deletes_what_is_acknowledged),
        TEST(an_end_that_had_nothing_to_do_leaves_no_file),
        TEST(an_end_that_cannot_write_drops_and_says_so),
        TEST(a_long_end_commits_all_of_it),
        TEST(a_place_that_a_failed_commit_frees_is_used),
        TEST(a_keeper_with_nothing_due_after_a_failure_sleeps),
        TEST(a_keeper_with_nothing_due_yet_after_a_failure_sleeps),
        TEST(what_a_new_file_took_along_is_deleted_once_it_was_delivered),
        TEST(a_file_whose_rows_have_all_ended_goes_as_a_whole),
        TEST(a_file_that_holds_what_has_not_ended_stays),
        TEST(a_file_with_a_dead_letter_stays),
        TEST(a_file_that_took_rows_along_is_not_spent),
        TEST(at_the_end_the_room_that_was_made_is_used),
    };
    return cmocka_run_group_tests_name("keeper_fault", tests, NULL, NULL);
}
