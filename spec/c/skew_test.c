/* skew_test.c
 * The clock offset: learnt from a Date within what its seconds can tell.
 * Does not know signatures.
 * SPDX-License-Identifier: MIT */
#include "skew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW INT64_C(1708235644862)

/* What a service whose clock is `offset_ms` ahead says in the middle of a request. */
static bool learn(qa_skew *skew, int64_t offset_ms, int64_t sent, int64_t round_trip) {
    int64_t there = sent + round_trip / 2 + offset_ms;
    return qa_skew_learn(skew, there - there % 1000, sent, sent + round_trip);
}

static void a_right_clock_is_left_alone(void **state) {
    (void)state;
    qa_skew skew = {0};
    for (int64_t ms = 0; ms < 3000; ms += 7)
        assert_false(learn(&skew, 0, NOW + ms, 20));
    assert_int_equal(skew.offset_ms, 0);
}

static void an_offset_is_found_and_then_stays_put(void **state) {
    (void)state;
    static const int64_t offsets[] = {-3600000, -60000, -5000, 5000, 60000, 86400000};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        qa_skew skew = {0};
        assert_true(learn(&skew, offsets[i], NOW, 40));
        assert_true(llabs(skew.offset_ms - offsets[i]) <= 1100);
        int changes = 0;
        for (int64_t ms = 0; ms < 20000; ms += 13)
            changes += learn(&skew, offsets[i], NOW + ms, 40);
        assert_true(changes <= 2);
        assert_true(llabs(skew.offset_ms - offsets[i]) <= 1100);
    }
}

static void it_returns_to_nothing_when_the_clock_is_set(void **state) {
    (void)state;
    qa_skew skew = {0};
    learn(&skew, 60000, NOW, 40);
    assert_true(learn(&skew, 0, NOW, 40));
    assert_int_equal(skew.offset_ms, 0);
}

static void a_slow_answer_says_little(void **state) {
    (void)state;
    qa_skew skew = {0};
    assert_false(qa_skew_learn(&skew, NOW, NOW + 1000, NOW + 9000)); /* may have waited there */
    assert_int_equal(skew.offset_ms, 0);
}

static void nonsense_is_ignored(void **state) {
    (void)state;
    qa_skew skew = {0};
    assert_false(qa_skew_learn(&skew, NOW + 90000, NOW + 10, NOW)); /* our clock jumped back */
    assert_false(qa_skew_learn(&skew, -1, NOW, NOW));
    assert_false(qa_skew_learn(&skew, INT64_MAX, NOW, NOW));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_clock_is_left_alone),
        cmocka_unit_test(an_offset_is_found_and_then_stays_put),
        cmocka_unit_test(it_returns_to_nothing_when_the_clock_is_set),
        cmocka_unit_test(a_slow_answer_says_little),
        cmocka_unit_test(nonsense_is_ignored),
    };
    return cmocka_run_group_tests_name("skew", tests, NULL, NULL);
}
