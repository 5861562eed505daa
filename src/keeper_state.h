/* keeper_state.h
 * What the keeper is made of, shared by its files and by nothing else.
 * Does not know who calls.
 * SPDX-License-Identifier: MIT */
#ifndef QA_KEEPER_STATE_H
#define QA_KEEPER_STATE_H

#include <pthread.h>

#include "keeper.h"
#include "sender_state.h"

enum {
    QA_KEEPER_OPS_MAX = 1024,               /* of one transaction */
    COMMIT_BYTES_MAX = 8 * 1024 * 1024,     /* likewise: a transaction must not take for ever */
    COMMIT_RESERVE_MIN_US = 1000,
    RETRY_FIRST_US = 100 * 1000,            /* after a commit that failed; doubles */
    RETRY_MAX_US = 2 * 1000 * 1000,
    TEND_US = 1000 * 1000,
    ADOPT_US = 3 * 1000 * 1000              /* between looks for spools without an owner */
};

/* One spool, own or adopted, and which of its rows aren't in memory. */
typedef struct qa_keeper_store {
    qa_spool *spool; /* NULL: none. Used by the keeper's thread alone, but for receipts */
    bool is_own;
    uint64_t left;       /* events that are on disk alone, as far as is known */
    uint64_t next;       /* no row with a smaller id is on disk alone */
    uint64_t chunks;     /* in memory that have a row here */
    qa_chunk *gone;      /* ended, to be deleted; by next_fresh */
    int64_t gone_due_us; /* when they have to be; QA_CLOCK_NEVER: none */
    uint32_t landing, landing_now;
    int64_t retry_at_us; /* of an adopted one */
} qa_keeper_store;

/* A dead letter that isn't written yet; its texts stand behind it. */
typedef struct qa_keeper_letter {
    struct qa_keeper_letter *next;
    uint64_t seq; /* of the chunk that it was in */
    qa_spool_letter letter;
} qa_keeper_letter;

/* The sender's lock guards all of it but what is said to belong to the thread. */
struct qa_keeper {
    const qa_spool_engine *engine;
    qa_spool_config config;
    int64_t interval_us;
    qa_keeper_store own, adopted;
    qa_lane *lane; /* of events that were read back: their reports are anybody's */

    qa_chunk *first_fresh, *last_fresh;   /* closed and not written, or changed since */
    qa_chunk *first_behind, *last_behind; /* closed, but to be sent after what is in the gap */
    bool gap;
    qa_keeper_letter *letters, **letters_end;

    /* The commit under way; `ops` and `scratch` are the thread's. */
    qa_spool_op *ops;
    size_t op_count, bytes;
    char *scratch;
    size_t scratch_length, scratch_capacity;
    qa_chunk *writing, **writing_end; /* by next_fresh */
    qa_chunk *dying;                  /* what is deleted; likewise */
    size_t letters_now;

    qa_status status; /* QA_OK, or why new events are refused */
    char message[QA_ERROR_MAX];
    int64_t backoff_us, retry_at_us, adopt_at_us, tend_at_us;
    int64_t look_at_us; /* when the thread looks again by itself; INT64_MIN: it was told to */
    int64_t commit_us, last_commit_us; /* of one commit: the mean, and the last */
    uint64_t rush;                     /* chunks up to this one are due now */
    uint64_t commits, adopted_events;
    bool freed;        /* a place of a request was given up in this step */
    uint64_t retrying; /* chunks of letters that aren't committed */
    qa_spool_gauges gauges;
    bool finishing, finished;
    pthread_cond_t wake, ended;
};

/* All below: with the lock held, which those that use the disk give up meanwhile. */

/* ---- keeper.c ---- */

/* Chunks that wait to be written: at the end, at the front, out of the list. */
void qa_keeper_push(qa_keeper *keeper, qa_chunk *chunk);
void qa_keeper_push_front(qa_keeper *keeper, qa_chunk *chunk);
void qa_keeper_unlist(qa_keeper *keeper, qa_chunk *chunk);

/* The first of them that isn't an adopted one; NULL: none. */
const qa_chunk *qa_keeper_first_own(const qa_keeper *keeper);

/* When what was opened then has to be in a commit: a little before its interval is over. */
int64_t qa_keeper_due_us(const qa_keeper *keeper, int64_t opened_us);

/* Whether memory fills up faster than things fall due, so that more has to be written. */
bool qa_keeper_is_pressed(const qa_sender *sender, int64_t now_us);

/* Whether the service takes what comes, so that memory empties without the disk's help. */
bool qa_keeper_is_served(const qa_sender *sender, int64_t now_us);

/* ---- keeper_commit.c ---- */

/* Whether there is a reason to commit, beyond what goes along once there is one. */
bool qa_keeper_has_due(const qa_sender *sender, int64_t now_us);

/* One transaction, if there is something for it; whether one was done. Time goes on meanwhile. */
bool qa_keeper_commit_own(qa_sender *sender, int64_t *now_us);
bool qa_keeper_commit_adopted(qa_sender *sender, int64_t now_us);

void qa_keeper_fail(qa_keeper *keeper, const qa_error *error, int64_t now_us);
void qa_keeper_well(qa_keeper *keeper);
void qa_keeper_read_gauges(qa_sender *sender);

/* ---- keeper_page.c ---- */

/* Lets go of chunks that are stored, where memory is short. */
void qa_keeper_evict(qa_sender *sender, int64_t now_us);

/* Whether memory is empty enough for what is on disk alone. */
bool qa_keeper_wants_page(const qa_sender *sender);

/* Reads back what there is room for, takes over what others left. */
void qa_keeper_page(qa_sender *sender, int64_t now_us);

#endif
