/* sender_report.c
 * The sender's intake: report() puts events into a lane's chunk, within the bounds, or refuses them.
 * Does not know when they are sent (sender_step.c).
 * SPDX-License-Identifier: MIT */
#include "sender_state.h"

#include <inttypes.h>

enum { CAPACITY_FIRST = 4096 };

bool qa_sender_close_chunk(qa_sender *sender, qa_lane *lane) {
    qa_chunk *chunk = lane->open;
    if (chunk == NULL)
        return false;
    lane->open = NULL;
    /* So little more than this one needed that a full chunk of the next need not be trimmed. */
    lane->capacity_hint = chunk->length + chunk->length / 32;
    qa_chunk_trim(chunk);
    qa_sender_chunk_closed(sender, chunk);
    return qa_sender_rouse(sender);
}

bool qa_sender_rouse(qa_sender *sender) {
    bool needed = sender->hungry || sender->resting || sender->paced;
    sender->hungry = sender->resting = sender->paced = false;
    return needed;
}

void qa_sender_chunk_closed(qa_sender *sender, qa_chunk *chunk) {
    if (sender->keeper == NULL)
        qa_queue_ready(&sender->queue, chunk);
    else
        qa_keeper_closed(sender, chunk);
}

/* A thread that looks again by itself in a moment isn't woken, unless the queue fills up before. */
static bool close_full(qa_sender *sender, qa_lane *lane) {
    const qa_queue *queue = &sender->queue;
    bool resting = sender->resting, paced = sender->paced;
    bool patient = (resting || paced) && queue->events <= queue->max_events / 2 &&
                   queue->bytes <= queue->max_bytes / 2;
    bool needed = qa_sender_close_chunk(sender, lane);
    if (patient) {
        sender->resting = resting;
        sender->paced = paced;
    }
    return needed && !patient;
}

static bool is_full(const qa_sender *sender, const qa_chunk *chunk) {
    return chunk->events >= sender->config->batch_events ||
           chunk->length >= sender->config->batch_bytes;
}

/* The queue takes a chunk that holds events already, and the lane goes on filling it. */
static bool open_chunk(qa_sender *sender, qa_lane *lane, qa_chunk *chunk) {
    chunk->opened_us = sender->clock.now_us(sender->clock.state);
    chunk->opened_wall_ms = sender->clock.wall_ms(sender->clock.state);
    chunk->lane = lane;
    lane->chunks++;
    lane->open = chunk;
    qa_queue_add(&sender->queue, chunk);
    int64_t due = qa_clock_add(chunk->opened_us, sender->linger_us);
    if (due >= sender->look_at_us)
        return false;
    sender->look_at_us = INT64_MIN; /* once is enough until the thread has looked */
    return true;
}

static qa_status append_to_new(qa_sender *sender, qa_lane *lane, const char *events,
                               size_t length, size_t count, bool *needed, qa_error *error) {
    size_t capacity = lane->capacity_hint > 0 ? lane->capacity_hint : CAPACITY_FIRST;
    qa_chunk *chunk =
        qa_queue_new_chunk(&sender->queue, capacity > length ? capacity : length);
    if (chunk == NULL)
        return qa_error_no_memory(error, "queue");
    qa_chunk_append(chunk, events, length, count); /* cannot fail: there is room */
    if (close_full(sender, lane))
        *needed = true;
    if (open_chunk(sender, lane, chunk))
        *needed = true;
    return QA_OK;
}

static qa_status append(qa_sender *sender, qa_lane *lane, const char *events, size_t length,
                        size_t count, bool *needed, qa_error *error) {
    const qa_client_config *config = sender->config;
    qa_chunk *chunk = lane->open;
    if (chunk != NULL &&
        qa_chunk_fits(chunk, length, count, config->batch_bytes, config->batch_events)) {
        size_t before = chunk->length;
        if (!qa_chunk_append(chunk, events, length, count))
            return qa_error_no_memory(error, "queue");
        qa_queue_grow(&sender->queue, count, chunk->length - before);
    } else {
        qa_status status = append_to_new(sender, lane, events, length, count, needed, error);
        if (status != QA_OK)
            return status;
    }
    lane->pending += count;
    qa_ledger_accept(&sender->ledger, count);
    if (is_full(sender, lane->open) && close_full(sender, lane))
        *needed = true;
    return QA_OK;
}

