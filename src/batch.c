/* batch.c
 * What one request carries: slices of chunks that live, fail and are taken apart together.
 * Does not know the queue's bounds, the transport, nor what an answer means.
 * SPDX-License-Identifier: MIT */
#include "batch.h"

#include <stdlib.h>

#include "clock.h"

enum { BRACKETS = 2 };

static qa_batch *new_batch(size_t slices) {
    qa_batch *batch = calloc(1, sizeof *batch + slices * sizeof batch->slices[0]);
    if (batch != NULL) {
        batch->bytes = BRACKETS;
        batch->expires_us = QA_CLOCK_NEVER;
    }
    return batch;
}

void qa_batch_free(qa_batch *batch) {
    if (batch == NULL)
        return;
    qa_batch_part(batch);
    qa_trial_unref(batch->trial);
    free(batch->last);
    free(batch);
}

static size_t with_separator(const qa_batch *batch, size_t length) {
    return length + (batch->slice_count > 0 ? QA_CHUNK_SEPARATOR_SIZE : 0);
}

static void add_slice(qa_batch *batch, const qa_batch_slice *slice, int64_t expires_us) {
    batch->bytes += with_separator(batch, slice->length);
    batch->events += slice->events;
    batch->expires_us = qa_clock_earlier(batch->expires_us, expires_us);
    batch->slices[batch->slice_count++] = *slice;
}

/* How many ready chunks fit together whole; 0: not even the first. */
static size_t count_fitting(const qa_queue *queue, uint64_t max_events, uint64_t max_bytes) {
    uint64_t events = 0, bytes = BRACKETS;
    size_t chunks = 0;
    for (const qa_chunk *chunk = queue->first_ready; chunk != NULL; chunk = chunk->next_ready) {
        events += chunk->events - chunk->taken_events;
        bytes += chunk->length - chunk->taken + (chunks > 0 ? QA_CHUNK_SEPARATOR_SIZE : 0);
        if (events > max_events || bytes > max_bytes)
            break;
        chunks++;
    }
    return chunks;
}

/* The rest of the first ready chunk, or as much of it as fits. */
static void take_first(qa_batch *batch, qa_queue *queue, bool whole, uint64_t max_events,
                       uint64_t max_bytes, int64_t deadline_us) {
    qa_chunk *chunk = queue->first_ready;
    qa_batch_slice slice = {.chunk = chunk,
                            .offset = chunk->taken,
                            .length = chunk->length - chunk->taken,
                            .events = chunk->events - chunk->taken_events};
    if (!whole) {
        uint64_t most = max_bytes > BRACKETS ? max_bytes - BRACKETS : 0;
        if (max_events < slice.events)
            slice.events = (uint32_t)max_events;
        slice.length = qa_chunk_cut(chunk->data + slice.offset, slice.length, most, &slice.events);
    }
    chunk->taken_events += slice.events;
    chunk->taken += slice.length + QA_CHUNK_SEPARATOR_SIZE;
    if (chunk->taken_events == chunk->events)
        qa_queue_pop_ready(queue);
    add_slice(batch, &slice, qa_clock_add(chunk->opened_us, deadline_us));
}

/* What was tried before the process began. */
static void inherit_past(qa_batch *batch) {
    for (size_t i = 0; i < batch->slice_count; i++) {
        const qa_chunk *chunk = batch->slices[i].chunk;
        if (chunk->attempts > batch->attempts)
            batch->attempts = chunk->attempts;
        batch->possibly_stored = batch->possibly_stored || chunk->possibly_stored;
    }
}

qa_batch *qa_batch_take(qa_queue *queue, uint64_t max_events, uint64_t max_bytes,
                        int64_t deadline_us, bool *no_memory) {
    *no_memory = false;
    if (queue->first_ready == NULL)
        return NULL;
    size_t chunks = count_fitting(queue, max_events, max_bytes);
    qa_batch *batch = new_batch(chunks > 0 ? chunks : 1);
    if (batch == NULL) {
        *no_memory = true;
        return NULL;
    }
    if (chunks == 0)
        take_first(batch, queue, false, max_events > 0 ? max_events : 1, max_bytes, deadline_us);
    for (size_t i = 0; i < chunks; i++)
        take_first(batch, queue, true, 0, 0, deadline_us);
    inherit_past(batch);
    return batch;
}

/* Moves slice `at` of `from`, without its first `events` events, and all slices behind it. */
static void move_rest(qa_batch *from, size_t at, uint32_t events, qa_batch *to) {
    size_t moved = 0;
    for (size_t i = at; i < from->slice_count; i++) {
        qa_batch_slice slice = from->slices[i];
        if (i == at && events > 0) {
            uint32_t first = events;
            size_t end = qa_chunk_cut(slice.chunk->data + slice.offset, slice.length, UINT64_MAX,
                                      &first);
            from->slices[i].length = end;
            from->slices[i].events = first;
            slice.offset += end + QA_CHUNK_SEPARATOR_SIZE;
            slice.length -= end + QA_CHUNK_SEPARATOR_SIZE;
            slice.events -= first;
        }
        add_slice(to, &slice, from->expires_us);
        moved += slice.events;
    }
    from->slice_count = at + (events > 0 ? 1 : 0);
    from->events -= (uint32_t)moved;
    from->bytes = BRACKETS;
    for (size_t i = 0; i < from->slice_count; i++)
        from->bytes += from->slices[i].length + (i > 0 ? QA_CHUNK_SEPARATOR_SIZE : 0);
}

