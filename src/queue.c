/* queue.c
 * Everything accepted that hasn't ended: chunks in the order they were opened, within two bounds.
 * Does not know batches, time, nor why events end.
 * SPDX-License-Identifier: MIT */
#include "queue.h"

#include <inttypes.h>

/* Together 2 MiB at most. A chunk that is handed from thread to thread would otherwise go through
 * the allocator, which gives the pages back and takes them anew: page faults and system calls
 * inside report(), under the lock. */
enum { SPARES_MAX = 8, SPARE_CAPACITY_MAX = 256 * 1024 };

void qa_queue_init(qa_queue *queue, uint64_t max_events, uint64_t max_bytes) {
    *queue = (qa_queue){.max_events = max_events, .max_bytes = max_bytes, .next_seq = 1};
}

static void free_chunks(qa_chunk *chunk) {
    while (chunk != NULL) {
        qa_chunk *next = chunk->next;
        qa_chunk_free(chunk);
        chunk = next;
    }
}

void qa_queue_free(qa_queue *queue) {
    free_chunks(queue->oldest);
    free_chunks(queue->spares);
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

qa_chunk *qa_queue_new_chunk(qa_queue *queue, size_t capacity) {
    for (qa_chunk **at = &queue->spares; *at != NULL; at = &(*at)->next) {
        qa_chunk *spare = *at;
        if (spare->capacity < capacity || spare->capacity / 2 > capacity)
            continue;
        *at = spare->next;
        queue->spare_count--;
        qa_chunk_reset(spare);
        return spare;
    }
    return qa_chunk_new(capacity);
}

void qa_queue_recycle(qa_queue *queue, qa_chunk *chunk) {
    if (queue->spare_count == SPARES_MAX || chunk->capacity > SPARE_CAPACITY_MAX) {
        qa_chunk_free(chunk);
        return;
    }
    chunk->next = queue->spares;
    queue->spares = chunk;
    queue->spare_count++;
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

void qa_queue_put_back(qa_queue *queue, qa_chunk *chunk) {
    qa_chunk *before = queue->newest;
    while (before != NULL && before->seq > chunk->seq)
        before = before->previous;
    chunk->previous = before;
    chunk->next = before != NULL ? before->next : queue->oldest;
    if (before != NULL)
        before->next = chunk;
    else
        queue->oldest = chunk;
    if (chunk->next != NULL)
        chunk->next->previous = chunk;
    else
        queue->newest = chunk;
    qa_queue_grow(queue, chunk->live, chunk->length);
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
