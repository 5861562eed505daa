/* chunk_test.c
 * Chunks: filled, trimmed, cut at event boundaries, and what they cost.
 * Does not know queues or batches.
 * SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void events_are_joined_by_comma_and_newline(void **state) {
    (void)state;
    qa_chunk *chunk = qa_chunk_new(0);
    assert_true(qa_chunk_append(chunk, "{1}", 3, 1));
    assert_true(qa_chunk_append(chunk, "{2},\n{3}", 8, 2));
    assert_int_equal(chunk->events, 3);
    assert_int_equal(chunk->live, 3);
    assert_int_equal(chunk->length, 13);
    assert_memory_equal(chunk->data, "{1},\n{2},\n{3}", 13);
    qa_chunk_free(chunk);
    qa_chunk_free(NULL);
}

static void it_grows_with_what_is_appended(void **state) {
    (void)state;
    qa_chunk *chunk = qa_chunk_new(1);
    char event[1000];
    memset(event, 'x', sizeof event);
    for (int i = 0; i < 100; i++)
        assert_true(qa_chunk_append(chunk, event, sizeof event, 1));
    assert_int_equal(chunk->length, 100 * 1000 + 99 * 2);
    assert_true(chunk->capacity >= chunk->length);
    assert_false(qa_chunk_append(chunk, event, SIZE_MAX / 2, 1));
    assert_int_equal(chunk->events, 100);
    qa_chunk_free(chunk);
}

static void limits_count_the_separator_and_the_brackets(void **state) {
    (void)state;
    qa_chunk *chunk = qa_chunk_new(0);
    assert_true(qa_chunk_fits(chunk, 1000000, 1, 10, 10)); /* alone, anything goes */
    assert_false(qa_chunk_fits(chunk, 1, 11, 10, 10));
    assert_true(qa_chunk_append(chunk, "123456789", 9, 1));
    assert_true(qa_chunk_fits(chunk, 7, 1, 20, 2));
    assert_false(qa_chunk_fits(chunk, 8, 1, 20, 2));
    assert_false(qa_chunk_fits(chunk, 7, 2, 20, 2));
    qa_chunk_free(chunk);
}

static void a_cut_is_at_an_event(void **state) {
    (void)state;
    const char *text = "aaaa,\nbb,\ncccccc,\nd";
    static const struct {
        uint64_t max_bytes;
        uint32_t max_events;
        size_t length;
        uint32_t events;
    } rows[] = {{UINT64_MAX, 9, 19, 4}, {UINT64_MAX, 4, 19, 4}, {UINT64_MAX, 3, 16, 3},
                {UINT64_MAX, 1, 4, 1},  {8, 9, 8, 2},           {15, 9, 8, 2},
                {16, 9, 16, 3},         {7, 9, 4, 1},           {3, 9, 4, 1},
                {0, 9, 4, 1},           {19, 9, 19, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t events = rows[i].max_events;
        assert_int_equal(qa_chunk_cut(text, strlen(text), rows[i].max_bytes, &events),
                         rows[i].length);
        assert_int_equal(events, rows[i].events);
    }
    uint32_t none = 3;
    assert_int_equal(qa_chunk_cut("", 0, 10, &none), 0);
    assert_int_equal(none, 0);
}

static void the_largest_event_is_found(void **state) {
    (void)state;
    size_t count;
    assert_int_equal(qa_chunk_largest("aaaa,\nbb,\ncccccc,\nd", 19, &count), 6);
    assert_int_equal(count, 4);
    assert_int_equal(qa_chunk_largest("abc", 3, &count), 3);
    assert_int_equal(count, 1);
}

/* The promise: a queued event costs its bytes plus at most 32, header and allocator included. */
static void an_event_costs_its_bytes_plus_32_at_most(void **state) {
    (void)state;
    static const size_t sizes[] = {100, 101, 200, 363, 1000, 2500};
    char event[2500];
    memset(event, 'x', sizeof event);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t hints[] = {0, 4096, 200 * sizes[i] + 200 * sizes[i] / 8, 400 * sizes[i]};
        for (size_t j = 0; j < sizeof hints / sizeof hints[0]; j++) {
            qa_chunk *chunk = qa_chunk_new(hints[j]);
            for (int n = 0; n < 200; n++)
                assert_true(qa_chunk_append(chunk, event, sizes[i], 1));
            qa_chunk_trim(chunk);
            /* 8: what the allocator keeps before each block */
            size_t cost = malloc_usable_size(chunk) + malloc_usable_size(chunk->data) + 2 * 8;
            assert_true(cost <= 200 * (sizes[i] + 32));
            assert_int_equal(chunk->data[chunk->length - 1], 'x');
            qa_chunk_free(chunk);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_joined_by_comma_and_newline),
        cmocka_unit_test(it_grows_with_what_is_appended),
        cmocka_unit_test(limits_count_the_separator_and_the_brackets),
        cmocka_unit_test(a_cut_is_at_an_event),
        cmocka_unit_test(the_largest_event_is_found),
        cmocka_unit_test(an_event_costs_its_bytes_plus_32_at_most),
    };
    return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
