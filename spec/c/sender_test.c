/* sender_test.c
 * What every answer does to the events it was about, as a numbered list: T01 to T34.
 * Does not know threads, sockets or real time: the test is the service, the clock and chance.
 * SPDX-License-Identifier: MIT */
#include "sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_world.h"

#define SECOND INT64_C(1000000)
#define FAILURE "{\"traceId\":\"t2\",\"success\":false,\"errorCode\":\"E1\",\"errorDesc\":\"bad\"}"

static int set_up(void **state) {
    world *w = malloc(sizeof *w);
    world_init(w);
    *state = w;
    return w == NULL;
}

static int tear_down(void **state) {
    world_free(*state);
    free(*state);
    return 0;
}

/* A running world with `count` events in a request that is open. */
static world *with_request(void **state, uint64_t count) {
    world *w = *state;
    if (w->sender == NULL)
        world_start(w);
    world_report(w, count);
    world_flush(w);
    assert_int_equal(w->transport.open, 1);
    return w;
}

static void expect_counts(world *w, uint64_t delivered, uint64_t dead, uint64_t pending) {
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.counts.delivered, delivered);
    assert_int_equal(stats.counts.dead, dead);
    assert_int_equal(stats.counts.queued + stats.counts.in_flight, pending);
    assert_true(qa_ledger_balanced(&stats.counts));
}

/* The answer is retried: after at most `longest` the same list is sent again, and delivered. */
static void expect_retry(world *w, qa_answer answer, int64_t shortest, int64_t longest) {
    size_t before = w->transport.count;
    int64_t from = w->now_us;
    world_answer_all(w, answer);
    expect_counts(w, 0, 0, 3);
    assert_int_equal(world_stats(w).state, QA_STATE_BACKING_OFF);
    assert_true(world_await_request(w, longest));
    assert_true(w->now_us - from >= shortest);
    assert_int_equal(w->transport.count, before + 1);
    assert_string_equal(w->transport.requests[before].body, w->transport.requests[0].body);
    world_answer_all(w, world_ok());
    expect_counts(w, 3, 0, 0);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
}

/* The answer pauses everything: it is kept, probed, and delivered once the service comes round. */
static void expect_pause(world *w, qa_answer answer, qa_status reason) {
    world_answer_all(w, answer);
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.state, QA_STATE_PAUSED);
    assert_int_equal(stats.reason, reason);
    assert_true(stats.reason_message[0] != '\0');
    expect_counts(w, 0, 0, 3);
    world_report(w, 400); /* more events don't make more requests */
    world_flush(w);
    assert_int_equal(w->transport.open, 0);
    for (int probe = 0; probe < 5; probe++) {
        assert_true(world_await_request(w, 61 * SECOND));
        world_step(w);
        assert_int_equal(w->transport.open, 1);
        world_answer_all(w, answer);
        assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    }
    expect_counts(w, 0, 0, 403);
    assert_true(world_await_request(w, 61 * SECOND));
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    world_step(w);
    world_answer_all(w, world_ok());
    expect_counts(w, 403, 0, 0);
}

/* A lone event is set aside with what the service said. The service is known to accept others. */
static void expect_dead(world *w, qa_answer answer, qa_status code) {
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_ok());
    world_report_text(w, "{\"bad\":1}");
    world_flush(w);
    world_take_reports(w, w->lane);
    world_answer_all(w, answer);
    expect_counts(w, 1, 1, 0);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dead, 1);
    assert_int_equal(reports.last.code, code);
    assert_int_equal(world_stats(w).dead_letters, 1);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
}

static void t01_success_is_delivered_and_reported_with_its_trace_id(void **state) {
    world *w = with_request(state, 3);
    assert_string_equal(w->transport.requests[0].body, "[{\"n\":0},\n{\"n\":1},\n{\"n\":2}]");
    assert_string_equal(w->transport.requests[0].access_id, "org");
    expect_counts(w, 0, 0, 3);
    assert_int_equal(world_stats(w).counts.in_flight, 3);
    world_answer_all(w, world_ok());
    expect_counts(w, 3, 0, 0);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, 3);
    assert_string_equal(reports.last.trace_id, "trace-1");
    assert_int_equal(reports.last.code, QA_OK);
    assert_false(reports.last.possibly_stored);
}

