/* rate.c
 * Spaces requests so that no more than so many start per second.
 * Does not know what starts, nor why it waits otherwise.
 * SPDX-License-Identifier: MIT */
#include "rate.h"

#include "clock.h"

enum {
    /* The thread sleeps in whole milliseconds; what it oversleeps may be caught up, so that high
     * rates are reached. In any second at most this much more than the limit starts. */
    TOLERANCE_US = 2000
};

#define INTERVAL_MAX_US INT64_C(1000000000000)

void qa_rate_init(qa_rate *rate, double per_second) {
    *rate = (qa_rate){.interval_us = 0, .next_us = INT64_MIN};
    if (!(per_second > 0))
        return;
    double interval = 1e6 / per_second;
    if (interval >= (double)INTERVAL_MAX_US)
        rate->interval_us = INTERVAL_MAX_US;
    else
        rate->interval_us = (int64_t)interval + ((double)(int64_t)interval < interval);
}

bool qa_rate_ready(const qa_rate *rate, int64_t now_us, int64_t *at) {
    if (rate->interval_us == 0 || now_us >= rate->next_us)
        return true;
    *at = qa_clock_earlier(*at, rate->next_us);
    return false;
}

void qa_rate_take(qa_rate *rate, int64_t now_us) {
    if (rate->interval_us == 0)
        return;
    int64_t base = now_us - TOLERANCE_US;
    if (rate->next_us > base)
        base = rate->next_us;
    rate->next_us = qa_clock_add(base, rate->interval_us);
}
