/* chunk.h
 * Events joined by ",\n" in one piece of memory: the unit of memory, of disk and of retry.
 * Does not know what an event says, nor when a chunk is closed or sent.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CHUNK_H
#define QA_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qa_lane;
struct qa_keeper_store;

/* What stands between two events. JSON strings hold no raw newline, so every newline in a chunk is
 * the end of such a separator, and a chunk can be cut without parsing. */
#define QA_CHUNK_SEPARATOR ",\n"
enum { QA_CHUNK_SEPARATOR_SIZE = 2 };

/* Where else a chunk is than in memory. */
typedef enum qa_chunk_disk {
    QA_CHUNK_UNWRITTEN,
    QA_CHUNK_WRITING, /* for the first time */
    QA_CHUNK_STORED   /* as row `row` of `store` */
} qa_chunk_disk;

/* Once closed, `data`, `length` and `events` don't change until it is freed. The queue's lock
 * guards the rest. */
typedef struct qa_chunk {
    struct qa_chunk *previous, *next; /* among all chunks with events that haven't ended */
    struct qa_chunk *next_ready;      /* among those that wait to be put in a batch */
    struct qa_lane *lane;             /* whose events these are; counted there */
    uint64_t seq;                     /* in the order in which chunks were opened; from 1 */
    int64_t opened_us;                /* monotonic: when the first event was accepted */
    int64_t opened_wall_ms;           /* the same, since the epoch */
    char *data;
    size_t length, capacity;
    uint32_t events;
    uint32_t live;         /* of them, not yet at an end */
    uint32_t taken_events; /* of them, already in batches */
    size_t taken;          /* where the rest begins */
    bool started;          /* some of it has been in a request */

    /* With a spool. */
    struct qa_chunk *previous_fresh, *next_fresh; /* among those that wait to be written */
    struct qa_keeper_store *store;                /* NULL: it was never written */
    uint64_t row, letter; /* ids there; the dead letter that it replaces, 0: none */
    uint32_t flying;      /* events in requests that are under way */
    uint32_t attempts;    /* requests that carried it, in this life and before */
    bool possibly_stored;
    bool fresh;           /* it is in that list */
    bool pinned;          /* its bytes are in a commit under way: it must not be freed */
    bool salvaged;        /* unwritten, but a new file may have taken its row along */
    bool changed;         /* its row has to be brought up to date */
    bool receipted;       /* a receipt says that the row was acknowledged */
    qa_chunk_disk disk;
    uint32_t part_count, part_capacity;
    struct qa_chunk_part *parts; /* that have ended while others live; ordered by offset */
} qa_chunk;

/* Events of a chunk that have ended. */
typedef struct qa_chunk_part {
    size_t offset, length;
    uint32_t events;
} qa_chunk_part;

/* An empty chunk with room for `capacity` bytes; NULL: out of memory. */
qa_chunk *qa_chunk_new(size_t capacity);
void qa_chunk_free(qa_chunk *chunk); /* NULL is legal */

/* Empty again, with the room that it has. */
void qa_chunk_reset(qa_chunk *chunk);

/* Whether `length` bytes more leave it within the limits of a request's list, brackets included.
 * An empty chunk takes anything: one event alone is as large as it is. */
bool qa_chunk_fits(const qa_chunk *chunk, size_t length, size_t events, uint64_t max_bytes,
                   uint64_t max_events);

/* Appends `events` events, joined already. False, with nothing changed: out of memory. */
bool qa_chunk_append(qa_chunk *chunk, const char *bytes, size_t length, size_t events);

/* Remembers that these events have ended. Without memory for it they are forgotten: after a crash
 * they would be sent again. */
void qa_chunk_end_part(qa_chunk *chunk, size_t offset, size_t length, uint32_t events);

/* Writes the events that haven't ended, as far as is known, to `out`, which has room for
 * chunk->length bytes; how many bytes it were. Sets *events to their number. */
size_t qa_chunk_remains(const qa_chunk *chunk, char *out, uint32_t *events);

/* Its text is needed no longer. */
void qa_chunk_clear(qa_chunk *chunk);

/* No more is coming: gives back the memory that was kept ready, where that is worth a call. */
void qa_chunk_trim(qa_chunk *chunk);

/* The length of the first events of `data` that together have at most `max_bytes` bytes and are at
 * most *events; at least one event, however large. Sets *events to their number. */
size_t qa_chunk_cut(const char *data, size_t length, uint64_t max_bytes, uint32_t *events);

/* The length of the largest single event; sets *count to how many there are. */
size_t qa_chunk_largest(const char *data, size_t length, size_t *count);

#endif
