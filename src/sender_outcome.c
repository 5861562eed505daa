/* sender_outcome.c
 * The sender's backward half: what an answer does to the events it was about.
 * Does not know how a request is made, nor when the next one starts (sender_step.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- verdicts on queued events ---- */

static void accepted(qa_sender *sender, const qa_flight *flight, bool events, int64_t now_us) {
    sender->success_us = now_us;
    if (!events) {
        /* Where all events are rejected, that an empty list is not says nothing. */
        if (qa_sender_is_systemic(sender))
            qa_gate_withdraw(&sender->gate, flight->pass);
        else
            qa_gate_succeed(&sender->gate, flight->pass);
        return;
    }
    qa_gate_succeed(&sender->gate, flight->pass);
    if (qa_sender_is_systemic(sender)) /* any success ends it, however old */
        qa_gate_reset(&sender->gate);
    if (flight->seq > sender->success_seq)
        sender->success_seq = flight->seq;
    qa_sender_bury_held(sender, false);
}

static void delivered(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                      int64_t now_us) {
    qa_report report = {.status = QA_REPORT_DELIVERED, .code = QA_OK};
    memcpy(report.trace_id, verdict->trace_id, sizeof report.trace_id);
    if (sender->keeper != NULL)
        qa_keeper_land(sender->keeper, flight->batch);
    qa_sender_end_batch(sender, flight->batch, QA_END_DELIVERED, &report);
    accepted(sender, flight, true, now_us);
}

static int64_t retry_after_us(const qa_verdict *verdict) {
    return verdict->retry_after_ms < 0 ? -1 : verdict->retry_after_ms * 1000;
}

static void fail_gate(qa_sender *sender, const qa_flight *flight, const qa_verdict *verdict,
                      int64_t now_us) {
    if (sender->stopping)
        qa_gate_withdraw(&sender->gate, flight->pass);
    else
        qa_gate_fail(&sender->gate, flight->pass, now_us, retry_after_us(verdict), verdict->code,
                     verdict->message);
}

/* When a batch that failed may be tried again, besides when the gate opens. One that failed more often
 * than the gate knows of, or although the service was known to answer, may be what the service
 * stumbles over: it waits for itself, past the next probe, so that this is of another one. */
static int64_t next_attempt(qa_sender *sender, const qa_batch *batch, bool answers,
                            int64_t now_us) {
    const qa_client_config *config = sender->config;
    const qa_gate *gate = &sender->gate;
    if (!answers && batch->failures <= gate->failures)
        return 0;
    int64_t from = answers && gate->until_us > now_us ? gate->until_us : now_us;
    return qa_clock_add(from, qa_retry_delay(config->retry_base_us, config->retry_max_us,
                                             batch->failures, &sender->random));
}

/* The gate holds all back for a while. */
static void retry(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                  int64_t now_us) {
    qa_batch *batch = flight->batch;
    bool answers = sender->gate.unproven && flight->pass.epoch == sender->gate.epoch;
    fail_gate(sender, flight, verdict, now_us);
    batch->next_attempt_us = 0;
    if (verdict->sent) {
        batch->failures++;
        batch->next_attempt_us = next_attempt(sender, batch, answers, now_us);
    }
    int64_t floor_us = qa_clock_add(now_us, verdict->retry_after_ms < 0 ? 0
                                                                        : retry_after_us(verdict));
    if (verdict->retry_after_ms >= 0 && batch->next_attempt_us < floor_us)
        batch->next_attempt_us = floor_us;
    qa_batch_list_insert(&sender->waiting, batch);
}

static void halve(qa_sender *sender, qa_flight *flight, int64_t now_us) {
    qa_batch *batch = flight->batch;
    qa_gate_succeed(&sender->gate, flight->pass);
    if (batch->events == 1) {
        qa_sender_bury(sender, batch);
        return;
    }
    qa_sender_send_halves(sender, batch, NULL, now_us);
    /* Cut by count, one half may be the larger: it is what is known to be worth a try. */
    uint64_t limit = batch->bytes;
    if (batch->sibling != NULL && batch->sibling->bytes > limit)
        limit = batch->sibling->bytes;
    if (batch->sibling != NULL && limit < sender->limit_bytes)
        sender->limit_bytes = limit;
    sender->limit_since_us = now_us;
}

static void paused(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                   int64_t now_us) {
    qa_gate_pause(&sender->gate, flight->pass, now_us, verdict->code, verdict->message);
    flight->batch->next_attempt_us = 0;
    qa_batch_list_insert(&sender->waiting, flight->batch);
}

/* Its chunks are no longer under way. What was learnt is worth remembering where they are kept. */
static void land_slices(qa_sender *sender, const qa_batch *batch, const qa_verdict *verdict) {
    for (size_t i = 0; i < batch->slice_count; i++) {
        qa_chunk *chunk = batch->slices[i].chunk;
        chunk->flying -= batch->slices[i].events;
        if (sender->keeper == NULL)
            continue;
        if (chunk->disk == QA_CHUNK_STORED)
            qa_ledger_spool(&sender->ledger, batch->slices[i].events);
        if (verdict->action == QA_ACTION_DELIVERED || !verdict->sent)
            continue;
        chunk->attempts = batch->attempts;
        chunk->possibly_stored = batch->possibly_stored;
        qa_keeper_changed(sender, chunk);
    }
}

