/* client.h
 * What a host holds: report, send, flush and close on a sender that equal clients share.
 * Does not know Lua, nor what an event is made of.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CLIENT_H
#define QA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dead.h"
#include "ledger.h"
#include "report.h"
#include "status.h"
#include "ticket.h"

/* A handle. Clients of equal configuration share one sender and its thread, which starts on first
 * use and ends with the last of them. Every function may be called from any thread, but none while
 * qa_client_close or qa_client_free of the same handle runs or after it was freed. After a fork,
 * the child's handles start anew on their first call (which must return before another thread
 * calls): empty, with a thread of their own on first use. Events are wire JSON, joined by ",\n"
 * (JSON holds no raw newline, so that text can be cut). */
typedef struct qa_client qa_client;

/* Starts nothing yet. The configuration is copied. `wants_reports`: somebody will poll. */
qa_status qa_client_new(const qa_client_config *config, bool wants_reports, qa_client **out,
                        qa_error *error);

/* Takes all of the events or none; never waits. QA_QUEUE_FULL, QA_INVALID_EVENT (one is larger than
 * batch_bytes), QA_CLOSED, QA_NO_MEMORY. */
qa_status qa_client_report(qa_client *client, const char *events, size_t length, size_t count,
                           qa_error *error);

/* Starts one request of its own, tried once; a count of 0 sends `[]`. The bytes are copied.
 * QA_INVALID_EVENT when they are more than batch_bytes, QA_QUEUE_FULL when too many are waiting. */
qa_status qa_client_send_start(qa_client *client, const char *events, size_t length, size_t count,
                               qa_ticket **out, qa_error *error);

/* Takes one delivery report: 1, or 0 when none waits. Works on a closed client too. */
size_t qa_client_poll_one(qa_client *client, qa_report *out);

/* A flush: begin it, then ask or wait until everything accepted before has ended. It covers all
 * clients that share the sender. `remaining` may be NULL. On a closed client: mark 0, done. */
uint64_t qa_client_flush_begin(qa_client *client);
bool qa_client_flush_done(qa_client *client, uint64_t mark);
qa_status qa_client_flush_wait(qa_client *client, uint64_t mark, int64_t timeout_us,
                               uint64_t *remaining, qa_error *error);

/* With a spool: begin, then ask or wait until everything accepted before is on disk or has ended.
 * QA_CONFIG without a spool, QA_SPOOL or QA_SPOOL_FULL while the disk fails, QA_TIMEOUT. On a closed
 * client: mark 0, done. */
bool qa_client_keeps(qa_client *client);
uint64_t qa_client_flush_to_disk_begin(qa_client *client);
bool qa_client_flush_to_disk_done(qa_client *client, uint64_t mark);
qa_status qa_client_flush_to_disk_wait(qa_client *client, uint64_t mark, int64_t timeout_us,
                                       qa_error *error);

/* Whether other open clients share the sender, so that closing this one stops nothing. */
bool qa_client_shared(qa_client *client);

/* Waits until the client's own events have ended (the last client: all), for at most `timeout_us`.
 * Then the last one stops the thread, and what is left is dropped and reported; otherwise the
 * sender goes on with it. QA_TIMEOUT when some were left. Idempotent; `remaining` may be NULL. */
qa_status qa_client_close(qa_client *client, int64_t timeout_us, uint64_t *remaining,
                          qa_error *error);

/* Events of this client that haven't ended yet (0 once closed): to close without waiting inside,
 * begin a flush, ask until done, then close with no time. */
uint64_t qa_client_pending(qa_client *client);

/* Closes it without waiting unless it is closed, and frees it. NULL is legal. */
void qa_client_free(qa_client *client);

/* Of the shared sender; in a closed client as they were at the end. */
void qa_client_stats(qa_client *client, qa_stats *out);

/* Adds to the count of bytes that were not UTF-8. */
void qa_client_count_replaced(qa_client *client, uint64_t bytes);

/* Shows at most `max` dead letters, the oldest first; how many it were. They are shown under the
 * sender's lock: `visit` must be quick, must not jump out and must not call the client. */
size_t qa_client_dead(qa_client *client, size_t max, qa_dead_visit *visit, void *context);

/* A descriptor that is readable while delivery reports wait; the client's own, made on first
 * use, closed with qa_client_free. -1 with `error` filled on failure. */
int qa_client_fileno(qa_client *client, qa_error *error);

/* For all clients that share the sender; what was paused starts again at once. */
qa_status qa_client_set_credentials(qa_client *client, const qa_credentials *credentials,
                                    qa_error *error);

/* The offset between the service's clock and this one's; what check() tells. */
int64_t qa_client_clock_offset_ms(qa_client *client);

#endif
