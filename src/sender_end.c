/* sender_end.c
 * How events end: reported, counted and let go of; by a verdict, by their age, or by the close.
 * Does not know what an answer means (sender_outcome.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

#include <string.h>

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

void qa_sender_leave_lane(qa_sender *sender, qa_lane *lane) {
    if (--lane->chunks == 0 && lane->released)
        forget_lane(sender, lane);
}

void qa_sender_lose(qa_sender *sender, qa_lane *lane, uint64_t events, qa_report *report) {
    report->events = events;
    push_report(sender, lane, report);
    qa_ledger_unspool(&sender->ledger, events);
    qa_ledger_end(&sender->ledger, events, QA_END_DAMAGED);
    lane->pending -= events;
    if (sender->waiters > 0)
        pthread_cond_broadcast(&sender->changed);
}

/* What is on disk stays there when the client is closed: it is a successor's to deliver. */
static void settle(qa_sender *sender, const qa_batch_slice *slice, qa_end end,
                   qa_report *report) {
    bool stored = slice->chunk->disk == QA_CHUNK_STORED;
    if (stored && end == QA_END_CLOSED)
        return;
    report->events = slice->events;
    report->merged = 0;
    push_report(sender, slice->chunk->lane, report);
    if (stored)
        qa_ledger_unspool(&sender->ledger, slice->events);
    qa_ledger_end(&sender->ledger, slice->events, end);
}

static void end_slice(qa_sender *sender, const qa_batch_slice *slice, qa_end end,
                      qa_report *report) {
    qa_chunk *chunk = slice->chunk;
    qa_lane *lane = chunk->lane;
    settle(sender, slice, end, report);
    lane->pending -= slice->events;
    if (!qa_queue_end(&sender->queue, chunk, slice->events)) {
        if (sender->keeper != NULL) {
            qa_chunk_end_part(chunk, slice->offset, slice->length, slice->events);
            qa_keeper_changed(sender, chunk);
        }
        return;
    }
    if (sender->keeper == NULL || !qa_keeper_ended(sender, chunk))
        qa_queue_recycle(&sender->queue, chunk);
    qa_sender_leave_lane(sender, lane);
}

/* All that is left of the batch has ended alike; frees the batch. */
void qa_sender_end_batch(qa_sender *sender, qa_batch *batch, qa_end end, qa_report *report) {
    for (size_t i = 0; i < batch->slice_count; i++)
        end_slice(sender, &batch->slices[i], end, report);
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
void qa_sender_bury(qa_sender *sender, qa_batch *batch) {
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
    if (sender->keeper != NULL)
        qa_keeper_bury(sender, slice->chunk->seq, &letter);
    qa_report report = {.status = QA_REPORT_DEAD,
                        .code = why->code,
                        .possibly_stored = batch->possibly_stored};
    memcpy(report.trace_id, why->trace_id, sizeof report.trace_id);
    memcpy(report.message, why->message, sizeof report.message);
    qa_sender_end_batch(sender, batch, QA_END_DEAD, &report);
}

/* ---- deadlines and the end ---- */

static void drop_slice(void *context, qa_batch *batch, const qa_batch_slice *slice) {
    qa_sender *sender = context;
    qa_report report;
    fill_drop(sender, batch, QA_END_DEADLINE, &report);
    end_slice(sender, slice, QA_END_DEADLINE, &report);
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
    qa_batch_slice rest = {.chunk = chunk,
                           .offset = chunk->taken,
                           .length = chunk->length - chunk->taken,
                           .events = chunk->events - chunk->taken_events};
    end_slice(sender, &rest, end, &report);
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

void qa_sender_tell_waiters(qa_sender *sender) {
    if (sender->waiters > 0)
        pthread_cond_broadcast(&sender->changed);
}

void qa_sender_expire(qa_sender *sender, int64_t now_us, int64_t *at) {
    bool any = expire_list(sender, &sender->waiting, now_us, at);
    any = expire_list(sender, &sender->held, now_us, at) || any;
    any = expire_ready(sender, now_us, at) || any;
    expire_tickets(sender, now_us, at);
    if (any)
        qa_sender_tell_waiters(sender);
}

void qa_sender_drop_queued(qa_sender *sender) {
    if (sender->keeper != NULL)
        qa_keeper_close_gap(sender);
    qa_sender_release_held(sender);
    while (sender->waiting.first != NULL) {
        qa_batch *batch = sender->waiting.first;
        qa_report report;
        fill_drop(sender, batch, QA_END_CLOSED, &report);
        qa_batch_list_remove(&sender->waiting, batch);
        qa_sender_end_batch(sender, batch, QA_END_CLOSED, &report);
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
