/* clock.h
 * Where time comes from, as an argument, so that tests move it.
 * Does not know what is timed.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CLOCK_H
#define QA_CLOCK_H

#include <stdint.h>

#define QA_CLOCK_NEVER INT64_MAX

typedef struct qa_clock {
    int64_t (*now_us)(void *state);  /* monotonic: for every decision */
    int64_t (*wall_ms)(void *state); /* since the epoch: for signatures and for people */
    void *state;
} qa_clock;

/* The machine's clocks. */
extern const qa_clock qa_clock_real;

/* a + b without overflow, for b >= 0: deadlines far away become QA_CLOCK_NEVER. */
static inline int64_t qa_clock_add(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? QA_CLOCK_NEVER : sum;
}

static inline int64_t qa_clock_earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

#endif
