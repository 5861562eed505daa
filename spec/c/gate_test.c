/* gate_test.c
 * The gate: open, backing off, paused, and which verdicts still count.
 * Does not know batches or answers.
 * SPDX-License-Identifier: MIT */
#include "gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t most(void *state) {
    (void)state;
    return UINT64_MAX;
}

static const qa_random unlucky = {most, NULL};
static qa_gate gate;

static int set_up(void **state) {
    (void)state;
    qa_gate_init(&gate, 100, 1000, &unlucky);
    return 0;
}

static bool ready(int64_t now_us) {
    int64_t at = INT64_MAX;
    return qa_gate_ready(&gate, now_us, &at);
}

static void go_wrong(qa_gate_pass pass, int64_t now_us, int64_t retry_after_us) {
    qa_gate_fail(&gate, pass, now_us, retry_after_us, QA_HTTP, "busy");
}

static void a_failure_shuts_it_for_a_back_off_that_doubles(void **state) {
    (void)state;
    static const int64_t delays[] = {100, 200, 400, 800, 1000, 1000};
    int64_t now = 0;
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        assert_true(ready(now));
        go_wrong(qa_gate_enter(&gate, false), now, -1);
        assert_int_equal(gate.state, QA_STATE_BACKING_OFF);
        assert_false(ready(now + delays[i] - 1));
        now += delays[i];
    }
    qa_gate_succeed(&gate, qa_gate_enter(&gate, false));
    assert_int_equal(gate.state, QA_STATE_RUNNING);
    assert_string_equal(gate.message, "");
    go_wrong(qa_gate_enter(&gate, false), now, -1); /* counts from the start again */
    assert_true(ready(now + 100));
}

static void it_tells_when_it_opens(void **state) {
    (void)state;
    go_wrong(qa_gate_enter(&gate, false), 5, -1);
    int64_t at = 1000;
    assert_false(qa_gate_ready(&gate, 6, &at));
    assert_int_equal(at, 105);
    at = 50;
    assert_false(qa_gate_ready(&gate, 6, &at));
    assert_int_equal(at, 50);
}

static void only_one_probe_goes_through(void **state) {
    (void)state;
    go_wrong(qa_gate_enter(&gate, false), 0, -1);
    assert_true(ready(100));
    qa_gate_pass probe = qa_gate_enter(&gate, false);
    assert_true(probe.probe != 0);
    assert_false(ready(1000000));
    qa_gate_withdraw(&gate, probe); /* no verdict: the next may try */
    assert_true(ready(100));
    probe = qa_gate_enter(&gate, false);
    qa_gate_succeed(&gate, probe);
    assert_true(ready(100));
    assert_true(qa_gate_enter(&gate, false).probe == 0);
}

static void failures_of_one_moment_count_once(void **state) {
    (void)state;
    qa_gate_pass passes[4];
    for (int i = 0; i < 4; i++)
        passes[i] = qa_gate_enter(&gate, false);
    for (int i = 0; i < 4; i++)
        go_wrong(passes[i], 0, -1);
    assert_int_equal(gate.failures, 1);
    assert_true(ready(100));
}

static void an_old_success_does_not_open_it(void **state) {
    (void)state;
    qa_gate_pass first = qa_gate_enter(&gate, false), second = qa_gate_enter(&gate, false);
    go_wrong(first, 0, 5000);
    qa_gate_succeed(&gate, second);
    assert_false(ready(4999));
    assert_true(ready(5000));
}

static void an_old_failure_does_not_shut_it(void **state) {
    (void)state;
    qa_gate_pass slow = qa_gate_enter(&gate, false);
    go_wrong(qa_gate_enter(&gate, false), 0, -1);
    qa_gate_succeed(&gate, qa_gate_enter(&gate, false));
    go_wrong(slow, 200, -1);
    assert_true(ready(200));
    qa_gate_pause(&gate, slow, 200, QA_AUTH, "no");
    assert_int_equal(gate.state, QA_STATE_RUNNING);
}

static void retry_after_is_a_floor_even_of_one_that_does_not_count(void **state) {
    (void)state;
    qa_gate_pass first = qa_gate_enter(&gate, false), second = qa_gate_enter(&gate, false);
    go_wrong(first, 0, -1);
    go_wrong(second, 10, 300);
    assert_int_equal(gate.failures, 1);
    assert_false(ready(309));
    assert_true(ready(310));
    go_wrong(qa_gate_enter(&gate, false), 400, INT64_MAX);
    assert_false(ready(INT64_MAX - 1));
}

static void a_pause_outranks_a_back_off_and_keeps_its_reason(void **state) {
    (void)state;
    qa_gate_pass first = qa_gate_enter(&gate, false), second = qa_gate_enter(&gate, false);
    go_wrong(first, 0, -1);
    qa_gate_pause(&gate, second, 0, QA_AUTH, "service answered 401");
    assert_int_equal(gate.state, QA_STATE_PAUSED);
    go_wrong(qa_gate_enter(&gate, false), 100, -1);
    assert_int_equal(gate.state, QA_STATE_PAUSED);
    assert_int_equal(gate.reason, QA_AUTH);
    assert_string_equal(gate.message, "service answered 401");
    assert_false(ready(299)); /* the second failure */
    assert_true(ready(300));
}

