/* sender.c
 * The sender's front: what clients call, but for report(); each is a short step under the lock.
 * Does not know when something is sent (sender_step.c) nor how it ends (sender_outcome.c).
 * SPDX-License-Identifier: MIT */
#include "sender.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "sender_state.h"

/* How long an event waits for the pace of a stream (sender_step.c) at most. */
#define PATIENCE_US (20 * 1000)

enum {
    DEAD_MAX = 1000,
    DEAD_BYTES_MAX = 8 * 1024 * 1024,
    ORPHANS_MAX = 10000,
    TICKETS_MAX = 1000
};

static bool init_locks(qa_sender *sender) {
    pthread_mutexattr_t kind;
    pthread_condattr_t timing;
    if (pthread_mutexattr_init(&kind) != 0)
        return false;
#ifdef __GLIBC__
    /* Held for well under a microsecond: spinning a little is cheaper than a system call. */
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    bool mutex = pthread_mutex_init(&sender->mutex, &kind) == 0;
    pthread_mutexattr_destroy(&kind);
    bool identity = pthread_mutex_init(&sender->identity, NULL) == 0;
    bool changed = pthread_condattr_init(&timing) == 0;
    if (changed) {
        changed = pthread_condattr_setclock(&timing, CLOCK_MONOTONIC) == 0 &&
                  pthread_cond_init(&sender->changed, &timing) == 0;
        pthread_condattr_destroy(&timing);
    }
    if (mutex && identity && changed)
        return true;
    if (mutex)
        pthread_mutex_destroy(&sender->mutex);
    if (identity)
        pthread_mutex_destroy(&sender->identity);
    if (changed)
        pthread_cond_destroy(&sender->changed);
    return false;
}

static void init_parts(qa_sender *sender) {
    const qa_client_config *config = sender->config;
    qa_queue_init(&sender->queue, config->queue_events, config->queue_bytes);
    qa_gate_init(&sender->gate, config->retry_base_us, config->retry_max_us, &sender->random);
    qa_rate_init(&sender->rate, config->max_requests_per_second);
    sender->success_us = INT64_MIN;
    sender->limit_bytes = UINT64_MAX;
    sender->look_at_us = QA_CLOCK_NEVER;
    sender->rest_until_us = sender->pace_until_us = INT64_MIN;
    sender->patience_us = PATIENCE_US;
    sender->memory_us = INT64_MIN;
    sender->linger_us = config->linger_us;
}

qa_sender *qa_sender_new(qa_client_config *config, const qa_clock *clock, const qa_random *random,
                         qa_error *error) {
    qa_sender *sender = calloc(1, sizeof *sender);
    if (sender == NULL || !init_locks(sender)) {
        free(sender);
        qa_error_no_memory(error, "client");
        return NULL;
    }
    sender->config = config;
    sender->clock = *clock;
    sender->random = *random;
    init_parts(sender);
    sender->dead = qa_dead_new(DEAD_MAX, DEAD_BYTES_MAX, error);
    sender->orphans = qa_report_queue_new(ORPHANS_MAX, error);
    if (sender->dead != NULL && sender->orphans != NULL)
        return sender;
    qa_sender_free(sender);
    return NULL;
}

void qa_sender_attach(qa_sender *sender, qa_transport *transport) {
    sender->transport = transport;
}

qa_status qa_sender_keep(qa_sender *sender, const qa_spool_engine *engine, qa_error *error) {
    qa_lane *lane = qa_lane_new(false, error);
    if (lane == NULL)
        return QA_NO_MEMORY;
    sender->keeper = qa_keeper_new(sender->config, engine, lane, error);
    if (sender->keeper == NULL) {
        qa_lane_free(lane);
        return QA_NO_MEMORY;
    }
    lane->detached = true; /* so its reports are for whoever polls */
    lane->next = sender->lanes;
    if (sender->lanes != NULL)
        sender->lanes->previous = lane;
    sender->lanes = lane;
    /* So that a healthy service has acknowledged a chunk before it is due for the disk. */
    sender->linger_us = qa_clock_earlier(sender->linger_us, sender->config->commit_interval_us / 2);
    sender->patience_us =
        qa_clock_earlier(sender->patience_us, sender->config->commit_interval_us / 4);
    return QA_OK;
}

bool qa_sender_keeps(const qa_sender *sender) {
    return sender->keeper != NULL;
}

static void free_batches(qa_batch_list *list) {
    while (list->first != NULL) {
        qa_batch *batch = list->first;
        qa_batch_list_remove(list, batch);
        qa_batch_free(batch);
    }
}

