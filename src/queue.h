/* queue.h
 * Everything accepted that hasn't ended: chunks in the order they were opened, within two bounds.
 * Does not know batches, time, nor why events end.
 * SPDX-License-Identifier: MIT */
#ifndef QA_QUEUE_H
#define QA_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "status.h"

/* Open, so that it can be embedded; the owner's lock guards it. */
typedef struct qa_queue {
    uint64_t max_events, max_bytes;
    uint64_t events; /* that haven't ended */
    uint64_t bytes;  /* text of the chunks that are there, as long as they are */
    uint64_t next_seq;
    qa_chunk *oldest, *newest;
    qa_chunk *first_ready, *last_ready; /* closed, and not wholly in batches */
    qa_chunk *spares; /* empty, linked by next; a few, so that a steady stream needs no allocator */
    size_t spare_count;
} qa_queue;

void qa_queue_init(qa_queue *queue, uint64_t max_events, uint64_t max_bytes);

/* Frees all chunks. */
void qa_queue_free(qa_queue *queue);

/* Whether so much more may come: QA_OK, or QA_QUEUE_FULL with the figures in words. */
qa_status qa_queue_admit(const qa_queue *queue, uint64_t events, uint64_t bytes, qa_error *error);

/* An empty chunk with room for `capacity` bytes, from the spares where one fits; the caller's until
 * it is added. NULL: out of memory. */
qa_chunk *qa_queue_new_chunk(qa_queue *queue, size_t capacity);

/* The caller gives up a chunk that is in the queue no longer: it becomes a spare, or is freed. */
void qa_queue_recycle(qa_queue *queue, qa_chunk *chunk);

/* The queue takes the chunk, with what is in it already, and gives it its number. */
void qa_queue_add(qa_queue *queue, qa_chunk *chunk);

/* The queue takes a chunk whose number it gave before, and which may not be the newest. */
void qa_queue_put_back(qa_queue *queue, qa_chunk *chunk);

/* A chunk in the queue has grown. */
void qa_queue_grow(qa_queue *queue, uint64_t events, uint64_t bytes);

/* The chunk is closed: it may be put in a batch. */
void qa_queue_ready(qa_queue *queue, qa_chunk *chunk);

/* The first chunk that is ready has been used up. */
void qa_queue_pop_ready(qa_queue *queue);

/* `events` of the chunk have ended. True when they were its last: it is out of the queue, and the
 * caller's to recycle. */
bool qa_queue_end(qa_queue *queue, qa_chunk *chunk, uint32_t events);

/* The number of the newest chunk; 0: there never was one. */
uint64_t qa_queue_mark(const qa_queue *queue);

/* Whether all chunks up to the mark have ended, and how many events haven't. */
bool qa_queue_passed(const qa_queue *queue, uint64_t mark);
uint64_t qa_queue_remaining(const qa_queue *queue, uint64_t mark);

#endif
