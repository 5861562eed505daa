/* trial_test.c
 * Trials: when a rejection is about the events, and when about everything.
 * Does not know batches.
 * SPDX-License-Identifier: MIT */
#include "trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { REASON = 7, OTHER = 8 };

static void both_halves_on_every_level_make_it_systemic(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(8, 0, REASON);
    for (uint32_t depth = 1; depth <= 3; depth++) {
        qa_trial_rejected(trial, depth, REASON, 0);
        assert_false(qa_trial_is_systemic(trial, depth));
        qa_trial_rejected(trial, depth, REASON, REASON);
        assert_true(qa_trial_is_systemic(trial, depth));
        assert_false(qa_trial_is_systemic(trial, depth + 1));
    }
    qa_trial_unref(trial);
}

static void a_level_where_one_half_is_open_is_not_enough(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(8, 0, REASON);
    qa_trial_rejected(trial, 1, REASON, 0);
    qa_trial_rejected(trial, 2, REASON, REASON);
    qa_trial_rejected(trial, 3, REASON, REASON);
    assert_false(qa_trial_is_systemic(trial, 3));
    qa_trial_rejected(trial, 1, REASON, REASON);
    assert_true(qa_trial_is_systemic(trial, 3));
    qa_trial_unref(trial);
}

static void differing_reasons_speak_of_the_events(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(4, 0, REASON);
    qa_trial_rejected(trial, 1, REASON, REASON);
    qa_trial_rejected(trial, 2, OTHER, OTHER);
    assert_false(qa_trial_is_systemic(trial, 2));
    qa_trial_unref(trial);
}

static void small_batches_prove_nothing(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(3, 0, REASON);
    qa_trial_rejected(trial, 1, REASON, REASON);
    qa_trial_rejected(trial, 2, REASON, REASON);
    assert_false(qa_trial_is_systemic(trial, 2));
    assert_false(qa_trial_is_systemic(trial, 0));
    qa_trial_unref(trial);
}

static void depths_beyond_any_batch_are_harmless(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(4, 0, REASON);
    qa_trial_rejected(trial, 63, REASON, REASON);
    qa_trial_rejected(trial, 64, REASON, REASON);
    qa_trial_rejected(trial, UINT32_MAX, REASON, REASON);
    assert_false(qa_trial_is_systemic(trial, 63));
    assert_false(qa_trial_is_systemic(trial, UINT32_MAX));
    qa_trial_unref(trial);
}

static void it_is_exhausted_when_all_its_pieces_are_held(void **state) {
    (void)state;
    qa_trial *trial = qa_trial_new(4, 0, REASON);
    assert_ptr_equal(qa_trial_ref(trial), trial);
    assert_false(qa_trial_is_exhausted(trial));
    trial->held = 1;
    assert_false(qa_trial_is_exhausted(trial));
    qa_trial_unref(trial);
    assert_true(qa_trial_is_exhausted(trial));
    qa_trial_unref(trial);
    qa_trial_unref(NULL);
    assert_null(qa_trial_ref(NULL));
}

static void a_reason_is_the_status_and_the_code_not_the_words(void **state) {
    (void)state;
    qa_verdict a = {.http_status = 200, .service_code = "E1", .message = "event 5 is bad"};
    qa_verdict b = a;
    strcpy(b.message, "event 6 is bad");
    strcpy(b.trace_id, "t");
    assert_int_equal(qa_trial_reason(&a), qa_trial_reason(&b));
    assert_true(qa_trial_reason(&a) != 0);
    strcpy(b.service_code, "E2");
    assert_true(qa_trial_reason(&a) != qa_trial_reason(&b));
    b = a;
    b.http_status = 400;
    assert_true(qa_trial_reason(&a) != qa_trial_reason(&b));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_on_every_level_make_it_systemic),
        cmocka_unit_test(a_level_where_one_half_is_open_is_not_enough),
        cmocka_unit_test(differing_reasons_speak_of_the_events),
        cmocka_unit_test(small_batches_prove_nothing),
        cmocka_unit_test(depths_beyond_any_batch_are_harmless),
        cmocka_unit_test(it_is_exhausted_when_all_its_pieces_are_held),
        cmocka_unit_test(a_reason_is_the_status_and_the_code_not_the_words),
    };
    return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