static void t02_other_2xx_and_data_as_text_are_delivered(void **state) {
    world *w = with_request(state, 3);
    world_answer_all(w, world_http(201, "{\"success\":true,\"data\":\"true\"}"));
    expect_counts(w, 3, 0, 0);
}

static void t03_success_false_is_rejected(void **state) {
    world_start(*state);
    expect_dead(*state, world_http(200, FAILURE), QA_REJECTED);
}

static void t04_data_false_is_rejected(void **state) {
    world_start(*state);
    expect_dead(*state, world_http(200, "{\"success\":true,\"data\":false}"), QA_REJECTED);
}

static void t05_an_error_code_mapped_to_retry_is_retried(void **state) {
    static const qa_error_code_rule rules[] = {{"E1", QA_ACTION_RETRY}};
    world *w = *state;
    w->config.error_codes = rules;
    w->config.error_code_count = 1;
    expect_retry(with_request(state, 3), world_http(200, FAILURE), 0, SECOND);
}

static void t06_an_error_code_mapped_to_pause_pauses(void **state) {
    static const qa_error_code_rule rules[] = {{"E1", QA_ACTION_PAUSE}};
    world *w = *state;
    w->config.error_codes = rules;
    w->config.error_code_count = 1;
    w = with_request(state, 3);
    world_answer_all(w, world_http(200, FAILURE));
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    expect_counts(w, 0, 0, 3);
}

static void t07_an_error_code_mapped_to_reject_is_rejected(void **state) {
    static const qa_error_code_rule rules[] = {{"E1", QA_ACTION_REJECT}};
    world *w = *state;
    w->config.error_codes = rules;
    w->config.error_code_count = 1;
    world_start(w);
    expect_dead(w, world_http(200, FAILURE), QA_REJECTED);
}

static void t08_an_answer_that_does_not_parse_is_retried(void **state) {
    expect_retry(with_request(state, 3), world_http(200, "<html>"), 0, SECOND);
}

static void t09_an_answer_that_is_too_large_is_retried(void **state) {
    qa_answer answer = world_failure(QA_BAD_RESPONSE, QA_DELIVERY_POSSIBLE);
    answer.http_status = 200;
    expect_retry(with_request(state, 3), answer, 0, SECOND);
}

static void t10_what_may_have_been_stored_is_said_in_the_report(void **state) {
    world *w = with_request(state, 3);
    world_answer_all(w, world_http(200, "<html>"));
    world_advance(w, w->config.delivery_deadline_us);
    world_step(w);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped, 3);
    assert_int_equal(reports.possibly_stored, 3);
    assert_int_equal(reports.last.code, QA_TIMEOUT);
    assert_non_null(strstr(reports.last.message, "not delivered within 300 s"));
}

static void t11_400_is_rejected(void **state) {
    world_start(*state);
    expect_dead(*state, world_http(400, FAILURE), QA_REJECTED);
}

static void t12_422_is_rejected(void **state) {
    world_start(*state);
    expect_dead(*state, world_http(422, NULL), QA_REJECTED);
}

static void t13_413_halves_and_keeps_later_batches_small(void **state) {
    world *w = with_request(state, 200);
    size_t refused = w->transport.requests[0].length;
    world_answer_all(w, world_http(413, NULL));
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
    assert_non_null(strstr(w->transport.requests[1].body, "[{\"n\":0},"));
    assert_non_null(strstr(w->transport.requests[1].body, "{\"n\":99}]"));
    assert_non_null(strstr(w->transport.requests[2].body, "[{\"n\":100},"));
    world_answer_all(w, world_ok());
    world_report(w, 1000);
    qa_sender_flush_begin(w->sender);
    while (world_stats(w).counts.queued > 0) {
        world_step(w);
        world_answer_all(w, world_ok());
    }
    expect_counts(w, 1200, 0, 0);
    size_t larger_half = w->transport.requests[2].length;
    assert_true(larger_half < refused * 6 / 10);
    for (size_t i = 3; i < w->transport.count; i++)
        assert_true(w->transport.requests[i].length <= larger_half);
}

static void t13b_a_batch_formed_before_the_limit_was_learnt_keeps_it_too(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 400);
    world_flush(w);
    assert_int_equal(w->transport.open, 2);
    qa_answer large = world_http(413, NULL), busy = world_http(503, NULL);
    fake_transport_answer(&w->transport, 1, &busy);
    fake_transport_answer(&w->transport, 0, &large);
    size_t refused = w->transport.requests[0].length;
    while (world_stats(w).counts.delivered < 400) {
        assert_true(world_await_request(w, SECOND));
        world_answer_all(w, world_ok());
    }
    for (size_t i = 2; i < w->transport.count; i++)
        assert_true(w->transport.requests[i].length < refused);
}