void qa_sender_free(qa_sender *sender) {
    if (sender == NULL)
        return;
    free_batches(&sender->waiting);
    free_batches(&sender->held);
    qa_keeper_free(sender->keeper);
    qa_queue_free(&sender->queue);
    while (sender->lanes != NULL) {
        qa_lane *next = sender->lanes->next;
        qa_lane_free(sender->lanes);
        sender->lanes = next;
    }
    qa_dead_free(sender->dead);
    qa_report_queue_free(sender->orphans);
    pthread_mutex_destroy(&sender->mutex);
    pthread_mutex_destroy(&sender->identity);
    pthread_cond_destroy(&sender->changed);
    free(sender);
}

qa_lane *qa_sender_open_lane(qa_sender *sender, bool wants_reports, qa_error *error) {
    qa_lane *lane = qa_lane_new(wants_reports, error);
    if (lane == NULL)
        return NULL;
    qa_sender_lock(sender);
    lane->next = sender->lanes;
    if (sender->lanes != NULL)
        sender->lanes->previous = lane;
    sender->lanes = lane;
    sender->open_lanes++;
    qa_sender_unlock(sender);
    return lane;
}

/* ---- send ---- */

static qa_status enqueue(qa_sender *sender, const qa_lane *lane, qa_ticket *ticket,
                         qa_error *error) {
    if (lane->closed || sender->stopping)
        return qa_error_set(error, QA_CLOSED, "client: closed");
    if (sender->tickets >= TICKETS_MAX)
        return qa_error_set(error, QA_QUEUE_FULL, "send: %d calls wait already", TICKETS_MAX);
    if (sender->last_ticket != NULL)
        *qa_ticket_next(sender->last_ticket) = ticket;
    else
        sender->first_ticket = ticket;
    sender->last_ticket = ticket;
    sender->tickets++;
    *qa_ticket_started_us(ticket) = sender->clock.now_us(sender->clock.state);
    sender->look_at_us = INT64_MIN;
    return QA_OK;
}

qa_status qa_sender_send(qa_sender *sender, qa_lane *lane, const char *events, size_t length,
                         size_t count, qa_ticket **out, qa_error *error) {
    *out = NULL;
    if (length > sender->config->batch_bytes)
        return qa_error_set(error, QA_INVALID_EVENT,
                            "events: %zu bytes, more than batch_bytes (%" PRIu64 ")", length,
                            sender->config->batch_bytes);
    qa_ticket *ticket = qa_ticket_new(events, length, count, error);
    if (ticket == NULL)
        return QA_NO_MEMORY;
    qa_sender_lock(sender);
    qa_status status = enqueue(sender, lane, ticket, error);
    qa_sender_unlock(sender);
    if (status != QA_OK) {
        qa_ticket_free(ticket);
        qa_ticket_free(ticket);
        return status;
    }
    qa_sender_wake(sender);
    *out = ticket;
    return QA_OK;
}

/* ---- reports ---- */

size_t qa_sender_poll(qa_sender *sender, qa_lane *lane, qa_report *out) {
    qa_sender_lock(sender);
    bool found = qa_report_queue_pop(lane->reports, out);
    bool serves = lane->wants_reports && !lane->detached;
    if (!found && serves)
        found = qa_report_queue_pop(sender->orphans, out);
    bool more = qa_report_queue_length(lane->reports) > 0 ||
                (serves && qa_report_queue_length(sender->orphans) > 0);
    qa_lane_signal(lane, more);
    qa_sender_unlock(sender);
    return found ? 1 : 0;
}

int qa_sender_fileno(qa_sender *sender, qa_lane *lane, qa_error *error) {
    qa_sender_lock(sender);
    int descriptor = qa_lane_fileno(lane, error);
    qa_lane_signal(lane, qa_report_queue_length(lane->reports) > 0 ||
                             (lane->wants_reports && !lane->detached &&
                              qa_report_queue_length(sender->orphans) > 0));
    qa_sender_unlock(sender);
    return descriptor;
}

/* ---- flush and close ---- */

/* What is there by now is waited for: up to the chunk that is returned. */
static uint64_t hurry(qa_sender *sender, bool *needed) {
    sender->hurry_mark = qa_queue_mark(&sender->queue);
    if (sender->queue.first_ready != NULL && qa_sender_rouse(sender))
        *needed = true;
    return sender->hurry_mark;
}

uint64_t qa_sender_flush_begin(qa_sender *sender) {
    bool needed = false;
    qa_sender_lock(sender);
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (qa_sender_close_chunk(sender, lane))
            needed = true;
    }
    uint64_t mark = hurry(sender, &needed);
    qa_sender_unlock(sender);
    if (needed)
        qa_sender_wake(sender);
    return mark;
}

