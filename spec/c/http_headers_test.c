/* http_headers_test.c
 * Dates and waits out of an answer's headers, good and odd ones.
 * Does not know connections.
 * SPDX-License-Identifier: MIT */
#include "http_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOVEMBER_1994 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */

static void reads_the_three_forms_of_a_date(void **state) {
    (void)state;
    assert_int_equal(qa_http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT"), NOVEMBER_1994);
    assert_int_equal(qa_http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT"), NOVEMBER_1994);
    assert_int_equal(qa_http_date_parse("Sun Nov  6 08:49:37 1994"), NOVEMBER_1994);
    assert_int_equal(qa_http_date_parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_int_equal(qa_http_date_parse("Thu, 29 Feb 2024 23:59:60 GMT"), 1709251200000);
    assert_int_equal(qa_http_date_parse("Tue, 01 Mar 2100 00:00:00 GMT"), 4107542400000);
    assert_int_equal(qa_http_date_parse("Friday, 01-Mar-24 00:00:00 GMT"), 1709251200000);
    assert_int_equal(qa_http_date_parse("Fri, 31 Dec 9999 23:59:59 GMT"), 253402300799000);
}

static void refuses_what_is_no_date(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "now", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 08:49:37 GMT and more",
        "Sun Nov  6 08:49:37 1994 and more", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 ovD 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov -994 08:49:37 GMT", "Sun, 06",
        "Sun Nov  6 08"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(qa_http_date_parse(texts[i]), -1);
}

static void feed(qa_http_headers *headers, const char *line) {
    qa_http_headers_line(headers, line, strlen(line));
}

static int64_t wait_of(const char *line, const char *date, int64_t now_ms) {
    qa_http_headers headers;
    qa_http_headers_init(&headers);
    feed(&headers, line);
    if (date != NULL)
        feed(&headers, date);
    return qa_http_headers_retry_after_ms(&headers, now_ms);
}

static void reads_a_wait_in_seconds(void **state) {
    (void)state;
    assert_int_equal(wait_of("Retry-After: 120\r\n", NULL, 0), 120000);
    assert_int_equal(wait_of("RETRY-AFTER:\t0 \r\n", NULL, 0), 0);
    assert_int_equal(wait_of("retry-after:7", NULL, 0), 7000);
    assert_int_equal(wait_of("Retry-After: -5\r\n", NULL, 0), 0);
    assert_int_equal(wait_of("Retry-After: 9223372036854775\r\n", NULL, 0), INT64_MAX);
    assert_int_equal(wait_of("Retry-After: 99999999999999999999999999\r\n", NULL, 0), INT64_MAX);
    assert_int_equal(wait_of("Retry-After: 461168601842738\r\n", NULL, 0), 461168601842738000);
}

static void refuses_what_is_no_wait(void **state) {
    (void)state;
    static const char *const lines[] = {
        "Retry-After:\r\n", "Retry-After: -\r\n", "Retry-After: 1.5\r\n", "Retry-After: 5s\r\n",
        "Retry-After: soon\r\n", "Retry-Afte: 5\r\n", "Retry-After 5\r\n", "X-Retry-After: 5\r\n",
        "Retry-After: 000000000000000000000000000000000000000000000005\r\n", "", "\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_int_equal(wait_of(lines[i], NULL, 0), -1);
}

static void measures_a_date_from_the_answers_own(void **state) {
    (void)state;
    static const char at[] = "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n";
    assert_int_equal(wait_of(at, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 5), 60000);
    assert_int_equal(wait_of(at, "Date: Sun, 06 Nov 1994 08:51:37 GMT\r\n", 5), 0);
    assert_int_equal(wait_of(at, NULL, NOVEMBER_1994 + 59000), 1000);
    assert_int_equal(wait_of(at, "Date: yesterday\r\n", NOVEMBER_1994 + 59000), 1000);
    assert_int_equal(wait_of(at, NULL, NOVEMBER_1994 + 61000), 0);
}

static void forgets_interim_answers(void **state) {
    (void)state;
    qa_http_headers headers;
    qa_http_headers_init(&headers);
    assert_int_equal(headers.date_ms, -1);
    feed(&headers, "HTTP/1.1 103 Early Hints\r\n");
    feed(&headers, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    feed(&headers, "Retry-After: 5\r\n");
    assert_int_equal(headers.date_ms, NOVEMBER_1994);
    feed(&headers, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(headers.date_ms, -1);
    assert_int_equal(qa_http_headers_retry_after_ms(&headers, 0), -1);
}

/* A line is not zero-terminated. */
static void reads_no_further_than_the_line(void **state) {
    (void)state;
    qa_http_headers headers;
    qa_http_headers_init(&headers);
    qa_http_headers_line(&headers, "Retry-After: 57", 14);
    assert_int_equal(qa_http_headers_retry_after_ms(&headers, 0), 5000);
    qa_http_headers_line(&headers, "Date: Sun, 06 Nov 1994 08:49:37 GMT", 30);
    assert_int_equal(headers.date_ms, -1);
    qa_http_headers_line(&headers, "Date:", 3);
    qa_http_headers_line(&headers, "Retry-After: 9", 5);
    assert_int_equal(qa_http_headers_retry_after_ms(&headers, 0), 5000);
}

static void test_length_protocol_and_end(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int64_t length;
    } rows[] = {{"content-length: 0", 0},
                {"Content-Length:  1234 \r\n", 1234},
                {"Content-Length:", -1},
                {"Content-Length: -1", -1},
                {"Content-Length: 12x", -1},
                {"Content-Length: 99999999999999999999", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qa_http_headers headers;
        qa_http_headers_init(&headers);
        assert_int_equal(headers.content_length, -1);
        qa_http_headers_line(&headers, rows[i].line, strlen(rows[i].line));
        assert_true(headers.content_length == rows[i].length);
    }
    qa_http_headers headers;
    qa_http_headers_init(&headers);
    qa_http_headers_line(&headers, "HTTP/2 413\r\n", 12);
    assert_true(headers.http2 && !headers.ended);
    qa_http_headers_line(&headers, "\r\n", 2);
    assert_true(headers.ended);
    qa_http_headers_line(&headers, "HTTP/1.1 200 OK\r\n", 17);
    assert_false(headers.http2 || headers.ended);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_three_forms_of_a_date),
        cmocka_unit_test(refuses_what_is_no_date),
        cmocka_unit_test(reads_a_wait_in_seconds),
        cmocka_unit_test(refuses_what_is_no_wait),
        cmocka_unit_test(measures_a_date_from_the_answers_own),
        cmocka_unit_test(forgets_interim_answers),
        cmocka_unit_test(reads_no_further_than_the_line),
        cmocka_unit_test(test_length_protocol_and_end),
    };
    return cmocka_run_group_tests_name("http_headers", tests, NULL, NULL);
}
