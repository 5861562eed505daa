/* rate.h
 * Spaces requests so that no more than so many start per second.
 * Does not know what starts, nor why it waits otherwise.
 * SPDX-License-Identifier: MIT */
#ifndef QA_RATE_H
#define QA_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Open, so that it can be embedded; one thread at a time (the owner's lock). */
typedef struct qa_rate {
    int64_t interval_us; /* 0: no limit */
    int64_t next_us;     /* monotonic: not before */
} qa_rate;

/* `per_second` 0, negative or not a number: no limit. */
void qa_rate_init(qa_rate *rate, double per_second);

/* Whether one may start now; if not, *at is lowered to when it may. */
bool qa_rate_ready(const qa_rate *rate, int64_t now_us, int64_t *at);

/* One starts. */
void qa_rate_take(qa_rate *rate, int64_t now_us);

#endif