static qa_status admit(const qa_sender *sender, const qa_lane *lane, size_t length, size_t count,
                       qa_error *error) {
    if (lane->closed || sender->stopping)
        return qa_error_set(error, QA_CLOSED, "client: closed");
    if (sender->keeper != NULL) {
        qa_status status = qa_keeper_admit(sender->keeper, error);
        if (status != QA_OK)
            return status;
    }
    return qa_queue_admit(&sender->queue, count, (uint64_t)length + QA_CHUNK_SEPARATOR_SIZE,
                          error);
}

static void free_list(qa_chunk *first) {
    while (first != NULL) {
        qa_chunk *next = first->next_ready;
        qa_chunk_free(first);
        first = next;
    }
}

/* Chunks of their own for events that are too many for one; NULL: out of memory. */
static qa_chunk *cut_in_chunks(const qa_client_config *config, const char *events,
                               size_t length) {
    qa_chunk *first = NULL, **end = &first;
    uint64_t bytes = config->batch_bytes > 2 ? config->batch_bytes - 2 : 0;
    for (size_t from = 0; from < length;) {
        uint32_t count =
            config->batch_events < UINT32_MAX ? (uint32_t)config->batch_events : UINT32_MAX;
        size_t size = qa_chunk_cut(events + from, length - from, bytes, &count);
        *end = qa_chunk_new(size);
        if (*end == NULL) {
            free_list(first);
            return NULL;
        }
        qa_chunk_append(*end, events + from, size, count);
        end = &(*end)->next_ready;
        from += size + QA_CHUNK_SEPARATOR_SIZE;
    }
    return first;
}

/* All of the chunks at once, so that many events are taken wholly or not at all. */
static qa_status report_chunks(qa_sender *sender, qa_lane *lane, qa_chunk *first, size_t length,
                               size_t count, bool *needed, qa_error *error) {
    qa_status status = admit(sender, lane, length, count, error);
    if (status != QA_OK) {
        free_list(first);
        return status;
    }
    lane->pending += count;
    qa_ledger_accept(&sender->ledger, count);
    while (first != NULL) {
        qa_chunk *next = first->next_ready;
        if (qa_sender_close_chunk(sender, lane))
            *needed = true;
        if (open_chunk(sender, lane, first))
            *needed = true;
        first = next;
    }
    if (is_full(sender, lane->open) && qa_sender_close_chunk(sender, lane))
        *needed = true;
    return QA_OK;
}

/* Many events: what they are is looked at before the lock is taken. */
static qa_status check_sizes(const qa_client_config *config, const char *events, size_t length,
                             size_t count, qa_error *error) {
    size_t found = 1;
    size_t largest = count > 1 ? qa_chunk_largest(events, length, &found) : length;
    if (count > 1 && found != count)
        return qa_error_set(error, QA_INVALID_EVENT, "events: %zu announced, %zu found", count,
                            found);
    if (largest > config->batch_bytes)
        return qa_error_set(error, QA_INVALID_EVENT,
                            "event: %zu bytes, more than batch_bytes (%" PRIu64 ")", largest,
                            config->batch_bytes);
    return QA_OK;
}

static bool fits_one_chunk(const qa_client_config *config, size_t length, size_t count) {
    return count == 1 ||
           (count <= config->batch_events && (uint64_t)length + 2 <= config->batch_bytes);
}

qa_status qa_sender_report(qa_sender *sender, qa_lane *lane, const char *events, size_t length,
                           size_t count, qa_error *error) {
    const qa_client_config *config = sender->config;
    bool needed = false, one = fits_one_chunk(config, length, count);
    if (count == 0)
        return QA_OK;
    if (count > 1 || length > config->batch_bytes) {
        qa_status status = check_sizes(config, events, length, count, error);
        if (status != QA_OK)
            return status;
    }
    qa_chunk *chunks = one ? NULL : cut_in_chunks(config, events, length);
    if (!one && chunks == NULL)
        return qa_error_no_memory(error, "queue");
    qa_sender_lock(sender);
    qa_status status;
    if (!one)
        status = report_chunks(sender, lane, chunks, length, count, &needed, error);
    else if ((status = admit(sender, lane, length, count, error)) == QA_OK)
        status = append(sender, lane, events, length, count, &needed, error);
    qa_sender_unlock(sender);
    if (needed)
        qa_sender_wake(sender);
    return status;
}
