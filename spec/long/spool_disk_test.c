/* spool_disk_test.c
 * Whole clients on a disk that fails at random, together with the service, again and again.
 * Does not know how a failure is drawn or what is checked (support/disk_run.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/disk_run.h"
#include "support/fault_vfs.h"

enum { ROUNDS = 12 };

static void a_disk_and_a_service_that_fail_at_random_lose_nothing(void **state) {
    spool_clients *world = *state;
    for (unsigned i = 0; i < ROUNDS; i++)
        disk_run(world, 1 + i % 6, world->seed + i);
}

static spool_clients world;

static int begin(void **state) {
    fault_vfs_install();
    spool_clients_begin(&world, DISK_RUN_EVENTS);
    *state = &world;
    return 0;
}

static int end(void **state) {
    spool_clients_end(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_and_a_service_that_fail_at_random_lose_nothing),
    };
    return cmocka_run_group_tests_name("spool, on a failing disk, at length", tests, begin, end);
}
