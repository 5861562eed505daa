/* histogram.c
 * Counts values in buckets that widen with the value, for quantiles from a fixed amount of memory.
 * Does not know what is measured: microseconds, bytes or events.
 * SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <stdbool.h>
#include <string.h>

enum { SUB_BUCKETS = 1 << QA_HISTOGRAM_SUB_BITS, OVERFLOW_BUCKET = QA_HISTOGRAM_BUCKETS - 1 };

/* With `shift` 0 a bucket is one value wide, which holds for the first two powers' worth of
 * buckets; from there each shift doubles the width. */
static unsigned bucket_of(uint64_t value) {
    if (value < 2 * SUB_BUCKETS)
        return (unsigned)value;
    if (value >> QA_HISTOGRAM_VALUE_BITS != 0)
        return OVERFLOW_BUCKET;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - QA_HISTOGRAM_SUB_BITS;
    return (shift << QA_HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static int64_t middle_of(unsigned bucket) {
    if (bucket < 2 * SUB_BUCKETS)
        return bucket;
    unsigned shift = (bucket >> QA_HISTOGRAM_SUB_BITS) - 1;
    uint64_t low = (uint64_t)(bucket - (shift << QA_HISTOGRAM_SUB_BITS)) << shift;
    return (int64_t)(low + ((uint64_t)1 << shift) / 2);
}

void qa_histogram_record(qa_histogram *histogram, int64_t value) {
    if (value < 0)
        value = 0;
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (histogram->count == 0 || value > histogram->max)
        histogram->max = value;
    histogram->count++;
    histogram->sum += (double)value;
    histogram->buckets[bucket_of((uint64_t)value)]++;
}

/* A bucket's middle may lie outside of what was seen; the ends are known exactly. */
static int64_t told(const qa_histogram *histogram, unsigned bucket) {
    int64_t middle = bucket == OVERFLOW_BUCKET ? histogram->max : middle_of(bucket);
    if (middle < histogram->min)
        return histogram->min;
    return middle > histogram->max ? histogram->max : middle;
}

void qa_histogram_read(const qa_histogram *histogram, qa_histogram_snapshot *out) {
    memset(out, 0, sizeof *out);
    if (histogram->count == 0)
        return;
    out->count = histogram->count;
    out->min = histogram->min;
    out->max = histogram->max;
    out->sum = histogram->sum;
    out->mean = histogram->sum / (double)histogram->count;
    /* Nearest rank: the value at position ceil(count * q), counted from 1. */
    uint64_t half = histogram->count / 2 + histogram->count % 2;
    uint64_t nearly_all = histogram->count - histogram->count / 100;
    uint64_t passed = 0;
    bool have_half = false;
    for (unsigned bucket = 0; bucket < QA_HISTOGRAM_BUCKETS; bucket++) {
        passed += histogram->buckets[bucket];
        if (!have_half && passed >= half) {
            out->p50 = told(histogram, bucket);
            have_half = true;
        }
        if (passed >= nearly_all) {
            out->p99 = told(histogram, bucket);
            return;
        }
    }
}
