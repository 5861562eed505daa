/* skew.c
 * How far the service's clock is from this machine's, learnt from the Date of its answers.
 * Does not know what the offset is used for (signatures only).
 * SPDX-License-Identifier: MIT */
#include "skew.h"

enum {
    GRANULARITY_MS = 999, /* a Date tells whole seconds */
    MARGIN_MS = 500       /* servers cache the text of their Date for a moment */
};

/* The service wrote its Date somewhere between `sent` and `received`, so the true offset lies in an
 * interval. An offset inside it isn't touched: it would only pick up noise. */
bool qa_skew_learn(qa_skew *skew, int64_t date_ms, int64_t sent_wall_ms,
                   int64_t received_wall_ms) {
    /* A wall clock that was set back during the request, or a Date no machine has. */
    if (received_wall_ms < sent_wall_ms || date_ms < 0 || date_ms > INT64_MAX / 4)
        return false;
    int64_t low = date_ms - received_wall_ms - MARGIN_MS;
    int64_t high = date_ms + GRANULARITY_MS - sent_wall_ms + MARGIN_MS;
    int64_t old = skew->offset_ms;
    if (low <= 0 && high >= 0)
        skew->offset_ms = 0;
    else if (old < low || old > high)
        skew->offset_ms = low + (high - low) / 2;
    return skew->offset_ms != old;
}
