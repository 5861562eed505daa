/* skew.h
 * How far the service's clock is from this machine's, learnt from the Date of its answers.
 * Does not know what the offset is used for (signatures only).
 * SPDX-License-Identifier: MIT */
#ifndef QA_SKEW_H
#define QA_SKEW_H

#include <stdbool.h>
#include <stdint.h>

/* Added to a local time it gives the service's; 0 at first. The owner's lock guards it. */
typedef struct qa_skew {
    int64_t offset_ms;
} qa_skew;

/* One answer: its Date (ms since the epoch) and the local times when the request was sent and when
 * the answer was here. Whether the offset has changed. */
bool qa_skew_learn(qa_skew *skew, int64_t date_ms, int64_t sent_wall_ms, int64_t received_wall_ms);

#endif
