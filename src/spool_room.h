/* spool_room.h
 * How much room a spool takes up, whether more may be written, and when to give some back.
 * Does not know what is written.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_ROOM_H
#define QA_SPOOL_ROOM_H

#include "spool_directory.h"
#include "spool_file.h"

/* What was last seen of the directory. Looking costs a system call per file, so it isn't done for
 * each commit unless the bound is near; several processes that fill it at once can pass it by one
 * commit each. */
typedef struct qa_spool_room {
    qa_spool_usage usage;
    int64_t seen_ms; /* monotonic; 0: never */
} qa_spool_room;

/* Looks at the directory, `name` being the caller's own file in it. */
void qa_spool_room_look(qa_spool_room *room, const char *directory, const char *name);

/* The next question looks again. */
void qa_spool_room_forget(qa_spool_room *room);

/* Bytes on disk that the operations may newly take; 0: none of them is a QA_SPOOL_PUT. */
uint64_t qa_spool_room_need(const qa_spool_op *ops, size_t count);

/* QA_OK, or QA_SPOOL_FULL when `need` more would pass `max_bytes`. */
qa_status qa_spool_room_admit(qa_spool_room *room, const char *directory, const char *name,
                              qa_spool_file *file, uint64_t max_bytes, uint64_t need,
                              qa_error *error);

/* Bytes of the log from which on it is written back: small where all the room is small. */
uint64_t qa_spool_room_log_limit(uint64_t max_bytes);

/* Whether the file is mostly free pages, and what it holds is little enough to be rebuilt. */
bool qa_spool_room_worth_shrinking(qa_spool_file *file);

#endif
