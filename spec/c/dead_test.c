/* dead_test.c
 * Dead letters are kept whole, in order, and within both bounds.
 * Does not know why an event was refused.
 * SPDX-License-Identifier: MIT */
#include "dead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NO_BOUND = 1 << 20 };

static const qa_dead_letter SAMPLE = {
    .event = "{\"eventCode\":\"pay\"}behind",
    .length = 19,
    .code = QA_REJECTED,
    .service_code = "E1",
    .message = "service answered 400: E1: no such event",
    .trace_id = "trace-1",
    .attempts = 3,
    .wall_ms = 1708235644862,
};

static void add_numbered(qa_dead *dead, int number) {
    char event[16];
    qa_dead_letter letter = SAMPLE;
    letter.event = event;
    letter.length = (size_t)snprintf(event, sizeof event, "{\"n\":%06d}", number);
    qa_dead_add(dead, &letter);
}

static bool check_sample(void *context, const qa_dead_letter *letter) {
    int *seen = context;
    ++*seen;
    assert_int_equal(letter->length, SAMPLE.length);
    assert_memory_equal(letter->event, SAMPLE.event, SAMPLE.length);
    assert_true(letter->event != SAMPLE.event);
    assert_int_equal(letter->code, QA_REJECTED);
    assert_string_equal(letter->service_code, SAMPLE.service_code);
    assert_string_equal(letter->message, SAMPLE.message);
    assert_string_equal(letter->trace_id, SAMPLE.trace_id);
    assert_int_equal(letter->attempts, 3);
    assert_true(letter->wall_ms == SAMPLE.wall_ms);
    return true;
}

/* Collects the numbers, and stops the walk at `stop_at`. */
typedef struct numbers {
    int list[64];
    size_t count;
    int stop_at;
} numbers;

static bool collect(void *context, const qa_dead_letter *letter) {
    numbers *seen = context;
    int number = -1;
    assert_int_equal(sscanf(letter->event, "{\"n\":%d}", &number), 1);
    seen->list[seen->count++] = number;
    return number != seen->stop_at;
}

static void test_a_letter_is_kept_whole(void **state) {
    (void)state;
    qa_dead *dead = qa_dead_new(10, NO_BOUND, NULL);
    int seen = 0;
    qa_dead_add(dead, &SAMPLE);
    assert_int_equal(qa_dead_each(dead, 10, check_sample, &seen), 1);
    assert_int_equal(seen, 1);
    assert_int_equal(qa_dead_count(dead), 1);
    assert_int_equal(qa_dead_evicted(dead), 0);
    qa_dead_free(dead);
}

static void test_empty_texts_and_bytes_are_legal(void **state) {
    (void)state;
    qa_dead *dead = qa_dead_new(10, NO_BOUND, NULL);
    qa_dead_letter letter = {
        .event = "", .service_code = "", .message = "", .trace_id = "", .code = QA_HTTP};
    qa_dead_add(dead, &letter);
    assert_int_equal(qa_dead_count(dead), 1);
    qa_dead_free(dead);
}

