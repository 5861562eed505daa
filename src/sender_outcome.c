/* sender_outcome.c
 * The sender's backward half: what an answer does to the events it was about.
 * Does not know how a request is made, nor when the next one starts (sender_step.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

#include <stdlib.h>
#include <string.h>

/* How long a success speaks for the service when a few lone events are rejected. */
#define EVIDENCE_US (INT64_C(60) * 1000000)
#define NO_MEMORY_RETRY_US (100 * 1000)

/* ---- the end of events ---- */

static void wake_pollers(qa_sender *sender) {
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->wants_reports && !lane->detached)
            qa_lane_signal(lane, true);
    }
}

static bool somebody_polls(const qa_sender *sender) {
    for (const qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->wants_reports && !lane->detached)
            return true;
    }
    return false;
}

static void push_report(qa_sender *sender, qa_lane *lane, const qa_report *report) {
    sender->ledger.counts.reports++;
    if (!lane->detached && !lane->released) {
        if (!lane->wants_reports)
            return;
        qa_report_queue_push(lane->reports, report);
        qa_lane_signal(lane, true);
    } else if (somebody_polls(sender)) {
        qa_report_queue_push(sender->orphans, report);
        wake_pollers(sender);
    }
}

/* The lane's last chunk has gone, and its client before it. */
static void forget_lane(qa_sender *sender, qa_lane *lane) {
    if (lane->next != NULL)
        lane->next->previous = lane->previous;
    if (lane->previous != NULL)
        lane->previous->next = lane->next;
    else
        sender->lanes = lane->next;
    qa_lane_free(lane);
}

void qa_sender_end(qa_sender *sender, qa_chunk *chunk, uint32_t events, qa_end end,
                   qa_report *report) {
    qa_lane *lane = chunk->lane;
    report->events = events;
    report->merged = 0;
    push_report(sender, lane, report);
    qa_ledger_end(&sender->ledger, events, end);
    lane->pending -= events;
    if (!qa_queue_end(&sender->queue, chunk, events))
        return;
    qa_queue_recycle(&sender->queue, chunk);
    if (--lane->chunks == 0 && lane->released)
        forget_lane(sender, lane);
}

/* All that is left of the batch has ended alike; frees the batch. */
static void end_batch(qa_sender *sender, qa_batch *batch, qa_end end, qa_report *report) {
    for (size_t i = 0; i < batch->slice_count; i++)
        qa_sender_end(sender, batch->slices[i].chunk, batch->slices[i].events, end, report);
    qa_batch_free(batch);
}

static void fill_drop(const qa_sender *sender, const qa_batch *batch, qa_end end,
                      qa_report *report) {
    const qa_verdict *last = batch != NULL ? batch->last : NULL;
    const char *why = last != NULL ? last->message : sender->gate.message;
    const char *between = why[0] != '\0' ? "; last: " : "";
    qa_error error; /* cuts at a whole character */
    if (end == QA_END_CLOSED)
        qa_error_set(&error, QA_CLOSED, "closed before it was delivered%s%s", between, why);
    else
        qa_error_set(&error, QA_TIMEOUT, "not delivered within %.6g s%s%s",
                     (double)sender->config->delivery_deadline_us / 1e6, between, why);
    *report = (qa_report){.status = QA_REPORT_DROPPED,
                          .code = error.status,
                          .possibly_stored = batch != NULL && batch->possibly_stored};
    memcpy(report->message, error.message, sizeof report->message);
    if (last != NULL)
        memcpy(report->trace_id, last->trace_id, sizeof report->trace_id);
}

/* One event, refused for itself: `batch->last` says why. Frees the batch. */
static void bury(qa_sender *sender, qa_batch *batch) {
    static const qa_verdict unknown = {.action = QA_ACTION_REJECT,
                                       .code = QA_REJECTED,
                                       .message = "the service rejected the event"};
    const qa_verdict *why = batch->last != NULL ? batch->last : &unknown;
    const qa_batch_slice *slice = &batch->slices[0];
    qa_dead_letter letter = {.event = slice->chunk->data + slice->offset,
                             .length = slice->length,
                             .code = why->code,
                             .service_code = why->service_code,
                             .message = why->message,
                             .trace_id = why->trace_id,
                             .attempts = batch->attempts,
                             .wall_ms = sender->clock.wall_ms(sender->clock.state)};
    qa_dead_add(sender->dead, &letter);
    qa_report report = {.status = QA_REPORT_DEAD,
                        .code = why->code,
                        .possibly_stored = batch->possibly_stored};
    memcpy(report.trace_id, why->trace_id, sizeof report.trace_id);
    memcpy(report.message, why->message, sizeof report.message);
    end_batch(sender, batch, QA_END_DEAD, &report);
}

/* ---- deadlines and the end ---- */

