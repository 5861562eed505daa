/* gate.c
 * Whether requests may start: at full speed, one probe after a pause, or not yet.
 * Does not know batches, nor why an answer means what it does.
 * SPDX-License-Identifier: MIT */
#include "gate.h"

#include <stdio.h>

#include "clock.h"

void qa_gate_init(qa_gate *gate, int64_t base_us, int64_t max_us, const qa_random *random) {
    *gate = (qa_gate){
        .state = QA_STATE_RUNNING, .base_us = base_us, .max_us = max_us, .random = random};
}

bool qa_gate_ready(const qa_gate *gate, int64_t now_us, int64_t *at) {
    if (gate->state == QA_STATE_RUNNING)
        return true;
    if (gate->probe != 0)
        return false;
    if (now_us >= gate->until_us)
        return true;
    *at = qa_clock_earlier(*at, gate->until_us);
    return false;
}

qa_gate_pass qa_gate_enter(qa_gate *gate, bool regardless) {
    bool probe = gate->state != QA_STATE_RUNNING && !regardless;
    if (probe)
        gate->probe = ++gate->probes;
    return (qa_gate_pass){.epoch = gate->epoch, .probe = probe ? gate->probe : 0};
}

/* Whether the verdict still counts for anything. */
static bool leave(qa_gate *gate, qa_gate_pass pass) {
    if (pass.epoch < gate->reset_epoch)
        return false;
    if (pass.probe == gate->probe)
        gate->probe = 0;
    return true;
}

static void run(qa_gate *gate) {
    gate->state = QA_STATE_RUNNING;
    gate->failures = 0;
    gate->unproven = false;
    gate->until_us = 0;
    gate->probe = 0;
    gate->reason = QA_OK;
    gate->message[0] = '\0';
}

void qa_gate_succeed(qa_gate *gate, qa_gate_pass pass) {
    bool running = gate->state == QA_STATE_RUNNING && !gate->unproven;
    if (leave(gate, pass) && pass.epoch == gate->epoch && !running)
        run(gate);
}

void qa_gate_relent(qa_gate *gate, qa_gate_pass pass) {
    uint32_t failures = gate->failures;
    if (!leave(gate, pass) || pass.epoch != gate->epoch || gate->state != QA_STATE_BACKING_OFF)
        return;
    run(gate);
    gate->failures = failures;
    gate->unproven = true;
}

void qa_gate_withdraw(qa_gate *gate, qa_gate_pass pass) {
    leave(gate, pass);
}

static void say(qa_gate *gate, qa_status reason, const char *message) {
    gate->reason = reason;
    snprintf(gate->message, sizeof gate->message, "%s", message);
}

/* The next probe is after a back-off; `counts` is false for those that failed together with one
 * that was counted. */
static void back_off(qa_gate *gate, bool counts, int64_t now_us, int64_t floor_us) {
    gate->unproven = false;
    if (counts) {
        gate->epoch++;
        if (gate->failures < UINT32_MAX)
            gate->failures++;
        int64_t delay =
            qa_retry_delay(gate->base_us, gate->max_us, gate->failures, gate->random);
        gate->until_us = qa_clock_add(now_us, delay);
    }
    int64_t earliest = floor_us < 0 ? now_us : qa_clock_add(now_us, floor_us);
    if (gate->until_us < earliest)
        gate->until_us = earliest;
}

void qa_gate_fail(qa_gate *gate, qa_gate_pass pass, int64_t now_us, int64_t retry_after_us,
                  qa_status reason, const char *message) {
    if (!leave(gate, pass))
        return;
    bool counts = pass.epoch == gate->epoch;
    if (!counts && gate->state == QA_STATE_RUNNING && retry_after_us < 0)
        return; /* something that started later has succeeded since */
    back_off(gate, counts, now_us, retry_after_us);
    if (gate->state == QA_STATE_PAUSED)
        return; /* its reason is still what has to be mended */
    gate->state = QA_STATE_BACKING_OFF;
    say(gate, reason, message);
}

void qa_gate_pause(qa_gate *gate, qa_gate_pass pass, int64_t now_us, qa_status reason,
                   const char *message) {
    if (!leave(gate, pass))
        return;
    bool counts = pass.epoch == gate->epoch;
    if (!counts && gate->state == QA_STATE_RUNNING)
        return;
    back_off(gate, counts, now_us, -1);
    gate->state = QA_STATE_PAUSED;
    say(gate, reason, message);
}

void qa_gate_reset(qa_gate *gate) {
    gate->epoch++;
    gate->reset_epoch = gate->epoch;
    run(gate);
}