static void apply_batch(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                        int64_t now_us) {
    qa_batch *batch = flight->batch;
    qa_ledger_put_back(&sender->ledger, batch->events);
    if (verdict->sent) {
        if (batch->attempts > 0)
            sender->ledger.counts.retries++;
        sender->ledger.counts.retries += verdict->resent;
        batch->attempts += 1 + verdict->resent;
    }
    batch->possibly_stored = batch->possibly_stored || verdict->possibly_stored;
    if (verdict->action != QA_ACTION_DELIVERED)
        qa_batch_remember(batch, verdict);
    land_slices(sender, batch, verdict);
    switch (verdict->action) {
    case QA_ACTION_DELIVERED: delivered(sender, flight, verdict, now_us); break;
    case QA_ACTION_RETRY: retry(sender, flight, verdict, now_us); break;
    case QA_ACTION_REJECT: qa_sender_rejected(sender, flight, verdict, now_us); break;
    case QA_ACTION_HALVE: halve(sender, flight, now_us); break;
    case QA_ACTION_PAUSE: paused(sender, flight, verdict, now_us); break;
    }
}

/* ---- verdicts on the others ---- */

/* An empty list was sent, because lone events were rejected and nothing else is known. */
static void apply_check(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                        int64_t now_us) {
    sender->checking = false;
    switch (verdict->action) {
    case QA_ACTION_DELIVERED:
        accepted(sender, flight, false, now_us);
        qa_sender_bury_held(sender, true);
        break;
    case QA_ACTION_RETRY:
        fail_gate(sender, flight, verdict, now_us);
        break;
    case QA_ACTION_REJECT:
        qa_gate_withdraw(&sender->gate, flight->pass);
        qa_sender_pause_all(sender, verdict, now_us);
        break;
    case QA_ACTION_HALVE:
    case QA_ACTION_PAUSE:
        qa_gate_pause(&sender->gate, flight->pass, now_us, verdict->code, verdict->message);
        qa_sender_release_held(sender);
        break;
    }
}

/* An empty list was sent, because what failed says little about the service itself. */
static void apply_knock(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                        int64_t now_us) {
    switch (verdict->action) {
    case QA_ACTION_DELIVERED:
    case QA_ACTION_REJECT:
        qa_gate_relent(&sender->gate, flight->pass);
        break;
    case QA_ACTION_RETRY:
        fail_gate(sender, flight, verdict, now_us);
        break;
    case QA_ACTION_HALVE:
    case QA_ACTION_PAUSE:
        qa_gate_pause(&sender->gate, flight->pass, now_us, verdict->code, verdict->message);
        break;
    }
}

static void fill_result(const qa_sender *sender, const qa_verdict *verdict,
                        const qa_answer *answer, qa_send_result *out) {
    *out = (qa_send_result){.status = verdict->code,
                            .retriable = verdict->action == QA_ACTION_RETRY &&
                                         verdict->code != QA_CLOSED,
                            .possibly_stored = verdict->possibly_stored,
                            .http_status = verdict->http_status,
                            .clock_offset_ms = sender->skew.offset_ms};
    memcpy(out->trace_id, verdict->trace_id, sizeof out->trace_id);
    memcpy(out->service_code, verdict->service_code, sizeof out->service_code);
    memcpy(out->message, verdict->message, sizeof out->message);
    if (answer == NULL)
        return;
    out->verified = answer->verified;
    out->dns_us = answer->dns_us;
    out->connect_us = answer->connect_us;
    out->tls_us = answer->tls_us;
    out->total_us = answer->total_us;
}

/* A direct send tells its caller; to the others only its success says something. */
static void apply_ticket(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                         const qa_answer *answer, int64_t now_us) {
    size_t length, count;
    qa_ticket_events(flight->ticket, &length, &count);
    if (verdict->action == QA_ACTION_DELIVERED)
        accepted(sender, flight, count > 0, now_us);
    else
        qa_gate_withdraw(&sender->gate, flight->pass);
    qa_send_result result;
    fill_result(sender, verdict, answer, &result);
    qa_ticket_finish(flight->ticket, &result);
}

/* ---- all ---- */

/* The Date of a proxy is none of the service's, and an answer that may be one isn't trusted. */
static void learn_offset(qa_sender *sender, const qa_flight *flight, const qa_answer *answer) {
    bool own = answer->verified || sender->config->proxy == NULL;
    if (answer->delivery != QA_DELIVERY_ANSWERED || answer->date_ms < 0 || !own)
        return;
    qa_skew_learn(&sender->skew, answer->date_ms, flight->started_wall_ms,
                  sender->clock.wall_ms(sender->clock.state));
}

void qa_sender_apply(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                     const qa_answer *answer) {
    int64_t now = sender->clock.now_us(sender->clock.state);
    sender->in_flight--;
    qa_ledger_request(&sender->ledger, verdict->code, verdict->sent ? flight->bytes : 0);
    if (answer != NULL) {
        learn_offset(sender, flight, answer);
        if (answer->delivery == QA_DELIVERY_ANSWERED)
            qa_histogram_record(&sender->ledger.round_trip, now - flight->started_us);
    }
    switch (flight->kind) {
    case QA_FLIGHT_BATCH: apply_batch(sender, flight, verdict, now); break;
    case QA_FLIGHT_TICKET: apply_ticket(sender, flight, verdict, answer, now); break;
    case QA_FLIGHT_CHECK: apply_check(sender, flight, verdict, now); break;
    case QA_FLIGHT_KNOCK: apply_knock(sender, flight, verdict, now); break;
    }
    free(flight);
    qa_sender_tell_waiters(sender);
}
