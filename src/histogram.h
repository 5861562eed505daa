/* histogram.h
 * Counts values in buckets that widen with the value, for quantiles from a fixed amount of memory.
 * Does not know what is measured: microseconds, bytes or events.
 * SPDX-License-Identifier: MIT */
#ifndef QA_HISTOGRAM_H
#define QA_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is split in 32 equal buckets, and a quantile is told as its bucket's middle, so
 * it is off by 1/64 of the value at most. Values below 64 are exact. From 2^40 on (12 days in
 * microseconds, 1 TiB) one bucket holds all, told as the greatest value seen. */
enum {
    QA_HISTOGRAM_SUB_BITS = 5,
    QA_HISTOGRAM_VALUE_BITS = 40,
    QA_HISTOGRAM_BUCKETS =
        ((QA_HISTOGRAM_VALUE_BITS - QA_HISTOGRAM_SUB_BITS + 1) << QA_HISTOGRAM_SUB_BITS) + 1
};

/* Open, so that it can be embedded and copied; all zero bytes is an empty one. Only histogram.c
 * changes it. About 9 KiB; one thread at a time. */
typedef struct qa_histogram {
    uint64_t count;
    int64_t min, max; /* exact; meaningless while count is 0 */
    double sum;
    uint64_t buckets[QA_HISTOGRAM_BUCKETS];
} qa_histogram;

/* All 0 when nothing was recorded. */
typedef struct qa_histogram_snapshot {
    uint64_t count;
    int64_t min, max;
    int64_t p50, p99;
    double mean, sum;
} qa_histogram_snapshot;

/* Takes a few nanoseconds. A negative value counts as 0. */
void qa_histogram_record(qa_histogram *histogram, int64_t value);

/* Walks the buckets once: microseconds, so not for a hot path. */
void qa_histogram_read(const qa_histogram *histogram, qa_histogram_snapshot *out);

#endif
