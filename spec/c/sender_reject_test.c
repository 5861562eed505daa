/* sender_reject_test.c
 * Rejections: a batch taken apart down to the culprit, and the case in which it isn't the events.
 * Does not know threads, sockets or real time.
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
    world *w = *state;
    if (w->sender != NULL)
        world_free(w);
    free(w);
    return 0;
}

/* ---- services ---- */

static void reject_poison(void *context, const char *list, qa_answer *answer) {
    (void)context;
    if (strstr(list, "poison") != NULL)
        *answer = world_http(200, FAILURE);
}

static void reject_all(void *context, const char *list, qa_answer *answer) {
    (void)context;
    (void)list;
    *answer = world_http(200, FAILURE);
}

/* As a service that checks nothing of an empty list. */
static void reject_events(void *context, const char *list, qa_answer *answer) {
    (void)context;
    if (strcmp(list, "[]") != 0)
        *answer = world_http(400, NULL);
}

static void refuse_credentials(void *context, const char *list, qa_answer *answer) {
    (void)context;
    (void)list;
    *answer = world_http(401, NULL);
}

/* `count` events of which those in `poison`, a bit mask by number, are bad. */
static void report_with_poison(world *w, uint32_t count, uint32_t first_bad, uint32_t bad) {
    for (uint32_t i = 0; i < count; i++) {
        if (i >= first_bad && i < first_bad + bad)
            world_report_text(w, "{\"poison\":1}");
        else
            world_report(w, 1);
    }
    qa_sender_flush_begin(w->sender);
}

static void expect_ends(world *w, uint64_t delivered, uint64_t dead) {
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.counts.delivered, delivered);
    assert_int_equal(stats.counts.dead, dead);
    assert_int_equal(stats.counts.accepted, delivered + dead);
    assert_int_equal(stats.dead_letters, dead);
}

/* ---- the culprit ---- */

static void one_poison_in_200_costs_at_most_17_requests(void **state) {
    world *w = *state;
    for (uint32_t at = 0; at < 200; at++) {
        for (uint32_t in_flight = 1; in_flight <= 4; in_flight *= 4) {
            world_init(w);
            w->config.max_in_flight = in_flight;
            world_start(w);
            report_with_poison(w, 200, at, 1);
            int64_t from = w->now_us;
            size_t requests = world_serve(w, reject_poison, NULL, 60 * SECOND);
            assert_true(requests <= 17);
            assert_true(w->now_us - from <= 20 * 1000); /* no back-off on the way */
            expect_ends(w, 199, 1);
            world_free(w);
        }
    }
    world_init(w);
    world_start(w);
}

static void several_poison_events_are_all_found_and_nothing_else(void **state) {
    world *w = *state;
    for (uint32_t bad = 2; bad <= 40; bad += 3) {
        for (uint32_t at = 0; at + bad <= 200; at += 23) {
            world_init(w);
            world_start(w);
            report_with_poison(w, 200, at, bad);
            world_serve(w, reject_poison, NULL, 600 * SECOND);
            expect_ends(w, 200 - bad, bad);
            world_free(w);
        }
    }
    world_init(w);
    world_start(w);
}

static bool look_at_letter(void *context, const qa_dead_letter *letter) {
    int *count = context;
    assert_memory_equal(letter->event, "{\"poison\":1}", letter->length);
    assert_int_equal(letter->code, QA_REJECTED);
    assert_string_equal(letter->service_code, "E1");
    assert_string_equal(letter->trace_id, "t2");
    assert_non_null(strstr(letter->message, "bad"));
    assert_int_equal(letter->attempts, 9);
    assert_true(letter->wall_ms > INT64_C(1700000000000) - 1);
    (*count)++;
    return true;
}

