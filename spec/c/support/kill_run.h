/* kill_run.h
 * Clients in child processes that die at a chosen write of theirs, and what a successor finds.
 * Does not know which writes are worth the time.
 * SPDX-License-Identifier: MIT */
#ifndef QA_KILL_RUN_H
#define QA_KILL_RUN_H

#include "support/spool_client.h"

/* Writes, syncs and truncations that a child does that is not killed: it opens a spool, reports,
 * commits, delivers some of it, closes. */
int kill_run_commit_writes(spool_clients *world);

/* The same child, killed at the n-th of them; a successor finishes. Fails the test unless all that
 * was committed has arrived, and only what was in flight twice. Whether it was killed. */
bool kill_run_commit(spool_clients *world, int n);

/* Writes of a child that adopts what one left that was killed: rows and a dead letter. */
int kill_run_adoption_writes(spool_clients *world);

/* The same child, killed at the n-th of them, and `more` others after it; a successor finishes.
 * Whether the first was killed. */
bool kill_run_adoption(spool_clients *world, int n, int more);

enum { KILL_RUN_EVENTS = 400 };

#endif