static void t14_413_for_a_lone_event_is_a_dead_letter(void **state) {
    world_start(*state);
    expect_dead(*state, world_http(413, NULL), QA_HTTP);
}

static void t15_401_pauses_and_is_probed(void **state) {
    expect_pause(with_request(state, 3), world_http(401, FAILURE), QA_AUTH);
}

static void t16_403_pauses_and_is_probed(void **state) {
    expect_pause(with_request(state, 3), world_http(403, NULL), QA_AUTH);
}

static void t17_new_credentials_resume_at_once_and_sign(void **state) {
    world *w = with_request(state, 3);
    qa_error error;
    /* The copy that the sender owns in life; here it may not be a literal. */
    w->config.credentials =
        (qa_credentials){strdup("app"), strdup("key"), strdup("secret")};
    for (int i = 0; i < 12; i++) {
        world_answer_all(w, world_http(401, NULL));
        assert_true(world_await_request(w, 61 * SECOND));
    }
    world_answer_all(w, world_http(401, NULL));
    size_t before = w->transport.count;
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    qa_credentials fresh = {"app2", "key2", "secret2"};
    assert_int_equal(qa_sender_set_credentials(w->sender, &fresh, &error), QA_OK);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    world_step(w);
    assert_int_equal(w->transport.count, before + 1);
    assert_non_null(strstr(w->transport.requests[before].url, "appId=app2&"));
    assert_string_not_equal(w->transport.requests[before].authorization,
                            w->transport.requests[before - 1].authorization);
    world_answer_all(w, world_ok());
    expect_counts(w, 3, 0, 0);
    qa_credentials none = {"", "", ""};
    assert_int_equal(qa_sender_set_credentials(w->sender, &none, &error), QA_OK);
    free((void *)(uintptr_t)w->config.credentials.app_id);
    free((void *)(uintptr_t)w->config.credentials.access_key);
    free((void *)(uintptr_t)w->config.credentials.access_secret);
    w->config.credentials = (qa_credentials){"", "", ""};
}

static void t18_a_redirect_pauses(void **state) {
    expect_pause(with_request(state, 3), world_http(302, NULL), QA_HTTP);
}

static void t19_404_405_and_other_4xx_pause(void **state) {
    static const int statuses[] = {404, 405, 402, 409, 410, 418, 451};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        expect_pause(with_request(state, 3), world_http(statuses[i], NULL), QA_HTTP);
        if (i + 1 < sizeof statuses / sizeof statuses[0]) {
            world_free(*state);
            world_init(*state);
        }
    }
}

static void t20_408_425_429_and_5xx_are_retried(void **state) {
    static const int statuses[] = {408, 425, 429, 500, 502, 503, 504, 599};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        expect_retry(with_request(state, 3), world_http(statuses[i], NULL), 0, SECOND);
        if (i + 1 < sizeof statuses / sizeof statuses[0]) {
            world_free(*state);
            world_init(*state);
        }
    }
}

static void t21_retry_after_is_a_floor(void **state) {
    qa_answer answer = world_http(503, NULL);
    answer.retry_after_ms = 7000;
    world *w = with_request(state, 3);
    expect_retry(w, answer, 7 * SECOND, 7 * SECOND);
}

static void t22_retry_after_is_capped_at_ten_minutes(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 3600 * SECOND;
    qa_answer answer = world_http(429, NULL);
    answer.retry_after_ms = INT64_MAX;
    expect_retry(with_request(state, 3), answer, 600 * SECOND, 600 * SECOND);
}

static void t23_a_connection_that_fails_is_retried_and_no_attempt(void **state) {
    world *w = with_request(state, 3);
    expect_retry(w, world_failure(QA_NETWORK, QA_DELIVERY_UNSENT), 0, SECOND);
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.counts.retries, 0);
    assert_int_equal(stats.counts.requests_by[QA_NETWORK], 1);
    assert_int_equal(stats.counts.bytes_sent, w->transport.requests[0].length);
}

