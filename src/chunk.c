/* chunk.c
 * Events joined by ",\n" in one piece of memory: the unit of memory, of disk and of retry.
 * Does not know what an event says, nor when a chunk is closed or sent.
 * SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 256,
    BRACKETS = 2,
    SLACK_PER_EVENT = 16 /* bytes left unused that a trim isn't worth; half of what is promised */
};

qa_chunk *qa_chunk_new(size_t capacity) {
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    qa_chunk *chunk = calloc(1, sizeof *chunk);
    char *data = malloc(capacity);
    if (chunk == NULL || data == NULL) {
        free(chunk);
        free(data);
        return NULL;
    }
    chunk->data = data;
    chunk->capacity = capacity;
    return chunk;
}

void qa_chunk_free(qa_chunk *chunk) {
    if (chunk == NULL)
        return;
    free(chunk->data);
    free(chunk->parts);
    free(chunk);
}

void qa_chunk_clear(qa_chunk *chunk) {
    free(chunk->data);
    free(chunk->parts);
    chunk->data = NULL;
    chunk->parts = NULL;
    chunk->capacity = 0;
    chunk->part_count = chunk->part_capacity = 0;
}

void qa_chunk_reset(qa_chunk *chunk) {
    free(chunk->parts);
    *chunk = (qa_chunk){.data = chunk->data, .capacity = chunk->capacity};
}

bool qa_chunk_fits(const qa_chunk *chunk, size_t length, size_t events, uint64_t max_bytes,
                   uint64_t max_events) {
    if (chunk->events == 0)
        return events <= max_events;
    uint64_t bytes = (uint64_t)chunk->length + QA_CHUNK_SEPARATOR_SIZE + length + BRACKETS;
    return chunk->events + events <= max_events && bytes <= max_bytes;
}

static bool grow(qa_chunk *chunk, size_t needed) {
    size_t capacity = chunk->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    char *data = realloc(chunk->data, capacity);
    if (data == NULL)
        return false;
    chunk->data = data;
    chunk->capacity = capacity;
    return true;
}

bool qa_chunk_append(qa_chunk *chunk, const char *bytes, size_t length, size_t events) {
    size_t separator = chunk->events > 0 ? QA_CHUNK_SEPARATOR_SIZE : 0;
    size_t room = chunk->capacity - chunk->length;
    if (length > SIZE_MAX / 4 || (room < separator + length &&
                                  !grow(chunk, chunk->length + separator + length)))
        return false;
    char *at = chunk->data + chunk->length;
    memcpy(at, QA_CHUNK_SEPARATOR, separator);
    memcpy(at + separator, bytes, length);
    chunk->length += separator + length;
    chunk->events += (uint32_t)events;
    chunk->live += (uint32_t)events;
    return true;
}

void qa_chunk_trim(qa_chunk *chunk) {
    size_t slack = chunk->capacity - chunk->length;
    if (slack <= (size_t)chunk->events * SLACK_PER_EVENT || chunk->length == 0)
        return;
    char *data = realloc(chunk->data, chunk->length);
    if (data == NULL)
        return;
    chunk->data = data;
    chunk->capacity = chunk->length;
}

static bool grow_parts(qa_chunk *chunk) {
    if (chunk->part_count < chunk->part_capacity)
        return true;
    uint32_t capacity = chunk->part_capacity * 2 + 4;
    qa_chunk_part *parts = realloc(chunk->parts, capacity * sizeof *parts);
    if (parts == NULL)
        return false;
    chunk->parts = parts;
    chunk->part_capacity = capacity;
    return true;
}

void qa_chunk_end_part(qa_chunk *chunk, size_t offset, size_t length, uint32_t events) {
    if (!grow_parts(chunk))
        return;
    uint32_t at = chunk->part_count;
    while (at > 0 && chunk->parts[at - 1].offset > offset)
        at--;
    memmove(chunk->parts + at + 1, chunk->parts + at,
            (chunk->part_count - at) * sizeof *chunk->parts);
    chunk->parts[at] = (qa_chunk_part){offset, length, events};
    chunk->part_count++;
}

size_t qa_chunk_remains(const qa_chunk *chunk, char *out, uint32_t *events) {
    size_t from = 0, length = 0;
    *events = chunk->events;
    for (uint32_t i = 0; i <= chunk->part_count; i++) {
        bool last = i == chunk->part_count;
        size_t to = last ? chunk->length : chunk->parts[i].offset;
        /* Up to the next part stands its separator too. */
        size_t piece = last || to <= from ? to - from : to - from - QA_CHUNK_SEPARATOR_SIZE;
        if (to > from && piece > 0) {
            if (length > 0) {
                memcpy(out + length, QA_CHUNK_SEPARATOR, QA_CHUNK_SEPARATOR_SIZE);
                length += QA_CHUNK_SEPARATOR_SIZE;
            }
            memcpy(out + length, chunk->data + from, piece);
            length += piece;
        }
        if (last)
            break;
        from = to + chunk->parts[i].length + QA_CHUNK_SEPARATOR_SIZE;
        if (from > chunk->length)
            from = chunk->length;
        *events -= chunk->parts[i].events;
    }
    return length;
}

size_t qa_chunk_cut(const char *data, size_t length, uint64_t max_bytes, uint32_t *events) {
    size_t end = 0;
    uint32_t count = 0;
    while (end < length && count < *events) {
        size_t from = count > 0 ? end + QA_CHUNK_SEPARATOR_SIZE : 0;
        const char *newline = memchr(data + from, '\n', length - from);
        size_t to = newline != NULL ? (size_t)(newline - data) + 1 - QA_CHUNK_SEPARATOR_SIZE
                                    : length;
        if (count > 0 && to > max_bytes)
            break;
        end = to;
        count++;
    }
    *events = count;
    return end;
}

size_t qa_chunk_largest(const char *data, size_t length, size_t *count) {
    size_t largest = 0, events = 0, from = 0;
    while (from < length) {
        uint32_t one = 1;
        size_t size = qa_chunk_cut(data + from, length - from, 0, &one);
        largest = size > largest ? size : largest;
        from += size + QA_CHUNK_SEPARATOR_SIZE;
        events++;
    }
    *count = events;
    return largest;
}
