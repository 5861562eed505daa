/* ledger.h
 * Counts what became of every accepted event and every request, so that the sums always agree.
 * Does not know events, locks, or why something ended as it did.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LEDGER_H
#define QA_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "status.h"

typedef enum qa_drop {
    QA_DROP_DEADLINE, /* delivery_deadline passed */
    QA_DROP_CLOSED,   /* the last client was closed before it was delivered */
    QA_DROP_DAMAGED   /* the spool could not be read back */
} qa_drop;

enum { QA_DROPS = 3, QA_LEDGER_CODES = QA_NO_MEMORY + 1 };

/* "deadline", "closed", "damaged": as users see it; static strings. */
const char *qa_drop_text(qa_drop reason);

/* Events, at any instant:
 * accepted = delivered + dead + dropped[] + queued + spooled + in_flight. */
typedef struct qa_ledger_counts {
    uint64_t accepted, delivered, dead, dropped[QA_DROPS];
    uint64_t queued, spooled, in_flight;
    uint64_t requests;                         /* that ended, direct sends and checks included */
    uint64_t requests_by[QA_LEDGER_CODES];     /* the same by qa_status; QA_OK: accepted */
    uint64_t retries;                          /* requests that carried events once more */
    uint64_t bytes_sent;                       /* event text in requests that left, each time */
    uint64_t reports;                          /* delivery reports made */
    uint64_t replaced_bytes;                   /* that were not UTF-8 and became U+FFFD */
} qa_ledger_counts;

/* Open, so that it can be embedded; all zero bytes is an empty one. The owner's lock guards it. */
typedef struct qa_ledger {
    qa_ledger_counts counts;
    qa_histogram queue_latency; /* us: from a chunk's first event to its first request */
    qa_histogram round_trip;    /* us: of requests that were answered */
    qa_histogram batch_size;    /* events of a request */
} qa_ledger;

typedef enum qa_end { QA_END_DELIVERED, QA_END_DEAD, QA_END_DEADLINE, QA_END_CLOSED,
               QA_END_DAMAGED } qa_end;

void qa_ledger_accept(qa_ledger *ledger, uint64_t events);
void qa_ledger_start(qa_ledger *ledger, uint64_t events);       /* queued -> in flight */
void qa_ledger_put_back(qa_ledger *ledger, uint64_t events);    /* in flight -> queued */
void qa_ledger_end(qa_ledger *ledger, uint64_t events, qa_end end); /* queued -> its end */
void qa_ledger_spool(qa_ledger *ledger, uint64_t events);       /* queued -> spooled */
void qa_ledger_unspool(qa_ledger *ledger, uint64_t events);     /* spooled -> queued */
void qa_ledger_request(qa_ledger *ledger, qa_status code, uint64_t bytes_sent);

/* Accepted and not yet at an end. */
uint64_t qa_ledger_pending(const qa_ledger *ledger);

/* Whether the sums agree. */
bool qa_ledger_balanced(const qa_ledger_counts *counts);

enum { QA_LEDGER_NAME_MAX = 128 };

typedef enum qa_state { QA_STATE_RUNNING, QA_STATE_BACKING_OFF, QA_STATE_PAUSED, QA_STATE_CLOSING }
    qa_state;

/* "running", "backing_off", "paused", "closing"; static strings. */
const char *qa_state_text(qa_state state);

/* All of one instant. */
typedef struct qa_stats {
    qa_ledger_counts counts;
    qa_state state;
    qa_status reason;                /* why it is backing off or paused; QA_OK when running */
    char reason_message[QA_ERROR_MAX]; /* in words, "" when running */
    int64_t oldest_age_us;           /* of the oldest event not yet at an end; 0: none */
    uint64_t queue_bytes;            /* event text in memory */
    uint64_t requests_in_flight;
    int64_t clock_offset_ms;         /* service minus local, as the signature is corrected by */
    uint64_t dead_letters, dead_evicted; /* kept, and let go for room */
    uint64_t reports_waiting;        /* of this client, not yet polled */
    uint64_t clients;                /* that share this sender */
    bool has_spool;                  /* the next members say something */
    qa_status spool_status;          /* QA_OK, QA_SPOOL_FULL, QA_SPOOL */
    char spool_message[QA_ERROR_MAX]; /* why, "" when it is well */
    uint64_t spool_files, spool_bytes; /* of the directory, all processes together */
    uint64_t spool_corrupt;          /* files set aside */
    char spool_corrupt_name[QA_LEDGER_NAME_MAX]; /* one of them, "" when there is none */
    uint64_t spool_commits;
    int64_t spool_commit_us;         /* how long the last one took */
    uint64_t spool_adopted;          /* events taken over from others */
    uint64_t spool_paged;            /* events on disk alone */
    qa_histogram_snapshot queue_latency, round_trip, batch_size; /* us, us, events */
} qa_stats;

#endif
