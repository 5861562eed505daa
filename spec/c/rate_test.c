/* rate_test.c
 * The rate limit: its spacing, what it lets be caught up, and odd limits.
 * Does not know requests.
 * SPDX-License-Identifier: MIT */
#include "rate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void requests_are_spaced(void **state) {
    (void)state;
    qa_rate rate;
    qa_rate_init(&rate, 4);
    int64_t now = 1000000, at = INT64_MAX;
    assert_true(qa_rate_ready(&rate, now, &at));
    qa_rate_take(&rate, now);
    assert_false(qa_rate_ready(&rate, now, &at));
    assert_in_range(at, now + 248000, now + 250000);
    at = 5;
    assert_false(qa_rate_ready(&rate, now, &at));
    assert_int_equal(at, 5); /* only ever lowered */
}

static void a_high_rate_is_reached_in_whole_milliseconds_and_not_exceeded(void **state) {
    (void)state;
    qa_rate rate;
    qa_rate_init(&rate, 1500);
    int64_t at;
    int taken = 0;
    for (int64_t now = 0; now < 1000000; now += 1000) {
        while (qa_rate_ready(&rate, now, &at)) {
            qa_rate_take(&rate, now);
            taken++;
        }
    }
    assert_in_range(taken, 1495, 1505);
}

static void time_without_requests_is_not_saved_up(void **state) {
    (void)state;
    qa_rate rate;
    qa_rate_init(&rate, 10);
    int64_t at;
    qa_rate_take(&rate, 0);
    int burst = 0;
    while (qa_rate_ready(&rate, 60000000, &at)) {
        qa_rate_take(&rate, 60000000);
        burst++;
    }
    assert_int_equal(burst, 1);
}

static void no_limit_and_absurd_limits(void **state) {
    (void)state;
    static const double none[] = {0, -1, NAN};
    qa_rate rate;
    int64_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        qa_rate_init(&rate, none[i]);
        qa_rate_take(&rate, 0);
        assert_true(qa_rate_ready(&rate, 0, &at));
    }
    qa_rate_init(&rate, 1e-300);
    qa_rate_take(&rate, INT64_MAX - 5);
    assert_false(qa_rate_ready(&rate, INT64_MAX - 1, &at));
    qa_rate_init(&rate, 1e300);
    qa_rate_take(&rate, 0);
    assert_true(qa_rate_ready(&rate, 1, &at));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_spaced),
        cmocka_unit_test(a_high_rate_is_reached_in_whole_milliseconds_and_not_exceeded),
        cmocka_unit_test(time_without_requests_is_not_saved_up),
        cmocka_unit_test(no_limit_and_absurd_limits),
    };
    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
