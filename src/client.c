/* client.c
 * What a host holds: report, send, flush and close on a sender that equal clients share.
 * Does not know Lua, nor what an event is made of.
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "process.h"
#include "registry.h"
#include "sender.h"

/* How much longer than its time a close waits for a thread that libcurl holds. */
#define STOP_GRACE_US (1000 * 1000)

struct qa_client {
    qa_engine *engine; /* a share of it */
    qa_lane *lane;     /* the sender's */
    unsigned generation; /* of the process that opened both */
    int descriptor;      /* the lane's, for a child to put its own in its place; -1: none */
    bool wants_reports;
    bool closed;
};

static bool inherited(const qa_client *client) {
    return client->generation != qa_process_generation();
}

static qa_status open_in_this_process(qa_client *client, const qa_client_config *config,
                                      qa_error *error) {
    qa_engine *engine = qa_registry_open(config, error);
    if (engine == NULL)
        return error != NULL ? error->status : QA_NO_MEMORY;
    qa_lane *lane = qa_sender_open_lane(engine->sender, client->wants_reports, error);
    if (lane == NULL) {
        if (qa_registry_close(engine))
            (void)qa_engine_stop(engine, STOP_GRACE_US);
        qa_engine_unref(engine);
        return QA_NO_MEMORY;
    }
    client->engine = engine;
    client->lane = lane;
    client->generation = qa_process_generation();
    return QA_OK;
}

qa_status qa_client_new(const qa_client_config *config, bool wants_reports, qa_client **out,
                        qa_error *error) {
    qa_error local;
    *out = NULL;
    qa_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return qa_error_no_memory(error, "client");
    client->wants_reports = wants_reports;
    client->descriptor = -1;
    qa_status status = open_in_this_process(client, config, error != NULL ? error : &local);
    if (status == QA_OK && config->spool != NULL) {
        /* What others left is to be sent, even if this process never reports anything. */
        status = qa_engine_start(client->engine, error);
        if (status != QA_OK) {
            qa_client_free(client);
            return status;
        }
    }
    if (status != QA_OK) {
        free(client);
        return status;
    }
    *out = client;
    return QA_OK;
}

/* The descriptor shares its state with the parent's, which would wake it for nothing and swallow
 * the parent's wakeups: the child gets one of its own, under the number its host knows. */
static void renew_descriptor(qa_client *client) {
    if (client->descriptor < 0)
        return;
    int fresh = qa_sender_fileno(client->engine->sender, client->lane, NULL);
    if (fresh < 0 || dup3(fresh, client->descriptor, O_CLOEXEC) < 0)
        return;
    close(fresh);
    client->lane->event_fd = client->descriptor;
}

/* A child's first call: a new sender of the same configuration. The parent's is left as it is: its
 * events are the parent's to deliver. */
static qa_status revive(qa_client *client, qa_error *error) {
    qa_error local;
    qa_status status = open_in_this_process(client, client->engine->config,
                                            error != NULL ? error : &local);
    if (status == QA_OK)
        renew_descriptor(client);
    return status;
}

/* Every function begins with this. */
static qa_status use(qa_client *client, qa_error *error) {
    if (client->closed)
        return qa_error_set(error, QA_CLOSED, "client: closed");
    return inherited(client) ? revive(client, error) : QA_OK;
}

qa_status qa_client_report(qa_client *client, const char *events, size_t length, size_t count,
                           qa_error *error) {
    qa_status status = use(client, error);
    if (status == QA_OK)
        status = qa_engine_start(client->engine, error);
    if (status != QA_OK)
        return status;
    return qa_sender_report(client->engine->sender, client->lane, events, length, count, error);
}

qa_status qa_client_send_start(qa_client *client, const char *events, size_t length, size_t count,
                               qa_ticket **out, qa_error *error) {
    *out = NULL;
    qa_status status = use(client, error);
    if (status == QA_OK)
        status = qa_engine_start(client->engine, error);
    if (status != QA_OK)
        return status;
    return qa_sender_send(client->engine->sender, client->lane, events, length, count, out,
                          error);
}

/* ---- for looking, also at a closed client; never at the parent's ---- */

static bool can_look(qa_client *client) {
    if (!inherited(client))
        return true;
    return !client->closed && revive(client, NULL) == QA_OK;
}

size_t qa_client_poll_one(qa_client *client, qa_report *out) {
    return can_look(client) ? qa_sender_poll(client->engine->sender, client->lane, out) : 0;
}

void qa_client_stats(qa_client *client, qa_stats *out) {
    *out = (qa_stats){.state = QA_STATE_CLOSING};
    if (can_look(client))
        qa_sender_stats(client->engine->sender, client->lane, out);
}

size_t qa_client_dead(qa_client *client, size_t max, qa_dead_visit *visit, void *context) {
    return can_look(client) ? qa_sender_dead(client->engine->sender, max, visit, context) : 0;
}

int64_t qa_client_clock_offset_ms(qa_client *client) {
    return can_look(client) ? qa_sender_clock_offset_ms(client->engine->sender) : 0;
}

uint64_t qa_client_pending(qa_client *client) {
    if (client->closed || inherited(client))
        return 0;
    return qa_sender_pending(client->engine->sender, client->lane);
}