static void a_dead_letter_says_what_the_service_said(void **state) {
    world *w = *state;
    world_start(w);
    report_with_poison(w, 200, 0, 1);
    world_serve(w, reject_poison, NULL, 60 * SECOND);
    int count = 0;
    assert_int_equal(qa_sender_dead(w->sender, 10, look_at_letter, &count), 1);
    assert_int_equal(count, 1);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, 199);
    assert_int_equal(reports.dead, 1);
}

static void poison_does_not_hold_up_what_is_behind_it(void **state) {
    world *w = *state;
    world_start(w);
    report_with_poison(w, 1000, 0, 1);
    int64_t from = w->now_us;
    world_serve(w, reject_poison, NULL, 60 * SECOND);
    expect_ends(w, 999, 1);
    assert_true(w->now_us - from < SECOND);
}

/* ---- it isn't the events ---- */

static void a_service_that_rejects_everything_is_a_pause_and_no_dead_letter(void **state) {
    world *w = *state;
    for (uint32_t in_flight = 1; in_flight <= 4; in_flight++) {
        world_init(w);
        w->config.max_in_flight = in_flight;
        world_start(w);
        report_with_poison(w, 200, 0, 0);
        while (world_stats(w).state != QA_STATE_PAUSED && w->transport.count < 100) {
            world_step(w);
            world_answer_all(w, world_http(200, FAILURE));
        }
        qa_stats stats = world_stats(w);
        assert_int_equal(stats.state, QA_STATE_PAUSED);
        assert_int_equal(stats.reason, QA_REJECTED);
        assert_non_null(strstr(stats.reason_message, "every event is rejected"));
        assert_true(w->transport.count <= 17 + 4 * in_flight);
        assert_int_equal(stats.counts.dead, 0);
        assert_int_equal(stats.counts.queued, 200);
        world_serve(w, reject_all, NULL, 200 * SECOND);
        assert_int_equal(world_stats(w).counts.dead, 0);
        world_serve(w, reject_poison, NULL, 90 * SECOND);
        expect_ends(w, 200, 0);
        world_free(w);
    }
    world_init(w);
    world_start(w);
}

/* Rejects all of the first batch, piece by piece, while request 1 is left open. */
static void reject_first_batch(world *w) {
    qa_answer no = world_http(200, FAILURE);
    for (size_t i = 0; i < 200 && world_stats(w).state != QA_STATE_PAUSED; i++) {
        for (size_t at = 0; at < w->transport.count; at++) {
            if (at != 1 && w->transport.requests[at].open)
                fake_transport_answer(&w->transport, at, &no);
        }
        world_step(w);
    }
}

static void a_success_of_what_started_before_is_no_evidence(void **state) {
    world *w = *state;
    w->config.max_in_flight = 2;
    world_start(w);
    report_with_poison(w, 400, 0, 0);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
    qa_answer no = world_http(200, FAILURE), yes = world_ok();
    fake_transport_answer(&w->transport, 0, &no);
    fake_transport_answer(&w->transport, 1, &yes); /* the keys were withdrawn in between */
    world_serve(w, reject_all, NULL, 30 * SECOND);
    assert_int_equal(world_stats(w).counts.dead, 0);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    assert_int_equal(world_stats(w).counts.queued, 200);
}

static void any_success_ends_the_pause(void **state) {
    world *w = *state;
    w->config.max_in_flight = 2;
    world_start(w);
    report_with_poison(w, 400, 0, 0);
    world_step(w);
    reject_first_batch(w);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    qa_answer yes = world_ok();
    fake_transport_answer(&w->transport, 1, &yes);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    world_serve(w, reject_poison, NULL, SECOND);
    expect_ends(w, 400, 0);
}

static void after_the_pause_only_the_real_poison_is_set_aside(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 3600 * SECOND;
    world_start(w);
    report_with_poison(w, 1000, 50, 3);
    world_serve(w, reject_all, NULL, 120 * SECOND);
    assert_int_equal(world_stats(w).counts.dead, 0);
    world_serve(w, reject_poison, NULL, 1800 * SECOND);
    expect_ends(w, 997, 3);
}

