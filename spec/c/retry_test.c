/* retry_test.c
 * Every row of the table of answers, and the back-off at its edges.
 * Does not know queues or real answers.
 * SPDX-License-Identifier: MIT */
#include "retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SUCCESS "{\"traceId\":\"t1\",\"success\":true,\"data\":true}"
#define FAILURE                                                                                    \
    "{\"traceId\":\"t2\",\"success\":false,\"errorCode\":\"E1\",\"errorDesc\":\"no such event\"}"

static qa_answer answered(int http_status, const char *body) {
    qa_answer answer = {.status = QA_OK,
                        .delivery = QA_DELIVERY_ANSWERED,
                        .http_status = http_status,
                        .body = body,
                        .body_length = strlen(body),
                        .retry_after_ms = -1,
                        .date_ms = -1};
    return answer;
}

static qa_answer failed(qa_status status, qa_delivery delivery, const char *message) {
    qa_answer answer = {
        .status = status, .delivery = delivery, .retry_after_ms = -1, .date_ms = -1};
    (void)snprintf(answer.message, sizeof answer.message, "%s", message);
    return answer;
}

static qa_verdict judge(const qa_answer *answer) {
    qa_verdict verdict;
    memset(&verdict, 0xFF, sizeof verdict);
    qa_retry_judge(answer, NULL, 0, &verdict);
    return verdict;
}

static void assert_contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, text);
}

static void test_success_is_delivered(void **state) {
    (void)state;
    static const int statuses[] = {200, 201, 202, 299};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        qa_answer answer = answered(statuses[i], SUCCESS);
        qa_verdict verdict = judge(&answer);
        assert_int_equal(verdict.action, QA_ACTION_DELIVERED);
        assert_int_equal(verdict.code, QA_OK);
        assert_true(verdict.sent);
        assert_false(verdict.possibly_stored);
        assert_int_equal(verdict.http_status, statuses[i]);
        assert_string_equal(verdict.trace_id, "t1");
        assert_string_equal(verdict.service_code, "");
        assert_string_equal(verdict.message, "");
        assert_true(verdict.retry_after_ms == -1);
    }
}

static void test_no_success_is_rejected_in_the_services_words(void **state) {
    (void)state;
    qa_answer answer = answered(200, FAILURE);
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_REJECT);
    assert_int_equal(verdict.code, QA_REJECTED);
    assert_false(verdict.possibly_stored);
    assert_string_equal(verdict.trace_id, "t2");
    assert_string_equal(verdict.service_code, "E1");
    assert_string_equal(verdict.message,
                        "service answered 200 without success: E1: no such event (trace t2)");
}

static void test_data_false_is_rejected(void **state) {
    (void)state;
    qa_answer answer = answered(200, "{\"traceId\":\"t\",\"success\":true,\"data\":false}");
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_REJECT);
    assert_string_equal(verdict.message, "service answered 200 without success (trace t)");
}

