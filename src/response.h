/* response.h
 * What the service's answer says: its JSON body parsed and checked.
 * Does not know HTTP, nor what is to be done about an answer.
 * SPDX-License-Identifier: MIT */
#ifndef QA_RESPONSE_H
#define QA_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

enum {
    QA_RESPONSE_MAX = 1024 * 1024, /* bytes of a body that are ever parsed */
    QA_RESPONSE_TRACE_MAX = 80,
    QA_RESPONSE_CODE_MAX = 64,
    QA_RESPONSE_DESC_MAX = 256
};

/* Texts are UTF-8, zero-terminated, cut at a whole character, free of control characters. */
typedef struct qa_response {
    bool success; /* `success` is true, and `data` is not false (as a boolean or as text) */
    char trace_id[QA_RESPONSE_TRACE_MAX]; /* "" when absent */
    char code[QA_RESPONSE_CODE_MAX];      /* errorCode, "" when absent or null */
    char desc[QA_RESPONSE_DESC_MAX];      /* errorDesc, likewise */
} qa_response;

/* Parses strictly: an object, no duplicate keys, nothing behind it, `success` a boolean, the others
 * of their documented types or null; `data` as boolean or as "true"/"false" (the documents show
 * both). Fails with QA_BAD_RESPONSE and a message that says what was found instead. Any thread. */
qa_status qa_response_parse(const char *body, size_t length, qa_response *out, qa_error *error);

#endif
