/* buf_test.c
 * A buffer's growth, its cap, and the failure that sticks.
 * Does not know what the bytes mean.
 * SPDX-License-Identifier: MIT */
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A sanitizer ends a program that asks for too much, unless it is told to return NULL as malloc. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void allocates_nothing_until_needed(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 10);
    assert_null(buf.data);
    qa_buf_put(&buf, NULL, 0);
    qa_buf_put_text(&buf, "");
    assert_int_equal(buf.length, 0);
    assert_int_equal(buf.status, QA_OK);
    qa_buf_free(&buf);
    qa_buf_free(&buf);
    assert_int_equal(buf.max, 10);
}

static void holds_what_was_put(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 100);
    qa_buf_put(&buf, "a\0b", 3);
    qa_buf_put_char(&buf, 'c');
    qa_buf_put_text(&buf, "def");
    assert_int_equal(buf.length, 7);
    assert_memory_equal(buf.data, "a\0bcdef", 7);
    qa_buf_free(&buf);
}

static void grows_to_exactly_its_cap(void **state) {
    (void)state;
    enum { MAX = 100001 };
    qa_buf buf;
    qa_buf_init(&buf, MAX);
    for (size_t i = 0; i < MAX; i++)
        qa_buf_put_char(&buf, (char)(i % 251));
    assert_int_equal(buf.status, QA_OK);
    assert_int_equal(buf.length, MAX);
    assert_true(buf.capacity <= MAX);
    for (size_t i = 0; i < MAX; i++)
        assert_int_equal((unsigned char)buf.data[i], i % 251);
    qa_buf_put_char(&buf, 'x');
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    assert_int_equal(buf.length, MAX);
    qa_buf_free(&buf);
}

static void remembers_its_first_failure(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 4);
    qa_buf_put_text(&buf, "ab");
    qa_buf_put_text(&buf, "cde");
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_buf_put_text(&buf, "c");
    assert_null(qa_buf_reserve(&buf, 0));
    assert_null(qa_buf_text(&buf));
    assert_false(qa_buf_grow(&buf, 0));
    assert_int_equal(buf.length, 2);
    qa_buf_clear(&buf);
    qa_buf_put_text(&buf, "cdef");
    assert_int_equal(buf.status, QA_OK);
    assert_memory_equal(buf.data, "cdef", 4);
    qa_buf_free(&buf);
    assert_int_equal(buf.status, QA_OK);
}

static void survives_absurd_sizes(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 100);
    qa_buf_put_text(&buf, "ab");
    assert_null(qa_buf_reserve(&buf, SIZE_MAX));
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_buf_free(&buf);
    qa_buf_init(&buf, SIZE_MAX);
    assert_null(qa_buf_reserve(&buf, SIZE_MAX / 2 + 1));
    assert_int_equal(buf.status, QA_NO_MEMORY);
    qa_buf_free(&buf);
    qa_buf_init(&buf, 0);
    qa_buf_put_char(&buf, 'a');
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_buf_free(&buf);
}

static void reserves_without_counting(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 1000);
    char *room = qa_buf_reserve(&buf, 600);
    assert_non_null(room);
    memset(room, 'r', 600);
    assert_int_equal(buf.length, 0);
    qa_buf_commit(&buf, 3);
    qa_buf_put_char(&buf, '!');
    assert_int_equal(buf.length, 4);
    assert_memory_equal(buf.data, "rrr!", 4);
    qa_buf_free(&buf);
}

static void ends_a_text_without_counting_the_mark(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 3);
    qa_buf_put_text(&buf, "ab");
    assert_string_equal(qa_buf_text(&buf), "ab");
    qa_buf_put_char(&buf, 'c');
    assert_int_equal(buf.length, 3);
    assert_null(qa_buf_text(&buf));
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_buf_free(&buf);
}

static void wipes_memory(void **state) {
    (void)state;
    static const char zeroes[16];
    char secret[16] = "0123456789abcde";
    qa_buf buf;
    qa_wipe(secret, 10);
    assert_memory_equal(secret, zeroes, 10);
    assert_string_equal(secret + 10, "abcde");
    qa_wipe(NULL, 10);
    qa_wipe(secret, 0);
    assert_int_equal(secret[10], 'a');
    qa_buf_init(&buf, 100);
    qa_buf_wipe(&buf);
    qa_buf_put_text(&buf, "secret");
    qa_buf_wipe(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocates_nothing_until_needed),
        cmocka_unit_test(holds_what_was_put),
        cmocka_unit_test(grows_to_exactly_its_cap),
        cmocka_unit_test(remembers_its_first_failure),
        cmocka_unit_test(survives_absurd_sizes),
        cmocka_unit_test(reserves_without_counting),
        cmocka_unit_test(ends_a_text_without_counting_the_mark),
        cmocka_unit_test(wipes_memory),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
