/* histogram_test.c
 * Quantiles against sorted values, at every order of magnitude.
 * Does not know what is measured.
 * SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "retry.h"

enum { VALUES = 5000 };

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void assert_near(int64_t told, int64_t exact) {
    int64_t allowed = exact / 64 + 1;
    if (told < exact - allowed || told > exact + allowed)
        fail_msg("told %lld, exact %lld", (long long)told, (long long)exact);
}

static void test_empty_tells_zeros(void **state) {
    (void)state;
    qa_histogram histogram = {0};
    qa_histogram_snapshot snapshot, zeros = {0};
    memset(&snapshot, 0xFF, sizeof snapshot);
    qa_histogram_read(&histogram, &snapshot);
    assert_int_equal(snapshot.count, zeros.count);
    assert_int_equal(snapshot.min, 0);
    assert_int_equal(snapshot.max, 0);
    assert_int_equal(snapshot.p50, 0);
    assert_int_equal(snapshot.p99, 0);
    assert_true(snapshot.mean == 0.0 && snapshot.sum == 0.0);
}

static void test_one_value_is_told_exactly_at_every_power(void **state) {
    (void)state;
    for (int power = 0; power < 63; power++) {
        for (int64_t off = -1; off <= 1; off++) {
            int64_t value = (int64_t)((uint64_t)1 << power) + off;
            qa_histogram histogram = {0};
            qa_histogram_snapshot snapshot;
            qa_histogram_record(&histogram, value);
            qa_histogram_read(&histogram, &snapshot);
            assert_int_equal(snapshot.count, 1);
            assert_true(snapshot.min == value && snapshot.max == value);
            assert_true(snapshot.p50 == value && snapshot.p99 == value);
        }
    }
}

static void test_small_values_are_exact(void **state) {
    (void)state;
    qa_histogram histogram = {0};
    qa_histogram_snapshot snapshot;
    for (int64_t value = 1; value <= 50; value++) {
        qa_histogram_record(&histogram, value);
        qa_histogram_record(&histogram, value);
    }
    qa_histogram_read(&histogram, &snapshot);
    assert_int_equal(snapshot.count, 100);
    assert_int_equal(snapshot.min, 1);
    assert_int_equal(snapshot.p50, 25);
    assert_int_equal(snapshot.p99, 50);
    assert_int_equal(snapshot.max, 50);
    assert_true(snapshot.mean == 25.5 && snapshot.sum == 2550.0);
}

static void test_one_outlier_in_a_hundred_is_not_the_p99(void **state) {
    (void)state;
    qa_histogram histogram = {0};
    qa_histogram_snapshot snapshot;
    for (int i = 0; i < 99; i++)
        qa_histogram_record(&histogram, 10);
    qa_histogram_record(&histogram, 1000000);
    qa_histogram_read(&histogram, &snapshot);
    assert_int_equal(snapshot.p99, 10);
    assert_int_equal(snapshot.max, 1000000);
    qa_histogram_record(&histogram, 1000000);
    qa_histogram_read(&histogram, &snapshot);
    assert_near(snapshot.p99, 1000000);
}

/* The quantiles of random values of up to `bits` bits are those of the sorted list. */
static void check_against_sorted(unsigned bits, uint64_t *seed) {
    static int64_t values[VALUES];
    static qa_histogram histogram;
    qa_histogram_snapshot snapshot;
    memset(&histogram, 0, sizeof histogram);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = (int64_t)(qa_random_next(seed) >> (64 - bits));
        qa_histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    qa_histogram_read(&histogram, &snapshot);
    assert_int_equal(snapshot.count, VALUES);
    assert_true(snapshot.min == values[0] && snapshot.max == values[VALUES - 1]);
    assert_near(snapshot.p50, values[VALUES / 2 - 1]);
    assert_near(snapshot.p99, values[VALUES * 99 / 100 - 1]);
}

static void test_quantiles_agree_with_sorted_values(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (unsigned bits = 1; bits <= QA_HISTOGRAM_VALUE_BITS; bits++)
        check_against_sorted(bits, &seed);
}

static void test_negative_counts_as_zero(void **state) {
    (void)state;
    qa_histogram histogram = {0};
    qa_histogram_snapshot snapshot;
    qa_histogram_record(&histogram, -5);
    qa_histogram_record(&histogram, INT64_MIN);
    qa_histogram_read(&histogram, &snapshot);
    assert_int_equal(snapshot.count, 2);
    assert_int_equal(snapshot.min, 0);
    assert_int_equal(snapshot.max, 0);
}

static void test_huge_values_share_the_last_bucket(void **state) {
    (void)state;
    qa_histogram histogram = {0};
    qa_histogram_snapshot snapshot;
    qa_histogram_record(&histogram, INT64_C(1) << QA_HISTOGRAM_VALUE_BITS);
    qa_histogram_record(&histogram, INT64_MAX);
    qa_histogram_read(&histogram, &snapshot);
    assert_true(snapshot.max == INT64_MAX && snapshot.p99 == INT64_MAX);
    assert_true(snapshot.min == INT64_C(1) << QA_HISTOGRAM_VALUE_BITS);
    assert_int_equal(histogram.buckets[QA_HISTOGRAM_BUCKETS - 1], 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_tells_zeros),
        cmocka_unit_test(test_one_value_is_told_exactly_at_every_power),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_one_outlier_in_a_hundred_is_not_the_p99),
        cmocka_unit_test(test_quantiles_agree_with_sorted_values),
        cmocka_unit_test(test_negative_counts_as_zero),
        cmocka_unit_test(test_huge_values_share_the_last_bucket),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