static void test_error_codes_decide_first_match_wins(void **state) {
    (void)state;
    static const qa_error_code_rule rules[] = {{"E0", QA_ACTION_PAUSE},
                                               {"E1", QA_ACTION_RETRY},
                                               {"E1", QA_ACTION_PAUSE},
                                               {"E2", QA_ACTION_PAUSE},
                                               {"E3", QA_ACTION_REJECT},
                                               {"e4", QA_ACTION_RETRY}};
    static const struct {
        const char *body;
        qa_action action;
    } cases[] = {
        {"{\"traceId\":\"t\",\"success\":false,\"errorCode\":\"E0\"}", QA_ACTION_PAUSE},
        {"{\"traceId\":\"t\",\"success\":false,\"errorCode\":\"E1\"}", QA_ACTION_RETRY},
        {"{\"traceId\":\"t\",\"success\":false,\"errorCode\":\"E2\"}", QA_ACTION_PAUSE},
        {"{\"traceId\":\"t\",\"success\":false,\"errorCode\":\"E3\"}", QA_ACTION_REJECT},
        {"{\"traceId\":\"t\",\"success\":false,\"errorCode\":\"E4\"}", QA_ACTION_REJECT},
        {"{\"traceId\":\"t\",\"success\":false}", QA_ACTION_REJECT},
        {"{\"traceId\":\"t\",\"success\":true,\"errorCode\":\"E1\"}", QA_ACTION_DELIVERED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qa_answer answer = answered(200, cases[i].body);
        qa_verdict verdict;
        qa_retry_judge(&answer, rules, sizeof rules / sizeof rules[0], &verdict);
        assert_int_equal(verdict.action, cases[i].action);
        assert_false(verdict.possibly_stored);
    }
}

static void test_error_codes_do_not_touch_other_statuses(void **state) {
    (void)state;
    static const qa_error_code_rule rule = {"E1", QA_ACTION_RETRY};
    qa_answer answer = answered(401, FAILURE);
    qa_verdict verdict;
    qa_retry_judge(&answer, &rule, 1, &verdict);
    assert_int_equal(verdict.action, QA_ACTION_PAUSE);
}

static void test_what_cannot_be_read_is_retried_and_possibly_stored(void **state) {
    (void)state;
    static const char *const bodies[] = {"", "<html>", "{\"success\":", "[]", "{}", "null"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        qa_answer answer = answered(200, bodies[i]);
        qa_verdict verdict = judge(&answer);
        assert_int_equal(verdict.action, QA_ACTION_RETRY);
        assert_int_equal(verdict.code, QA_BAD_RESPONSE);
        assert_true(verdict.sent && verdict.possibly_stored);
        assert_contains(verdict.message, "service answered 200, but not as documented: ");
        assert_contains(verdict.message, "; the events may have been stored");
    }
}

static void test_an_oversized_or_cut_body_goes_by_the_status(void **state) {
    (void)state;
    qa_answer answer = failed(QA_BAD_RESPONSE, QA_DELIVERY_ANSWERED, "answer over 1 MiB");
    answer.http_status = 200;
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_RETRY);
    assert_int_equal(verdict.code, QA_BAD_RESPONSE);
    assert_true(verdict.possibly_stored);
    assert_contains(verdict.message, "answer over 1 MiB");
    answer.http_status = 401;
    verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_PAUSE);
    assert_int_equal(verdict.code, QA_AUTH);
    answer.http_status = 0;
    verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_RETRY);
    assert_int_equal(verdict.code, QA_BAD_RESPONSE);
    assert_true(verdict.possibly_stored);
}

