/* sender_world.h
 * A sender in a world where the test is the service, the clock and chance.
 * Does not know what is tested.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SENDER_WORLD_H
#define QA_SENDER_WORLD_H

#include "sender.h"
#include "support/fake_spool.h"
#include "support/fake_transport.h"

typedef struct world {
    qa_client_config config; /* to be changed before world_start */
    int64_t now_us, wall_ms; /* wall_ms moves along with world_advance */
    bool chance_is_max;      /* jitter takes the whole of its range; else by `seed` */
    uint64_t seed;
    fake_transport transport;
    qa_sender *sender;
    qa_lane *lane;
    uint64_t next_event; /* reported so far */

    /* With a keeper. */
    fake_disk *disk;                   /* the test's; NULL: memory only */
    int64_t commit_us;                 /* how long a commit takes */
    void (*meanwhile)(struct world *w); /* what happens during one */
    bool ended;
} world;

/* How the service answers a list: fills `answer`, whose defaults are those of world_ok. */
typedef void world_service(void *context, const char *list, qa_answer *answer);

/* Defaults of the contract, in memory. Every world is to be freed. */
void world_init(world *w);
void world_start(world *w); /* makes the sender, and a lane that wants reports */
void world_free(world *w);

/* With a keeper, where `disk` is set before. The disk is open then, and nothing is to be done but
 * what the test causes. */
void world_start_kept(world *w);

/* A test's world, started with a keeper; and one that sends ten events at a time. */
world *world_started(void **state);
world *world_started_with_tens(void **state);

/* The end of the process, as the client does it, or as a kill does: the sender is gone. After an
 * end the world may still be looked at, until it is freed. */
void world_end(world *w);
void world_kill(world *w);

/* Commits what has been reported. Where the disk fails, the clock moves to the next try. */
void world_save(world *w);

/* The own spool; it must be open. */
fake_file *world_file(const world *w);

/* For setup and teardown of cmocka: a world with an empty disk, not started. */
int world_set_up_kept(void **state);
int world_tear_down_kept(void **state);

/* One step of the keeper; how long it would wait. Whether it has been woken since. */
int64_t world_keep(world *w);
bool world_keeper_is_called(const world *w);

/* What has to hold at any time. All functions below see to it. */
void world_check(world *w);

void world_advance(world *w, int64_t us);

/* Reports `count` events `{"n":0}`, `{"n":1}`, … one by one, each of which must be accepted. */
void world_report(world *w, uint64_t count);
void world_report_page_views(world *w, uint64_t count); /* 200 of them are a batch worth pacing */
void world_report_text(world *w, const char *event);

/* One step; how long it would wait, -1: without limit. */
int64_t world_step(world *w);

/* Closes the open chunks, then one step. */
void world_flush(world *w);

/* Steps, and moves the clock to whatever is waited for, until a request is open or `limit_us` have
 * passed. Whether one is open. */
bool world_await_request(world *w, int64_t limit_us);

/* Answers for fake_transport_answer; strings are static or the caller's. */
qa_answer world_ok(void);                          /* 200, success, trace "trace-1" */
qa_answer world_http(int status, const char *body); /* NULL: a small page of HTML */
qa_answer world_failure(qa_status status, qa_delivery delivery);

/* Answers all open requests. */
void world_answer_all(world *w, qa_answer answer);

/* Lets the service answer every request at once, and the clock run, until nothing is pending or
 * `limit_us` have passed. The ledger is checked all along. How many requests were answered. */
size_t world_serve(world *w, world_service *service, void *context, int64_t limit_us);

qa_stats world_stats(world *w);

/* The events of all reports that wait, by status; takes them. */
typedef struct world_reports {
    uint64_t delivered, dead, dropped, possibly_stored;
    qa_report last, last_loss; /* last_loss: no delivery */
} world_reports;
world_reports world_take_reports(world *w, qa_lane *lane);

#endif
