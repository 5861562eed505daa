/* json.h
 * Writes JSON text into a buffer: strings made valid, numbers in their shortest form.
 * Does not know events, nor where the values come from.
 * SPDX-License-Identifier: MIT */
#ifndef QA_JSON_H
#define QA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum { QA_JSON_NUMBER_MAX = 32 }; /* bytes that hold any number, an end mark included */

/* Appends `text` as a JSON string with its quotes. A run of bytes that is not UTF-8 becomes U+FFFD,
 * one for each longest broken piece of a character, as browsers and Java do it. Returns how many
 * were replaced. A failure is in buf->status. */
size_t qa_json_string(qa_buf *buf, const char *text, size_t length);

/* Appends `,"key":`, the beginning of an object's member; returns what qa_json_string does. */
size_t qa_json_member(qa_buf *buf, const char *key, size_t length);

/* The digits of a number, without an end mark; returns how many of QA_JSON_NUMBER_MAX. */
size_t qa_json_format_int(char *out, int64_t value);

/* The shortest digits that read back as the same double: `12`, `12.5`, `1e+300`; a whole number
 * under 1e21 never has a point or an exponent. `value` must be finite. */
size_t qa_json_format_double(char *out, double value);

#endif
