/* spool_client.c
 * Whole clients with a spool on a real disk, and the service that they report numbered events to.
 * Does not know what goes wrong (support/fault_vfs.h, support/collector.h).
 * SPDX-License-Identifier: MIT */
#include "support/spool_client.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "support/fault_run.h"

#define SECOND INT64_C(1000000)
#define PATIENCE_US (60 * SECOND)

void spool_clients_begin(spool_clients *world, uint64_t events) {
    memset(world, 0, sizeof *world);
    world_open(&world->disk);
    world->seed = fault_seed();
    print_message("SEED=%" PRIu64 "\n", world->seed);
    world->service = collector_start(events, world->seed);
    snprintf(world->endpoint, sizeof world->endpoint, "http://127.0.0.1:%d",
             collector_port(world->service));
    world->config = (qa_client_config){.endpoint = world->endpoint,
                                       .path = "/receive",
                                       .credentials = {"app", "key", "secret"},
                                       .organization_id = "org",
                                       .access_id = "org",
                                       .batch_events = SPOOL_CLIENT_BATCH,
                                       .batch_bytes = 512 * 1024,
                                       .queue_events = 1000,
                                       .queue_bytes = 64 * 1024 * 1024,
                                       .linger_us = 5 * 1000,
                                       .timeout_us = 20 * SECOND,
                                       .connect_timeout_us = 3 * SECOND,
                                       .retry_base_us = 2 * 1000,
                                       .retry_max_us = 20 * 1000,
                                       .delivery_deadline_us = 600 * SECOND,
                                       .commit_interval_us = 20 * 1000,
                                       .spool = world->disk.spool,
                                       .spool_sync = QA_SPOOL_SYNC_FULL,
                                       .spool_max_bytes = UINT64_C(1) << 30,
                                       .close_timeout_us = 2 * SECOND,
                                       .max_in_flight = SPOOL_CLIENT_IN_FLIGHT};
}

void spool_clients_again(spool_clients *world) {
    collector_reset(world->service);
    world_empty(&world->disk);
    world->config.timeout_us++; /* what a test that failed left open is not shared with the next */
}

void spool_clients_end(spool_clients *world) {
    collector_stop(world->service);
    world_close(&world->disk);
}

qa_client *spool_client_open(spool_clients *world) {
    qa_error error;
    qa_client *client = NULL;
    if (qa_client_new(&world->config, false, &client, &error) != QA_OK)
        fail_msg("new: %s", error.message);
    return client;
}

static int64_t now_us(void) {
    return qa_clock_real.now_us(NULL);
}

qa_status spool_client_report(qa_client *client, uint64_t from, uint64_t to, qa_error *error) {
    char text[SPOOL_CLIENT_LOT_MAX * (COLLECTOR_EVENT_MAX + 2)];
    size_t length = 0;
    for (uint64_t n = from; n <= to; n++) {
        if (n > from)
            length += (size_t)snprintf(text + length, sizeof text - length, ",\n");
        length += collector_event(text + length, sizeof text - length, n);
    }
    qa_status status;
    int64_t limit = now_us() + PATIENCE_US;
    while ((status = qa_client_report(client, text, length, (size_t)(to - from + 1), error)) !=
               QA_OK &&
           (status == QA_QUEUE_FULL || status == QA_SPOOL_FULL || status == QA_SPOOL) &&
           now_us() < limit)
        poll(NULL, 0, 1);
    return status;
}

void spool_client_drain(spool_clients *world, qa_client *client, size_t files) {
    int64_t limit = now_us() + PATIENCE_US;
    for (;;) {
        qa_stats stats;
        qa_client_stats(client, &stats);
        uint64_t pending = stats.counts.queued + stats.counts.spooled + stats.counts.in_flight;
        assert_true(qa_ledger_balanced(&stats.counts));
        /* Its own file is one of those that are counted. */
        if (pending == 0 && stats.spool_files > 0 &&
            world_files(&world->disk, ".db", NULL, 0) <= files)
            return;
        if (now_us() > limit)
            fail_msg("%" PRIu64 " events are still pending, %s: %s; spool: %s", pending,
                     qa_state_text(stats.state), stats.reason_message, stats.spool_message);
        poll(NULL, 0, 1);
    }
}

void spool_clients_finish(spool_clients *world) {
    static const collector_manners good = {0};
    collector_behave(world->service, &good);
    qa_client *client = spool_client_open(world);
    spool_client_drain(world, client, 1);
    qa_error error;
    if (qa_client_close(client, 10 * SECOND, NULL, &error) != QA_OK)
        fail_msg("%s", error.message);
    qa_client_free(client);
    assert_int_equal(world_files(&world->disk, "", NULL, 0), 0);
}

void spool_clients_expect(spool_clients *world, uint64_t last, uint64_t repeated) {
    collector_sums sums = collector_look(world->service, last);
    if (sums.missing > 0)
        fail_msg("of %" PRIu64 " events %" PRIu64 " are missing, the first is number %" PRIu64,
                 last, sums.missing, sums.first_missing);
    assert_int_equal(sums.strange, 0);
    if (sums.repeated > repeated)
        fail_msg("%" PRIu64 " arrivals too many, at most %" PRIu64 " are allowed", sums.repeated,
                 repeated);
}
