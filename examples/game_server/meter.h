/* meter.h
 * Times of frames, kept as counts by microsecond, and what share stayed below which time.
 * Does not know what was timed.
 * SPDX-License-Identifier: MIT */
#ifndef METER_H
#define METER_H

#include <stdint.h>

/* One bucket for each microsecond; what is longer counts in the last. */
#define METER_BUCKETS 20000

typedef struct meter {
    uint64_t count;
    uint64_t most; /* ns */
    uint32_t buckets[METER_BUCKETS];
} meter;

void meter_add(meter *self, uint64_t ns);
void meter_merge(meter *self, const meter *other);

/* The time in ms that this share (0 to 1) of all stayed within; 0 if there was none. */
double meter_quantile(const meter *self, double share);

#endif