static void a_pause_ends_even_if_only_new_events_are_good(void **state) {
    world *w = *state;
    w->config.delivery_deadline_us = 3600 * SECOND;
    world_start(w);
    report_with_poison(w, 200, 0, 200);
    world_serve(w, reject_poison, NULL, 60 * SECOND);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    assert_int_equal(world_stats(w).counts.dead, 0);
    report_with_poison(w, 200, 0, 0);
    world_serve(w, reject_poison, NULL, 1800 * SECOND);
    expect_ends(w, 200, 200);
}

static void wrong_credentials_leave_no_dead_letter(void **state) {
    world *w = *state;
    world_start(w);
    report_with_poison(w, 200, 0, 0);
    world_serve(w, refuse_credentials, NULL, 250 * SECOND);
    assert_int_equal(world_stats(w).counts.dead, 0);
    assert_int_equal(world_stats(w).counts.queued, 200);
    assert_true(w->transport.count < 30);
    world_serve(w, reject_poison, NULL, 61 * SECOND);
}

static void other_batches_that_succeed_prove_the_events_guilty(void **state) {
    world *w = *state;
    w->config.batch_events = 8;
    w->config.max_in_flight = 1;
    world_start(w);
    report_with_poison(w, 8, 0, 8);
    report_with_poison(w, 80, 0, 0);
    world_serve(w, reject_poison, NULL, 250 * SECOND);
    expect_ends(w, 80, 8);
}

/* ---- lone events ---- */

static void a_lone_event_without_evidence_is_checked_by_an_empty_list(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    assert_int_equal(world_stats(w).counts.dead, 0);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    assert_string_equal(w->transport.requests[1].body, "[]");
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.dead, 1);
    /* The check speaks for a minute. */
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    assert_int_equal(world_stats(w).counts.dead, 2);
    world_advance(w, 61 * SECOND);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    assert_int_equal(world_stats(w).counts.dead, 2);
    world_step(w);
    assert_string_equal(w->transport.requests[4].body, "[]");
    world_answer_all(w, world_http(403, NULL));
    assert_int_equal(world_stats(w).counts.dead, 2);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    assert_int_equal(world_stats(w).reason, QA_AUTH);
}

static void a_check_that_is_rejected_too_pauses(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 3);
    qa_sender_flush_begin(w->sender);
    world_serve(w, reject_all, NULL, 100 * SECOND);
    assert_int_equal(world_stats(w).counts.dead, 0);
    assert_int_equal(world_stats(w).reason, QA_REJECTED);
    world_serve(w, reject_poison, NULL, 61 * SECOND);
    expect_ends(w, 3, 0);
}

static void a_check_that_fails_is_repeated(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    world_step(w);
    world_answer_all(w, world_http(503, NULL));
    assert_int_equal(world_stats(w).counts.dead, 0);
    assert_true(world_await_request(w, SECOND));
    assert_string_equal(w->transport.requests[2].body, "[]");
    world_answer_all(w, world_ok());
    expect_ends(w, 0, 1);
}

static void differing_reasons_are_settled_by_the_check(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    world_start(w);
    report_with_poison(w, 8, 0, 8);
    for (int i = 0; i < 15; i++) {
        world_step(w);
        world_answer_all(w, i % 2 == 0 ? world_http(200, FAILURE) : world_http(422, NULL));
    }
    assert_int_equal(world_stats(w).counts.dead, 0);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    world_step(w);
    assert_string_equal(w->transport.requests[15].body, "[]");
    world_answer_all(w, world_ok());
    expect_ends(w, 0, 8);
}

