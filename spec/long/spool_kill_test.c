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

/* How many writes a child does differs from run to run: so many in a row have to live. */
enum { PASSES = 3, SURVIVORS = 10 };

static void a_kill_at_each_write_of_commits_costs_nothing_that_was_committed(void **state) {
    int killed = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        for (int n = 1, alive = 0; alive < SURVIVORS; n++) {
            bool now = kill_run_commit(*state, n);
            alive = now ? 0 : alive + 1;
            killed += now;
        }
    }
    print_message("%d kills\n", killed);
    assert_true(killed > 0);
}

static void a_kill_at_each_write_of_adoption_costs_nothing(void **state) {
    int killed = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        for (int n = 1, alive = 0; alive < SURVIVORS; n++) {
            bool now = kill_run_adoption(*state, n, pass);
            alive = now ? 0 : alive + 1;
            killed += now;
        }
    }
    print_message("%d kills\n", killed);
    assert_true(killed > 0);
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
