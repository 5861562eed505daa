/* ticket.h
 * One direct send: its bytes on the way out, and its result, which the caller waits or polls for.
 * Does not know who sends it, nor when.
 * SPDX-License-Identifier: MIT */
#ifndef QA_TICKET_H
#define QA_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "response.h"
#include "status.h"

/* How a direct send ended. Texts are zero-terminated, "" when there is nothing to say. */
typedef struct qa_send_result {
    qa_status status;     /* QA_OK, or AUTH, REJECTED, HTTP, BAD_RESPONSE, NETWORK, TLS, TIMEOUT,
                             CLOSED, as the table of answers has it */
    bool retriable;       /* whether the same call can succeed later as it is */
    bool possibly_stored; /* not OK, but the service may have stored it */
    bool verified;        /* over TLS with the peer verified */
    int http_status;      /* 0: no answer came */
    int64_t clock_offset_ms; /* service minus local, as corrected for; 0 at first */
    int64_t dns_us, connect_us, tls_us, total_us; /* durations of the stages; 0: not reached */
    char trace_id[QA_RESPONSE_TRACE_MAX];
    char service_code[QA_RESPONSE_CODE_MAX];
    char message[QA_ERROR_MAX]; /* in words when status isn't QA_OK */
} qa_send_result;

/* Shared by the caller and the sender's thread, counted: each of the two lets go of it once. */
typedef struct qa_ticket qa_ticket;

/* For the caller. A ticket outlives its client: closing ends it with QA_CLOSED. In a forked child a
 * ticket of the parent counts as done, with QA_CLOSED. */
bool qa_ticket_done(qa_ticket *ticket);

/* Waits until it is done, at most `timeout_us` (negative: without limit). Whether it is done. */
bool qa_ticket_wait(qa_ticket *ticket, int64_t timeout_us);

/* NULL while it isn't done; belongs to the ticket. */
const qa_send_result *qa_ticket_result(qa_ticket *ticket);

/* Lets go of it, at any time; one that isn't done goes its way unseen. NULL is legal. */
void qa_ticket_free(qa_ticket *ticket);

/* For the sender: a ticket with a copy of the bytes, held by both sides. NULL: out of memory. */
qa_ticket *qa_ticket_new(const char *events, size_t length, size_t count, qa_error *error);

/* Ends it, wakes who waits, and lets go of the sender's share. The result is copied. */
void qa_ticket_finish(qa_ticket *ticket, const qa_send_result *result);

/* Whether the caller has let go, so that nobody would see the result. */
bool qa_ticket_abandoned(qa_ticket *ticket);

/* The bytes, joined by ",\n" (0 of them for an empty list), and how many events they are. */
const char *qa_ticket_events(const qa_ticket *ticket, size_t *length, size_t *count);

/* The sender's link: a ticket is in one list at most. */
qa_ticket **qa_ticket_next(qa_ticket *ticket);

/* When it was handed in, for the sender's use. */
int64_t *qa_ticket_started_us(qa_ticket *ticket);

#endif