static void test_the_oldest_comes_first_and_max_and_false_end_the_walk(void **state) {
    (void)state;
    qa_dead *dead = qa_dead_new(10, NO_BOUND, NULL);
    for (int i = 1; i <= 5; i++)
        add_numbered(dead, i);
    numbers all = {.stop_at = 0};
    assert_int_equal(qa_dead_each(dead, SIZE_MAX, collect, &all), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(all.list[i], i + 1);
    numbers some = {.stop_at = 0};
    assert_int_equal(qa_dead_each(dead, 2, collect, &some), 2);
    assert_int_equal(some.list[1], 2);
    numbers stopped = {.stop_at = 3};
    assert_int_equal(qa_dead_each(dead, 5, collect, &stopped), 3);
    assert_int_equal(qa_dead_each(dead, 0, collect, &stopped), 0);
    assert_int_equal(qa_dead_count(dead), 5);
    qa_dead_free(dead);
}

static void test_at_the_count_the_oldest_is_let_go(void **state) {
    (void)state;
    qa_dead *dead = qa_dead_new(3, NO_BOUND, NULL);
    for (int i = 1; i <= 10; i++)
        add_numbered(dead, i);
    numbers left = {.stop_at = 0};
    assert_int_equal(qa_dead_each(dead, 10, collect, &left), 3);
    assert_int_equal(left.list[0], 8);
    assert_int_equal(left.list[2], 10);
    assert_int_equal(qa_dead_count(dead), 3);
    assert_int_equal(qa_dead_evicted(dead), 7);
    qa_dead_free(dead);
}

static void test_at_the_bytes_the_oldest_are_let_go(void **state) {
    (void)state;
    qa_dead *measure = qa_dead_new(10, NO_BOUND, NULL);
    add_numbered(measure, 0);
    size_t each = qa_dead_bytes(measure);
    qa_dead_free(measure);
    qa_dead *dead = qa_dead_new(100, 4 * each + each / 2, NULL);
    for (int i = 1; i <= 10; i++) {
        add_numbered(dead, i);
        assert_true(qa_dead_bytes(dead) <= 4 * each);
    }
    numbers left = {.stop_at = 0};
    assert_int_equal(qa_dead_each(dead, 10, collect, &left), 4);
    assert_int_equal(left.list[0], 7);
    assert_int_equal(qa_dead_evicted(dead), 6);
    qa_dead_free(dead);
}

static void test_a_large_letter_makes_room_for_itself(void **state) {
    (void)state;
    static char event[3000];
    memset(event, 'x', sizeof event);
    qa_dead *dead = qa_dead_new(100, 4096, NULL);
    for (int i = 1; i <= 10; i++)
        add_numbered(dead, i);
    uint64_t before = qa_dead_count(dead) + qa_dead_evicted(dead);
    assert_int_equal(before, 10);
    qa_dead_letter large = SAMPLE;
    large.event = event;
    large.length = sizeof event;
    qa_dead_add(dead, &large);
    assert_true(qa_dead_bytes(dead) <= 4096);
    assert_true(qa_dead_count(dead) < 10);
    assert_int_equal(qa_dead_count(dead) + qa_dead_evicted(dead), 11);
    qa_dead_free(dead);
}

static void test_a_letter_that_fits_nowhere_is_counted_and_the_others_stay(void **state) {
    (void)state;
    static char event[5000];
    memset(event, 'x', sizeof event);
    qa_dead *dead = qa_dead_new(100, 4096, NULL);
    add_numbered(dead, 1);
    qa_dead_letter large = SAMPLE;
    large.event = event;
    large.length = sizeof event;
    qa_dead_add(dead, &large);
    assert_int_equal(qa_dead_count(dead), 1);
    assert_int_equal(qa_dead_evicted(dead), 1);
    qa_dead_free(dead);
}

static void test_bounds_of_zero_keep_nothing(void **state) {
    (void)state;
    qa_dead *none = qa_dead_new(0, NO_BOUND, NULL);
    qa_dead *no_bytes = qa_dead_new(10, 0, NULL);
    qa_dead_add(none, &SAMPLE);
    qa_dead_add(no_bytes, &SAMPLE);
    assert_int_equal(qa_dead_count(none), 0);
    assert_int_equal(qa_dead_evicted(none), 1);
    assert_int_equal(qa_dead_count(no_bytes), 0);
    assert_int_equal(qa_dead_evicted(no_bytes), 1);
    qa_dead_free(none);
    qa_dead_free(no_bytes);
    qa_dead_free(NULL);
}

static void test_the_very_letter_is_known_again(void **state) {
    (void)state;
    qa_dead *dead = qa_dead_new(10, NO_BOUND, NULL);
    qa_dead_letter other = SAMPLE;
    assert_false(qa_dead_has(dead, &SAMPLE));
    qa_dead_add(dead, &SAMPLE);
    assert_true(qa_dead_has(dead, &SAMPLE));
    other.wall_ms++;
    assert_false(qa_dead_has(dead, &other));
    other = SAMPLE;
    other.length--;
    assert_false(qa_dead_has(dead, &other));
    qa_dead_free(dead);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_letter_is_kept_whole),
        cmocka_unit_test(test_empty_texts_and_bytes_are_legal),
        cmocka_unit_test(test_the_oldest_comes_first_and_max_and_false_end_the_walk),
        cmocka_unit_test(test_at_the_count_the_oldest_is_let_go),
        cmocka_unit_test(test_at_the_bytes_the_oldest_are_let_go),
        cmocka_unit_test(test_a_large_letter_makes_room_for_itself),
        cmocka_unit_test(test_a_letter_that_fits_nowhere_is_counted_and_the_others_stay),
        cmocka_unit_test(test_bounds_of_zero_keep_nothing),
        cmocka_unit_test(test_the_very_letter_is_known_again),
    };
    return cmocka_run_group_tests_name("dead", tests, NULL, NULL);
}
