/* keeper.h
 * The sender's memory on disk: what is written when, what is read back, and what that means.
 * Does not know the disk (spool.h) nor the thread it runs on.
 * SPDX-License-Identifier: MIT */
#ifndef QA_KEEPER_H
#define QA_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "chunk.h"
#include "dead.h"
#include "ledger.h"
#include "sender.h"
#include "spool.h"

/* An accepted event is acknowledged or committed within commit_interval. So a closed chunk that is
 * neither falls due a little before that; what is acknowledged sooner is never written. All that is
 * due goes into one transaction.
 *
 * Memory holds the oldest chunks and the newest ones. In between, once memory is half full, there
 * may be a gap that is on disk alone: [oldest in memory] [gap] [not written yet]. What is behind
 * the gap waits until it is stored, and then joins the gap, or until all of the gap was read back.
 *
 * Spools of processes that are gone are adopted one at a time, and read back in the same way. */
typedef struct qa_keeper qa_keeper;

/* `config` and `lane`, for events that were read back, outlive it. NULL with `error` filled on failure. */
qa_keeper *qa_keeper_new(qa_client_config *config, const qa_spool_engine *engine, qa_lane *lane,
                         qa_error *error);

/* Also frees the chunks that only the keeper still holds. It must be finished, or never have
 * started. NULL is legal. */
void qa_keeper_free(qa_keeper *keeper);

/* ---- for the sender, with its lock held ---- */

/* The chunk takes no more events. */
void qa_keeper_closed(qa_sender *sender, qa_chunk *chunk);

/* All of its events have ended and it is out of the queue. True: the keeper keeps it for now. */
bool qa_keeper_ended(qa_sender *sender, qa_chunk *chunk);

/* Something about the chunk's row is no longer as written. */
void qa_keeper_changed(qa_sender *sender, qa_chunk *chunk);

/* A dead letter that has to be on disk; it was an event of the chunk with this number. */
void qa_keeper_bury(qa_sender *sender, uint64_t seq, const qa_dead_letter *letter);

/* Whether new events are refused because the disk fails; QA_OK: no. */
qa_status qa_keeper_admit(const qa_keeper *keeper, qa_error *error);

/* The service took all of a request: where there is no receipt (qa_keeper_acknowledge), it counts as
 * under way until its rows are deleted, so that after a crash no more than max_in_flight requests are repeated. */
void qa_keeper_land(qa_keeper *keeper, const qa_batch *batch);
uint32_t qa_keeper_landing(const qa_keeper *keeper);

/* Wakes the keeper if there is something to do sooner than it thinks. */
void qa_keeper_look(qa_sender *sender);
void qa_keeper_wake(qa_keeper *keeper);

/* Whether nothing up to the mark is on disk alone, and how many events that may be. */
bool qa_keeper_passed(const qa_keeper *keeper, uint64_t mark);
uint64_t qa_keeper_remaining(const qa_keeper *keeper, uint64_t mark);

/* Commits what is up to the mark at once; whether it is done. */
void qa_keeper_rush(qa_sender *sender, uint64_t mark);
bool qa_keeper_safe(const qa_keeper *keeper, uint64_t mark);

/* What waits behind the gap is ready: there is nobody to fill the gap any more. */
void qa_keeper_close_gap(qa_sender *sender);

void qa_keeper_stats(const qa_keeper *keeper, qa_stats *out);

/* ---- for its thread, without the lock ---- */

/* Does what is due now; how long to wait before the next step. False: it is finished, its spools
 * are closed. */
bool qa_keeper_step(qa_sender *sender, int64_t *wait_us);

/* Waits for that long, or until it is woken. */
void qa_keeper_wait(qa_sender *sender, int64_t wait_us);

/* ---- for the sender's thread, without the lock ---- */

/* The service took all of a request that is under way: a receipt is written for each of its rows
 * that is done with, so that a successor doesn't send it again. */
void qa_keeper_acknowledge(qa_sender *sender, qa_batch *batch);

/* Nothing new is coming, and nothing is under way: the next step commits what is left and closes
 * the spools. Waits at most `limit_us` for it; false: it takes longer. */
void qa_keeper_finish(qa_sender *sender);
bool qa_keeper_wait_finished(qa_sender *sender, int64_t limit_us);

#endif
