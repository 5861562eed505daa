/* sender.h
 * Decides what is sent when, and what an answer means for the events it was about.
 * Does not know threads, the real clock, nor how many clients there are in the process.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SENDER_H
#define QA_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "config.h"
#include "dead.h"
#include "lane.h"
#include "ledger.h"
#include "retry.h"
#include "status.h"
#include "ticket.h"
#include "transport.h"

/* It has a lock of its own, held for short steps only: never while something is sent, signed or
 * parsed. Any thread may call any function, except where "the thread" is said: one thread at a
 * time, which also runs the transport. */
typedef struct qa_sender qa_sender;

/* The configuration must live as long as the sender; its credentials change only through
 * qa_sender_set_credentials. */
qa_sender *qa_sender_new(qa_client_config *config, const qa_clock *clock, const qa_random *random,
                         qa_error *error);

/* Before anything is sent. The transport's `done` is qa_sender_done, its context the sender. It
 * isn't the sender's to free; NULL takes it away again. */
void qa_sender_attach(qa_sender *sender, qa_transport *transport);

/* Before anything is sent: what is accepted survives the process. The engine is a constant. */
qa_status qa_sender_keep(qa_sender *sender, const qa_spool_engine *engine, qa_error *error);
bool qa_sender_keeps(const qa_sender *sender);

/* After the transport has ended everything. Frees all lanes too. NULL is legal. */
void qa_sender_free(qa_sender *sender);

/* ---- for clients ---- */

qa_lane *qa_sender_open_lane(qa_sender *sender, bool wants_reports, qa_error *error);

/* See the functions of client.h by the same names. */
qa_status qa_sender_report(qa_sender *sender, qa_lane *lane, const char *events, size_t length,
                           size_t count, qa_error *error);
qa_status qa_sender_send(qa_sender *sender, qa_lane *lane, const char *events, size_t length,
                         size_t count, qa_ticket **out, qa_error *error);
size_t qa_sender_poll(qa_sender *sender, qa_lane *lane, qa_report *out);
uint64_t qa_sender_flush_begin(qa_sender *sender);
bool qa_sender_flush_done(qa_sender *sender, uint64_t mark);
bool qa_sender_flush_wait(qa_sender *sender, uint64_t mark, int64_t timeout_us,
                          uint64_t *remaining);
uint64_t qa_sender_save_begin(qa_sender *sender);
bool qa_sender_save_done(qa_sender *sender, uint64_t mark);
bool qa_sender_save_wait(qa_sender *sender, uint64_t mark, int64_t timeout_us);
void qa_sender_stats(qa_sender *sender, qa_lane *lane, qa_stats *out);
size_t qa_sender_dead(qa_sender *sender, size_t max, qa_dead_visit *visit, void *context);
int qa_sender_fileno(qa_sender *sender, qa_lane *lane, qa_error *error);
qa_status qa_sender_set_credentials(qa_sender *sender, const qa_credentials *credentials,
                                    qa_error *error);
void qa_sender_count_replaced(qa_sender *sender, uint64_t bytes);
int64_t qa_sender_clock_offset_ms(qa_sender *sender);
uint64_t qa_sender_pending(qa_sender *sender, qa_lane *lane);

/* The end of a lane has three steps. Close: it takes no more. Wait: until its events have ended;
 * where it is the last lane, all events. Then detach it, if others go on: reports to come go to
 * them. (The last one isn't detached: it gets the reports of what is dropped.) */
void qa_sender_close_lane(qa_sender *sender, qa_lane *lane);
bool qa_sender_wait_lane(qa_sender *sender, qa_lane *lane, int64_t timeout_us,
                         uint64_t *remaining);
void qa_sender_detach_lane(qa_sender *sender, qa_lane *lane);

/* Its client is gone: the lane is not to be used again. */
void qa_sender_release_lane(qa_sender *sender, qa_lane *lane);

/* ---- for the thread ---- */

/* Starts what may start now. False once the sender is stopping. Else *wait_us is how long the
 * transport may run before the next step; -1: until it is woken up. */
bool qa_sender_step(qa_sender *sender, int64_t *wait_us);

/* A qa_transport_done. */
void qa_sender_done(void *sender, void *tag, const qa_answer *answer);

/* Makes step return false, and wakes the transport. Any thread. */
void qa_sender_stop(qa_sender *sender);

/* After the transport has ended everything: what is left is dropped and reported. */
void qa_sender_drop_all(qa_sender *sender);

#endif
