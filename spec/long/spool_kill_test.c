/* spool_kill_test.c
 * Clients that are killed at each single write: of commits, of taking over another's spool.
 * Does not know what they write (support/kill_run.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/kill_run.h"

enum { PASSES = 3, SOME_MORE = 10 }; /* how many writes there are differs a little */

static void a_kill_at_each_write_of_commits_costs_nothing_that_was_committed(void **state) {
    int killed = 0, writes = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        writes = kill_run_commit_writes(*state);
        for (int n = 1; n < writes + SOME_MORE; n++)
            killed += kill_run_commit(*state, n);
    }
    print_message("%d writes, %d kills\n", writes, killed);
    assert_true(killed > PASSES * writes / 2);
}

static void a_kill_at_each_write_of_adoption_costs_nothing(void **state) {
    int writes = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        writes = kill_run_adoption_writes(*state);
        for (int n = 1; n < writes + SOME_MORE; n++)
            kill_run_adoption(*state, n, pass);
    }
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
        cmocka_unit_test(a_kill_at_each_write_of_commits_costs_nothing_that_was_committed),
        cmocka_unit_test(a_kill_at_each_write_of_adoption_costs_nothing),
    };
    return cmocka_run_group_tests_name("spool, killed at each write", tests, begin, end);
}
