/* dead.h
 * The dead letters that a client keeps in memory: refused events, each with the reason.
 * Does not know why the service refuses an event, nor how one is sent again.
 * SPDX-License-Identifier: MIT */
#ifndef QA_DEAD_H
#define QA_DEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Pointers are never NULL. Texts are zero-terminated, "" when absent. */
typedef struct qa_dead_letter {
    const char *event; /* wire JSON, `length` bytes, not zero-terminated */
    size_t length;
    qa_status code;           /* QA_REJECTED, or QA_HTTP for 413 */
    const char *service_code; /* the service's errorCode */
    const char *message;
    const char *trace_id;
    uint32_t attempts; /* requests that carried the event */
    int64_t wall_ms;   /* when it was set aside, ms since the epoch */
} qa_dead_letter;

/* In memory only, so it must not grow with what a service keeps refusing: at a bound the oldest
 * letter is let go and counted. It was reported as dead before, and the ledger goes on counting it.
 * One thread at a time (the owner's lock). */
typedef struct qa_dead qa_dead;

/* Holds at most `max_count` letters and `max_bytes` bytes (their texts and this file's overhead).
 * The caller owns it. NULL with `error` filled when out of memory. */
qa_dead *qa_dead_new(size_t max_count, size_t max_bytes, qa_error *error);
void qa_dead_free(qa_dead *dead); /* NULL is legal */

/* Keeps a copy. A letter that can't be kept (larger than all the room, or no memory for it) is
 * counted as evicted, and the others stay. */
void qa_dead_add(qa_dead *dead, const qa_dead_letter *letter);

/* Whether this very letter is there: the same event, set aside at the same time. */
bool qa_dead_has(const qa_dead *dead, const qa_dead_letter *letter);

/* Called for each letter, whose pointers hold during the call only; false ends the walk. Must not
 * jump out (as a raising Lua function would) nor change `dead`. */
typedef bool qa_dead_visit(void *context, const qa_dead_letter *letter);

/* Visits at most `max` letters, the oldest first; the count of those visited. */
size_t qa_dead_each(const qa_dead *dead, size_t max, qa_dead_visit *visit, void *context);

size_t qa_dead_count(const qa_dead *dead);
size_t qa_dead_bytes(const qa_dead *dead);
uint64_t qa_dead_evicted(const qa_dead *dead); /* letters let go since the start */

#endif
