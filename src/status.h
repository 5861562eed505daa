/* status.h
 * The one list of things that can go wrong, and the error object that carries one of them in words.
 * Does not know who reports an error or who reads it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_STATUS_H
#define QA_STATUS_H

#include <stdbool.h>

typedef enum qa_status {
    QA_OK = 0,
    QA_CONFIG,        /* a configuration key is missing, wrong or contradicts another */
    QA_INVALID_EVENT, /* an event breaks the model; the message names the path */
    QA_QUEUE_FULL,    /* the memory queue is at one of its bounds */
    QA_SPOOL_FULL,    /* the spool is at its bound, or the disk is full */
    QA_CLOSED,        /* the client was closed */
    QA_TIMEOUT,       /* the time given ran out */
    QA_NETWORK,       /* DNS, connect, reset */
    QA_TLS,           /* the peer could not be verified, or no common TLS version */
    QA_HTTP,          /* an HTTP status that is none of the following */
    QA_REJECTED,      /* the service understood the call and refused its events */
    QA_AUTH,          /* 401 or 403 */
    QA_BAD_RESPONSE,  /* an answer that is too large or not what the service documents */
    QA_SPOOL,         /* the spool failed: I/O, corruption, permission */
    QA_NO_MEMORY      /* an allocation failed */
} qa_status;

enum { QA_ERROR_MAX = 384 }; /* bytes of a message, its end mark included */

typedef struct qa_error {
    qa_status status;
    bool retriable; /* whether the same call can succeed later without a change by the caller */
    char message[QA_ERROR_MAX];
} qa_error;

/* The code as users see it, such as "QUEUE_FULL"; a static string. QA_OK gives "OK". */
const char *qa_status_code(qa_status status);

/* Whether a retry alone can help, as a rule; qa_error.retriable holds for a single error. */
bool qa_status_retriable(qa_status status);

/* Fills `error` (may be NULL) and returns `status`, so that a caller can return the call.
 * A message that is too long is cut at a whole UTF-8 character. */
qa_status qa_error_set(qa_error *error, qa_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The common failure of every allocation, `what` being its subject ("queue"). */
qa_status qa_error_no_memory(qa_error *error, const char *what);

#endif
