/* sender_life.h
 * A sender and its keeper side by side on one clock, each stepped only when it would be awake.
 * Does not know what is tested, nor threads.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SENDER_LIFE_H
#define QA_SENDER_LIFE_H

#include "support/sender_world.h"

enum { LIFE_EVENTS_MAX = 20000 };

/* What the service took: how often each event {"n":…}; and whether they came in their order. */
typedef struct life_tally {
    uint8_t seen[LIFE_EVENTS_MAX];
    uint64_t count, next;
    bool ordered;
} life_tally;

typedef struct life {
    world *w;
    bool deaf;           /* the service doesn't answer; it takes what is open when it hears again */
    int http_status;     /* it answers with; 0: it takes everything */
    unsigned too_large;  /* of so many lists of several events it finds one too large; 0: none */
    int64_t answer_us;   /* how long an answer takes; one is given at a time */
    uint64_t to_report;  /* events that are reported as soon as they are accepted */
    life_tally tally;

    int64_t sender_at_us, keeper_at_us, answer_at_us; /* the next look of each */
    size_t wakeups;                                   /* of the sender, seen so far */
    int64_t idle_since_us;  /* no request is open, though events wait; QA_CLOCK_NEVER: one is */
    int64_t most_idle_us;   /* for how long that was at most */
    uint64_t keeper_steps;
    uint64_t vain_steps, most_vain_steps; /* that followed each other at once and did nothing */
} life;

/* Of a world that was started, with a keeper. */
void life_init(life *l, world *w);

/* Lets time pass. */
void life_run(life *l, int64_t us);

/* Lets time pass until nothing is left to report or pending, `us` at most. Whether that is so. */
bool life_finish(life *l, int64_t us);

/* Notes what is in a list. */
void life_count(life_tally *tally, const char *list);

/* Fails the test unless events 0 to count - 1 were taken once each, and nothing else. */
void life_assert_all_once(const life *l, uint64_t count);

#endif
