/* sender_step.c
 * The sender's forward half: picks what may start now, signs it and hands it to the transport.
 * Does not know what an answer means (sender_outcome.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sign.h"

enum { URL_MAX = 64 * 1024 };

/* In a stream each full chunk would wake the thread: a system call of some 20 µs in report(). While
 * chunks keep coming it isn't woken for them, and looks again by itself after this time. */
#define REST_US (10 * 1000)

/* Nor does it send all at once what came meanwhile: where all cores are busy, the host would stand
 * still for as long as that takes. After a full batch the next new one starts this much later, unless
 * events would wait too long for it, a good part of the queue is taken, or somebody waits for them.
 * Small batches come and go in less. */
#define PACE_US 1000
enum { PACED_BYTES = 16 * 1024, PACED_SHARE = 4 /* of the queue: a quarter */ };

#define MEMORY_PAUSE_US (100 * 1000) /* before an allocation that failed is tried again */
#define LIMIT_RELAX_US (INT64_C(600) * 1000000)

/* ---- what is due ---- */

static void close_lingering(qa_sender *sender, int64_t now_us, int64_t *at) {
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->open == NULL)
            continue;
        int64_t due = qa_clock_add(lane->open->opened_us, sender->linger_us);
        if (due <= now_us)
            qa_sender_close_chunk(sender, lane);
        else
            *at = qa_clock_earlier(*at, due);
    }
}

/* A size that was refused isn't refused for ever: a proxy's limit may have been raised, and tiny
 * batches cost much. Every ten minutes twice as much is tried again. */
static void relax_limit(qa_sender *sender, int64_t now_us) {
    if (sender->limit_bytes == UINT64_MAX ||
        now_us < qa_clock_add(sender->limit_since_us, LIMIT_RELAX_US))
        return;
    sender->limit_since_us = now_us;
    sender->limit_bytes *= 2;
    if (sender->limit_bytes > sender->config->batch_bytes)
        sender->limit_bytes = UINT64_MAX;
}

/* ---- what is picked ---- */

/* The oldest that may be tried now. */
static qa_batch *find_waiting(const qa_sender *sender, int64_t now_us, int64_t *at) {
    int64_t next = QA_CLOCK_NEVER;
    for (qa_batch *batch = sender->waiting.first; batch != NULL; batch = batch->next) {
        if (batch->next_attempt_us <= now_us)
            return batch;
        next = qa_clock_earlier(next, batch->next_attempt_us);
    }
    *at = qa_clock_earlier(*at, next);
    return NULL;
}

/* What couldn't be started stays where it is; next_flight sees to it that it is tried again. */
static void pause_for_memory(qa_sender *sender, int64_t now_us) {
    sender->memory_us = qa_clock_add(now_us, MEMORY_PAUSE_US);
}

static bool is_paced(const qa_sender *sender, int64_t now_us) {
    const qa_queue *queue = &sender->queue;
    const qa_chunk *next = queue->first_ready;
    return now_us < sender->pace_until_us && next != NULL && next->seq > sender->hurry_mark &&
           now_us < qa_clock_add(next->opened_us, sender->patience_us) &&
           queue->events <= queue->max_events / PACED_SHARE &&
           queue->bytes <= queue->max_bytes / PACED_SHARE;
}

static qa_batch *pick_fresh(qa_sender *sender, int64_t now_us, int64_t *at) {
    sender->paced = is_paced(sender, now_us);
    if (sender->paced) {
        *at = qa_clock_earlier(*at, sender->pace_until_us);
        return NULL;
    }
    const qa_client_config *config = sender->config;
    uint64_t bytes = config->batch_bytes;
    if (sender->limit_bytes < bytes)
        bytes = sender->limit_bytes;
    bool no_memory;
    qa_batch *batch = qa_batch_take(&sender->queue, config->batch_events, bytes,
                                    config->delivery_deadline_us, &no_memory);
    if (no_memory)
        pause_for_memory(sender, now_us);
    return batch;
}

/* Formed before a smaller limit was learnt: what is over it goes back to the front. */
static void keep_under_limit(qa_sender *sender, qa_batch *batch) {
    while (batch->bytes > sender->limit_bytes) {
        qa_batch *half = qa_batch_split(batch);
        if (half == NULL)
            return;
        qa_batch_list_front(&sender->waiting, half);
    }
}

