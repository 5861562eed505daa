/* thread_run.h
 * Clients with a spool that several threads use at the same time, closed and opened again.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#ifndef QA_THREAD_RUN_H
#define QA_THREAD_RUN_H

#include "support/spool_client.h"

enum { THREAD_RUN_EVENTS = 20000 };

/* Reporters, one that looks at all figures, one that asks for commits, one that changes credentials
 * and the service's mood, while disk and service fail; `lives` times closed and opened again, each
 * time to adopt what another client left. Fails the test unless every look balanced and every event
 * arrived. */
void thread_run(spool_clients *world, unsigned lives, uint64_t seed);

#endif
