/* trial.c
 * Finds out what a rejection is about: some events of a batch, or everything that is sent.
 * Does not know batches; it is told which pieces of one were rejected, and where they hung.
 * SPDX-License-Identifier: MIT */
#include "trial.h"

#include <stdlib.h>

enum { LEVELS_MAX = 63 }; /* bits of `pairs`; a batch has at most 2^32 events */

qa_trial *qa_trial_new(uint32_t events, uint64_t began, uint64_t reason) {
    qa_trial *trial = calloc(1, sizeof *trial);
    if (trial == NULL)
        return NULL;
    trial->pieces = 1;
    trial->events = events;
    trial->began = began;
    trial->reason = reason;
    return trial;
}

qa_trial *qa_trial_ref(qa_trial *trial) {
    if (trial != NULL)
        trial->pieces++;
    return trial;
}

void qa_trial_unref(qa_trial *trial) {
    if (trial != NULL && --trial->pieces == 0)
        free(trial);
}

/* FNV-1a */
uint64_t qa_trial_reason(const qa_verdict *verdict) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)(unsigned)verdict->http_status;
    hash *= UINT64_C(0x100000001b3);
    for (const char *at = verdict->service_code; *at != '\0'; at++) {
        hash ^= (unsigned char)*at;
        hash *= UINT64_C(0x100000001b3);
    }
    return hash != 0 ? hash : 1;
}

void qa_trial_rejected(qa_trial *trial, uint32_t depth, uint64_t reason, uint64_t twin) {
    if (reason != trial->reason)
        trial->mixed = true;
    if (reason == twin && depth <= LEVELS_MAX)
        trial->pairs |= UINT64_C(1) << depth;
}

bool qa_trial_is_systemic(const qa_trial *trial, uint32_t depth) {
    if (trial->events < QA_TRIAL_EVENTS_MIN || trial->mixed || depth == 0 || depth >= LEVELS_MAX)
        return false;
    uint64_t levels = ((UINT64_C(1) << depth) - 1) << 1; /* bits 1 to depth */
    return (trial->pairs & levels) == levels;
}

bool qa_trial_is_exhausted(const qa_trial *trial) {
    return trial->pieces == trial->held;
}