static void an_empty_list_proves_nothing_for_a_large_batch(void **state) {
    world *w = *state;
    world_start(w);
    report_with_poison(w, 200, 0, 0);
    world_serve(w, reject_events, NULL, 30 * SECOND);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    qa_error error;
    qa_ticket *ticket;
    assert_int_equal(qa_sender_send(w->sender, w->lane, "", 0, 0, &ticket, &error), QA_OK);
    size_t check = w->transport.count;
    world_step(w);
    assert_string_equal(w->transport.requests[check].body, "[]");
    qa_answer answer = world_ok();
    fake_transport_answer(&w->transport, check, &answer);
    assert_int_equal(qa_ticket_result(ticket)->status, QA_OK);
    qa_ticket_free(ticket);
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    world_serve(w, reject_events, NULL, 100 * SECOND);
    assert_int_equal(world_stats(w).counts.dead, 0);
}

static void held_events_expire_like_others(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    world_step(w);
    world_advance(w, w->config.delivery_deadline_us);
    world_step(w);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 1);
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.dead, 0);
}

static void one_held_event_that_expires_does_not_hold_up_the_other(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    world_start(w);
    world_report(w, 1);
    qa_sender_flush_begin(w->sender);
    world_advance(w, SECOND);
    world_report(w, 1);
    world_flush(w); /* two chunks of different age in one batch */
    assert_string_equal(w->transport.requests[0].body, "[{\"n\":0},\n{\"n\":1}]");
    world_answer_all(w, world_http(400, NULL));
    for (int half = 0; half < 2; half++) {
        world_step(w);
        world_answer_all(w, world_http(400, NULL));
    }
    world_advance(w, w->config.delivery_deadline_us - SECOND);
    world_step(w);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_DEADLINE], 1);
    assert_string_equal(w->transport.requests[3].body, "[]");
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.dead, 1);
}

static void new_credentials_start_without_evidence(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_ok());
    w->config.credentials = (qa_credentials){strdup("app"), strdup("key"), strdup("secret")};
    qa_credentials wrong = {"app", "key", "wrong"};
    qa_error error;
    assert_int_equal(qa_sender_set_credentials(w->sender, &wrong, &error), QA_OK);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(200, FAILURE));
    assert_int_equal(world_stats(w).counts.dead, 0);
    world_step(w);
    assert_string_equal(w->transport.requests[2].body, "[]");
    world_answer_all(w, world_http(200, FAILURE));
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    free((void *)(uintptr_t)w->config.credentials.app_id);
    free((void *)(uintptr_t)w->config.credentials.access_key);
    free((void *)(uintptr_t)w->config.credentials.access_secret);
    w->config.credentials = (qa_credentials){"", "", ""};
}

static void held_events_are_dropped_at_the_close(void **state) {
    world *w = *state;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(400, NULL));
    qa_sender_stop(w->sender);
    qa_sender_drop_all(w->sender);
    assert_int_equal(world_stats(w).counts.dropped[QA_DROP_CLOSED], 1);
}

/* ---- chance ---- */

typedef struct weather {
    uint64_t seed;
    bool bad;             /* the fault is on */
    unsigned kind;        /* of fault */
    unsigned stored_lost; /* answers that were lost although the events were stored */
    uint8_t *arrived;     /* by event number */
} weather;

static void mark_arrived(weather *sky, const char *list) {
    for (const char *at = list; (at = strstr(at, "{\"n\":")) != NULL; at++)
        sky->arrived[strtoul(at + 5, NULL, 10)]++;
}

static void weather_fault(weather *sky, const char *list, qa_answer *answer) {
    switch (sky->kind) {
    case 0: *answer = world_http(503, NULL); break;
    case 1: *answer = world_failure(QA_NETWORK, QA_DELIVERY_UNSENT); break;
    case 2: *answer = world_http(401, NULL); break;
    case 3: *answer = world_failure(QA_TLS, QA_DELIVERY_UNSENT); break;
    case 4: *answer = world_http(302, NULL); break;
    case 5: *answer = world_http(strlen(list) > 400 ? 413 : 503, NULL); break;
    case 6: *answer = world_http(429, NULL), answer->retry_after_ms = 3000; break;
    case 7: *answer = world_http(500, FAILURE); break;
    default: /* stored, and the answer lost */
        mark_arrived(sky, list);
        sky->stored_lost++;
        *answer = world_failure(QA_TIMEOUT, QA_DELIVERY_POSSIBLE);
    }
}

