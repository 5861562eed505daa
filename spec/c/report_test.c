/* report_test.c
 * Delivery reports come out in order, bounded, and no count is ever lost.
 * Does not know who reads them.
 * SPDX-License-Identifier: MIT */
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "retry.h"

static qa_report report_of(qa_report_status status, uint64_t events, const char *trace,
                           const char *message) {
    qa_report report = {.status = status, .events = events};
    report.code = status == QA_REPORT_DELIVERED ? QA_OK
                  : status == QA_REPORT_DEAD    ? QA_REJECTED
                                                : QA_TIMEOUT;
    (void)snprintf(report.trace_id, sizeof report.trace_id, "%s", trace);
    (void)snprintf(report.message, sizeof report.message, "%s", message);
    return report;
}

static void push(qa_report_queue *queue, qa_report_status status, uint64_t events,
                 const char *trace, const char *message) {
    qa_report report = report_of(status, events, trace, message);
    qa_report_queue_push(queue, &report);
}

static void assert_pops(qa_report_queue *queue, const qa_report *expected) {
    qa_report got;
    memset(&got, 0xFF, sizeof got);
    assert_true(qa_report_queue_pop(queue, &got));
    assert_int_equal(got.status, expected->status);
    assert_int_equal(got.code, expected->code);
    assert_int_equal(got.possibly_stored, expected->possibly_stored);
    assert_int_equal(got.events, expected->events);
    assert_int_equal(got.merged, expected->merged);
    assert_string_equal(got.trace_id, expected->trace_id);
    assert_string_equal(got.message, expected->message);
}

static void assert_empty(qa_report_queue *queue) {
    qa_report got;
    assert_false(qa_report_queue_pop(queue, &got));
    assert_int_equal(qa_report_queue_length(queue), 0);
    assert_int_equal(qa_report_queue_events(queue), 0);
}

static void test_first_in_first_out_with_every_field(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(10, NULL);
    qa_report first = report_of(QA_REPORT_DELIVERED, 200, "trace-1", "");
    qa_report second = report_of(QA_REPORT_DEAD, 1, "trace-2", "service answered 400");
    qa_report third = report_of(QA_REPORT_DROPPED, 7, "", "the deadline passed");
    third.possibly_stored = true;
    third.merged = 3;
    qa_report_queue_push(queue, &first);
    qa_report_queue_push(queue, &second);
    qa_report_queue_push(queue, &third);
    assert_int_equal(qa_report_queue_length(queue), 3);
    assert_int_equal(qa_report_queue_events(queue), 208);
    assert_pops(queue, &first);
    assert_pops(queue, &second);
    assert_pops(queue, &third);
    assert_empty(queue);
    qa_report_queue_free(queue);
}

static void test_texts_of_full_size_are_kept(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(1, NULL);
    qa_report longest = {.status = QA_REPORT_DEAD, .code = QA_REJECTED, .events = 1};
    memset(longest.trace_id, 't', sizeof longest.trace_id - 1);
    memset(longest.message, 'm', sizeof longest.message - 1);
    push(queue, QA_REPORT_DELIVERED, 1, "a", "");
    qa_report_queue_push(queue, &longest); /* over the bound: into the spare place */
    qa_report first = report_of(QA_REPORT_DELIVERED, 1, "a", "");
    assert_pops(queue, &first);
    assert_pops(queue, &longest);
    qa_report_queue_push(queue, &longest);
    assert_pops(queue, &longest);
    assert_empty(queue);
    qa_report_queue_free(queue);
}

static void test_equal_neighbours_become_one(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(10, NULL);
    push(queue, QA_REPORT_DELIVERED, 5, "a", "");
    push(queue, QA_REPORT_DELIVERED, 6, "a", "");
    assert_int_equal(qa_report_queue_length(queue), 1);
    qa_report expected = report_of(QA_REPORT_DELIVERED, 11, "a", "");
    assert_pops(queue, &expected);
    assert_empty(queue);
    qa_report_queue_free(queue);
}

static void test_any_difference_keeps_neighbours_apart(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(10, NULL);
    qa_report report = report_of(QA_REPORT_DEAD, 1, "a", "x");
    qa_report_queue_push(queue, &report);
    report.possibly_stored = true;
    qa_report_queue_push(queue, &report);
    report.code = QA_HTTP;
    qa_report_queue_push(queue, &report);
    report.status = QA_REPORT_DROPPED;
    qa_report_queue_push(queue, &report);
    report.trace_id[0] = 'b';
    qa_report_queue_push(queue, &report);
    report.message[0] = 'y';
    qa_report_queue_push(queue, &report);
    assert_int_equal(qa_report_queue_length(queue), 6);
    qa_report_queue_free(queue);
}

static void test_at_the_bound_the_newest_of_the_status_takes_the_count(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(3, NULL);
    push(queue, QA_REPORT_DELIVERED, 1, "a", "");
    push(queue, QA_REPORT_DELIVERED, 2, "b", "");
    push(queue, QA_REPORT_DEAD, 1, "c", "bad");
    qa_report over = report_of(QA_REPORT_DELIVERED, 40, "d", "");
    over.merged = 2;
    qa_report_queue_push(queue, &over);
    push(queue, QA_REPORT_DEAD, 1, "e", "worse");
    assert_int_equal(qa_report_queue_length(queue), 3);
    qa_report first = report_of(QA_REPORT_DELIVERED, 1, "a", "");
    qa_report second = report_of(QA_REPORT_DELIVERED, 42, "b", "");
    qa_report third = report_of(QA_REPORT_DEAD, 2, "c", "bad");
    second.merged = 3;
    third.merged = 1;
    assert_pops(queue, &first);
    assert_pops(queue, &second);
    assert_pops(queue, &third);
    assert_empty(queue);
    qa_report_queue_free(queue);
}