void qa_client_count_replaced(qa_client *client, uint64_t bytes) {
    if (use(client, NULL) == QA_OK)
        qa_sender_count_replaced(client->engine->sender, bytes);
}

int qa_client_fileno(qa_client *client, qa_error *error) {
    if (use(client, error) != QA_OK)
        return -1;
    client->descriptor = qa_sender_fileno(client->engine->sender, client->lane, error);
    return client->descriptor;
}

qa_status qa_client_set_credentials(qa_client *client, const qa_credentials *credentials,
                                    qa_error *error) {
    qa_status status = use(client, error);
    if (status != QA_OK)
        return status;
    return qa_registry_set_credentials(client->engine, credentials, error);
}

/* ---- flush and close ---- */

uint64_t qa_client_flush_begin(qa_client *client) {
    if (client->closed || inherited(client))
        return 0;
    return qa_sender_flush_begin(client->engine->sender);
}

bool qa_client_flush_done(qa_client *client, uint64_t mark) {
    if (client->closed || inherited(client))
        return true;
    return qa_sender_flush_done(client->engine->sender, mark);
}

qa_status qa_client_flush_wait(qa_client *client, uint64_t mark, int64_t timeout_us,
                               uint64_t *remaining, qa_error *error) {
    uint64_t left = 0;
    if (!client->closed && !inherited(client))
        qa_sender_flush_wait(client->engine->sender, mark, timeout_us, &left);
    if (remaining != NULL)
        *remaining = left;
    if (left == 0)
        return QA_OK;
    return qa_error_set(error, QA_TIMEOUT, "flush: %" PRIu64 " events not delivered yet", left);
}

bool qa_client_keeps(qa_client *client) {
    return qa_sender_keeps(client->engine->sender);
}

static bool can_save(qa_client *client) {
    return !client->closed && !inherited(client) && qa_client_keeps(client);
}

uint64_t qa_client_flush_to_disk_begin(qa_client *client) {
    return can_save(client) ? qa_sender_save_begin(client->engine->sender) : 0;
}

bool qa_client_flush_to_disk_done(qa_client *client, uint64_t mark) {
    return !can_save(client) || qa_sender_save_done(client->engine->sender, mark);
}

qa_status qa_client_flush_to_disk_wait(qa_client *client, uint64_t mark, int64_t timeout_us,
                                       qa_error *error) {
    if (!qa_client_keeps(client))
        return qa_error_set(error, QA_CONFIG, "flush_to_disk: needs a spool");
    if (!can_save(client) || qa_sender_save_wait(client->engine->sender, mark, timeout_us))
        return QA_OK;
    qa_stats stats;
    qa_client_stats(client, &stats);
    if (stats.spool_status != QA_OK)
        return qa_error_set(error, stats.spool_status, "%s", stats.spool_message);
    return qa_error_set(error, QA_TIMEOUT, "flush_to_disk: not all is on disk yet");
}

bool qa_client_shared(qa_client *client) {
    if (client->closed || inherited(client))
        return false;
    return qa_registry_is_shared(client->engine);
}

/* The last client: the sender ends with it. How many events were lost, and how many are kept on
 * disk. */
static uint64_t end_sender(qa_client *client, uint64_t *kept) {
    bool stopped = qa_engine_stop(client->engine, STOP_GRACE_US);
    qa_stats stats;
    qa_sender_stats(client->engine->sender, client->lane, &stats);
    uint64_t left = stats.counts.dropped[QA_DROP_CLOSED];
    *kept = stats.counts.spooled;
    return stopped ? left : left + stats.counts.queued + stats.counts.in_flight;
}

qa_status qa_client_close(qa_client *client, int64_t timeout_us, uint64_t *remaining,
                          qa_error *error) {
    uint64_t left = 0, kept = 0;
    bool last = false;
    if (!client->closed && !inherited(client)) {
        qa_sender *sender = client->engine->sender;
        qa_sender_close_lane(sender, client->lane);
        qa_sender_wait_lane(sender, client->lane, timeout_us, &left);
        last = qa_registry_close(client->engine);
        if (last)
            left = end_sender(client, &kept);
        else
            qa_sender_detach_lane(sender, client->lane);
    }
    client->closed = true;
    if (remaining != NULL)
        *remaining = left + kept;
    if (left + kept == 0)
        return QA_OK;
    if (left == 0)
        return qa_error_set(error, QA_TIMEOUT, "close: %" PRIu64 " events are kept in the spool",
                            kept);
    return qa_error_set(error, QA_TIMEOUT,
                        last ? "close: %" PRIu64 " events were not delivered in time: dropped"
                             : "close: %" PRIu64 " events are left to clients that go on",
                        left);
}

void qa_client_free(qa_client *client) {
    if (client == NULL)
        return;
    (void)qa_client_close(client, 0, NULL, NULL);
    if (!inherited(client)) {
        qa_sender_release_lane(client->engine->sender, client->lane);
        qa_engine_unref(client->engine);
    } else if (client->descriptor >= 0) {
        close(client->descriptor); /* this process's copy */
    }
    free(client);
}