static bool passed(const qa_sender *sender, uint64_t mark) {
    return qa_queue_passed(&sender->queue, mark) &&
           (sender->keeper == NULL || qa_keeper_passed(sender->keeper, mark));
}

static uint64_t remaining_to(const qa_sender *sender, uint64_t mark) {
    uint64_t on_disk = sender->keeper != NULL ? qa_keeper_remaining(sender->keeper, mark) : 0;
    return qa_queue_remaining(&sender->queue, mark) + on_disk;
}

bool qa_sender_flush_done(qa_sender *sender, uint64_t mark) {
    qa_sender_lock(sender);
    bool done = passed(sender, mark);
    qa_sender_unlock(sender);
    return done;
}

/* Waits for a change, with the lock held; false once the time is over. */
static bool wait_for_change(qa_sender *sender, int64_t until_us) {
    sender->waiters++;
    int failure;
    if (until_us == QA_CLOCK_NEVER) {
        failure = pthread_cond_wait(&sender->changed, &sender->mutex);
    } else {
        struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                 .tv_nsec = (long)(until_us % 1000000) * 1000};
        failure = pthread_cond_timedwait(&sender->changed, &sender->mutex, &until);
    }
    sender->waiters--;
    return failure == 0;
}

/* The wait is on the machine's clock: it is the caller's time, not the sender's. */
static int64_t deadline_in(int64_t timeout_us) {
    if (timeout_us < 0)
        return QA_CLOCK_NEVER;
    return qa_clock_add(qa_clock_real.now_us(NULL), timeout_us);
}

bool qa_sender_flush_wait(qa_sender *sender, uint64_t mark, int64_t timeout_us,
                          uint64_t *remaining) {
    int64_t until = deadline_in(timeout_us);
    qa_sender_lock(sender);
    while (!passed(sender, mark) && wait_for_change(sender, until))
        continue;
    uint64_t left = remaining_to(sender, mark);
    qa_sender_unlock(sender);
    if (remaining != NULL)
        *remaining = left;
    return left == 0;
}

uint64_t qa_sender_save_begin(qa_sender *sender) {
    uint64_t mark = qa_sender_flush_begin(sender);
    qa_sender_lock(sender);
    qa_keeper_rush(sender, mark);
    qa_sender_unlock(sender);
    return mark;
}

bool qa_sender_save_done(qa_sender *sender, uint64_t mark) {
    qa_sender_lock(sender);
    bool done = qa_keeper_safe(sender->keeper, mark);
    qa_sender_unlock(sender);
    return done;
}

bool qa_sender_save_wait(qa_sender *sender, uint64_t mark, int64_t timeout_us) {
    int64_t until = deadline_in(timeout_us);
    qa_sender_lock(sender);
    while (!qa_keeper_safe(sender->keeper, mark) && wait_for_change(sender, until))
        continue;
    bool done = qa_keeper_safe(sender->keeper, mark);
    qa_sender_unlock(sender);
    return done;
}

void qa_sender_close_lane(qa_sender *sender, qa_lane *lane) {
    qa_sender_lock(sender);
    lane->closed = true;
    bool needed = qa_sender_close_chunk(sender, lane);
    hurry(sender, &needed);
    qa_sender_unlock(sender);
    if (needed)
        qa_sender_wake(sender);
}

static uint64_t left_for(const qa_sender *sender, const qa_lane *lane) {
    if (sender->open_lanes > 1)
        return lane->pending;
    return sender->queue.events +
           (sender->keeper != NULL ? qa_keeper_remaining(sender->keeper, UINT64_MAX) : 0);
}

bool qa_sender_wait_lane(qa_sender *sender, qa_lane *lane, int64_t timeout_us,
                         uint64_t *remaining) {
    int64_t until = deadline_in(timeout_us);
    qa_sender_lock(sender);
    while (left_for(sender, lane) > 0 && wait_for_change(sender, until))
        continue;
    *remaining = left_for(sender, lane);
    qa_sender_unlock(sender);
    return *remaining == 0;
}

void qa_sender_detach_lane(qa_sender *sender, qa_lane *lane) {
    qa_sender_lock(sender);
    lane->detached = true;
    sender->open_lanes--;
    pthread_cond_broadcast(&sender->changed);
    qa_sender_unlock(sender);
}