static void t24_a_reset_or_a_timeout_is_retried_and_possibly_stored(void **state) {
    world *w = with_request(state, 3);
    expect_retry(w, world_failure(QA_TIMEOUT, QA_DELIVERY_POSSIBLE), 0, SECOND);
    assert_int_equal(world_stats(w).counts.retries, 1);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, 3);
    assert_int_equal(reports.possibly_stored, 0); /* it is known by now */
}

static void t24_what_the_transport_sent_again_is_a_retry_too(void **state) {
    world *w = with_request(state, 3);
    qa_answer answer = world_ok();
    answer.resent = 2;
    world_answer_all(w, answer);
    assert_int_equal(world_stats(w).counts.delivered, 3);
    assert_int_equal(world_stats(w).counts.requests, 1);
    assert_int_equal(world_stats(w).counts.retries, 2);
}

static void t25_a_certificate_that_is_not_verified_pauses(void **state) {
    expect_pause(with_request(state, 3), world_failure(QA_TLS, QA_DELIVERY_UNSENT), QA_TLS);
}

static void t26_back_off_doubles_up_to_its_cap_with_full_jitter(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = INT64_MAX;
    w = with_request(state, 1);
    int64_t expected = w->config.retry_base_us;
    for (int i = 0; i < 12; i++) {
        world_answer_all(w, world_http(500, NULL));
        int64_t from = w->now_us;
        assert_true(world_await_request(w, INT64_MAX / 4));
        assert_int_equal(w->now_us - from, expected); /* chance is at its most */
        expected *= 2;
        if (expected > w->config.retry_max_us)
            expected = w->config.retry_max_us;
    }
    w->chance_is_max = false;
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 300; i++) {
        world_answer_all(w, world_http(500, NULL));
        int64_t from = w->now_us;
        assert_true(world_await_request(w, INT64_MAX / 4));
        int64_t waited = w->now_us - from;
        least = waited < least ? waited : least;
        most = waited > most ? waited : most;
    }
    assert_true(least < w->config.retry_max_us / 20);
    assert_true(most > w->config.retry_max_us / 20 * 19 && most <= w->config.retry_max_us);
}

static void t27_failures_of_one_moment_count_once_and_one_probe_follows(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 800);
    world_flush(w);
    assert_int_equal(w->transport.open, 4);
    qa_answer busy = world_http(503, NULL);
    for (size_t i = 4; i-- > 0;) /* whatever the order of the answers, the oldest is the probe */
        fake_transport_answer(&w->transport, i, &busy);
    int64_t from = w->now_us;
    assert_true(world_await_request(w, 60 * SECOND));
    assert_int_equal(w->now_us - from, w->config.retry_base_us); /* one failure, not four */
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    assert_string_equal(w->transport.requests[4].body, w->transport.requests[0].body);
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(w->transport.open, 3); /* at full speed again */
    world_answer_all(w, world_ok());
    expect_counts(w, 800, 0, 0);
}

static void always_fail_on_poison(void *context, const char *list, qa_answer *answer) {
    (void)context;
    if (strstr(list, "poison") != NULL)
        *answer = world_http(500, NULL);
}

static void t28_a_batch_that_always_fails_does_not_hold_up_the_others(void **state) {
    world *w = *state;
    w->config.batch_events = 1;
    world_start(w);
    world_report_text(w, "{\"poison\":1}");
    world_report(w, 300);
    qa_sender_flush_begin(w->sender);
    world_serve(w, always_fail_on_poison, NULL, 20 * SECOND);
    expect_counts(w, 300, 0, 1);
    world_serve(w, always_fail_on_poison, NULL, 300 * SECOND);
    expect_counts(w, 300, 0, 0);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 1);
    assert_true(w->transport.count < 300 + 30); /* it waited longer and longer */
}

static void t28b_a_batch_that_always_fails_does_not_keep_the_gate_shut(void **state) {
    world *w = *state;
    w->config.batch_events = 1;
    world_start(w);
    world_report_text(w, "{\"poison\":1}");
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(503, NULL)); /* both, and nothing new is there to probe with */
    world_serve(w, always_fail_on_poison, NULL, SECOND);
    expect_counts(w, 1, 0, 1);
}

typedef struct outage {
    const world *w;
    int64_t over_us;
    unsigned long long next; /* the event that has to come next */
    size_t empty_lists;
    bool takes_empty_lists;
} outage;