static void a_reset_opens_it_and_forgets_who_was_under_way(void **state) {
    (void)state;
    qa_gate_pause(&gate, qa_gate_enter(&gate, false), 0, QA_AUTH, "no");
    qa_gate_pass probe = qa_gate_enter(&gate, false);
    qa_gate_reset(&gate);
    assert_true(ready(0));
    qa_gate_pause(&gate, probe, 1, QA_AUTH, "no"); /* with the old credentials */
    assert_int_equal(gate.state, QA_STATE_RUNNING);
    go_wrong(qa_gate_enter(&gate, false), 1, -1);
    qa_gate_succeed(&gate, probe);
    assert_int_equal(gate.state, QA_STATE_BACKING_OFF);
    qa_gate_pause(&gate, probe, 2, QA_AUTH, "no");
    assert_int_equal(gate.state, QA_STATE_BACKING_OFF);
}

static void one_that_relents_goes_on_from_where_it_was(void **state) {
    (void)state;
    go_wrong(qa_gate_enter(&gate, false), 0, -1);
    go_wrong(qa_gate_enter(&gate, false), 100, -1);
    qa_gate_relent(&gate, qa_gate_enter(&gate, false));
    assert_int_equal(gate.state, QA_STATE_RUNNING);
    assert_true(ready(300));
    qa_gate_pass first = qa_gate_enter(&gate, false), second = qa_gate_enter(&gate, false);
    go_wrong(first, 300, -1);
    go_wrong(second, 300, -1);
    assert_false(ready(300 + 400 - 1)); /* the third in a row, not the first */
    assert_true(ready(300 + 400));
    qa_gate_relent(&gate, qa_gate_enter(&gate, false));
    qa_gate_succeed(&gate, qa_gate_enter(&gate, false));
    go_wrong(qa_gate_enter(&gate, false), 2000, -1); /* something real succeeded between */
    assert_true(ready(2100));
}

static void only_a_back_off_relents(void **state) {
    (void)state;
    qa_gate_pass pass = qa_gate_enter(&gate, false);
    qa_gate_pause(&gate, pass, 0, QA_AUTH, "no");
    qa_gate_relent(&gate, qa_gate_enter(&gate, false));
    assert_int_equal(gate.state, QA_STATE_PAUSED);
    qa_gate_reset(&gate);
    pass = qa_gate_enter(&gate, false);
    go_wrong(qa_gate_enter(&gate, false), 0, -1);
    qa_gate_relent(&gate, pass); /* older than the failure */
    assert_int_equal(gate.state, QA_STATE_BACKING_OFF);
}

static void what_fails_late_ends_the_trial_too(void **state) {
    (void)state;
    qa_gate_pass first = qa_gate_enter(&gate, false), late = qa_gate_enter(&gate, false);
    go_wrong(first, 0, -1);
    qa_gate_relent(&gate, qa_gate_enter(&gate, false));
    assert_true(gate.unproven);
    go_wrong(late, 1, 5000);
    assert_int_equal(gate.state, QA_STATE_BACKING_OFF);
    assert_false(gate.unproven);
}

static void who_goes_in_regardless_is_no_probe_but_may_open_it(void **state) {
    (void)state;
    qa_gate_pause(&gate, qa_gate_enter(&gate, false), 0, QA_AUTH, "no");
    qa_gate_pass direct = qa_gate_enter(&gate, true);
    assert_true(direct.probe == 0);
    assert_true(ready(100));
    qa_gate_pass probe = qa_gate_enter(&gate, false);
    qa_gate_succeed(&gate, direct);
    assert_int_equal(gate.state, QA_STATE_RUNNING);
    /* The probe that is overtaken must not shut out the next one. */
    go_wrong(probe, 100, -1);
    assert_true(ready(10000));
    qa_gate_pass next = qa_gate_enter(&gate, false);
    qa_gate_withdraw(&gate, probe);
    assert_false(ready(10000));
    qa_gate_succeed(&gate, next);
    assert_true(ready(10000));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(a_failure_shuts_it_for_a_back_off_that_doubles),
        TEST(it_tells_when_it_opens),
        TEST(only_one_probe_goes_through),
        TEST(failures_of_one_moment_count_once),
        TEST(an_old_success_does_not_open_it),
        TEST(an_old_failure_does_not_shut_it),
        TEST(retry_after_is_a_floor_even_of_one_that_does_not_count),
        TEST(a_pause_outranks_a_back_off_and_keeps_its_reason),
        TEST(a_reset_opens_it_and_forgets_who_was_under_way),
        TEST(one_that_relents_goes_on_from_where_it_was),
        TEST(only_a_back_off_relents),
        TEST(who_goes_in_regardless_is_no_probe_but_may_open_it),
        TEST(what_fails_late_ends_the_trial_too),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
