/* json_test.c
 * JSON text against a parser that this project did not write, and bytes against the standard's rules.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#include "json.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define REPLACEMENT "\xEF\xBF\xBD"

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Writes `length` bytes as a string; the caller frees the buffer. */
static size_t write_string(qa_buf *buf, const char *text, size_t length) {
    qa_buf_init(buf, 1 << 20);
    size_t replaced = qa_json_string(buf, text, length);
    assert_int_equal(buf->status, QA_OK);
    return replaced;
}

static void assert_written(const char *text, size_t length, const char *expected,
                           size_t expected_replaced) {
    qa_buf buf;
    assert_int_equal(write_string(&buf, text, length), expected_replaced);
    assert_int_equal(buf.length, strlen(expected));
    assert_memory_equal(buf.data, expected, buf.length);
    qa_buf_free(&buf);
}

#define ASSERT_WRITTEN(text, expected, replaced)                                                   \
    assert_written((text), sizeof(text) - 1, (expected), (replaced))

static void test_plain_text_of_every_length(void **state) {
    (void)state;
    char text[64], expected[66];
    for (size_t length = 0; length < sizeof text; length++) {
        memset(text, 'x', sizeof text);
        snprintf(expected, sizeof expected, "\"%.*s\"", (int)length, text);
        assert_written(text, length, expected, 0);
    }
}