static void away_for_a_while(void *context, const char *list, qa_answer *answer) {
    outage *out = context;
    bool empty = strcmp(list, "[]") == 0;
    out->empty_lists += empty;
    if (out->w->now_us < out->over_us && !(empty && out->takes_empty_lists)) {
        *answer = world_http(503, NULL);
    } else if (!empty) {
        char expected[32];
        snprintf(expected, sizeof expected, "[{\"n\":%llu}", out->next);
        assert_int_equal(strncmp(list, expected, strlen(expected)), 0);
        out->next += 10;
    }
}

static void t28c_after_an_outage_the_oldest_go_first(void **state) {
    world *w = *state;
    for (int64_t seconds = 1; seconds <= 9; seconds++) { /* so that either kind of probe ends one */
        world_init(w);
        w->config.batch_events = 10;
        w->config.max_in_flight = 1;
        world_start(w);
        outage out = {.w = w, .over_us = w->now_us + seconds * SECOND};
        for (int i = 0; i < 20; i++) {
            world_report(w, 10);
            world_serve(w, away_for_a_while, &out, SECOND / 4);
        }
        world_serve(w, away_for_a_while, &out, 60 * SECOND);
        expect_counts(w, 200, 0, 0);
        assert_int_equal(out.next, 200);
        assert_true(out.empty_lists > 0);
        if (seconds < 9)
            world_free(w);
    }
}

/* An empty list that is taken proves little: the back-off goes on from where it was. */
static void t28d_a_service_that_takes_nothing_but_empty_lists_is_not_flooded(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 3600 * SECOND;
    world_start(w);
    world_report(w, 2000);
    outage out = {.w = w, .over_us = w->now_us + 1800 * SECOND, .takes_empty_lists = true};
    world_serve(w, away_for_a_while, &out, 1800 * SECOND - 1);
    expect_counts(w, 0, 0, 2000);
    assert_true(w->transport.count < 200);
}

static void t29_the_deadline_ends_all_retries_and_says_why(void **state) {
    world *w = with_request(state, 3);
    world_answer_all(w, world_failure(QA_NETWORK, QA_DELIVERY_UNSENT));
    world_report(w, 2);
    qa_sender_flush_begin(w->sender);
    while (world_await_request(w, w->config.delivery_deadline_us + SECOND))
        world_answer_all(w, world_failure(QA_NETWORK, QA_DELIVERY_UNSENT));
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 5);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped, 5);
    assert_int_equal(reports.possibly_stored, 0);
    assert_int_equal(reports.last.code, QA_TIMEOUT);
    assert_non_null(strstr(reports.last.message, "fake failure"));
}

static void t30_the_deadline_waits_for_a_request_under_way(void **state) {
    world *w = with_request(state, 3);
    world_advance(w, w->config.delivery_deadline_us * 2);
    world_step(w);
    expect_counts(w, 0, 0, 3);
    world_answer_all(w, world_ok());
    expect_counts(w, 3, 0, 0);
    with_request(state, 3);
    world_advance(w, w->config.delivery_deadline_us * 2);
    world_answer_all(w, world_http(500, NULL));
    world_step(w);
    assert_int_equal(w->transport.open, 0);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 3);
}

static int64_t timestamp_of(const world *w, size_t index) {
    const char *at = strstr(w->transport.requests[index].url, "timestamp=");
    assert_non_null(at);
    return strtoll(at + strlen("timestamp="), NULL, 10);
}

static void t31_each_attempt_is_signed_afresh(void **state) {
    world *w = with_request(state, 3);
    assert_int_equal(timestamp_of(w, 0), w->wall_ms);
    assert_int_equal(strlen(w->transport.requests[0].authorization), 32);
    world_answer_all(w, world_http(500, NULL));
    assert_true(world_await_request(w, SECOND));
    assert_int_equal(timestamp_of(w, 1), w->wall_ms);
    assert_string_not_equal(w->transport.requests[0].authorization,
                            w->transport.requests[1].authorization);
}

static void t32_the_clock_offset_corrects_the_timestamp_only(void **state) {
    world *w = with_request(state, 3);
    qa_answer answer = world_http(401, NULL);
    answer.date_ms = w->wall_ms - 3600 * 1000; /* our clock is an hour ahead */
    world_answer_all(w, answer);
    int64_t offset = world_stats(w).clock_offset_ms;
    assert_in_range((uint64_t)-offset, 3600 * 1000 - 1500, 3600 * 1000 + 1500);
    assert_true(world_await_request(w, SECOND));
    assert_int_equal(timestamp_of(w, 1), w->wall_ms + offset);
    assert_string_equal(w->transport.requests[1].body, w->transport.requests[0].body);
    answer = world_ok();
    answer.date_ms = w->wall_ms; /* somebody has set it right */
    world_answer_all(w, answer);
    assert_int_equal(world_stats(w).clock_offset_ms, 0);
}

