/* spool.h
 * The contract of whatever keeps accepted events across the end of a process: a table of functions.
 * Does not know requests or answers; SQLite stands behind it, or a test's fake.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_H
#define QA_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dead.h"
#include "status.h"

/* Where events are meant to go. Two configurations with equal targets may deliver each other's
 * events; all others never do. Credentials are no part of it: they change while events wait, and
 * nothing secret is ever written. Pointers are never NULL. */
typedef struct qa_spool_target {
    const char *endpoint, *path, *organization_id, *access_id;
} qa_spool_target;

typedef enum qa_spool_sync {
    QA_SPOOL_SYNC_FULL,  /* a commit survives loss of power */
    QA_SPOOL_SYNC_NORMAL /* a commit survives the process; power may take the last ones */
} qa_spool_sync;

typedef struct qa_spool_config {
    const char *directory; /* made (0700) when it is missing and its parent exists */
    qa_spool_target target;
    qa_spool_sync sync;
    uint64_t max_bytes; /* over the directory, of all processes together */
} qa_spool_config;

/* A chunk on disk. */
typedef struct qa_spool_row {
    uint64_t id;      /* the caller's, from 1, unique within the spool; ascending is the order */
    const char *data; /* events joined by ",\n", UTF-8; `length` bytes */
    size_t length;
    uint32_t events;
    uint32_t attempts; /* requests that carried it */
    bool possibly_stored;
    int64_t accepted_wall_ms, deadline_wall_ms; /* since the epoch */
} qa_spool_row;

/* A dead letter on disk. Ids of one directory differ, and ascend with `letter.wall_ms`. */
typedef struct qa_spool_letter {
    uint64_t id;
    bool retry; /* somebody asked for it to be sent again */
    qa_dead_letter letter;
} qa_spool_letter;

typedef enum qa_spool_verb {
    QA_SPOOL_PUT,          /* `row`: adds it, or replaces the one of its id (what remains of it) */
    QA_SPOOL_DELETE,       /* row.id; a missing row is no error */
    QA_SPOOL_ATTEMPT,      /* row.id, row.attempts, row.possibly_stored: writes only these */
    QA_SPOOL_LETTER_PUT,   /* `letter`; id 0: gets a new one; one that is there already stays */
    QA_SPOOL_LETTER_DELETE /* letter.id; a missing letter is no error */
} qa_spool_verb;

typedef struct qa_spool_op {
    qa_spool_verb verb;
    qa_spool_row row;
    qa_spool_letter letter;
} qa_spool_op;

enum { QA_SPOOL_NAME_MAX = 128 };

typedef struct qa_spool_gauges {
    /* this spool alone */
    char name[QA_SPOOL_NAME_MAX];    /* of its file, without the ending */
    uint64_t rows, events, bytes;    /* pending; bytes of event text */
    uint64_t letters, letters_retry; /* dead letters; of them, to be sent again */
    uint64_t commits;                /* that were done */
    uint64_t generation;             /* see below */
    /* the directory, as of the last look: at most a second ago while there are commits */
    uint64_t directory_files, directory_bytes; /* spool files; bytes of all that belongs to them */
    uint64_t corrupt_files;                    /* set aside, kept for a human */
    char corrupt_name[QA_SPOOL_NAME_MAX];      /* one of them; "" when there is none */
} qa_spool_gauges;

/* Rows and letters that a walk shows; their pointers hold during the call only. False ends the
 * walk. Must not call the spool. */
typedef bool qa_spool_visit_row(void *context, const qa_spool_row *row);
typedef bool qa_spool_visit_letter(void *context, const qa_spool_letter *letter);

typedef struct qa_spool qa_spool;

/* What an engine can do. A spool belongs to one thread at a time. All functions but `gauges` and
 * `receipt` may wait for the disk: a commit normally for one fsync, now and then for several.
 *
 * Failures: QA_SPOOL_FULL (max_bytes, or the disk is full), QA_SPOOL (anything else; the message
 * names the file and the reason, such as "spool: cannot write '/x/y.db': disk full"). A failed call
 * changed nothing and may be repeated as it is; the spool recovers by itself as soon as it can:
 * after its file was deleted or found damaged, the next call moves what can still be read to a new
 * file, under the same ids, and raises `generation`. The caller that sees another generation puts
 * again what it still holds in memory, and finds from the counts what was lost. */
typedef struct qa_spool_engine {
    /* Opens a new, empty spool of its own in the directory. The configuration is copied. */
    qa_status (*open)(const qa_spool_config *config, qa_spool **out, qa_error *error);

    /* Takes over one spool of the same target that has no owner any more: the oldest first. *out is
     * NULL when there is none. No two callers, in whatever processes, get the same one. An adopted
     * spool takes every call that an opened one does; by custom no new rows are put into it. */
    qa_status (*adopt)(const qa_spool_config *config, qa_spool **out, qa_error *error);

    /* Does all of the operations, or none, durably. The bytes are the caller's and may go away when
     * it returns. QA_SPOOL_FULL because of max_bytes is only for operations with a QA_SPOOL_PUT:
     * what frees room is always tried. */
    qa_status (*commit)(qa_spool *spool, const qa_spool_op *ops, size_t count, qa_error *error);

    /* Notes that a row was acknowledged, at once, where the end of the process cannot take it away;
     * loss of power may. Whoever adopts the spool finds the row gone. Its deletion is committed
     * later all the same. For the cost of a system call, no wait for the disk, and, alone of all, on
     * any thread. False: it could not be noted; as a rule because too many deletions are due. NULL:
     * the engine cannot do it. */
    bool (*receipt)(qa_spool *spool, uint64_t id);

    /* Empties a spool of which all rows have ended, and which holds no letter, even where there is no
     * room to delete anything: its file goes, and another one is begun, now or by the next call. */
    qa_status (*clear)(qa_spool *spool, qa_error *error);

    /* Shows rows with ids above `after`, in their order: at most `max_rows`, and after the first
     * one no more than `max_bytes` of data. Memory: one row. */
    qa_status (*read)(qa_spool *spool, uint64_t after, size_t max_rows, size_t max_bytes,
                      qa_spool_visit_row *visit, void *context, qa_error *error);

    /* Shows letters with ids above `after`, oldest first; all, or only those to be sent again. */
    qa_status (*letters)(qa_spool *spool, uint64_t after, size_t max, bool retry_only,
                         qa_spool_visit_letter *visit, void *context, qa_error *error);

    /* What is worth doing while there is nothing to commit, about once a second: notices what
     * others did (a deleted file, letters that were marked or dropped) and gives room back. */
    qa_status (*tend)(qa_spool *spool, qa_error *error);

    void (*gauges)(const qa_spool *spool, qa_spool_gauges *out);

    /* Gives up ownership and frees the spool. A spool that holds nothing leaves no file behind;
     * any other is adopted by whoever comes next. NULL is legal. */
    void (*close)(qa_spool *spool);
} qa_spool_engine;

/* An implementation's struct starts with this.
 *
 * Fork: the child must not call any function with a spool of its parent, `close` included: it lets
 * go of the pointer. Engines see to it themselves that the child doesn't keep a parent's spool
 * owned, and that it never adopts one that was open at the fork. */
struct qa_spool {
    const qa_spool_engine *engine;
};

#endif
