/* sender_reject.c
 * What was rejected: taken apart down to the culprit, or kept where it isn't the events.
 * Does not know other verdicts (sender_outcome.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

/* How long a success speaks for the service when a few lone events are rejected. */
#define EVIDENCE_US (INT64_C(60) * 1000000)
#define NO_MEMORY_RETRY_US (100 * 1000)

/* Whether the service is known to accept others, so that a rejection speaks of its events alone. */
static bool has_evidence(const qa_sender *sender, const qa_trial *trial) {
    if (trial->events >= QA_TRIAL_EVENTS_MIN)
        return sender->success_seq > trial->began;
    int64_t now = sender->clock.now_us(sender->clock.state);
    return sender->success_us != INT64_MIN && now - sender->success_us <= EVIDENCE_US;
}

static void unhold(qa_sender *sender, qa_batch *batch) {
    qa_batch_list_remove(&sender->held, batch);
    batch->trial->held--;
}

void qa_sender_bury_held(qa_sender *sender, bool exhausted_too) {
    for (qa_batch *batch = sender->held.first, *next; batch != NULL; batch = next) {
        next = batch->next;
        bool sure = has_evidence(sender, batch->trial) ||
                    (exhausted_too && qa_trial_is_exhausted(batch->trial));
        if (!sure)
            continue;
        /* A trial is exhausted as a whole: it must stay so while its pieces go one by one. */
        unhold(sender, batch);
        qa_sender_bury(sender, batch);
    }
}

void qa_sender_release_held(qa_sender *sender) {
    while (sender->held.first != NULL) {
        qa_batch *batch = sender->held.first;
        unhold(sender, batch);
        qa_batch_list_push(&sender->waiting, batch);
    }
}

bool qa_sender_wants_check(const qa_sender *sender) {
    if (sender->checking)
        return false;
    for (const qa_batch *batch = sender->held.first; batch != NULL; batch = batch->next) {
        if (qa_trial_is_exhausted(batch->trial))
            return true;
    }
    return false;
}

bool qa_sender_is_systemic(const qa_sender *sender) {
    return sender->gate.state == QA_STATE_PAUSED && sender->gate.reason == QA_REJECTED;
}

/* It isn't the events: all are kept. */
void qa_sender_pause_all(qa_sender *sender, const qa_verdict *verdict, int64_t now_us) {
    qa_error error; /* cuts at a whole character */
    qa_error_set(&error, QA_REJECTED, "every event is rejected: %s", verdict->message);
    /* With a pass of its own: the request's may be older than another failure. */
    qa_gate_pass pass = qa_gate_enter(&sender->gate, true);
    qa_gate_pause(&sender->gate, pass, now_us, QA_REJECTED, error.message);
    qa_sender_release_held(sender);
}

/* The batch goes on as it is, after a moment: memory was short for what had to be done. */
static void try_later(qa_sender *sender, qa_batch *batch, int64_t now_us) {
    batch->next_attempt_us = qa_clock_add(now_us, NO_MEMORY_RETRY_US);
    qa_batch_list_front(&sender->waiting, batch);
}

/* Both halves to the front, but behind this one's own sibling: so both halves of a level are asked
 * before either is taken apart further, which is what tells the cases apart soonest. */
void qa_sender_send_halves(qa_sender *sender, qa_batch *batch, qa_batch *sibling, int64_t now_us) {
    qa_batch *half = qa_batch_split(batch);
    if (half == NULL) {
        try_later(sender, batch, now_us);
        return;
    }
    batch->next_attempt_us = half->next_attempt_us = 0;
    if (sibling != NULL && sender->waiting.first == sibling) {
        qa_batch_list_after(&sender->waiting, sibling, half);
        qa_batch_list_after(&sender->waiting, sibling, batch);
    } else {
        qa_batch_list_front(&sender->waiting, half);
        qa_batch_list_front(&sender->waiting, batch);
    }
}

static bool join_trial(qa_sender *sender, qa_batch *batch, uint64_t reason) {
    if (batch->trial == NULL) {
        batch->trial = qa_trial_new(batch->events, sender->flights, reason);
        batch->depth = 0;
        batch->twin_reason = 0;
        qa_batch_part(batch);
    }
    return batch->trial != NULL;
}

/* While everything is rejected, a probe that is rejected too makes room for another part. */
static void rejected_probe(qa_sender *sender, qa_batch *batch) {
    qa_batch *half = qa_batch_split(batch);
    batch->next_attempt_us = 0;
    qa_batch_list_push(&sender->waiting, batch);
    if (half == NULL)
        return;
    half->next_attempt_us = 0;
    qa_batch_list_push(&sender->waiting, half);
}

void qa_sender_rejected(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                     int64_t now_us) {
    qa_batch *batch = flight->batch, *sibling = batch->sibling;
    uint64_t reason = qa_trial_reason(verdict);
    bool systemic = qa_sender_is_systemic(sender);
    if (systemic)
        qa_gate_fail(&sender->gate, flight->pass, now_us, -1, QA_REJECTED, verdict->message);
    else
        qa_gate_succeed(&sender->gate, flight->pass); /* it answers, and it can be talked to */
    if (!join_trial(sender, batch, reason)) {
        try_later(sender, batch, now_us);
        return;
    }
    qa_trial_rejected(batch->trial, batch->depth, reason, batch->twin_reason);
    if (sibling != NULL)
        sibling->twin_reason = reason;
    qa_batch_part(batch);
    if (systemic) {
        rejected_probe(sender, batch);
        return;
    }
    if (batch->events > 1) {
        qa_sender_send_halves(sender, batch, sibling, now_us);
        return;
    }
    if (has_evidence(sender, batch->trial)) {
        qa_sender_bury(sender, batch);
        return;
    }
    qa_batch_list_push(&sender->held, batch);
    batch->trial->held++;
    if (qa_trial_is_systemic(batch->trial, batch->depth))
        qa_sender_pause_all(sender, verdict, now_us);
}