static void drop_slice(void *context, qa_batch *batch, const qa_batch_slice *slice) {
    qa_sender *sender = context;
    qa_report report;
    fill_drop(sender, batch, QA_END_DEADLINE, &report);
    qa_sender_end(sender, slice->chunk, slice->events, QA_END_DEADLINE, &report);
}

static bool expire_list(qa_sender *sender, qa_batch_list *list, int64_t now_us, int64_t *at) {
    bool any = false;
    for (qa_batch *batch = list->first, *next; batch != NULL; batch = next) {
        next = batch->next;
        if (batch->expires_us <= now_us) {
            any = true;
            qa_batch_expire(batch, now_us, sender->config->delivery_deadline_us, drop_slice,
                            sender);
        }
        if (batch->events > 0) {
            *at = qa_clock_earlier(*at, batch->expires_us);
            continue;
        }
        qa_batch_list_remove(list, batch);
        if (list == &sender->held)
            batch->trial->held--;
        qa_batch_free(batch);
    }
    return any;
}

static void drop_first_ready(qa_sender *sender, qa_end end) {
    qa_chunk *chunk = sender->queue.first_ready;
    qa_report report;
    qa_queue_pop_ready(&sender->queue);
    fill_drop(sender, NULL, end, &report);
    qa_sender_end(sender, chunk, chunk->events - chunk->taken_events, end, &report);
}

static bool expire_ready(qa_sender *sender, int64_t now_us, int64_t *at) {
    bool any = false;
    while (sender->queue.first_ready != NULL) {
        int64_t expires = qa_clock_add(sender->queue.first_ready->opened_us,
                                       sender->config->delivery_deadline_us);
        if (expires > now_us) {
            *at = qa_clock_earlier(*at, expires);
            break;
        }
        drop_first_ready(sender, QA_END_DEADLINE);
        any = true;
    }
    return any;
}

/* Direct sends that found no free request in all their time. */
static void expire_tickets(qa_sender *sender, int64_t now_us, int64_t *at) {
    while (sender->first_ticket != NULL) {
        qa_ticket *ticket = sender->first_ticket;
        int64_t expires =
            qa_clock_add(*qa_ticket_started_us(ticket), sender->config->timeout_us);
        if (expires > now_us) {
            *at = qa_clock_earlier(*at, expires);
            return;
        }
        sender->first_ticket = *qa_ticket_next(ticket);
        if (sender->first_ticket == NULL)
            sender->last_ticket = NULL;
        sender->tickets--;
        qa_ticket_finish(ticket, &(qa_send_result){.status = QA_TIMEOUT,
                                                   .retriable = true,
                                                   .message = "send: not started in time, as all "
                                                              "requests were under way"});
    }
}

static void tell_waiters(qa_sender *sender) {
    if (sender->waiters > 0)
        pthread_cond_broadcast(&sender->changed);
}

void qa_sender_expire(qa_sender *sender, int64_t now_us, int64_t *at) {
    bool any = expire_list(sender, &sender->waiting, now_us, at);
    any = expire_list(sender, &sender->held, now_us, at) || any;
    any = expire_ready(sender, now_us, at) || any;
    expire_tickets(sender, now_us, at);
    if (any)
        tell_waiters(sender);
}

void qa_sender_drop_queued(qa_sender *sender) {
    qa_sender_release_held(sender);
    while (sender->waiting.first != NULL) {
        qa_batch *batch = sender->waiting.first;
        qa_report report;
        fill_drop(sender, batch, QA_END_CLOSED, &report);
        qa_batch_list_remove(&sender->waiting, batch);
        end_batch(sender, batch, QA_END_CLOSED, &report);
    }
    while (sender->queue.first_ready != NULL)
        drop_first_ready(sender, QA_END_CLOSED);
    while (sender->first_ticket != NULL) {
        qa_ticket *ticket = sender->first_ticket;
        sender->first_ticket = *qa_ticket_next(ticket);
        qa_ticket_finish(ticket, &(qa_send_result){.status = QA_CLOSED,
                                                   .message = "send: the client was closed"});
    }
    sender->last_ticket = NULL;
    sender->tickets = 0;
}

/* ---- what was rejected ---- */

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