static void test_escapes(void **state) {
    (void)state;
    ASSERT_WRITTEN("a\"b\\c/d", "\"a\\\"b\\\\c/d\"", 0);
    ASSERT_WRITTEN("\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"", 0);
    ASSERT_WRITTEN("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"", 0);
}

/* Each byte that needs care, at each place of words, half words and tails. */
static void test_special_bytes_at_every_place(void **state) {
    (void)state;
    static const char specials[] = {'"', '\\', '\n', '\x01', '\x1f', '\0', '\xff', '\x80'};
    for (size_t length = 1; length < 40; length++) {
        for (size_t at = 0; at < length; at++) {
            for (size_t s = 0; s < sizeof specials; s++) {
                char text[40];
                memset(text, 'y', sizeof text);
                text[at] = specials[s];
                qa_buf buf;
                size_t replaced = write_string(&buf, text, length);
                json_t *read = json_loadb(buf.data, buf.length,
                                          JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                assert_non_null(read);
                const char *back = json_string_value(read);
                bool broken = (unsigned char)specials[s] >= 0x80;
                assert_int_equal(replaced, broken);
                assert_int_equal(json_string_length(read), length + (broken ? 2u : 0u));
                assert_memory_equal(back, text, at);
                if (broken)
                    assert_memory_equal(back + at, REPLACEMENT, 3);
                else
                    assert_true(back[at] == specials[s]);
                assert_memory_equal(back + json_string_length(read) - (length - at - 1),
                                    text + at + 1, length - at - 1);
                json_decref(read);
                qa_buf_free(&buf);
            }
        }
    }
}

static void test_characters_of_every_size_stay(void **state) {
    (void)state;
    ASSERT_WRITTEN("\xC2\x80|\xDF\xBF", "\"\xC2\x80|\xDF\xBF\"", 0);
    ASSERT_WRITTEN("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF",
                   "\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\"", 0);
    ASSERT_WRITTEN("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", "\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"", 0);
}

static void test_what_is_not_utf8_is_replaced_and_counted(void **state) {
    (void)state;
    ASSERT_WRITTEN("a\xFFz", "\"a" REPLACEMENT "z\"", 1);
    ASSERT_WRITTEN("\xC0\xAF", "\"" REPLACEMENT REPLACEMENT "\"", 2);             /* overlong */
    ASSERT_WRITTEN("\xE0\x80\xAF", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"", 3);
    ASSERT_WRITTEN("\xED\xA0\x80", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"", 3); /* surrogate */
    ASSERT_WRITTEN("\xF4\x90\x80\x80",
                   "\"" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "\"", 4); /* too high */
    ASSERT_WRITTEN("\xE4\xBD", "\"" REPLACEMENT "\"", 1);                         /* cut off */
    ASSERT_WRITTEN("\xF0\x9F\x98!", "\"" REPLACEMENT "!\"", 1);
    ASSERT_WRITTEN("\xE4\xE4\xBD\xA0", "\"" REPLACEMENT "\xE4\xBD\xA0\"", 1);
}

static void test_random_bytes_are_always_read_back(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[48];
        size_t length = next_random() % sizeof text;
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(next_random() >> (round % 2 ? 8 : 57));
        qa_buf buf;
        size_t replaced = write_string(&buf, text, length);
        json_error_t error;
        json_t *read =
            json_loadb(buf.data, buf.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        if (read == NULL)
            fail_msg("%s: %.*s", error.text, (int)buf.length, buf.data);
        if (replaced == 0) {
            assert_int_equal(json_string_length(read), length);
            assert_memory_equal(json_string_value(read), text, length);
        }
        json_decref(read);
        qa_buf_free(&buf);
    }
}

static void test_a_full_buffer_fails_and_stays_failed(void **state) {
    (void)state;
    qa_buf buf;
    qa_buf_init(&buf, 16);
    qa_json_string(&buf, "0123456789012345678", 19);
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_json_string(&buf, "a", 1);
    assert_int_equal(buf.status, QA_QUEUE_FULL);
    qa_buf_free(&buf);
}

static void assert_int(int64_t value, const char *expected) {
    char digits[QA_JSON_NUMBER_MAX];
    size_t length = qa_json_format_int(digits, value);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(digits, expected, length);
}

static void test_integers(void **state) {
    (void)state;
    assert_int(0, "0");
    assert_int(-7, "-7");
    assert_int(10, "10");
    assert_int(99, "99");
    assert_int(100, "100");
    assert_int(1708235644862, "1708235644862");
    assert_int(INT64_MAX, "9223372036854775807");
    assert_int(INT64_MIN, "-9223372036854775808");
    for (int round = 0; round < 10000; round++) {
        char expected[32];
        int64_t value = (int64_t)(next_random() >> (next_random() % 64));
        snprintf(expected, sizeof expected, "%lld", (long long)value);
        assert_int(value, expected);
    }
}

static const char *format_double(double value) {
    static char text[QA_JSON_NUMBER_MAX];
    size_t length = qa_json_format_double(text, value);
    assert_in_range(length, 1, QA_JSON_NUMBER_MAX - 1);
    text[length] = '\0';
    return text;
}

static void test_doubles_in_their_shortest_form(void **state) {
    (void)state;
    assert_string_equal(format_double(12.0), "12");
    assert_string_equal(format_double(12.5), "12.5");
    assert_string_equal(format_double(-0.05), "-0.05");
    assert_string_equal(format_double(0.1), "0.1");
    assert_string_equal(format_double(0.30000000000000004), "0.30000000000000004");
    assert_string_equal(format_double(199.99), "199.99");
    assert_string_equal(format_double(1e15), "1000000000000000");
    assert_string_equal(format_double(9007199254740992.0), "9007199254740992");
    assert_string_equal(format_double(1e20), "100000000000000000000");
    assert_string_equal(format_double(1e21), "1e+21");
    assert_string_equal(format_double(-1.5e300), "-1.5e+300");
    assert_string_equal(format_double(5e-324), "5e-324");
    assert_string_equal(format_double(0.0), "0");
    assert_string_equal(format_double(-0.0), "0");
    assert_string_equal(format_double(1.0 / 3), "0.3333333333333333");
}

/* No shorter decimal may read back the same: %.*g with fewer digits must differ. */
static void test_random_doubles_are_read_back_and_no_shorter_form_is(void **state) {
    (void)state;
    for (int round = 0; round < 50000; round++) {
        double value;
        if (round % 2) {
            value = (double)(int64_t)(next_random() % 2000000000) / 1000.0 - 1e6;
        } else {
            uint64_t bits = next_random();
            memcpy(&value, &bits, sizeof value);
        }
        if (value != value || value - value != 0)
            continue;
        const char *text = format_double(value);
        assert_true(strtod(text, NULL) == value);
        size_t digits = 0;
        for (const char *at = text; *at != '\0' && *at != 'e'; at++)
            digits += *at >= '0' && *at <= '9' && (digits > 0 || *at != '0');
        if (digits > 15 && digits <= 17 && strchr(text, '.') != NULL) {
            char shorter[QA_JSON_NUMBER_MAX];
            snprintf(shorter, sizeof shorter, "%.*g", (int)digits - 1, value);
            assert_true(strtod(shorter, NULL) != value);
        }
    }
}

/* A locale with a decimal comma, made for this test in a folder of its own. */
static int make_comma_locale(void **state) {
    static char folder[] = "/tmp/qa-locale-XXXXXX";
    char command[256];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/comma >/dev/null 2>&1", folder);
    if (system(command) != 0)
        print_error("localedef failed; is the package 'locales' installed?\n");
    setenv("LOCPATH", folder, 1);
    *state = folder;
    return 0;
}

static int remove_comma_locale(void **state) {
    char command[256];
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -rf %s", (char *)*state);
    return system(command) == 0 ? 0 : -1;
}

static void test_the_host_s_locale_changes_nothing(void **state) {
    (void)state;
    assert_non_null(setlocale(LC_NUMERIC, "comma"));
    assert_string_equal(localeconv()->decimal_point, ",");
    assert_string_equal(format_double(1.0 / 3), "0.3333333333333333");
    assert_string_equal(format_double(-1.5e300), "-1.5e+300");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_of_every_length),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_special_bytes_at_every_place),
        cmocka_unit_test(test_characters_of_every_size_stay),
        cmocka_unit_test(test_what_is_not_utf8_is_replaced_and_counted),
        cmocka_unit_test(test_random_bytes_are_always_read_back),
        cmocka_unit_test(test_a_full_buffer_fails_and_stays_failed),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles_in_their_shortest_form),
        cmocka_unit_test(test_random_doubles_are_read_back_and_no_shorter_form_is),
        cmocka_unit_test_setup_teardown(test_the_host_s_locale_changes_nothing, make_comma_locale,
                                        remove_comma_locale),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