/* What was sent before goes first; but in a systemic pause old and new take turns as probes: the old
 * ones may all be bad. */
static bool is_fresh_first(qa_sender *sender, const qa_batch *waiting) {
    if (waiting == NULL)
        return true;
    if (!qa_sender_is_systemic(sender))
        return false;
    sender->probe_fresh = !sender->probe_fresh;
    return sender->probe_fresh;
}

static qa_batch *pick(qa_sender *sender, int64_t now_us, int64_t *at) {
    qa_batch *waiting = find_waiting(sender, now_us, at), *batch = NULL;
    if (is_fresh_first(sender, waiting))
        batch = pick_fresh(sender, now_us, at);
    if (batch == NULL && waiting != NULL) {
        batch = waiting;
        qa_batch_list_remove(&sender->waiting, batch);
    }
    if (batch != NULL)
        keep_under_limit(sender, batch);
    return batch;
}

/* ---- flights ---- */

static qa_flight *new_flight(qa_sender *sender, qa_flight_kind kind, size_t pieces,
                             int64_t now_us) {
    qa_flight *flight = calloc(1, sizeof *flight + pieces * sizeof flight->pieces[0]);
    if (flight == NULL) {
        pause_for_memory(sender, now_us);
        return NULL;
    }
    flight->kind = kind;
    flight->piece_count = pieces;
    flight->seq = sender->flights + 1;
    return flight;
}

static void set_list(qa_flight *flight, const char *events, size_t length) {
    flight->pieces[0] = (qa_slice){"[", 1};
    flight->pieces[1] = (qa_slice){events, length};
    flight->pieces[2] = (qa_slice){"]", 1};
    flight->bytes = length + 2;
}

/* The next direct send that somebody still waits for. */
static qa_ticket *pop_ticket(qa_sender *sender) {
    qa_ticket *ticket = sender->first_ticket;
    sender->first_ticket = *qa_ticket_next(ticket);
    if (sender->first_ticket == NULL)
        sender->last_ticket = NULL;
    sender->tickets--;
    return ticket;
}

static qa_flight *start_ticket(qa_sender *sender, int64_t now_us) {
    while (sender->first_ticket != NULL && qa_ticket_abandoned(sender->first_ticket))
        qa_ticket_finish(pop_ticket(sender), &(qa_send_result){.status = QA_CLOSED});
    if (sender->first_ticket == NULL)
        return NULL;
    qa_flight *flight = new_flight(sender, QA_FLIGHT_TICKET, 3, now_us);
    if (flight == NULL)
        return NULL;
    flight->ticket = pop_ticket(sender);
    size_t length, count;
    const char *events = qa_ticket_events(flight->ticket, &length, &count);
    set_list(flight, events, length);
    flight->pass = qa_gate_enter(&sender->gate, true);
    return flight;
}

static qa_flight *start_empty(qa_sender *sender, qa_flight_kind kind, int64_t now_us) {
    qa_flight *flight = new_flight(sender, kind, 3, now_us);
    if (flight == NULL)
        return NULL;
    set_list(flight, "", 0);
    flight->pass = qa_gate_enter(&sender->gate, false);
    sender->checking = sender->checking || kind == QA_FLIGHT_CHECK;
    return flight;
}

/* What failed may itself be what the service stumbles over, and what is younger should not overtake
 * it: so every other probe is of neither. */
static bool wants_knock(const qa_sender *sender) {
    const qa_batch *oldest = sender->waiting.first;
    return sender->gate.state == QA_STATE_BACKING_OFF && sender->gate.failures % 2 == 0 &&
           oldest != NULL && oldest->failures > 0;
}

/* A stream is where batches fill up before they have lingered. */
static bool is_of_a_stream(const qa_sender *sender, const qa_batch *batch) {
    const qa_client_config *config = sender->config;
    return batch->attempts == 0 &&
           (batch->events >= config->batch_events || batch->bytes > config->batch_bytes / 2);
}