/* The rows of the table that the HTTP status alone decides. */
static void test_each_status_has_its_action(void **state) {
    (void)state;
    static const struct {
        int http_status;
        qa_action action;
        qa_status code;
        bool possibly_stored;
    } rows[] = {
        {300, QA_ACTION_PAUSE, QA_HTTP, false},       {301, QA_ACTION_PAUSE, QA_HTTP, false},
        {302, QA_ACTION_PAUSE, QA_HTTP, false},       {307, QA_ACTION_PAUSE, QA_HTTP, false},
        {308, QA_ACTION_PAUSE, QA_HTTP, false},       {399, QA_ACTION_PAUSE, QA_HTTP, false},
        {400, QA_ACTION_REJECT, QA_REJECTED, false},  {422, QA_ACTION_REJECT, QA_REJECTED, false},
        {401, QA_ACTION_PAUSE, QA_AUTH, false},       {403, QA_ACTION_PAUSE, QA_AUTH, false},
        {402, QA_ACTION_PAUSE, QA_HTTP, false},       {404, QA_ACTION_PAUSE, QA_HTTP, false},
        {405, QA_ACTION_PAUSE, QA_HTTP, false},       {406, QA_ACTION_PAUSE, QA_HTTP, false},
        {407, QA_ACTION_PAUSE, QA_HTTP, false},       {410, QA_ACTION_PAUSE, QA_HTTP, false},
        {415, QA_ACTION_PAUSE, QA_HTTP, false},       {431, QA_ACTION_PAUSE, QA_HTTP, false},
        {499, QA_ACTION_PAUSE, QA_HTTP, false},       {413, QA_ACTION_HALVE, QA_HTTP, false},
        {408, QA_ACTION_RETRY, QA_HTTP, false},       {425, QA_ACTION_RETRY, QA_HTTP, false},
        {429, QA_ACTION_RETRY, QA_HTTP, false},       {500, QA_ACTION_RETRY, QA_HTTP, true},
        {501, QA_ACTION_RETRY, QA_HTTP, true},        {502, QA_ACTION_RETRY, QA_HTTP, true},
        {503, QA_ACTION_RETRY, QA_HTTP, true},        {504, QA_ACTION_RETRY, QA_HTTP, true},
        {599, QA_ACTION_RETRY, QA_HTTP, true},        {600, QA_ACTION_RETRY, QA_BAD_RESPONSE, true},
        {101, QA_ACTION_RETRY, QA_BAD_RESPONSE, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char start[64];
        qa_answer answer = answered(rows[i].http_status, "<html>a proxy's page</html>");
        qa_verdict verdict = judge(&answer);
        if (verdict.action != rows[i].action || verdict.code != rows[i].code ||
            verdict.possibly_stored != rows[i].possibly_stored)
            fail_msg("%d: %d %d %d", rows[i].http_status, (int)verdict.action, (int)verdict.code,
                     verdict.possibly_stored);
        assert_true(verdict.sent);
        assert_int_equal(verdict.http_status, rows[i].http_status);
        (void)snprintf(start, sizeof start, "service answered %d", rows[i].http_status);
        assert_memory_equal(verdict.message, start, strlen(start));
        assert_null(strstr(verdict.message, "html"));
    }
}

static void test_the_body_explains_any_status(void **state) {
    (void)state;
    qa_answer answer = answered(
        401, "{\"traceId\":\"abc\",\"success\":false,\"errorCode\":\"SIGN_ERROR\","
             "\"errorDesc\":\"signature mismatch\"}");
    qa_verdict verdict = judge(&answer);
    assert_contains(verdict.message,
                    "service answered 401: SIGN_ERROR: signature mismatch (trace abc)");
    assert_contains(verdict.message, "; check app_id, access_key, access_secret");
    assert_string_equal(verdict.trace_id, "abc");
    assert_string_equal(verdict.service_code, "SIGN_ERROR");
    answer = answered(400, FAILURE);
    verdict = judge(&answer);
    assert_string_equal(verdict.message, "service answered 400: E1: no such event (trace t2)");
    answer = answered(500, FAILURE);
    verdict = judge(&answer);
    assert_string_equal(verdict.message, "service answered 500: E1: no such event (trace t2)");
}

static void test_success_in_the_body_does_not_heal_a_bad_status(void **state) {
    (void)state;
    qa_answer answer = answered(500, SUCCESS);
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_RETRY);
    assert_true(verdict.possibly_stored);
}

static void test_hints_say_what_to_do(void **state) {
    (void)state;
    qa_answer answer = answered(302, "");
    qa_verdict verdict = judge(&answer);
    assert_contains(verdict.message, "service answered 302; redirects are not followed");
    assert_contains(verdict.message, "set endpoint");
    answer = answered(404, "");
    verdict = judge(&answer);
    assert_string_equal(verdict.message, "service answered 404; check endpoint and path");
    answer = answered(413, "");
    verdict = judge(&answer);
    assert_contains(verdict.message, "too large");
    answer = answered(503, "");
    verdict = judge(&answer);
    assert_string_equal(verdict.message, "service answered 503");
}