void qa_sender_release_lane(qa_sender *sender, qa_lane *lane) {
    qa_sender_lock(sender);
    lane->released = true;
    if (lane->wants_reports)
        qa_report_queue_move(lane->reports, sender->orphans);
    if (lane->chunks == 0) {
        if (lane->next != NULL)
            lane->next->previous = lane->previous;
        if (lane->previous != NULL)
            lane->previous->next = lane->next;
        else
            sender->lanes = lane->next;
        qa_lane_free(lane);
    }
    qa_sender_unlock(sender);
}

/* ---- looking ---- */

static void read_gauges(qa_sender *sender, const qa_lane *lane, qa_stats *out) {
    const qa_chunk *oldest = sender->queue.oldest;
    int64_t now = oldest != NULL ? sender->clock.now_us(sender->clock.state) : 0;
    out->counts = sender->ledger.counts;
    out->state = sender->stopping ? QA_STATE_CLOSING : sender->gate.state;
    out->reason = sender->gate.reason;
    memcpy(out->reason_message, sender->gate.message, sizeof out->reason_message);
    out->oldest_age_us = oldest != NULL && now > oldest->opened_us ? now - oldest->opened_us : 0;
    out->queue_bytes = sender->queue.bytes;
    out->requests_in_flight = sender->in_flight;
    out->clock_offset_ms = sender->skew.offset_ms;
    out->dead_letters = qa_dead_count(sender->dead);
    out->dead_evicted = qa_dead_evicted(sender->dead);
    out->reports_waiting = qa_report_queue_length(lane->reports);
    out->clients = sender->open_lanes;
    if (sender->keeper != NULL)
        qa_keeper_stats(sender->keeper, out);
}

void qa_sender_stats(qa_sender *sender, qa_lane *lane, qa_stats *out) {
    /* Copied under the lock, walked outside: walking takes longer than report() may wait. */
    qa_ledger *copy = malloc(sizeof *copy);
    qa_sender_lock(sender);
    read_gauges(sender, lane, out);
    const qa_ledger *ledger = &sender->ledger;
    if (copy != NULL)
        *copy = *ledger;
    else
        copy = &sender->ledger;
    if (copy != ledger)
        qa_sender_unlock(sender);
    qa_histogram_read(&copy->queue_latency, &out->queue_latency);
    qa_histogram_read(&copy->round_trip, &out->round_trip);
    qa_histogram_read(&copy->batch_size, &out->batch_size);
    if (copy != ledger)
        free(copy);
    else
        qa_sender_unlock(sender);
}

size_t qa_sender_dead(qa_sender *sender, size_t max, qa_dead_visit *visit, void *context) {
    qa_sender_lock(sender);
    size_t visited = qa_dead_each(sender->dead, max, visit, context);
    qa_sender_unlock(sender);
    return visited;
}

void qa_sender_count_replaced(qa_sender *sender, uint64_t bytes) {
    qa_sender_lock(sender);
    sender->ledger.counts.replaced_bytes += bytes;
    qa_sender_unlock(sender);
}

int64_t qa_sender_clock_offset_ms(qa_sender *sender) {
    qa_sender_lock(sender);
    int64_t offset = sender->skew.offset_ms;
    qa_sender_unlock(sender);
    return offset;
}

uint64_t qa_sender_pending(qa_sender *sender, qa_lane *lane) {
    qa_sender_lock(sender);
    uint64_t pending = lane->pending;
    qa_sender_unlock(sender);
    return pending;
}

/* ---- the outside world changes ---- */

qa_status qa_sender_set_credentials(qa_sender *sender, const qa_credentials *credentials,
                                    qa_error *error) {
    pthread_mutex_lock(&sender->identity);
    qa_status status = qa_config_set_credentials(sender->config, credentials, error);
    pthread_mutex_unlock(&sender->identity);
    if (status != QA_OK)
        return status;
    qa_sender_lock(sender);
    qa_gate_reset(&sender->gate);
    sender->success_us = INT64_MIN;
    qa_sender_release_held(sender);
    sender->look_at_us = INT64_MIN;
    qa_sender_unlock(sender);
    qa_sender_wake(sender);
    return QA_OK;
}

void qa_sender_stop(qa_sender *sender) {
    qa_sender_lock(sender);
    sender->stopping = true;
    qa_sender_unlock(sender);
    qa_sender_wake(sender);
}

void qa_sender_drop_all(qa_sender *sender) {
    qa_sender_lock(sender);
    sender->stopping = true;
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next)
        qa_sender_close_chunk(sender, lane);
    qa_sender_drop_queued(sender);
    pthread_cond_broadcast(&sender->changed);
    qa_sender_unlock(sender);
}
