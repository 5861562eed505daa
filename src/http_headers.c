/* http_headers.c
 * What matters here of an answer's headers: Date, Retry-After, and how long the body is.
 * Does not know bodies, connections, or which library read the lines.
 * SPDX-License-Identifier: MIT */
#include "http_headers.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct moment {
    int year, month, day, hour, minute, second; /* month 1 to 12 */
} moment;

void qa_http_headers_init(qa_http_headers *headers) {
    *headers = (qa_http_headers){.date_ms = -1, .content_length = -1};
}

/* ASCII only: the locale has no say in HTTP. */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether `line` starts with the lower-case `name`; an O(1) no for nearly all lines. */
static bool starts_with(const char *line, size_t length, const char *name) {
    size_t i = 0;
    while (name[i] != '\0' && i < length && lower(line[i]) == name[i])
        i++;
    return name[i] == '\0';
}

/* The value behind `skip` bytes without the blanks around it; "" when it does not fit. */
static void copy_value(const char *line, size_t length, size_t skip,
                       char out[QA_HTTP_RETRY_AFTER_MAX]) {
    while (skip < length && is_blank(line[skip]))
        skip++;
    while (length > skip && is_blank(line[length - 1]))
        length--;
    size_t size = length - skip;
    if (size >= QA_HTTP_RETRY_AFTER_MAX)
        size = 0;
    memcpy(out, line + skip, size);
    out[size] = '\0';
}

/* Whole bytes, or -1. */
static int64_t read_length(const char *text) {
    int64_t length = 0;
    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || length > INT64_MAX / 10 - 1)
            return -1;
        length = length * 10 + (*text - '0');
    }
    return length;
}

void qa_http_headers_line(qa_http_headers *headers, const char *line, size_t length) {
    char value[QA_HTTP_RETRY_AFTER_MAX];
    if (length > 0 && is_blank(line[0])) {
        headers->ended = true;
    } else if (starts_with(line, length, "http/")) {
        qa_http_headers_init(headers);
        headers->http2 = starts_with(line, length, "http/2");
    } else if (starts_with(line, length, "content-length:")) {
        copy_value(line, length, sizeof "content-length:" - 1, value);
        headers->content_length = read_length(value);
    } else if (starts_with(line, length, "date:")) {
        copy_value(line, length, sizeof "date:" - 1, value);
        headers->date_ms = qa_http_date_parse(value);
    } else if (starts_with(line, length, "retry-after:")) {
        copy_value(line, length, sizeof "retry-after:" - 1, headers->retry_after);
    }
}

/* 1 to 12, or 0. */
static int month_number(const char *name) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(names + 3 * i, name, 3) == 0)
            return i + 1;
    }
    return 0;
}

static int number(const char *digits, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

/* Days since 1970-01-01 in the Gregorian calendar, years counted from March so that the leap day
 * comes last. */
static int64_t days_since_epoch(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* A leap second (60) is allowed by the RFC and counts as the next second. */
static int64_t moment_ms(const moment *m) {
    if (m->year < 1970 || m->month < 1 || m->day < 1 || m->day > 31 || m->hour < 0 ||
        m->hour > 23 || m->minute < 0 || m->minute > 59 || m->second < 0 || m->second > 60)
        return -1;
    int64_t days = days_since_epoch(m->year, m->month, m->day);
    return (((days * 24 + m->hour) * 60 + m->minute) * 60 + m->second) * 1000;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", what every server sends today, at fixed places: each answer has
 * one, and scanning it by format would cost more than all else here. */
static bool parse_fixed(const char *text, moment *m) {
    static const char form[] = "AAA, 00 AAA 0000 00:00:00 GMT";
    for (size_t i = 0; i < sizeof form; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        bool letter = lower(text[i]) >= 'a' && lower(text[i]) <= 'z';
        if (form[i] == '0' ? !digit : i < 26 && form[i] == 'A' ? !letter : text[i] != form[i])
            return false;
    }
    m->day = number(text + 5, 2);
    m->month = month_number(text + 8);
    m->year = number(text + 12, 4);
    m->hour = number(text + 17, 2);
    m->minute = number(text + 20, 2);
    m->second = number(text + 23, 2);
    return true;
}

/* The two obsolete forms, "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994". */
static bool parse_obsolete(const char *text, moment *m) {
    char month[4] = "";
    int end = 0; /* stays 0 unless the whole form matched */
    (void)sscanf(text, "%*[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &m->day, month,
                 &m->year, &m->hour, &m->minute, &m->second, &end);
    if (end > 0)
        m->year += m->year < 70 ? 2000 : 1900;
    else
        (void)sscanf(text, "%*[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &m->day, &m->hour,
                     &m->minute, &m->second, &m->year, &end);
    m->month = month_number(month);
    return end > 0 && text[end] == '\0';
}

int64_t qa_http_date_parse(const char *text) {
    moment m = {0};
    if (!parse_fixed(text, &m) && !parse_obsolete(text, &m))
        return -1;
    return moment_ms(&m);
}

/* Whole seconds in ms, saturated; -1 when `text` is not a whole number. */
static int64_t seconds_ms(const char *text) {
    bool negative = *text == '-';
    const char *digit = negative ? text + 1 : text;
    int64_t seconds = 0;
    if (*digit == '\0')
        return -1;
    for (; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return -1;
        if (seconds <= INT64_MAX / 20000) /* keeps seconds * 10 + 9, in ms, in range */
            seconds = seconds * 10 + (*digit - '0');
        else
            seconds = INT64_MAX / 1000;
    }
    if (negative)
        return 0;
    return seconds >= INT64_MAX / 1000 ? INT64_MAX : seconds * 1000;
}

int64_t qa_http_headers_retry_after_ms(const qa_http_headers *headers, int64_t now_ms) {
    int64_t wait = seconds_ms(headers->retry_after);
    if (wait >= 0)
        return wait;
    int64_t date = qa_http_date_parse(headers->retry_after);
    if (date < 0)
        return -1;
    int64_t from = headers->date_ms >= 0 ? headers->date_ms : now_ms;
    return date > from ? date - from : 0;
}
