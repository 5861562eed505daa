/* kill_run.c
 * Clients in child processes that die at a chosen write of theirs, and what a successor finds.
 * Does not know which writes are worth the time.
 * SPDX-License-Identifier: MIT */
#include "support/kill_run.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fault_vfs.h"
#include "support/process_look.h"

#define SECOND INT64_C(1000000)

enum { LOTS = 8, LOT = KILL_RUN_EVENTS / LOTS, POISON = 7, FIRST_OF_AWAY = LOT + 1 };

/* What a child tells before it dies. */
typedef struct message {
    int64_t saved; /* all events up to this one are on disk or delivered */
    int64_t calls; /* writes so far */
} message;

/* ---- in the child: nothing of cmocka, which would go on with the parent's tests ---- */

static _Noreturn void give_up(const char *what) {
    (void)fprintf(stderr, "child: %s\n", what);
    _exit(3);
}

static void tell(int to, int64_t saved) {
    message told = {saved, fault_vfs_calls()};
    if (write(to, &told, sizeof told) != sizeof told)
        give_up("pipe");
}

static qa_client *open_in_child(spool_clients *world) {
    qa_error error;
    qa_client *client = NULL;
    if (qa_client_new(&world->config, false, &client, &error) != QA_OK)
        give_up(error.message);
    return client;
}

static void report_lot(qa_client *client, int lot) {
    qa_error error;
    uint64_t first = (uint64_t)lot * LOT + 1;
    if (spool_client_report(client, first, first + LOT - 1, &error) != QA_OK)
        give_up(error.message);
}

static void save(qa_client *client, int to, int64_t saved) {
    qa_error error;
    uint64_t mark = qa_client_flush_to_disk_begin(client);
    if (qa_client_flush_to_disk_wait(client, mark, 20 * SECOND, &error) != QA_OK)
        give_up(error.message);
    tell(to, saved);
}

static void report_and_save(spool_clients *world, int to) {
    qa_client *client = open_in_child(world);
    for (int lot = 0; lot < LOTS; lot++) {
        report_lot(client, lot);
        save(client, to, (int64_t)(lot + 1) * LOT);
    }
    (void)qa_client_close(client, SECOND / 50, NULL, NULL);
    tell(to, KILL_RUN_EVENTS);
}

/* The first lot is delivered but for the poison, a dead letter then; the others are kept. */
static void leave_all(spool_clients *world, int to) {
    qa_client *client = open_in_child(world);
    for (int lot = 0; lot < LOTS; lot++) {
        report_lot(client, lot);
        if (lot == 0 && qa_client_flush_wait(client, qa_client_flush_begin(client), 20 * SECOND,
                                             NULL, NULL) != QA_OK)
            give_up("the first lot was not delivered");
    }
    save(client, to, KILL_RUN_EVENTS);
    (void)kill(getpid(), SIGKILL);
}

static bool count_letter(void *context, const qa_dead_letter *letter) {
    (void)letter;
    ++*(size_t *)context;
    return true;
}

/* Until nothing is pending and no file is there but the own one. The letter comes with the first
 * file that is adopted; there may be nothing else in it. */
static void adopt_all(spool_clients *world, int to) {
    qa_client *client = open_in_child(world);
    size_t letters = 0;
    qa_stats stats;
    do {
        poll(NULL, 0, 1);
        (void)qa_client_dead(client, 1, count_letter, &letters);
        qa_client_stats(client, &stats);
    } while (letters == 0 || stats.counts.delivered < stats.counts.accepted ||
             world_files(&world->disk, ".db", NULL, 0) > 1);
    (void)qa_client_close(client, SECOND, NULL, NULL);
    tell(to, 0);
}

/* ---- in the parent ---- */

typedef void life(spool_clients *world, int to);

