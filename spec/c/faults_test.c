/* faults_test.c
 * The whole client against the real sandbox that fails in a few ways; spec/long has all of them.
 * Does not know how a fault is drawn or what is checked (support/fault_run.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/fault_run.h"

enum { EVENTS = 2000 };

static void run_named(void **state) {
    fault_run(fault_kind_named(*state), EVENTS);
}

static void one_poisoned_event_takes_at_most_17_requests(void **state) {
    (void)state;
    static const size_t positions[] = {0, 99, 100, 199};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++)
        assert_in_range(fault_poison_requests(positions[i]), 2, 17);
}

static void wrong_credentials_cost_no_event(void **state) {
    (void)state;
    fault_run_wrong_credentials();
}

static void what_may_have_been_stored_is_called_so(void **state) {
    (void)state;
    fault_run_never_confirmed();
}

#define KIND(name) {#name, run_named, NULL, NULL, (void *)(size_t)#name}

int main(void) {
    const struct CMUnitTest tests[] = {
        KIND(status_503),
        KIND(closed_after_stored),
        KIND(no_success_and_no_reason),
        KIND(poison),
        cmocka_unit_test(one_poisoned_event_takes_at_most_17_requests),
        cmocka_unit_test(wrong_credentials_cost_no_event),
        cmocka_unit_test(what_may_have_been_stored_is_called_so),
    };
    return cmocka_run_group_tests_name("faults", tests, fault_group_start, fault_group_stop);
}
