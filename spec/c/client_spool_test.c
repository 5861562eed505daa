/* client_spool_test.c
 * A client with a spool under several threads, while disk and service fail; under TSan too.
 * Does not know what the threads do (support/thread_run.c); spec/long does it for longer.
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/fault_vfs.h"
#include "support/thread_run.h"

static void threads_share_a_client_that_is_closed_and_opened_again(void **state) {
    spool_clients *world = *state;
    thread_run(world, 4, world->seed);
}

static spool_clients all;

static int begin(void **state) {
    fault_vfs_install();
    spool_clients_begin(&all, THREAD_RUN_EVENTS);
    *state = &all;
    return 0;
}

static int end(void **state) {
    spool_clients_end(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_client_that_is_closed_and_opened_again),
    };
    return cmocka_run_group_tests_name("client with a spool, threads", tests, begin, end);
}
