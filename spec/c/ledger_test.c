/* ledger_test.c
 * The ledger: every way an event can go, and the sums on the way.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_sums_agree_on_every_way(void **state) {
    (void)state;
    static qa_ledger ledger;
    memset(&ledger, 0, sizeof ledger);
    assert_true(qa_ledger_balanced(&ledger.counts));
    qa_ledger_accept(&ledger, 100);
    assert_int_equal(qa_ledger_pending(&ledger), 100);
    for (qa_end end = QA_END_DELIVERED; end <= QA_END_CLOSED; end++) {
        qa_ledger_start(&ledger, 20);
        assert_int_equal(ledger.counts.in_flight, 20);
        assert_true(qa_ledger_balanced(&ledger.counts));
        qa_ledger_put_back(&ledger, 20);
        qa_ledger_end(&ledger, 10 + (uint64_t)end, end);
        assert_true(qa_ledger_balanced(&ledger.counts));
    }
    assert_int_equal(ledger.counts.delivered, 10);
    assert_int_equal(ledger.counts.dead, 11);
    assert_int_equal(ledger.counts.dropped[QA_DROP_DEADLINE], 12);
    assert_int_equal(ledger.counts.dropped[QA_DROP_CLOSED], 13);
    assert_int_equal(qa_ledger_pending(&ledger), 100 - 46);
}

static void requests_are_counted_by_their_end(void **state) {
    (void)state;
    static qa_ledger ledger;
    memset(&ledger, 0, sizeof ledger);
    for (int code = 0; code < QA_LEDGER_CODES; code++) {
        qa_ledger_request(&ledger, (qa_status)code, 10);
        assert_int_equal(ledger.counts.requests_by[code], 1);
        assert_true(qa_ledger_balanced(&ledger.counts));
    }
    assert_int_equal(ledger.counts.bytes_sent, 10 * QA_LEDGER_CODES);
    ledger.counts.requests++;
    assert_false(qa_ledger_balanced(&ledger.counts));
}

static void a_lost_event_is_noticed(void **state) {
    (void)state;
    static qa_ledger ledger;
    memset(&ledger, 0, sizeof ledger);
    qa_ledger_accept(&ledger, 1);
    ledger.counts.queued = 0;
    assert_false(qa_ledger_balanced(&ledger.counts));
}

static void words(void **state) {
    (void)state;
    assert_string_equal(qa_drop_text(QA_DROP_DEADLINE), "deadline");
    assert_string_equal(qa_drop_text(QA_DROP_CLOSED), "closed");
    assert_string_equal(qa_state_text(QA_STATE_RUNNING), "running");
    assert_string_equal(qa_state_text(QA_STATE_BACKING_OFF), "backing_off");
    assert_string_equal(qa_state_text(QA_STATE_PAUSED), "paused");
    assert_string_equal(qa_state_text(QA_STATE_CLOSING), "closing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sums_agree_on_every_way),
        cmocka_unit_test(requests_are_counted_by_their_end),
        cmocka_unit_test(a_lost_event_is_noticed),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
