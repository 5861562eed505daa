/* spool_directory.h
 * The directory of a spool: made, checked, its files named and looked through.
 * Does not know what is inside a file, nor who owns it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_DIRECTORY_H
#define QA_SPOOL_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "spool.h"

/* A file's name is "qa-<target>-<created>-<pid>-<random>.db": the target's hash (16 hex digits), ms
 * since the epoch (12 hex digits, so that names sort by age), who made it, and chance. Beside it
 * may lie .db-wal and .db-shm (SQLite's), .db-receipts, .lock (the owner's), .db.corrupt (set
 * aside). */
#define QA_SPOOL_DB ".db"
#define QA_SPOOL_LOCK ".lock"
#define QA_SPOOL_RECEIPTS "-receipts" /* behind the database's whole name */
#define QA_SPOOL_CORRUPT ".db.corrupt"

/* Makes the directory when it is missing, refuses one that others may write to, tightens one that
 * holds nothing but spool files to 0700. *real is its absolute path, the caller's to free. */
qa_status qa_spool_directory_open(const char *path, char **real, qa_error *error);

/* A name for a new file, without its ending. */
qa_status qa_spool_directory_name(const qa_spool_target *target, int64_t wall_ms,
                                  char out[QA_SPOOL_NAME_MAX], qa_error *error);

/* Whether a file of this name can be one of the target's. */
bool qa_spool_directory_matches(const char *name, const qa_spool_target *target);

/* The pid that stands in a name; 0 when there is none. */
pid_t qa_spool_directory_pid(const char *name);

/* "directory/name" + ending; NULL: out of memory. The caller frees it. */
char *qa_spool_directory_path(const char *directory, const char *name, const char *ending);

bool qa_spool_directory_ends(const char *name, const char *ending);

/* Calls `visit` for each file of a spool, in no order, until it returns false. */
typedef bool qa_spool_directory_visit(void *context, const char *name, uint64_t bytes);
qa_status qa_spool_directory_each(const char *directory, qa_spool_directory_visit *visit,
                                  void *context, qa_error *error);

/* Names without their ending of the files that end so, sorted, so the oldest comes first. */
typedef struct qa_spool_names {
    char (*list)[QA_SPOOL_NAME_MAX];
    size_t count;
} qa_spool_names;
qa_status qa_spool_directory_list(const char *directory, const char *ending, qa_spool_names *out,
                                  qa_error *error);
void qa_spool_names_free(qa_spool_names *names);

/* What all the files come to. `except` (may be NULL): a name without ending whose files' bytes
 * don't count in `others`. */
typedef struct qa_spool_usage {
    uint64_t files, corrupt_files; /* .db; .db.corrupt */
    uint64_t bytes, others;
    char corrupt_name[QA_SPOOL_NAME_MAX];
} qa_spool_usage;
qa_status qa_spool_directory_usage(const char *directory, const char *except, qa_spool_usage *out,
                                   qa_error *error);

/* Puts the entries of the directory on the disk itself. */
void qa_spool_directory_sync(const char *directory);

/* An errno in words, "disk full" and "read-only" among them. */
const char *qa_spool_words(int code, char *buffer, size_t size);

#endif
