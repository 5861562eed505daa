/* batch.h
 * What one request carries: slices of chunks that live, fail and are taken apart together.
 * Does not know the queue's bounds, the transport, nor what an answer means.
 * SPDX-License-Identifier: MIT */
#ifndef QA_BATCH_H
#define QA_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"
#include "retry.h"
#include "status.h"
#include "transport.h"
#include "trial.h"

typedef struct qa_batch_slice {
    qa_chunk *chunk; /* the queue's */
    size_t offset, length;
    uint32_t events;
} qa_batch_slice;

/* The owner's lock guards it. */
typedef struct qa_batch {
    struct qa_batch *previous, *next; /* the one list it is in */
    struct qa_batch *sibling;         /* the other half, as long as it has no verdict */
    qa_trial *trial;                  /* counted; NULL: never rejected */
    uint32_t depth;                   /* halvings since the trial's root */
    uint64_t twin_reason;             /* why the other half was rejected; 0: it wasn't */
    uint32_t events;
    size_t bytes;            /* of a request's list, brackets included */
    uint32_t attempts;       /* requests that carried it */
    uint32_t failures;       /* of them, those that ended in a retry */
    int64_t next_attempt_us; /* not before */
    int64_t expires_us;      /* when the first of its slices is too old */
    bool possibly_stored;
    qa_verdict *last; /* why it failed last, owned; NULL: it didn't, or memory was short */
    size_t slice_count;
    qa_batch_slice slices[];
} qa_batch;

/* The next batch of what is ready: as many events as fit, in order, at least one. NULL when
 * nothing is ready, or when out of memory: *no_memory tells. `deadline_us` counts from a chunk's
 * opening. */
qa_batch *qa_batch_take(qa_queue *queue, uint64_t max_events, uint64_t max_bytes,
                        int64_t deadline_us, bool *no_memory);

/* Frees the batch alone: its slices stay in their chunks. NULL is legal. */
void qa_batch_free(qa_batch *batch);

/* Cuts the batch in two at the middle event; it keeps the first half, and the second, with the
 * same history, is returned. They are siblings. NULL, with nothing changed: one event, or out of
 * memory. */
qa_batch *qa_batch_split(qa_batch *batch);

/* Takes out the slices that are too old, calling `expired` for each; how many events that were.
 * When none are left, the caller frees the batch. */
typedef void qa_batch_expired(void *context, qa_batch *batch, const qa_batch_slice *slice);
uint32_t qa_batch_expire(qa_batch *batch, int64_t now_us, int64_t deadline_us,
                         qa_batch_expired *expired, void *context);

/* How many pieces its list has, and the pieces themselves, brackets and separators included. */
size_t qa_batch_piece_count(const qa_batch *batch);
void qa_batch_pieces(const qa_batch *batch, qa_slice *out);

/* Forgets that the other half waits for this one's verdict. */
void qa_batch_part(qa_batch *batch);

/* Remembers a copy of why it failed last; without memory for it, the failure before. */
void qa_batch_remember(qa_batch *batch, const qa_verdict *verdict);

/* A list of batches; each is in one list at most. */
typedef struct qa_batch_list {
    qa_batch *first, *last;
    size_t count;
} qa_batch_list;

void qa_batch_list_push(qa_batch_list *list, qa_batch *batch);  /* at the end */
void qa_batch_list_front(qa_batch_list *list, qa_batch *batch); /* at the front */
/* Where it belongs by age: before all that are younger. */
void qa_batch_list_insert(qa_batch_list *list, qa_batch *batch);
void qa_batch_list_after(qa_batch_list *list, qa_batch *place, qa_batch *batch);
void qa_batch_list_remove(qa_batch_list *list, qa_batch *batch);

#endif
