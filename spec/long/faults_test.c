/* faults_test.c
 * The whole client against the real sandbox that fails in every way it can, 10 000 events each.
 * Does not know how a fault is drawn or what is checked (support/fault_run.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/fault_run.h"

#define SECOND INT64_C(1000000)

enum { EVENTS = 10000, PARTS = 3, KINDS_MAX = 32 };

static void run_kind(void **state) {
    fault_run(*state, EVENTS);
}

static void one_poisoned_event_takes_at_most_17_requests_wherever_it_is(void **state) {
    (void)state;
    uint64_t most = 0;
    for (size_t position = 0; position < 200; position++) {
        uint64_t requests = fault_poison_requests(position);
        most = requests > most ? requests : most;
    }
    print_message("at most %d requests\n", (int)most);
    assert_in_range(most, 2, 17);
}

static void wrong_credentials_cost_no_event(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++)
        fault_run_wrong_credentials();
}

static void what_may_have_been_stored_is_called_so(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++)
        fault_run_never_confirmed();
}

static void await_requests(qa_client *client, uint64_t more) {
    qa_stats stats;
    qa_client_stats(client, &stats);
    uint64_t wanted = stats.counts.requests + more;
    while (stats.counts.requests < wanted) {
        qa_error error;
        (void)qa_client_flush_wait(client, qa_client_flush_begin(client), 5000, NULL, &error);
        qa_client_stats(client, &stats);
        assert_true(qa_ledger_balanced(&stats.counts));
    }
}

/* The sandbox forgets all when it goes, so it is asked before: kept connections die, no answer. */
static void an_endpoint_that_is_gone_for_a_while(void **state) {
    (void)state;
    sandbox *box = sandbox_start(0);
    int port = sandbox_port(box);
    char endpoint[64], event[256];
    qa_client_config config = fault_config(box, endpoint, sizeof endpoint);
    config.queue_events = EVENTS;
    qa_error error;
    qa_client *client = NULL;
    assert_int_equal(qa_client_new(&config, true, &client, &error), QA_OK);
    uint64_t n = 0;
    for (int part = 0; part < PARTS; part++) {
        uint64_t from = n, to = (uint64_t)(part + 1) * EVENTS / PARTS;
        for (; n < to; n++)
            assert_int_equal(
                qa_client_report(client, event, fault_event(event, sizeof event, n), 1, &error),
                QA_OK);
        if (box == NULL) {
            await_requests(client, 20);
            box = sandbox_start(port);
        }
        uint64_t mark = qa_client_flush_begin(client);
        assert_int_equal(qa_client_flush_wait(client, mark, 60 * SECOND, NULL, &error), QA_OK);
        assert_int_equal(sandbox_count(box, "events.distinct"), to - from);
        assert_int_equal(sandbox_count(box, "duplicates"), 0);
        sandbox_stop(box);
        box = NULL;
    }
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_int_equal(stats.counts.delivered, EVENTS);
    assert_int_equal(stats.counts.retries, 0); /* what never left is no retry */
    assert_true(stats.counts.requests_by[QA_NETWORK] >= 2 * 20);
    qa_client_free(client);
}

int main(void) {
    struct CMUnitTest tests[KINDS_MAX] = {
        cmocka_unit_test(one_poisoned_event_takes_at_most_17_requests_wherever_it_is),
        cmocka_unit_test(wrong_credentials_cost_no_event),
        cmocka_unit_test(what_may_have_been_stored_is_called_so),
        cmocka_unit_test(an_endpoint_that_is_gone_for_a_while),
    };
    size_t count = 4;
    for (size_t i = 0; i < fault_kind_count && count < KINDS_MAX; i++)
        tests[count++] = (struct CMUnitTest){.name = fault_kinds[i].name,
                                             .test_func = run_kind,
                                             .initial_state = (void *)(size_t)&fault_kinds[i]};
    return _cmocka_run_group_tests("faults, at length", tests, count, fault_group_start,
                                   fault_group_stop);
}
