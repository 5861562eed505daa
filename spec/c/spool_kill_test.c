/* spool_kill_test.c
 * Clients that are killed in the middle of a write: of a commit, of taking over another's spool.
 * Does not know what they write (support/kill_run.c); spec/long kills at each of the writes.
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/kill_run.h"

enum { KILLS = 24 };

/* The k-th of KILLS writes out of `writes`, that differ from one seed to the next. */
static int pick(uint64_t seed, int writes, int k) {
    int from = writes * k / KILLS, to = writes * (k + 1) / KILLS;
    return 1 + from + (to > from ? (int)(seed % (uint64_t)(to - from)) : 0);
}

static void a_kill_inside_a_commit_costs_nothing_that_was_committed(void **state) {
    spool_clients *clients = *state;
    int killed = 0, writes = kill_run_commit_writes(clients);
    for (int k = 0; k < KILLS; k++)
        killed += kill_run_commit(clients, pick(clients->seed, writes, k));
    print_message("%d writes, %d kills\n", writes, killed);
    assert_true(killed > 0);
}

static void a_kill_inside_adoption_costs_nothing(void **state) {
    spool_clients *clients = *state;
    int writes = kill_run_adoption_writes(clients);
    for (int k = 0; k < KILLS; k++)
        kill_run_adoption(clients, pick(clients->seed, writes, k), k % 3);
    print_message("%d writes\n", writes);
}

static spool_clients world;

static int begin(void **state) {
    spool_clients_begin(&world, KILL_RUN_EVENTS);
    *state = &world;
    return 0;
}

static int end(void **state) {
    spool_clients_end(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_inside_a_commit_costs_nothing_that_was_committed),
        cmocka_unit_test(a_kill_inside_adoption_costs_nothing),
    };
    return cmocka_run_group_tests_name("spool, killed", tests, begin, end);
}
