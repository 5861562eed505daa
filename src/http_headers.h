/* http_headers.h
 * What matters here of an answer's headers: Date, Retry-After, and how long the body is.
 * Does not know bodies, connections, or which library read the lines.
 * SPDX-License-Identifier: MIT */
#ifndef QA_HTTP_HEADERS_H
#define QA_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QA_HTTP_RETRY_AFTER_MAX = 48 }; /* the longest HTTP date has 33 bytes */

typedef struct qa_http_headers {
    int64_t date_ms;                           /* ms since the epoch; -1: none */
    char retry_after[QA_HTTP_RETRY_AFTER_MAX]; /* as received; "" when absent or too long */
    int64_t content_length;                    /* bytes; -1: not said */
    bool http2;                                /* the answer came over HTTP/2 */
    bool ended;                                /* the empty line was there */
} qa_http_headers;

void qa_http_headers_init(qa_http_headers *headers);

/* One line as it came, with or without its line end. A status line forgets what came before, so
 * that the headers of an interim answer (100, 103) do not count. */
void qa_http_headers_line(qa_http_headers *headers, const char *line, size_t length);

/* What Retry-After asks for in ms, from whole seconds or from a date. A date is relative to the
 * answer's own Date when it has one, so that two clocks need not agree, else to `now_ms`.
 * Negative waits are 0, absurd ones saturate at INT64_MAX; -1 when absent or unreadable. */
int64_t qa_http_headers_retry_after_ms(const qa_http_headers *headers, int64_t now_ms);

/* An HTTP date in one of the three forms of RFC 9110, always GMT, as ms since the epoch; -1 when
 * it is none of them. */
int64_t qa_http_date_parse(const char *text);

#endif