static void test_a_long_message_is_cut_not_overrun(void **state) {
    (void)state;
    char body[1024];
    (void)snprintf(body, sizeof body,
                   "{\"traceId\":\"%0200d\",\"success\":false,\"errorCode\":\"%0200d\","
                   "\"errorDesc\":\"%0500d\"}",
                   1, 2, 3);
    qa_answer answer = answered(401, body);
    qa_verdict verdict = judge(&answer);
    assert_true(strlen(verdict.message) < QA_ERROR_MAX);
    assert_true(strlen(verdict.message) > QA_ERROR_MAX / 2);
}

static void test_retry_after_is_kept_for_retries_and_capped(void **state) {
    (void)state;
    static const int retried[] = {200, 408, 425, 429, 500, 503};
    for (size_t i = 0; i < sizeof retried / sizeof retried[0]; i++) {
        qa_answer answer = answered(retried[i], "");
        answer.retry_after_ms = 30000;
        assert_true(judge(&answer).retry_after_ms == 30000);
        answer.retry_after_ms = 0;
        assert_true(judge(&answer).retry_after_ms == 0);
        answer.retry_after_ms = INT64_MAX;
        assert_true(judge(&answer).retry_after_ms == 600000);
        answer.retry_after_ms = -1;
        assert_true(judge(&answer).retry_after_ms == -1);
    }
    static const int others[] = {302, 400, 401, 404, 413};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        qa_answer answer = answered(others[i], "");
        answer.retry_after_ms = 30000;
        assert_true(judge(&answer).retry_after_ms == -1);
    }
}

static void test_failures_of_the_network_are_retried(void **state) {
    (void)state;
    static const qa_status statuses[] = {QA_NETWORK, QA_TIMEOUT, QA_CLOSED, QA_NO_MEMORY};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        qa_answer answer = failed(statuses[i], QA_DELIVERY_UNSENT, "cannot resolve 'host'");
        qa_verdict verdict = judge(&answer);
        assert_int_equal(verdict.action, QA_ACTION_RETRY);
        assert_int_equal(verdict.code, statuses[i]);
        assert_false(verdict.sent || verdict.possibly_stored);
        assert_int_equal(verdict.http_status, 0);
        assert_string_equal(verdict.message, "cannot resolve 'host'");
        answer.delivery = QA_DELIVERY_POSSIBLE;
        verdict = judge(&answer);
        assert_true(verdict.sent && verdict.possibly_stored);
    }
}

static void test_what_left_twice_may_have_been_stored_the_first_time(void **state) {
    (void)state;
    qa_answer answer = answered(400, "");
    assert_false(judge(&answer).possibly_stored);
    answer.resent = 1;
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_REJECT);
    assert_true(verdict.resent == 1 && verdict.possibly_stored);
    answer = answered(200, "{\"success\":true}");
    answer.resent = 1;
    verdict = judge(&answer);
    assert_int_equal(verdict.resent, 1);
    assert_false(verdict.possibly_stored); /* it is known by now */
}

static void test_an_unverified_peer_pauses(void **state) {
    (void)state;
    qa_answer answer = failed(QA_TLS, QA_DELIVERY_UNSENT, "certificate of 'host' not verified");
    qa_verdict verdict = judge(&answer);
    assert_int_equal(verdict.action, QA_ACTION_PAUSE);
    assert_int_equal(verdict.code, QA_TLS);
    assert_false(verdict.sent || verdict.possibly_stored);
}

static void test_a_request_that_could_not_start_was_not_sent(void **state) {
    (void)state;
    qa_error error;
    qa_verdict verdict;
    qa_error_set(&error, QA_NO_MEMORY, "request: out of memory");
    qa_retry_judge_unsent(&error, &verdict);
    assert_int_equal(verdict.action, QA_ACTION_RETRY);
    assert_int_equal(verdict.code, QA_NO_MEMORY);
    assert_false(verdict.sent || verdict.possibly_stored);
    assert_string_equal(verdict.message, "request: out of memory");
    assert_true(verdict.retry_after_ms == -1);
    qa_error_set(&error, QA_CONFIG, "endpoint: malformed");
    qa_retry_judge_unsent(&error, &verdict);
    assert_int_equal(verdict.action, QA_ACTION_PAUSE);
}

