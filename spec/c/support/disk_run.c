/* disk_run.c
 * Clients whose disk and whose service fail at random at the same time, and the accounts after.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#include "support/disk_run.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "retry.h"
#include "support/fault_vfs.h"

#define SECOND INT64_C(1000000)

enum { LOT_MAX = 40, WEATHER_LOTS = 8 };

typedef struct run {
    spool_clients *world;
    uint64_t random, next; /* the number of the next event */
    uint64_t lots;
} run;

static uint64_t any_below(run *r, uint64_t bound) {
    return qa_random_next(&r->random) % bound;
}

/* Anything from both well to a dead service and a disk that fails at most commits; more would make
 * the spool wait for seconds between its tries. */
static void change_weather(run *r) {
    static const unsigned disk[] = {0, 10, 30, 100};
    static const collector_manners service[] = {
        {0},
        {.refuse = 300, .hang_up = 100, .forget = 100},
        {.refuse = 1000},
        {.refuse = 600, .forget = 300},
    };
    fault_vfs_shake(disk[any_below(r, 4)], qa_random_next(&r->random));
    collector_behave(r->world->service, &service[any_below(r, 4)]);
}

static void good_weather(run *r) {
    static const collector_manners good = {0};
    fault_vfs_shake(0, 0);
    collector_behave(r->world->service, &good);
}

static void look(qa_client *client) {
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_true(qa_ledger_balanced(&stats.counts));
    for (int i = 0; i < QA_DROPS; i++)
        assert_int_equal(stats.counts.dropped[i], 0);
}

/* One try: the queue's bound and the disk's failures are met again and again. */
static bool report_some(run *r, qa_client *client, uint64_t last) {
    char text[LOT_MAX * (COLLECTOR_EVENT_MAX + 2)];
    size_t length = 0, count = 1 + (size_t)any_below(r, LOT_MAX);
    qa_error error;
    if (count > last - r->next + 1)
        count = (size_t)(last - r->next + 1);
    for (uint64_t n = r->next; n < r->next + count; n++) {
        if (n > r->next)
            length += (size_t)snprintf(text + length, sizeof text - length, ",\n");
        length += collector_event(text + length, sizeof text - length, n);
    }
    qa_status status = qa_client_report(client, text, length, count, &error);
    if (status == QA_OK) {
        r->next += count;
        return true;
    }
    if (status != QA_QUEUE_FULL && status != QA_SPOOL_FULL && status != QA_SPOOL)
        fail_msg("report: %s", error.message);
    return false;
}

static void live(run *r, qa_client *client, uint64_t last) {
    for (unsigned refused = 0; r->next <= last;) {
        if (r->lots++ % WEATHER_LOTS == 0 || refused > 20) {
            change_weather(r);
            refused = 0;
        }
        if (!report_some(r, client, last)) {
            refused++;
            poll(NULL, 0, 1);
        }
        uint64_t mark = qa_client_flush_to_disk_begin(client);
        if (any_below(r, 2) == 0)
            (void)qa_client_flush_to_disk_wait(client, mark, (int64_t)any_below(r, 20000), NULL);
        look(client);
    }
}

/* What is saved stays so, whatever the disk does from then on. */
static void save(run *r, qa_client *client) {
    qa_error error;
    fault_vfs_shake(0, 0);
    uint64_t mark = qa_client_flush_to_disk_begin(client);
    int64_t waited = 0;
    while (qa_client_flush_to_disk_wait(client, mark, SECOND / 10, &error) != QA_OK) {
        waited += SECOND / 10;
        if (waited > 60 * SECOND)
            fail_msg("flush_to_disk: %s", error.message);
    }
    fault_vfs_shake(200, qa_random_next(&r->random));
}

static void end_life(run *r, qa_client *client) {
    qa_stats stats;
    save(r, client);
    (void)qa_client_close(client, 0, NULL, NULL);
    qa_client_stats(client, &stats);
    assert_true(qa_ledger_balanced(&stats.counts));
    assert_int_equal(stats.counts.dropped[QA_DROP_CLOSED], 0);
    assert_int_equal(stats.counts.dropped[QA_DROP_DAMAGED], 0);
    qa_client_free(client);
}

void disk_run(spool_clients *world, unsigned lives, uint64_t seed) {
    run r = {.world = world, .random = seed, .next = 1};
    unsigned before = fault_vfs_shaken();
    spool_clients_again(world);
    for (unsigned i = 1; i <= lives; i++) {
        qa_client *client = spool_client_open(world);
        live(&r, client, (uint64_t)DISK_RUN_EVENTS * i / lives);
        end_life(&r, client);
    }
    good_weather(&r);
    spool_clients_finish(world);
    collector_sums sums = collector_look(world->service, DISK_RUN_EVENTS);
    print_message("%u calls of the disk failed, %" PRIu64 " requests, %" PRIu64
                  " arrivals too many\n",
                  fault_vfs_shaken() - before, sums.requests, sums.repeated);
    spool_clients_expect(world, DISK_RUN_EVENTS, UINT64_MAX);
}