/* Runs a child that is killed at its n-th write (0: never); its last message. */
static message run_child(spool_clients *world, life *live, int n, bool *killed) {
    int ends[2];
    message last = {0, 0}, next;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fault_vfs_install();
        fault_vfs_set(n > 0 ? FAULT_KILL : FAULT_NONE, n);
        live(world, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    int status = process_wait(child);
    while (read(ends[0], &next, sizeof next) == sizeof next)
        last = next;
    close(ends[0]);
    *killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!*killed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        fail_msg("the child ended with wait status %d", status);
    return last;
}

/* So that commits put, change and delete. */
static void begin_commit(spool_clients *world) {
    static const collector_manners moody = {.refuse = 300};
    spool_clients_again(world);
    collector_behave(world->service, &moody);
}

int kill_run_commit_writes(spool_clients *world) {
    bool killed;
    begin_commit(world);
    message last = run_child(world, report_and_save, 0, &killed);
    assert_int_equal(last.saved, KILL_RUN_EVENTS);
    assert_true(last.calls > LOTS);
    return (int)last.calls;
}

bool kill_run_commit(spool_clients *world, int n) {
    bool killed;
    begin_commit(world);
    message last = run_child(world, report_and_save, n, &killed);
    spool_clients_finish(world);
    /* A child that lived closed in the middle of its requests. */
    spool_clients_expect(world, (uint64_t)last.saved, SPOOL_CLIENT_TWICE_MAX);
    return killed;
}

static void begin_adoption(spool_clients *world) {
    static const collector_manners moody = {.refuse = 200, .poison = POISON};
    static const collector_manners away = {.away_from = FIRST_OF_AWAY, .poison = POISON};
    bool killed;
    spool_clients_again(world);
    collector_behave(world->service, &away);
    message last = run_child(world, leave_all, 0, &killed);
    assert_true(killed);
    assert_int_equal(last.saved, KILL_RUN_EVENTS);
    assert_int_equal(collector_look(world->service, 0).distinct, LOT - 1);
    collector_behave(world->service, &moody);
}

int kill_run_adoption_writes(spool_clients *world) {
    bool killed;
    begin_adoption(world);
    message last = run_child(world, adopt_all, 0, &killed);
    assert_true(last.calls > 0);
    return (int)last.calls;
}

static bool is_poison(void *context, const qa_dead_letter *letter) {
    char expected[COLLECTOR_EVENT_MAX];
    size_t length = collector_event(expected, sizeof expected, POISON);
    ++*(size_t *)context;
    assert_int_equal(letter->length, length);
    assert_memory_equal(letter->event, expected, length);
    assert_string_equal(letter->service_code, "BAD_EVENT");
    return true;
}

static size_t await_letters(spool_clients *world) {
    qa_client *client = spool_client_open(world);
    size_t letters = 0;
    while (qa_client_dead(client, SIZE_MAX, is_poison, &letters) == 0)
        poll(NULL, 0, 1);
    spool_client_drain(world, client, 1);
    assert_int_equal(qa_client_close(client, 10 * SECOND, NULL, NULL), QA_OK);
    qa_client_free(client);
    assert_int_equal(world_files(&world->disk, ".db", NULL, 0), 1);
    assert_int_equal(world_files(&world->disk, ".corrupt", NULL, 0), 0);
    return letters;
}

/* The letter keeps a file in the spool, which holds it once, wherever a kill cut its move off. */
static void finish_with_letter(spool_clients *world) {
    static const collector_manners good = {.poison = POISON};
    collector_behave(world->service, &good);
    assert_int_equal(await_letters(world), 1);
    assert_int_equal(await_letters(world), 1);
}

bool kill_run_adoption(spool_clients *world, int n, int more) {
    unsigned kills = 0; /* the one that left it had delivered all that it could */
    bool killed;
    begin_adoption(world);
    for (int i = 0; i <= more; i++) {
        (void)run_child(world, adopt_all, n, &killed);
        kills += killed;
        if (!killed)
            break;
    }
    finish_with_letter(world);
    collector_sums sums = collector_look(world->service, KILL_RUN_EVENTS);
    assert_int_equal(sums.distinct, KILL_RUN_EVENTS - 1);
    assert_int_equal(sums.first_missing, POISON);
    assert_int_equal(sums.strange, 0);
    if (sums.repeated > kills * SPOOL_CLIENT_TWICE_MAX)
        fail_msg("%u kills, %d arrivals too many", kills, (int)sums.repeated);
    return kills > 0;
}
