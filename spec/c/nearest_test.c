/* nearest_test.c
 * Typing mistakes find what was meant; other words find nothing.
 * Does not know which names the library has.
 * SPDX-License-Identifier: MIT */
#include "nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"customer_id", "event_code", "linger", "batch_events",
                                    "batch_bytes", "id"};

static const char *nearest(const char *word) {
    return qa_nearest(word, strlen(word), names, sizeof names / sizeof names[0]);
}

static void test_one_mistake_of_each_kind(void **state) {
    (void)state;
    assert_string_equal(nearest("custmer_id"), "customer_id");   /* left out */
    assert_string_equal(nearest("customerr_id"), "customer_id"); /* too much */
    assert_string_equal(nearest("custamer_id"), "customer_id");  /* another */
    assert_string_equal(nearest("csutomer_id"), "customer_id");  /* swapped */
    assert_string_equal(nearest("lingre"), "linger");
}

static void test_case_and_separators_do_not_count(void **state) {
    (void)state;
    assert_string_equal(nearest("CustomerID"), "customer_id");
    assert_string_equal(nearest("batch-events"), "batch_events");
    assert_string_equal(nearest("eventcode"), "event_code");
}

static void test_the_nearer_of_two_wins(void **state) {
    (void)state;
    assert_string_equal(nearest("batch_byte"), "batch_bytes");
    assert_string_equal(nearest("batch_event"), "batch_events");
}

static void test_what_is_not_near_has_no_answer(void **state) {
    (void)state;
    assert_null(nearest("temperature"));
    assert_null(nearest(""));
    assert_null(nearest("xyz"));
    assert_null(nearest("customer_id_of_the_person_who_has_paid_for_all_of_it"));
}

static void test_words_of_odd_length_are_safe(void **state) {
    (void)state;
    char word[256];
    memset(word, 'c', sizeof word);
    for (size_t length = 0; length <= sizeof word; length++)
        (void)qa_nearest(word, length, names, sizeof names / sizeof names[0]);
    memset(word, '_', sizeof word);
    assert_null(qa_nearest(word, 48, names, sizeof names / sizeof names[0]));
    assert_null(qa_nearest("customer_id", 11, names, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_mistake_of_each_kind),
        cmocka_unit_test(test_case_and_separators_do_not_count),
        cmocka_unit_test(test_the_nearer_of_two_wins),
        cmocka_unit_test(test_what_is_not_near_has_no_answer),
        cmocka_unit_test(test_words_of_odd_length_are_safe),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