static void changing_weather(void *context, const char *list, qa_answer *answer) {
    weather *sky = context;
    uint64_t dice = qa_random_next(&sky->seed);
    if (dice % 8 == 0)
        sky->bad = !sky->bad;
    if (sky->bad)
        weather_fault(sky, list, answer);
    else if (strstr(list, "poison") != NULL)
        *answer = world_http(422, FAILURE);
    else
        mark_arrived(sky, list);
}

/* Whether everything ended as it must: all good events delivered, all bad ones set aside. */
static void live_through(world *w, unsigned kind, uint64_t seed) {
    enum { EVENTS = 2000, POISON_EVERY = 97 };
    weather sky = {.seed = seed, .kind = kind, .arrived = calloc(EVENTS, 1)};
    world_init(w);
    w->chance_is_max = false;
    w->seed = seed;
    w->config.batch_events = 50;
    w->config.retry_max_us = SECOND;
    w->config.delivery_deadline_us = 24 * 3600 * SECOND;
    world_start(w);
    uint64_t poison = 0;
    for (int i = 0; i < EVENTS; i++) {
        if (i % POISON_EVERY == 5) {
            world_report_text(w, "{\"poison\":1}");
            poison++;
        } else {
            world_report(w, 1);
        }
        if (i % 40 == 0)
            world_serve(w, changing_weather, &sky, SECOND / 4);
    }
    qa_sender_flush_begin(w->sender);
    world_serve(w, changing_weather, &sky, 4 * 3600 * SECOND);
    expect_ends(w, EVENTS - poison, poison);
    unsigned twice = 0;
    for (uint64_t i = 0; i < w->next_event; i++) {
        assert_true(sky.arrived[i] >= 1);
        twice += sky.arrived[i] > 1;
    }
    assert_true(twice == 0 || sky.stored_lost > 0);
    world_reports reports = world_take_reports(w, w->lane);
    assert_int_equal(reports.delivered, EVENTS - poison);
    assert_int_equal(reports.dead, poison);
    free(sky.arrived);
}

static void every_event_ends_well_in_any_weather(void **state) {
    world *w = *state;
    for (unsigned kind = 0; kind <= 8; kind++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            live_through(w, kind, seed * 7919 + kind);
            world_free(w);
        }
    }
    world_init(w);
    world_start(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_poison_in_200_costs_at_most_17_requests),
        TEST(several_poison_events_are_all_found_and_nothing_else),
        TEST(a_dead_letter_says_what_the_service_said),
        TEST(poison_does_not_hold_up_what_is_behind_it),
        TEST(a_service_that_rejects_everything_is_a_pause_and_no_dead_letter),
        TEST(a_success_of_what_started_before_is_no_evidence),
        TEST(any_success_ends_the_pause),
        TEST(after_the_pause_only_the_real_poison_is_set_aside),
        TEST(a_pause_ends_even_if_only_new_events_are_good),
        TEST(wrong_credentials_leave_no_dead_letter),
        TEST(other_batches_that_succeed_prove_the_events_guilty),
        TEST(a_lone_event_without_evidence_is_checked_by_an_empty_list),
        TEST(a_check_that_is_rejected_too_pauses),
        TEST(a_check_that_fails_is_repeated),
        TEST(differing_reasons_are_settled_by_the_check),
        TEST(an_empty_list_proves_nothing_for_a_large_batch),
        TEST(held_events_expire_like_others),
        TEST(one_held_event_that_expires_does_not_hold_up_the_other),
        TEST(new_credentials_start_without_evidence),
        TEST(held_events_are_dropped_at_the_close),
        TEST(every_event_ends_well_in_any_weather),
    };
    return cmocka_run_group_tests_name("sender_reject", tests, NULL, NULL);
}