static void t33_a_transport_that_cannot_start_is_retried(void **state) {
    world *w = *state;
    world_start(w);
    w->transport.refuse = true;
    world_report(w, 3);
    world_flush(w);
    expect_counts(w, 0, 0, 3);
    assert_int_equal(world_stats(w).state, QA_STATE_BACKING_OFF);
    w->transport.refuse = false;
    assert_true(world_await_request(w, SECOND));
    world_answer_all(w, world_ok());
    expect_counts(w, 3, 0, 0);
    assert_int_equal(world_stats(w).counts.retries, 0);
}

static void t34_what_the_close_cuts_off_is_dropped_and_possibly_stored(void **state) {
    world *w = with_request(state, 3);
    world_report(w, 2);
    qa_sender_stop(w->sender);
    int64_t wait;
    assert_false(qa_sender_step(w->sender, &wait));
    w->transport.base.ops->cancel_all(&w->transport.base);
    qa_sender_drop_all(w->sender);
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.counts.dropped[QA_DROP_CLOSED], 5);
    assert_int_equal(stats.state, QA_STATE_CLOSING);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.dropped, 5);
    assert_int_equal(reports.possibly_stored, 3);
    assert_int_equal(reports.last.code, QA_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(t01_success_is_delivered_and_reported_with_its_trace_id),
        TEST(t02_other_2xx_and_data_as_text_are_delivered),
        TEST(t03_success_false_is_rejected),
        TEST(t04_data_false_is_rejected),
        TEST(t05_an_error_code_mapped_to_retry_is_retried),
        TEST(t06_an_error_code_mapped_to_pause_pauses),
        TEST(t07_an_error_code_mapped_to_reject_is_rejected),
        TEST(t08_an_answer_that_does_not_parse_is_retried),
        TEST(t09_an_answer_that_is_too_large_is_retried),
        TEST(t10_what_may_have_been_stored_is_said_in_the_report),
        TEST(t11_400_is_rejected),
        TEST(t12_422_is_rejected),
        TEST(t13_413_halves_and_keeps_later_batches_small),
        TEST(t13b_a_batch_formed_before_the_limit_was_learnt_keeps_it_too),
        TEST(t14_413_for_a_lone_event_is_a_dead_letter),
        TEST(t15_401_pauses_and_is_probed),
        TEST(t16_403_pauses_and_is_probed),
        TEST(t17_new_credentials_resume_at_once_and_sign),
        TEST(t18_a_redirect_pauses),
        TEST(t19_404_405_and_other_4xx_pause),
        TEST(t20_408_425_429_and_5xx_are_retried),
        TEST(t21_retry_after_is_a_floor),
        TEST(t22_retry_after_is_capped_at_ten_minutes),
        TEST(t23_a_connection_that_fails_is_retried_and_no_attempt),
        TEST(t24_a_reset_or_a_timeout_is_retried_and_possibly_stored),
        TEST(t24_what_the_transport_sent_again_is_a_retry_too),
        TEST(t25_a_certificate_that_is_not_verified_pauses),
        TEST(t26_back_off_doubles_up_to_its_cap_with_full_jitter),
        TEST(t27_failures_of_one_moment_count_once_and_one_probe_follows),
        TEST(t28_a_batch_that_always_fails_does_not_hold_up_the_others),
        TEST(t28b_a_batch_that_always_fails_does_not_keep_the_gate_shut),
        TEST(t28c_after_an_outage_the_oldest_go_first),
        TEST(t28d_a_service_that_takes_nothing_but_empty_lists_is_not_flooded),
        TEST(t29_the_deadline_ends_all_retries_and_says_why),
        TEST(t30_the_deadline_waits_for_a_request_under_way),
        TEST(t31_each_attempt_is_signed_afresh),
        TEST(t32_the_clock_offset_corrects_the_timestamp_only),
        TEST(t33_a_transport_that_cannot_start_is_retried),
        TEST(t34_what_the_close_cuts_off_is_dropped_and_possibly_stored),
    };
    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