static void bury_held(qa_sender *sender, bool exhausted_too) {
    for (qa_batch *batch = sender->held.first, *next; batch != NULL; batch = next) {
        next = batch->next;
        bool sure = has_evidence(sender, batch->trial) ||
                    (exhausted_too && qa_trial_is_exhausted(batch->trial));
        if (!sure)
            continue;
        /* A trial is exhausted as a whole: it must stay so while its pieces go one by one. */
        unhold(sender, batch);
        bury(sender, batch);
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

static bool is_systemic_pause(const qa_sender *sender) {
    return sender->gate.state == QA_STATE_PAUSED && sender->gate.reason == QA_REJECTED;
}

/* It isn't the events: all are kept. */
static void pause_all(qa_sender *sender, const qa_verdict *verdict, int64_t now_us) {
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
static void send_halves(qa_sender *sender, qa_batch *batch, qa_batch *sibling, int64_t now_us) {
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

static void rejected(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                     int64_t now_us) {
    qa_batch *batch = flight->batch, *sibling = batch->sibling;
    uint64_t reason = qa_trial_reason(verdict);
    bool systemic = is_systemic_pause(sender);
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
        send_halves(sender, batch, sibling, now_us);
        return;
    }
    if (has_evidence(sender, batch->trial)) {
        bury(sender, batch);
        return;
    }
    qa_batch_list_push(&sender->held, batch);
    batch->trial->held++;
    if (qa_trial_is_systemic(batch->trial, batch->depth))
        pause_all(sender, verdict, now_us);
}

/* ---- verdicts on queued events ---- */

static void accepted(qa_sender *sender, const qa_flight *flight, bool events, int64_t now_us) {
    sender->success_us = now_us;
    if (!events) {
        /* Where all events are rejected, that an empty list is not says nothing. */
        if (is_systemic_pause(sender))
            qa_gate_withdraw(&sender->gate, flight->pass);
        else
            qa_gate_succeed(&sender->gate, flight->pass);
        return;
    }
    qa_gate_succeed(&sender->gate, flight->pass);
    if (is_systemic_pause(sender)) /* any success ends it, however old */
        qa_gate_reset(&sender->gate);
    if (flight->seq > sender->success_seq)
        sender->success_seq = flight->seq;
    bury_held(sender, false);
}

static void delivered(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                      int64_t now_us) {
    qa_report report = {.status = QA_REPORT_DELIVERED, .code = QA_OK};
    memcpy(report.trace_id, verdict->trace_id, sizeof report.trace_id);
    end_batch(sender, flight->batch, QA_END_DELIVERED, &report);
    accepted(sender, flight, true, now_us);
}

static int64_t retry_after_us(const qa_verdict *verdict) {
    return verdict->retry_after_ms < 0 ? -1 : verdict->retry_after_ms * 1000;
}

/* The gate holds all back for a while. A batch that failed more often than the gate knows of has a
 * longer wait of its own: it may be what the service stumbles over. */
static void retry(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                  int64_t now_us) {
    qa_batch *batch = flight->batch;
    if (sender->stopping)
        qa_gate_withdraw(&sender->gate, flight->pass);
    else
        qa_gate_fail(&sender->gate, flight->pass, now_us, retry_after_us(verdict), verdict->code,
                     verdict->message);
    batch->next_attempt_us = 0;
    if (verdict->sent) {
        const qa_client_config *config = sender->config;
        batch->failures++;
        if (batch->failures > sender->gate.failures)
            batch->next_attempt_us = qa_clock_add(
                now_us, qa_retry_delay(config->retry_base_us, config->retry_max_us,
                                       batch->failures, &sender->random));
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
        bury(sender, batch);
        return;
    }
    send_halves(sender, batch, NULL, now_us);
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

static void apply_batch(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                        int64_t now_us) {
    qa_batch *batch = flight->batch;
    qa_ledger_put_back(&sender->ledger, batch->events);
    if (verdict->sent) {
        if (batch->attempts > 0)
            sender->ledger.counts.retries++;
        batch->attempts++;
    }
    batch->possibly_stored = batch->possibly_stored || verdict->possibly_stored;
    if (verdict->action != QA_ACTION_DELIVERED)
        qa_batch_remember(batch, verdict);
    switch (verdict->action) {
    case QA_ACTION_DELIVERED: delivered(sender, flight, verdict, now_us); break;
    case QA_ACTION_RETRY: retry(sender, flight, verdict, now_us); break;
    case QA_ACTION_REJECT: rejected(sender, flight, verdict, now_us); break;
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
        bury_held(sender, true);
        break;
    case QA_ACTION_RETRY:
        if (sender->stopping)
            qa_gate_withdraw(&sender->gate, flight->pass);
        else
            qa_gate_fail(&sender->gate, flight->pass, now_us, retry_after_us(verdict),
                         verdict->code, verdict->message);
        break;
    case QA_ACTION_REJECT:
        qa_gate_withdraw(&sender->gate, flight->pass);
        pause_all(sender, verdict, now_us);
        break;
    case QA_ACTION_HALVE:
    case QA_ACTION_PAUSE:
        qa_gate_pause(&sender->gate, flight->pass, now_us, verdict->code, verdict->message);
        qa_sender_release_held(sender);
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
    }
    free(flight);
    tell_waiters(sender);
}
