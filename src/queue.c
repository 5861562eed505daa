/* queue.c
 * Everything accepted that hasn't ended: chunks in the order they were opened, within two bounds.
 * Does not know batches, time, nor why events end.
 * SPDX-License-Identifier: MIT */
#include "queue.h"

#include <inttypes.h>

void qa_queue_init(qa_queue *queue, uint64_t max_events, uint64_t max_bytes) {
    *queue = (qa_queue){.max_events = max_events, .max_bytes = max_bytes, .next_seq = 1};
}

void qa_queue_free(qa_queue *queue) {
    while (queue->oldest != NULL) {
        qa_chunk *next = queue->oldest->next;
        qa_chunk_free(queue->oldest);
        queue->oldest = next;
    }
    qa_queue_init(queue, queue->max_events, queue->max_bytes);
}

qa_status qa_queue_admit(const qa_queue *queue, uint64_t events, uint64_t bytes,
                         qa_error *error) {
    if (queue->events + events > queue->max_events)
        return qa_error_set(error, QA_QUEUE_FULL,
                            "queue: full: %" PRIu64 " of %" PRIu64
                            " events wait, no room for %" PRIu64 " more",
                            queue->events, queue->max_events, events);
    if (queue->bytes + bytes > queue->max_bytes)
        return qa_error_set(error, QA_QUEUE_FULL,
                            "queue: full: %" PRIu64 " of %" PRIu64
                            " bytes wait, no room for %" PRIu64 " more",
                            queue->bytes, queue->max_bytes, bytes);
    return QA_OK;
}

void qa_queue_add(qa_queue *queue, qa_chunk *chunk) {
    chunk->seq = queue->next_seq++;
    chunk->previous = queue->newest;
    chunk->next = NULL;
    if (queue->newest != NULL)
        queue->newest->next = chunk;
    else
        queue->oldest = chunk;
    queue->newest = chunk;
    qa_queue_grow(queue, chunk->events, chunk->length);
}

void qa_queue_grow(qa_queue *queue, uint64_t events, uint64_t bytes) {
    queue->events += events;
    queue->bytes += bytes;
}

void qa_queue_ready(qa_queue *queue, qa_chunk *chunk) {
    chunk->next_ready = NULL;
    if (queue->last_ready != NULL)
        queue->last_ready->next_ready = chunk;
    else
        queue->first_ready = chunk;
    queue->last_ready = chunk;
}

void qa_queue_pop_ready(qa_queue *queue) {
    queue->first_ready = queue->first_ready->next_ready;
    if (queue->first_ready == NULL)
        queue->last_ready = NULL;
}

static void unlink_chunk(qa_queue *queue, qa_chunk *chunk) {
    if (chunk->previous != NULL)
        chunk->previous->next = chunk->next;
    else
        queue->oldest = chunk->next;
    if (chunk->next != NULL)
        chunk->next->previous = chunk->previous;
    else
        queue->newest = chunk->previous;
}

bool qa_queue_end(qa_queue *queue, qa_chunk *chunk, uint32_t events) {
    chunk->live -= events;
    queue->events -= events;
    if (chunk->live > 0)
        return false;
    queue->bytes -= chunk->length;
    unlink_chunk(queue, chunk);
    return true;
}

uint64_t qa_queue_mark(const qa_queue *queue) {
    return queue->next_seq - 1;
}

bool qa_queue_passed(const qa_queue *queue, uint64_t mark) {
    return queue->oldest == NULL || queue->oldest->seq > mark;
}

uint64_t qa_queue_remaining(const qa_queue *queue, uint64_t mark) {
    uint64_t events = 0;
    for (const qa_chunk *chunk = queue->oldest; chunk != NULL && chunk->seq <= mark;
         chunk = chunk->next)
        events += chunk->live;
    return events;
}