static void test_merging_keeps_that_some_were_possibly_stored(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(1, NULL);
    push(queue, QA_REPORT_DROPPED, 1, "", "late");
    qa_report stored = report_of(QA_REPORT_DROPPED, 1, "", "later");
    stored.possibly_stored = true;
    qa_report_queue_push(queue, &stored);
    qa_report expected = report_of(QA_REPORT_DROPPED, 2, "", "late");
    expected.possibly_stored = true;
    expected.merged = 1;
    assert_pops(queue, &expected);
    qa_report_queue_free(queue);
}

static void test_a_new_status_at_the_bound_takes_the_spare_place(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(1, NULL);
    for (int round = 0; round < 3; round++) {
        push(queue, QA_REPORT_DELIVERED, 1, "a", "");
        push(queue, QA_REPORT_DEAD, 2, "b", "bad");
        push(queue, QA_REPORT_DROPPED, 3, "", "late");
        push(queue, QA_REPORT_DELIVERED, 10, "c", "");
        push(queue, QA_REPORT_DEAD, 20, "d", "worse");
        assert_int_equal(qa_report_queue_length(queue), 3);
        assert_int_equal(qa_report_queue_events(queue), 36);
        qa_report got;
        assert_true(qa_report_queue_pop(queue, &got));
        assert_int_equal(got.events, 11);
        assert_true(qa_report_queue_pop(queue, &got));
        assert_int_equal(got.events, 22);
        assert_true(qa_report_queue_pop(queue, &got));
        assert_int_equal(got.events, 3);
        assert_empty(queue);
    }
    qa_report_queue_free(queue);
}

static void test_zero_as_bound_means_one(void **state) {
    (void)state;
    qa_report_queue *queue = qa_report_queue_new(0, NULL);
    push(queue, QA_REPORT_DELIVERED, 1, "a", "");
    push(queue, QA_REPORT_DELIVERED, 1, "b", "");
    assert_int_equal(qa_report_queue_length(queue), 1);
    assert_int_equal(qa_report_queue_events(queue), 2);
    qa_report_queue_free(queue);
}

static void test_move_appends_all_and_empties(void **state) {
    (void)state;
    qa_report_queue *from = qa_report_queue_new(10, NULL);
    qa_report_queue *to = qa_report_queue_new(2, NULL);
    push(to, QA_REPORT_DELIVERED, 1, "a", "");
    push(from, QA_REPORT_DELIVERED, 2, "b", "");
    push(from, QA_REPORT_DELIVERED, 3, "c", "");
    push(from, QA_REPORT_DEAD, 4, "d", "bad");
    qa_report_queue_move(from, to);
    assert_empty(from);
    assert_int_equal(qa_report_queue_length(to), 3);
    assert_int_equal(qa_report_queue_events(to), 10);
    qa_report_queue_free(from);
    qa_report_queue_free(to);
}

/* Random pushes and pops: what comes out of each status is what went in, at every bound. */
static void test_no_count_is_lost_at_any_bound(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (size_t bound = 1; bound <= 20; bound++) {
        qa_report_queue *queue = qa_report_queue_new(bound, NULL);
        uint64_t in[QA_REPORT_STATUSES] = {0}, out[QA_REPORT_STATUSES] = {0};
        qa_report got;
        for (int step = 0; step < 2000; step++) {
            uint64_t dice = qa_random_next(&seed);
            qa_report_status status = (qa_report_status)(dice % QA_REPORT_STATUSES);
            char trace[2] = {(char)('a' + (dice >> 8) % 3), '\0'};
            push(queue, status, dice >> 56, trace, "");
            in[status] += dice >> 56;
            if ((dice >> 16) % 3 == 0 && qa_report_queue_pop(queue, &got))
                out[got.status] += got.events;
            assert_true(qa_report_queue_length(queue) <= bound + QA_REPORT_STATUSES);
        }
        while (qa_report_queue_pop(queue, &got))
            out[got.status] += got.events;
        assert_memory_equal(in, out, sizeof in);
        assert_empty(queue);
        qa_report_queue_free(queue);
    }
}

static void test_texts_of_status(void **state) {
    (void)state;
    assert_string_equal(qa_report_status_text(QA_REPORT_DELIVERED), "delivered");
    assert_string_equal(qa_report_status_text(QA_REPORT_DEAD), "dead");
    assert_string_equal(qa_report_status_text(QA_REPORT_DROPPED), "dropped");
    qa_report_queue_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out_with_every_field),
        cmocka_unit_test(test_texts_of_full_size_are_kept),
        cmocka_unit_test(test_equal_neighbours_become_one),
        cmocka_unit_test(test_any_difference_keeps_neighbours_apart),
        cmocka_unit_test(test_at_the_bound_the_newest_of_the_status_takes_the_count),
        cmocka_unit_test(test_merging_keeps_that_some_were_possibly_stored),
        cmocka_unit_test(test_a_new_status_at_the_bound_takes_the_spare_place),
        cmocka_unit_test(test_zero_as_bound_means_one),
        cmocka_unit_test(test_move_appends_all_and_empties),
        cmocka_unit_test(test_no_count_is_lost_at_any_bound),
        cmocka_unit_test(test_texts_of_status),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