static void note_start(qa_sender *sender, const qa_batch *batch, int64_t now_us) {
    qa_histogram_record(&sender->ledger.batch_size, batch->events);
    for (size_t i = 0; i < batch->slice_count; i++) {
        qa_chunk *chunk = batch->slices[i].chunk;
        if (!chunk->started)
            qa_histogram_record(&sender->ledger.queue_latency, now_us - chunk->opened_us);
        chunk->started = true;
        chunk->flying += batch->slices[i].events;
        if (chunk->disk == QA_CHUNK_STORED)
            qa_ledger_unspool(&sender->ledger, batch->slices[i].events);
    }
    qa_ledger_start(&sender->ledger, batch->events);
    if (is_of_a_stream(sender, batch)) {
        sender->rest_until_us = qa_clock_add(now_us, REST_US);
        if (batch->bytes >= PACED_BYTES)
            sender->pace_until_us = qa_clock_add(now_us, PACE_US);
    }
}

static qa_flight *start_batch(qa_sender *sender, qa_batch *batch, int64_t now_us) {
    qa_flight *flight = new_flight(sender, QA_FLIGHT_BATCH, qa_batch_piece_count(batch), now_us);
    if (flight == NULL) {
        qa_batch_list_front(&sender->waiting, batch);
        return NULL;
    }
    flight->batch = batch;
    flight->bytes = batch->bytes;
    qa_batch_pieces(batch, flight->pieces);
    flight->pass = qa_gate_enter(&sender->gate, false);
    note_start(sender, batch, now_us);
    return flight;
}

static qa_flight *start_one(qa_sender *sender, int64_t now_us, int64_t *at) {
    if (sender->first_ticket != NULL) {
        qa_flight *flight = start_ticket(sender, now_us);
        if (flight != NULL || sender->first_ticket != NULL)
            return flight;
    }
    if (!qa_gate_ready(&sender->gate, now_us, at))
        return NULL;
    if (qa_sender_wants_check(sender))
        return start_empty(sender, QA_FLIGHT_CHECK, now_us);
    if (wants_knock(sender))
        return start_empty(sender, QA_FLIGHT_KNOCK, now_us);
    qa_batch *batch = pick(sender, now_us, at);
    if (batch != NULL)
        return start_batch(sender, batch, now_us);
    sender->hungry = sender->memory_us <= now_us && !sender->paced;
    return NULL;
}

/* Something to start, or NULL; then *at is lowered to when there may be. */
static qa_flight *next_flight(qa_sender *sender, int64_t now_us, int64_t *at) {
    uint32_t busy = sender->in_flight;
    if (sender->keeper != NULL)
        busy += qa_keeper_landing(sender->keeper);
    if (busy >= sender->config->max_in_flight)
        return NULL;
    if (sender->memory_us > now_us) {
        *at = qa_clock_earlier(*at, sender->memory_us);
        return NULL;
    }
    int64_t rate_at = QA_CLOCK_NEVER;
    if (!qa_rate_ready(&sender->rate, now_us, &rate_at)) {
        /* Only then is it worth waking up for, if there is something to send. */
        bool idle = sender->first_ticket == NULL && sender->waiting.first == NULL &&
                    sender->held.first == NULL && sender->queue.first_ready == NULL;
        if (!idle)
            *at = qa_clock_earlier(*at, rate_at);
        sender->hungry = idle;
        return NULL;
    }
    qa_flight *flight = start_one(sender, now_us, at);
    if (sender->memory_us > now_us)
        *at = qa_clock_earlier(*at, sender->memory_us);
    if (flight == NULL)
        return NULL;
    flight->started_us = now_us;
    flight->started_wall_ms = sender->clock.wall_ms(sender->clock.state);
    sender->flights = flight->seq;
    sender->in_flight++;
    qa_rate_take(&sender->rate, now_us);
    return flight;
}

static qa_flight *collect(qa_sender *sender, int64_t now_us, int64_t *at) {
    qa_flight *first = NULL, **end = &first;
    while ((*end = next_flight(sender, now_us, at)) != NULL)
        end = &(*end)->next;
    return first;
}

/* ---- launch: without the lock ---- */

