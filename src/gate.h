/* gate.h
 * Whether requests may start: at full speed, one probe after a pause, or not yet.
 * Does not know batches, nor why an answer means what it does.
 * SPDX-License-Identifier: MIT */
#ifndef QA_GATE_H
#define QA_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "retry.h"
#include "status.h"

/* Open, so that it can be embedded; one thread at a time (the owner's lock). */
typedef struct qa_gate {
    qa_state state; /* QA_STATE_RUNNING, QA_STATE_BACKING_OFF or QA_STATE_PAUSED */
    uint32_t failures;    /* that followed each other */
    bool unproven;        /* running, and the failures still count: nothing real has succeeded yet */
    int64_t base_us, max_us;
    int64_t until_us;     /* no probe before; while not running */
    uint64_t epoch;       /* grows with every failure that counts */
    uint64_t reset_epoch; /* what entered before this has nothing to say any more */
    uint64_t probe;       /* the number of the one probe that is under way; 0: none */
    uint64_t probes;      /* so far */
    const qa_random *random;
    qa_status reason;
    char message[QA_ERROR_MAX];
} qa_gate;

/* What a request took along when it entered; it says how old its verdict is. */
typedef struct qa_gate_pass {
    uint64_t epoch;
    uint64_t probe; /* 0: it isn't one */
} qa_gate_pass;

/* Running. Back-off is full jitter from `base_us` up to `max_us`. */
void qa_gate_init(qa_gate *gate, int64_t base_us, int64_t max_us, const qa_random *random);

/* Whether a request may enter now; if not yet, *at is lowered to when it may. */
bool qa_gate_ready(const qa_gate *gate, int64_t now_us, int64_t *at);

/* One enters: after qa_gate_ready, or regardless of it (a direct send, never the probe). */
qa_gate_pass qa_gate_enter(qa_gate *gate, bool regardless);

/* Each request that entered ends with exactly one of these. */

/* The service took it: running, unless that is older than the last failure. */
void qa_gate_succeed(qa_gate *gate, qa_gate_pass pass);

/* It answers again, as far as one can tell without events: running, but where the next one fails,
 * the back-off goes on from where it was. */
void qa_gate_relent(qa_gate *gate, qa_gate_pass pass);

/* No verdict on the service: as if it had never entered. */
void qa_gate_withdraw(qa_gate *gate, qa_gate_pass pass);

/* It failed in a way that passes. Requests that were under way together count once.
 * `retry_after_us` is a floor, -1: none. */
void qa_gate_fail(qa_gate *gate, qa_gate_pass pass, int64_t now_us, int64_t retry_after_us,
                  qa_status reason, const char *message);

/* It failed in a way that somebody has to mend: paused, with one probe after each back-off. */
void qa_gate_pause(qa_gate *gate, qa_gate_pass pass, int64_t now_us, qa_status reason,
                   const char *message);

/* Running at once; verdicts on what entered before are ignored. */
void qa_gate_reset(qa_gate *gate);

#endif
