/* thread_run.c
 * Clients with a spool that several threads use at the same time, closed and opened again.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#include "support/thread_run.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "retry.h"
#include "support/fault_vfs.h"

#define SECOND INT64_C(1000000)

enum { REPORTERS = 3, THREADS = REPORTERS + 3, LOT = 10 };

/* One life of a client. */
typedef struct life {
    spool_clients *world;
    qa_client *client;
    uint64_t first, last; /* the events that are its to report */
    uint64_t random;      /* the trouble maker's */
    atomic_uint_fast64_t next;
    atomic_uint reporting;
    atomic_uint failures, unbalanced, samples, saves;
} life;

/* ---- threads: nothing of cmocka, which jumps ---- */

static void *reporter(void *argument) {
    life *of = argument;
    uint64_t from;
    while ((from = atomic_fetch_add(&of->next, LOT)) <= of->last) {
        qa_error error;
        uint64_t to = from + LOT - 1 < of->last ? from + LOT - 1 : of->last;
        if (spool_client_report(of->client, from, to, &error) != QA_OK)
            atomic_fetch_add(&of->failures, 1);
    }
    atomic_fetch_sub(&of->reporting, 1);
    return NULL;
}

static bool is_going_on(life *of) {
    return atomic_load(&of->reporting) > 0;
}

static bool look_on(void *context, const qa_dead_letter *letter) {
    (void)context;
    return letter->length > 0;
}

static void *sampler(void *argument) {
    life *of = argument;
    qa_ledger_counts before = {0};
    while (is_going_on(of)) {
        qa_stats stats;
        qa_client_stats(of->client, &stats);
        const qa_ledger_counts *now = &stats.counts;
        if (!qa_ledger_balanced(now) || now->accepted < before.accepted ||
            now->delivered < before.delivered)
            atomic_fetch_add(&of->unbalanced, 1);
        before = *now;
        (void)qa_client_dead(of->client, 3, look_on, NULL);
        (void)qa_client_pending(of->client);
        if (atomic_fetch_add(&of->samples, 1) % 16 == 0)
            poll(NULL, 0, 1);
    }
    return NULL;
}

static void *saver(void *argument) {
    life *of = argument;
    while (is_going_on(of)) {
        uint64_t mark = qa_client_flush_to_disk_begin(of->client);
        if (qa_client_flush_to_disk_wait(of->client, mark, SECOND / 50, NULL) == QA_OK)
            atomic_fetch_add(&of->saves, 1);
        (void)qa_client_flush_wait(of->client, qa_client_flush_begin(of->client), 1000, NULL, NULL);
        poll(NULL, 0, 1);
    }
    return NULL;
}

static void *trouble(void *argument) {
    static const collector_manners moods[] = {
        {0}, {.refuse = 1000}, {.refuse = 200, .hang_up = 200, .forget = 100}, {0}};
    static const unsigned disk[] = {0, 20, 60, 0};
    life *of = argument;
    for (unsigned turn = 0; is_going_on(of); turn++) {
        qa_credentials credentials = {"app", "key", turn % 2 == 0 ? "secret" : "other secret"};
        if (qa_client_set_credentials(of->client, &credentials, NULL) != QA_OK)
            atomic_fetch_add(&of->failures, 1);
        uint64_t bits = qa_random_next(&of->random);
        fault_vfs_shake(disk[bits % 4], bits);
        collector_behave(of->world->service, &moods[bits / 4 % 4]);
        poll(NULL, 0, 5 + (int)(bits / 16 % 20));
    }
    fault_vfs_shake(0, 0);
    return NULL;
}

/* ---- lives ---- */

static void run_threads(life *of) {
    pthread_t threads[THREADS];
    void *(*others[])(void *) = {sampler, saver, trouble};
    atomic_store(&of->next, of->first);
    atomic_store(&of->reporting, REPORTERS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < REPORTERS ? reporter : others[i - REPORTERS], of),
                         0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(of->failures, 0);
    assert_int_equal(of->unbalanced, 0);
    assert_true(of->samples > 0);
}

static void save_all(qa_client *client) {
    qa_error error;
    uint64_t mark = qa_client_flush_to_disk_begin(client);
    if (qa_client_flush_to_disk_wait(client, mark, 60 * SECOND, &error) != QA_OK)
        fail_msg("%s", error.message);
}

static void end(qa_client *client) {
    qa_stats stats;
    (void)qa_client_close(client, 0, NULL, NULL);
    qa_client_stats(client, &stats);
    assert_true(qa_ledger_balanced(&stats.counts));
    for (int i = 0; i < QA_DROPS; i++)
        assert_int_equal(stats.counts.dropped[i], 0);
    qa_client_free(client);
}

/* What a client of another configuration leaves is there to be adopted while this one lives. */
static void leave_some(spool_clients *world, uint64_t from, uint64_t to) {
    static const collector_manners away = {.refuse = 1000};
    qa_error error;
    collector_behave(world->service, &away);
    world->config.timeout_us++;
    qa_client *client = spool_client_open(world);
    world->config.timeout_us--;
    for (uint64_t n = from; n <= to; n += LOT) {
        if (spool_client_report(client, n, n + LOT - 1 < to ? n + LOT - 1 : to, &error) != QA_OK)
            fail_msg("%s", error.message);
    }
    save_all(client);
    end(client);
}

void thread_run(spool_clients *world, unsigned lives, uint64_t seed) {
    unsigned samples = 0, saves = 0, shaken = fault_vfs_shaken();
    spool_clients_again(world);
    for (unsigned i = 0; i < lives; i++) {
        uint64_t first = (uint64_t)THREAD_RUN_EVENTS * i / lives + 1,
                 last = (uint64_t)THREAD_RUN_EVENTS * (i + 1) / lives,
                 between = first + (last - first) / 4;
        life of = {.world = world, .first = between + 1, .last = last, .random = seed + i};
        leave_some(world, first, between);
        of.client = spool_client_open(world);
        run_threads(&of);
        save_all(of.client);
        end(of.client);
        samples += of.samples;
        saves += of.saves;
    }
    spool_clients_finish(world);
    print_message("%u samples, %u saves, %u calls of the disk failed\n", samples, saves,
                  fault_vfs_shaken() - shaken);
    spool_clients_expect(world, THREAD_RUN_EVENTS, UINT64_MAX);
}