/* The url, and the signature. Each attempt has its own, as the timestamp is part of it. */
static qa_status sign(qa_sender *sender, int64_t timestamp_ms, qa_buf *url,
                      char signature[QA_SIGN_SIZE], qa_error *error) {
    const qa_client_config *config = sender->config;
    qa_buf_put_text(url, config->endpoint);
    qa_buf_put_text(url, config->path);
    qa_buf_put_char(url, '?');
    pthread_mutex_lock(&sender->identity);
    qa_sign_input input = {.credentials = config->credentials,
                           .timestamp = timestamp_ms,
                           .encoding = config->sign_encoding};
    qa_status status = qa_sign(&input, signature, error);
    qa_sign_query(&input, url);
    pthread_mutex_unlock(&sender->identity);
    if (status == QA_OK && qa_buf_text(url) == NULL)
        status = qa_error_no_memory(error, "request");
    return status;
}

static qa_status launch(qa_sender *sender, qa_flight *flight, int64_t offset_ms,
                        qa_error *error) {
    const qa_client_config *config = sender->config;
    char signature[QA_SIGN_SIZE] = "";
    qa_buf url;
    qa_buf_init(&url, URL_MAX);
    qa_status status =
        sign(sender, qa_clock_add(flight->started_wall_ms, offset_ms), &url, signature, error);
    if (status == QA_OK) {
        qa_request request = {.url = url.data,
                              .authorization = signature,
                              .access_id = config->access_id,
                              .pieces = flight->pieces,
                              .piece_count = flight->piece_count,
                              .timeout_ms = (config->timeout_us + 999) / 1000,
                              .connect_timeout_ms = (config->connect_timeout_us + 999) / 1000,
                              .tag = flight};
        status = sender->transport->ops->start(sender->transport, &request, error);
    }
    qa_wipe(signature, sizeof signature);
    qa_buf_free(&url);
    return status;
}

/* Whether all of them are under way. */
static bool launch_all(qa_sender *sender, qa_flight *first, int64_t offset_ms) {
    bool all = true;
    while (first != NULL) {
        qa_flight *next = first->next;
        qa_error error = {QA_OK, false, ""};
        qa_verdict verdict;
        if (launch(sender, first, offset_ms, &error) != QA_OK) {
            all = false;
            qa_retry_judge_unsent(&error, &verdict);
            qa_sender_lock(sender);
            qa_sender_apply(sender, first, &verdict, NULL);
            qa_sender_unlock(sender);
        }
        first = next;
    }
    return all;
}

static int64_t wait_until(int64_t at, int64_t now_us) {
    if (at == QA_CLOCK_NEVER)
        return -1;
    return at > now_us ? at - now_us : 0;
}

static void rest(qa_sender *sender, int64_t now_us, int64_t *at) {
    sender->resting = sender->hungry && now_us < sender->rest_until_us;
    if (!sender->resting)
        return;
    sender->hungry = false;
    *at = qa_clock_earlier(*at, sender->rest_until_us);
}

bool qa_sender_step(qa_sender *sender, int64_t *wait_us) {
    *wait_us = 0;
    qa_sender_lock(sender);
    if (sender->stopping) {
        qa_sender_unlock(sender);
        return false;
    }
    int64_t now = sender->clock.now_us(sender->clock.state), at = QA_CLOCK_NEVER;
    sender->hungry = sender->paced = false;
    close_lingering(sender, now, &at);
    qa_sender_expire(sender, now, &at);
    relax_limit(sender, now);
    qa_flight *first = collect(sender, now, &at);
    rest(sender, now, &at);
    sender->look_at_us = at;
    if (sender->keeper != NULL)
        qa_keeper_look(sender);
    int64_t offset = sender->skew.offset_ms;
    qa_sender_unlock(sender);
    if (launch_all(sender, first, offset))
        *wait_us = wait_until(at, now);
    return true;
}

void qa_sender_done(void *context, void *tag, const qa_answer *answer) {
    qa_sender *sender = context;
    qa_flight *flight = tag;
    qa_verdict verdict;
    qa_retry_judge(answer, sender->config->error_codes, sender->config->error_code_count,
                   &verdict);
    if (sender->keeper != NULL && flight->batch != NULL &&
        verdict.action == QA_ACTION_DELIVERED)
        qa_keeper_acknowledge(sender, flight->batch);
    qa_sender_lock(sender);
    qa_sender_apply(sender, flight, &verdict, answer);
    qa_sender_unlock(sender);
}