/* A source that always says the same. */
static uint64_t constant(void *state) {
    return *(uint64_t *)state;
}

static void test_back_off_doubles_up_to_its_cap(void **state) {
    (void)state;
    uint64_t highest = UINT64_MAX;
    qa_random random = {constant, &highest};
    static const int64_t expected[] = {0, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (uint32_t failures = 0; failures < 9; failures++)
        assert_true(qa_retry_delay(200, 5000, failures, &random) == expected[failures]);
}

static void test_back_off_has_full_jitter(void **state) {
    (void)state;
    uint64_t bits = 0;
    qa_random fixed = {constant, &bits};
    assert_true(qa_retry_delay(200, 5000, 4, &fixed) == 0);
    bits = (uint64_t)1 << 63;
    assert_true(qa_retry_delay(200, 5000, 4, &fixed) == 800);
    uint64_t seed = 1, sum = 0;
    qa_random random = {qa_random_next, &seed};
    int quarters[4] = {0};
    for (int i = 0; i < 4000; i++) {
        int64_t delay = qa_retry_delay(1000, 1000000, 3, &random);
        assert_true(delay >= 0 && delay <= 4000);
        sum += (uint64_t)delay;
        quarters[delay == 4000 ? 3 : delay / 1000]++;
    }
    assert_in_range(sum / 4000, 1900, 2100);
    for (int i = 0; i < 4; i++)
        assert_in_range(quarters[i], 900, 1100);
}

static void test_back_off_never_overflows(void **state) {
    (void)state;
    uint64_t highest = UINT64_MAX;
    qa_random random = {constant, &highest};
    static const uint32_t failures[] = {1, 2, 31, 32, 33, 62, 63, 64, 65, 1000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        assert_true(qa_retry_delay(200000, 60000000, failures[i], &random) <= 60000000);
        assert_true(qa_retry_delay(1, INT64_MAX, failures[i], &random) >= 0);
        assert_true(qa_retry_delay(INT64_MAX, INT64_MAX, failures[i], &random) == INT64_MAX);
        assert_true(qa_retry_delay(0, 60000000, failures[i], &random) == 0);
        assert_true(qa_retry_delay(-1, -1, failures[i], &random) == 0);
        assert_true(qa_retry_delay(5000, 100, failures[i], &random) == 100);
    }
    assert_true(qa_retry_delay(1, INT64_MAX, 64, &random) == INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success_is_delivered),
        cmocka_unit_test(test_no_success_is_rejected_in_the_services_words),
        cmocka_unit_test(test_data_false_is_rejected),
        cmocka_unit_test(test_error_codes_decide_first_match_wins),
        cmocka_unit_test(test_error_codes_do_not_touch_other_statuses),
        cmocka_unit_test(test_what_cannot_be_read_is_retried_and_possibly_stored),
        cmocka_unit_test(test_an_oversized_or_cut_body_goes_by_the_status),
        cmocka_unit_test(test_each_status_has_its_action),
        cmocka_unit_test(test_the_body_explains_any_status),
        cmocka_unit_test(test_success_in_the_body_does_not_heal_a_bad_status),
        cmocka_unit_test(test_hints_say_what_to_do),
        cmocka_unit_test(test_a_long_message_is_cut_not_overrun),
        cmocka_unit_test(test_retry_after_is_kept_for_retries_and_capped),
        cmocka_unit_test(test_failures_of_the_network_are_retried),
        cmocka_unit_test(test_what_left_twice_may_have_been_stored_the_first_time),
        cmocka_unit_test(test_an_unverified_peer_pauses),
        cmocka_unit_test(test_a_request_that_could_not_start_was_not_sent),
        cmocka_unit_test(test_back_off_doubles_up_to_its_cap),
        cmocka_unit_test(test_back_off_has_full_jitter),
        cmocka_unit_test(test_back_off_never_overflows),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
