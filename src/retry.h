/* retry.h
 * What an answer means for the events of its request, and how long to wait before the next try.
 * Does not know queues, batches, clocks, or what was sent before.
 * SPDX-License-Identifier: MIT */
#ifndef QA_RETRY_H
#define QA_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "response.h"
#include "status.h"
#include "transport.h"

enum { QA_RETRY_AFTER_MAX_MS = 10 * 60 * 1000 }; /* a service can't hold a client off for longer */

typedef enum qa_action {
    QA_ACTION_DELIVERED,
    QA_ACTION_RETRY,  /* the same events again, later */
    QA_ACTION_REJECT, /* the service refused these events: take the batch apart */
    QA_ACTION_HALVE,  /* 413: the same events in smaller requests */
    QA_ACTION_PAUSE   /* not the events' fault and not soon over: keep everything and probe */
} qa_action;

/* What a code of the service in a 2xx answer means. The vendor publishes no codes (unknown), so
 * they are the user's to map. */
typedef struct qa_error_code_rule {
    const char *code; /* the service's errorCode, compared as it is; never NULL */
    qa_action action; /* QA_ACTION_RETRY, QA_ACTION_REJECT or QA_ACTION_PAUSE */
} qa_error_code_rule;

/* Texts are UTF-8, zero-terminated, "" when there is nothing to say. */
typedef struct qa_verdict {
    qa_action action;
    qa_status code;         /* QA_OK: delivered. Else AUTH, REJECTED, HTTP, BAD_RESPONSE, NETWORK,
                               TLS, TIMEOUT, or CLOSED for a request that was cancelled */
    bool sent;              /* false: no byte left, so it doesn't count as an attempt */
    uint32_t resent;        /* times it left before, by the transport's own doing */
    bool possibly_stored;   /* not delivered as far as anyone knows, but it may have been stored */
    int http_status;        /* 0: no answer came */
    int64_t retry_after_ms; /* QA_ACTION_RETRY only, capped; -1: the service named none */
    char trace_id[QA_RESPONSE_TRACE_MAX];
    char service_code[QA_RESPONSE_CODE_MAX];
    char message[QA_ERROR_MAX]; /* "service answered 401: E1: bad sign (trace abc); check …" */
} qa_verdict;

/* Judges how a request ended, by the table of answers; parses the body too, so not under a lock.
 * `rules` (may be NULL when `rule_count` is 0) hold for 2xx answers that are no success; the first
 * that matches decides. 5xx answers and answers that can't be understood count as possibly stored:
 * a gateway may have lost the service's success. For queued batches and for direct sends (for
 * these QA_ACTION_RETRY says that the caller can try again). Any thread. */
void qa_retry_judge(const qa_answer *answer, const qa_error_code_rule *rules, size_t rule_count,
                    qa_verdict *out);

/* The same for a request that could not even be started: never sent, never stored. */
void qa_retry_judge_unsent(const qa_error *error, qa_verdict *out);

/* A source of 64 random bits, so that tests decide what is random. */
typedef struct qa_random {
    uint64_t (*next)(void *state);
    void *state;
} qa_random;

/* A `next` for everyday use (splitmix64); `state` points to a uint64_t, seeded with anything.
 * Spreads retries; not for secrets. */
uint64_t qa_random_next(void *state);

/* Back-off with full jitter: between 0 and min(max_us, base_us * 2^(failures - 1)), both included,
 * evenly. 0 failures: 0. Any count of failures and any bounds are legal; negative bounds are 0. */
int64_t qa_retry_delay(int64_t base_us, int64_t max_us, uint32_t failures,
                       const qa_random *random);

#endif
