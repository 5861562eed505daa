/* spool_client.h
 * Whole clients with a spool on a real disk, and the service that they report numbered events to.
 * Does not know what goes wrong (support/fault_vfs.h, support/collector.h).
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_CLIENT_H
#define QA_SPOOL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "support/collector.h"
#include "support/spool_world.h"

enum {
    SPOOL_CLIENT_BATCH = 20,
    SPOOL_CLIENT_IN_FLIGHT = 2,
    SPOOL_CLIENT_LOT_MAX = 100,
    SPOOL_CLIENT_TWICE_MAX = SPOOL_CLIENT_BATCH * SPOOL_CLIENT_IN_FLIGHT /* after one kill */
};

typedef struct spool_clients {
    spool_world disk;
    collector *service;
    uint64_t seed; /* of all that is random: $SEED, or the time */
    char endpoint[64];
    qa_client_config config; /* quick to retry and to commit */
} spool_clients;

/* A service that knows the events 1 to `events`, and no spool yet. */
void spool_clients_begin(spool_clients *world, uint64_t events);

/* Forgets what arrived, and removes the spool. */
void spool_clients_again(spool_clients *world);
void spool_clients_end(spool_clients *world);

/* Fails the test when it can't be made. */
qa_client *spool_client_open(spool_clients *world);

/* Reports the events `from` to `to` (a lot at most) together; while the queue or the disk is full
 * or fails it tries again, 60 s at most. Anything else is returned with the error filled. */
qa_status spool_client_report(qa_client *client, uint64_t from, uint64_t to, qa_error *error);

/* Waits until nothing of anybody's is pending and at most `files` are left; each look must balance.
 * Fails the test after 60 s. */
void spool_client_drain(spool_clients *world, qa_client *client, size_t files);

/* A client that sends what others left, and is closed; the service takes everything from now on.
 * No file may be left. */
void spool_clients_finish(spool_clients *world);

/* Every event up to `last` has arrived, whole; at most `repeated` arrivals too many. */
void spool_clients_expect(spool_clients *world, uint64_t last, uint64_t repeated);

#endif
