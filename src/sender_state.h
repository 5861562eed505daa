/* sender_state.h
 * What the sender is made of, shared by its files and by nothing else.
 * Does not know who calls.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SENDER_STATE_H
#define QA_SENDER_STATE_H

#include <pthread.h>

#include "batch.h"
#include "gate.h"
#include "keeper.h"
#include "queue.h"
#include "rate.h"
#include "sender.h"
#include "skew.h"

typedef enum qa_flight_kind {
    QA_FLIGHT_BATCH,  /* queued events */
    QA_FLIGHT_TICKET, /* a direct send */
    QA_FLIGHT_CHECK,  /* an empty list, to see whether the service accepts anything */
    QA_FLIGHT_KNOCK   /* an empty list, to see whether it answers again */
} qa_flight_kind;

/* A request that is under way; the transport's tag. */
typedef struct qa_flight {
    struct qa_flight *next; /* of those that are to be launched */
    qa_flight_kind kind;
    qa_batch *batch;   /* or NULL; owned while under way */
    qa_ticket *ticket; /* or NULL; the sender's share of it */
    qa_gate_pass pass;
    uint64_t seq; /* in the order of starts, from 1 */
    int64_t started_us, started_wall_ms;
    size_t bytes; /* of the list */
    size_t piece_count;
    qa_slice pieces[];
} qa_flight;

struct qa_sender {
    qa_client_config *config; /* credentials under `identity`, the rest never changes */
    qa_clock clock;
    qa_random random;
    qa_transport *transport;  /* set while there is one thread, then constant */
    pthread_mutex_t identity; /* taken alone, never together with `mutex` */

    pthread_mutex_t mutex;  /* guards all below */
    pthread_cond_t changed; /* events have ended, or lanes were closed; only when waiters > 0 */
    unsigned waiters;
    qa_queue queue;
    qa_ledger ledger;
    qa_gate gate;
    qa_rate rate;
    qa_skew skew;
    qa_dead *dead;
    qa_report_queue *orphans; /* reports of clients that are gone */
    qa_lane *lanes;
    uint64_t open_lanes; /* not detached */

    qa_batch_list waiting; /* for their next attempt */
    qa_batch_list held;    /* single rejected events: what the others say decides */
    qa_ticket *first_ticket, *last_ticket;
    size_t tickets; /* that wait */
    uint32_t in_flight;
    uint64_t flights; /* started so far */

    uint64_t success_seq;   /* the newest flight of events that the service took */
    int64_t success_us;     /* when it last took something; INT64_MIN: not yet */
    bool checking;          /* a QA_FLIGHT_CHECK is under way */
    bool probe_fresh;       /* the next probe of a systemic pause is of new events */
    uint64_t limit_bytes;   /* of a list, learnt from 413; UINT64_MAX: none */
    int64_t limit_since_us; /* when it was learnt or relaxed */
    int64_t memory_us;      /* memory was short: nothing new before this */

    qa_keeper *keeper; /* NULL: memory only */
    int64_t linger_us;

    int64_t look_at_us; /* when the thread looks again by itself */
    bool hungry;        /* the thread could start something if there were something */
    bool resting;       /* the same, but it looks again by itself, at rest_until_us at the latest */
    bool paced;         /* it could start something, and does so at pace_until_us */
    int64_t rest_until_us, pace_until_us;
    int64_t patience_us; /* how long an event waits for the pace at most */
    uint64_t hurry_mark; /* chunks up to this one are waited for */
    bool stopping;
};

static inline void qa_sender_lock(qa_sender *sender) {
    pthread_mutex_lock(&sender->mutex);
}

static inline void qa_sender_unlock(qa_sender *sender) {
    pthread_mutex_unlock(&sender->mutex);
}

/* Without the lock: it is a system call. */
static inline void qa_sender_wake(qa_sender *sender) {
    if (sender->transport != NULL)
        sender->transport->ops->wakeup(sender->transport);
}

/* All below: with the lock held. */

/* ---- sender_report.c ---- */

/* The lane's open chunk takes no more. True: the thread has to be woken for it. */
bool qa_sender_close_chunk(qa_sender *sender, qa_lane *lane);

/* Whether the thread has to be woken, so that it starts at once what there is. */
bool qa_sender_rouse(qa_sender *sender);

/* A closed chunk can be sent and written. */
void qa_sender_chunk_closed(qa_sender *sender, qa_chunk *chunk);

/* ---- sender_outcome.c ---- */

/* One request has ended. Frees the flight and finishes its ticket. `answer` may be NULL: it
 * couldn't be started. */
void qa_sender_apply(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                     const qa_answer *answer);

/* ---- sender_end.c ---- */

/* One of the lane's chunks has gone. */
void qa_sender_leave_lane(qa_sender *sender, qa_lane *lane);

/* Events of a lane that are in no chunk were lost. */
void qa_sender_lose(qa_sender *sender, qa_lane *lane, uint64_t events, qa_report *report);

/* All events of a batch that isn't in flight have ended alike: reported; frees the batch. */
void qa_sender_end_batch(qa_sender *sender, qa_batch *batch, qa_end end, qa_report *report);

/* Its one event was refused for itself, as `batch->last` says: a dead letter. Frees the batch. */
void qa_sender_bury(qa_sender *sender, qa_batch *batch);

/* What is too old is dropped; *at is lowered to when the next is. */
void qa_sender_expire(qa_sender *sender, int64_t now_us, int64_t *at);

/* Everything that isn't in flight is dropped because the client was closed. */
void qa_sender_drop_queued(qa_sender *sender);

/* Events have ended: whoever waits for that looks again. */
void qa_sender_tell_waiters(qa_sender *sender);

/* ---- sender_reject.c ---- */

/* The flight's batch was rejected. */
void qa_sender_rejected(qa_sender *sender, qa_flight *flight, const qa_verdict *verdict,
                        int64_t now_us);

/* The batch in two, to be sent next. `sibling`: the half that it was cut off itself, or NULL. */
void qa_sender_send_halves(qa_sender *sender, qa_batch *batch, qa_batch *sibling, int64_t now_us);

/* Whether it is paused because everything is rejected; and the verdict that makes it so. */
bool qa_sender_is_systemic(const qa_sender *sender);
void qa_sender_pause_all(qa_sender *sender, const qa_verdict *verdict, int64_t now_us);

/* Held events that the service is known to have refused for themselves are set aside;
 * `exhausted_too`: also those about which nothing more can be learnt. */
void qa_sender_bury_held(qa_sender *sender, bool exhausted_too);

/* Held events are sent again. */
void qa_sender_release_held(qa_sender *sender);

/* Whether an empty list has to be sent to learn about held events. */
bool qa_sender_wants_check(const qa_sender *sender);

#endif