static void inherit(qa_batch *half, const qa_batch *batch) {
    half->trial = qa_trial_ref(batch->trial);
    half->depth = batch->depth;
    half->attempts = batch->attempts;
    half->failures = batch->failures;
    half->next_attempt_us = batch->next_attempt_us;
    half->possibly_stored = batch->possibly_stored;
    if (batch->last != NULL)
        qa_batch_remember(half, batch->last);
}

qa_batch *qa_batch_split(qa_batch *batch) {
    if (batch->events < 2)
        return NULL;
    uint32_t before = 0, middle = batch->events / 2 + batch->events % 2;
    size_t at = 0;
    while (before + batch->slices[at].events <= middle)
        before += batch->slices[at++].events;
    qa_batch *half = new_batch(batch->slice_count - at);
    if (half == NULL)
        return NULL;
    qa_batch_part(batch);
    inherit(half, batch);
    move_rest(batch, at, middle - before, half);
    batch->depth++;
    half->depth++;
    batch->twin_reason = half->twin_reason = 0;
    batch->sibling = half;
    half->sibling = batch;
    return half;
}

uint32_t qa_batch_expire(qa_batch *batch, int64_t now_us, int64_t deadline_us,
                         qa_batch_expired *expired, void *context) {
    uint32_t gone = 0;
    size_t kept = 0;
    if (batch->expires_us > now_us)
        return 0;
    batch->expires_us = QA_CLOCK_NEVER;
    batch->bytes = BRACKETS;
    for (size_t i = 0; i < batch->slice_count; i++) {
        qa_batch_slice slice = batch->slices[i];
        int64_t expires = qa_clock_add(slice.chunk->opened_us, deadline_us);
        if (expires <= now_us) {
            gone += slice.events;
            expired(context, batch, &slice);
            continue;
        }
        batch->expires_us = qa_clock_earlier(batch->expires_us, expires);
        batch->bytes += slice.length + (kept > 0 ? QA_CHUNK_SEPARATOR_SIZE : 0);
        batch->slices[kept++] = slice;
    }
    batch->slice_count = kept;
    batch->events -= gone;
    return gone;
}

size_t qa_batch_piece_count(const qa_batch *batch) {
    return batch->slice_count * 2 + 1;
}

void qa_batch_pieces(const qa_batch *batch, qa_slice *out) {
    for (size_t i = 0; i < batch->slice_count; i++) {
        const qa_batch_slice *slice = &batch->slices[i];
        *out++ = i == 0 ? (qa_slice){"[", 1}
                        : (qa_slice){QA_CHUNK_SEPARATOR, QA_CHUNK_SEPARATOR_SIZE};
        *out++ = (qa_slice){slice->chunk->data + slice->offset, slice->length};
    }
    *out = (qa_slice){"]", 1};
}

void qa_batch_part(qa_batch *batch) {
    if (batch->sibling != NULL)
        batch->sibling->sibling = NULL;
    batch->sibling = NULL;
}

void qa_batch_remember(qa_batch *batch, const qa_verdict *verdict) {
    if (batch->last == NULL)
        batch->last = malloc(sizeof *batch->last);
    if (batch->last != NULL)
        *batch->last = *verdict;
}

static void link_between(qa_batch_list *list, qa_batch *before, qa_batch *batch,
                         qa_batch *behind) {
    batch->previous = before;
    batch->next = behind;
    if (before != NULL)
        before->next = batch;
    else
        list->first = batch;
    if (behind != NULL)
        behind->previous = batch;
    else
        list->last = batch;
    list->count++;
}

void qa_batch_list_push(qa_batch_list *list, qa_batch *batch) {
    link_between(list, list->last, batch, NULL);
}

void qa_batch_list_front(qa_batch_list *list, qa_batch *batch) {
    link_between(list, NULL, batch, list->first);
}

void qa_batch_list_after(qa_batch_list *list, qa_batch *place, qa_batch *batch) {
    link_between(list, place, batch, place->next);
}

static bool is_older(const qa_batch *a, const qa_batch *b) {
    const qa_batch_slice *first = &a->slices[0], *second = &b->slices[0];
    if (first->chunk != second->chunk)
        return first->chunk->seq < second->chunk->seq;
    return first->offset < second->offset;
}

void qa_batch_list_insert(qa_batch_list *list, qa_batch *batch) {
    qa_batch *behind = list->first;
    while (behind != NULL && is_older(behind, batch))
        behind = behind->next;
    link_between(list, behind != NULL ? behind->previous : list->last, batch, behind);
}

void qa_batch_list_remove(qa_batch_list *list, qa_batch *batch) {
    if (batch->previous != NULL)
        batch->previous->next = batch->next;
    else
        list->first = batch->next;
    if (batch->next != NULL)
        batch->next->previous = batch->previous;
    else
        list->last = batch->previous;
    batch->previous = batch->next = NULL;
    list->count--;
}
