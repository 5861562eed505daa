/* status_test.c
 * The codes that users see, and messages at their edges.
 * Does not know who reports an error.
 * SPDX-License-Identifier: MIT */
#include "status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void names_every_status(void **state) {
    (void)state;
    static const struct {
        qa_status status;
        const char *code;
        bool retriable;
    } rows[] = {
        {QA_OK, "OK", false},
        {QA_CONFIG, "CONFIG", false},
        {QA_INVALID_EVENT, "INVALID_EVENT", false},
        {QA_QUEUE_FULL, "QUEUE_FULL", true},
        {QA_SPOOL_FULL, "SPOOL_FULL", true},
        {QA_CLOSED, "CLOSED", false},
        {QA_TIMEOUT, "TIMEOUT", true},
        {QA_NETWORK, "NETWORK", true},
        {QA_TLS, "TLS", false},
        {QA_HTTP, "HTTP", true},
        {QA_REJECTED, "REJECTED", false},
        {QA_AUTH, "AUTH", false},
        {QA_BAD_RESPONSE, "BAD_RESPONSE", true},
        {QA_SPOOL, "SPOOL", false},
        {QA_NO_MEMORY, "QUEUE_FULL", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(qa_status_code(rows[i].status), rows[i].code);
        assert_int_equal(qa_status_retriable(rows[i].status), rows[i].retriable);
    }
    assert_string_equal(qa_status_code((qa_status)99), "UNKNOWN");
    assert_false(qa_status_retriable((qa_status)99));
}

static void fills_an_error(void **state) {
    (void)state;
    qa_error error;
    memset(&error, 0xFF, sizeof error);
    assert_int_equal(qa_error_set(&error, QA_NETWORK, "%s: %d", "network", 7), QA_NETWORK);
    assert_int_equal(error.status, QA_NETWORK);
    assert_true(error.retriable);
    assert_string_equal(error.message, "network: 7");
    assert_int_equal(qa_error_set(&error, QA_CONFIG, "config: x"), QA_CONFIG);
    assert_false(error.retriable);
    assert_int_equal(qa_error_no_memory(&error, "queue"), QA_NO_MEMORY);
    assert_string_equal(error.message, "queue: out of memory");
    assert_true(error.retriable);
}

static void does_without_an_error(void **state) {
    (void)state;
    assert_int_equal(qa_error_set(NULL, QA_TLS, "%s", "tls: x"), QA_TLS);
    assert_int_equal(qa_error_no_memory(NULL, "queue"), QA_NO_MEMORY);
}

static void assert_utf8_end(const char *text) {
    size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == length)
        return; /* plain ASCII at the end */
    unsigned char first = (unsigned char)text[start - 1];
    size_t wanted = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    assert_int_equal(length - start + 1, wanted);
}

/* With each offset the cut falls on another byte of a character. */
static void cuts_a_long_message_at_a_whole_character(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t kind = 0; kind < 4; kind++) {
        for (int offset = 0; offset < 8; offset++) {
            char text[QA_ERROR_MAX * 2] = "";
            qa_error error;
            while (strlen(text) < QA_ERROR_MAX + 8)
                strcat(text, characters[kind]);
            (void)qa_error_set(&error, QA_HTTP, "%.*s%s", offset, "aaaaaaaa", text);
            assert_in_range(strlen(error.message), QA_ERROR_MAX - 8, QA_ERROR_MAX - 1);
            assert_utf8_end(error.message);
        }
    }
}

static void keeps_a_message_that_just_fits(void **state) {
    (void)state;
    char text[QA_ERROR_MAX];
    qa_error error;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)qa_error_set(&error, QA_HTTP, "%s", text);
    assert_string_equal(error.message, text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_status),
        cmocka_unit_test(fills_an_error),
        cmocka_unit_test(does_without_an_error),
        cmocka_unit_test(cuts_a_long_message_at_a_whole_character),
        cmocka_unit_test(keeps_a_message_that_just_fits),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
