/* meter.c
 * Times of frames, kept as counts by microsecond, and what share stayed below which time.
 * Does not know what was timed.
 * SPDX-License-Identifier: MIT */
#include "meter.h"

void meter_add(meter *self, uint64_t ns)
{
    uint64_t us = ns / 1000;
    self->buckets[us < METER_BUCKETS ? us : METER_BUCKETS - 1]++;
    self->count++;
    if (ns > self->most) self->most = ns;
}

void meter_merge(meter *self, const meter *other)
{
    for (int i = 0; i < METER_BUCKETS; i++) self->buckets[i] += other->buckets[i];
    self->count += other->count;
    if (other->most > self->most) self->most = other->most;
}

double meter_quantile(const meter *self, double share)
{
    double wanted = share * (double)self->count, seen = 0;
    for (int i = 0; i < METER_BUCKETS; i++) {
        seen += self->buckets[i];
        if (seen > 0 && seen >= wanted) return (i + 1) / 1000.0;
    }
    return 0;
}
