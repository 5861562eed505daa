/* trial.h
 * Finds out what a rejection is about: some events of a batch, or everything that is sent.
 * Does not know batches; it is told which pieces of one were rejected, and where they hung.
 * SPDX-License-Identifier: MIT */
#ifndef QA_TRIAL_H
#define QA_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "retry.h"

enum {
    /* A batch of fewer events has no levels on which a rejection could repeat. */
    QA_TRIAL_EVENTS_MIN = 4
};

/* One batch that was rejected and is taken apart, shared by its pieces; the owner's lock guards
 * it. If the service rejects a batch, both halves, and both halves of a half, down to two single
 * events, always for the same reason, while it accepts nothing else, then it isn't the events. */
typedef struct qa_trial {
    uint32_t pieces; /* batches that point here */
    uint32_t held;   /* of them, single events that wait for what the others say */
    uint32_t events; /* of the root */
    uint64_t began;  /* the number of the last request started when the root was rejected */
    uint64_t reason; /* of the rejections, as qa_trial_reason has it */
    bool mixed;      /* they weren't all for that reason */
    uint64_t pairs;  /* bit n: two halves of one batch, n halvings down, were both rejected */
} qa_trial;

/* For one piece; NULL: out of memory. */
qa_trial *qa_trial_new(uint32_t events, uint64_t began, uint64_t reason);

/* A piece more, a piece less (the last one frees it). NULL is legal for both. */
qa_trial *qa_trial_ref(qa_trial *trial);
void qa_trial_unref(qa_trial *trial);

/* What makes two rejections alike: status and the service's code. Not the words, which may quote
 * an event. Never 0. */
uint64_t qa_trial_reason(const qa_verdict *verdict);

/* A piece `depth` halvings down was rejected; `twin` is the reason of its other half's rejection,
 * 0: none so far. */
void qa_trial_rejected(qa_trial *trial, uint32_t depth, uint64_t reason, uint64_t twin);

/* Whether it isn't the events, judged by a single event that was rejected `depth` halvings down. */
bool qa_trial_is_systemic(const qa_trial *trial, uint32_t depth);

/* Whether all that is left of it are held events: nothing more will be learnt from it. */
bool qa_trial_is_exhausted(const qa_trial *trial);

#endif
