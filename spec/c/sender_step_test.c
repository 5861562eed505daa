/* sender_step_test.c
 * When something starts: linger, batch limits, requests at a time, rate, direct sends, lanes, flush.
 * Does not know threads, sockets or real time.
 * SPDX-License-Identifier: MIT */
#include "sender.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_world.h"

#define SECOND INT64_C(1000000)

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

static world *started(void **state) {
    world *w = *state;
    world_start(w);
    return w;
}

/* ---- batches ---- */

static void a_chunk_lingers_and_the_thread_is_woken_once(void **state) {
    world *w = started(state);
    assert_int_equal(world_step(w), -1); /* nothing to do: sleeps without limit */
    world_report(w, 1);
    assert_int_equal(w->transport.wakeups, 1);
    world_report(w, 100);
    assert_int_equal(w->transport.wakeups, 1);
    world_advance(w, 50 * 1000);
    assert_int_equal(world_step(w), w->config.linger_us - 50 * 1000);
    assert_int_equal(w->transport.open, 0);
    world_report(w, 1);
    assert_int_equal(w->transport.wakeups, 1);
    world_advance(w, w->config.linger_us - 50 * 1000);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    assert_int_equal(world_stats(w).counts.in_flight, 102);
    world_answer_all(w, world_ok());
    assert_int_equal(world_step(w), -1);
    world_report(w, 1); /* it sleeps again, so it is woken again */
    assert_int_equal(w->transport.wakeups, 2);
}

static void a_thread_that_has_not_looked_yet_is_not_woken_again(void **state) {
    world *w = started(state);
    world_step(w);
    world_report(w, 1000);
    assert_true(w->transport.wakeups <= 2); /* for the first event, and for the first full chunk */
}

static void a_full_batch_does_not_linger(void **state) {
    world *w = started(state);
    world_step(w);
    world_report(w, 199);
    world_step(w);
    size_t wakeups = w->transport.wakeups;
    world_report(w, 1);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    assert_int_equal(world_stats(w).counts.in_flight, 200);
}

/* A wake-up is a system call inside report(), so a stream must not pay one for each batch. */
static void in_a_stream_full_chunks_wake_nobody(void **state) {
    world *w = started(state);
    world_step(w);
    world_report(w, 200);
    assert_int_equal(world_step(w), 10 * 1000); /* the thread looks again by itself soon */
    world_answer_all(w, world_ok());
    size_t wakeups = w->transport.wakeups;
    world_report(w, 400);
    assert_int_equal(w->transport.wakeups, wakeups);
    world_advance(w, 10 * 1000);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
    world_answer_all(w, world_ok());
    world_advance(w, 10 * 1000);
    assert_int_equal(world_step(w), -1); /* nothing came: whoever brings something wakes it */
    world_report(w, 200);
    assert_true(w->transport.wakeups > wakeups);
}

static void a_queue_that_fills_up_wakes_a_resting_thread(void **state) {
    world *w = *state;
    w->config.queue_events = 1000;
    world_start(w);
    world_step(w);
    world_report(w, 200);
    world_step(w);
    size_t wakeups = w->transport.wakeups;
    world_report(w, 200);
    assert_int_equal(w->transport.wakeups, wakeups);
    world_report(w, 200);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_report(w, 200);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
}

static void a_flush_wakes_a_resting_thread(void **state) {
    world *w = started(state);
    world_step(w);
    world_report(w, 200);
    world_step(w);
    world_report(w, 1);
    size_t wakeups = w->transport.wakeups;
    qa_sender_flush_begin(w->sender);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
}

static world *started_with_two_batches(void **state) {
    world *w = *state;
    w->config.queue_events = 4000;
    world_start(w);
    world_step(w);
    world_report_page_views(w, 400);
    return w;
}

/* What sends a lot at once keeps a busy host from its work for long at a time. */
static void a_stream_is_sent_one_batch_a_millisecond(void **state) {
    world *w = started_with_two_batches(state);
    assert_int_equal(world_step(w), 1000);
    assert_int_equal(w->transport.open, 1);
    world_answer_all(w, world_ok()); /* an answer changes nothing about it */
    world_advance(w, 999);
    assert_int_equal(world_step(w), 1);
    assert_int_equal(w->transport.open, 0);
    size_t wakeups = w->transport.wakeups;
    world_report_page_views(w, 200);
    assert_int_equal(w->transport.wakeups, wakeups);
    world_advance(w, 1);
    assert_int_equal(world_step(w), 1000);
    assert_int_equal(w->transport.open, 1);
}

static void small_batches_are_not_held_back(void **state) {
    world *w = started(state);
    world_step(w);
    world_report(w, 400);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
}

static void what_is_flushed_is_sent_at_once(void **state) {
    world *w = started_with_two_batches(state);
    world_step(w);
    size_t wakeups = w->transport.wakeups;
    qa_sender_flush_begin(w->sender);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_report_page_views(w, 200); /* not part of it */
    world_step(w);
    assert_int_equal(w->transport.open, 2);
}

static void what_is_closed_is_sent_at_once(void **state) {
    world *w = started_with_two_batches(state);
    world_step(w);
    size_t wakeups = w->transport.wakeups;
    qa_sender_close_lane(w->sender, w->lane);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    world_step(w);
    assert_int_equal(w->transport.open, 2);
}

/* There is no open chunk whose closing could wake it. */
static void a_flush_of_full_chunks_wakes_a_resting_thread(void **state) {
    world *w = started_with_two_batches(state);
    world_step(w);
    world_advance(w, 1000);
    world_step(w);
    world_report_page_views(w, 200);
    size_t wakeups = w->transport.wakeups;
    qa_sender_flush_begin(w->sender);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
    qa_sender_flush_begin(w->sender);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
}

static void events_wait_20_ms_for_the_pace_at_most(void **state) {
    world *w = started_with_two_batches(state);
    world_step(w);
    world_advance(w, 20 * 1000 - 1);
    world_report_page_views(w, 200);
    world_step(w); /* the pace is over */
    assert_int_equal(w->transport.open, 2);
    world_report_page_views(w, 1);
    world_advance(w, 20 * 1000 - 1);
    world_report_page_views(w, 199);
    world_step(w);
    assert_int_equal(w->transport.open, 3);
    world_step(w); /* the next pace has just begun */
    assert_int_equal(w->transport.open, 3);
    world_advance(w, 1);
    world_step(w);
    assert_int_equal(w->transport.open, 4);
}

static void over_a_quarter_of_the_queue_is_sent_at_once(void **state) {
    world *w = started_with_two_batches(state);
    world_report_page_views(w, 600);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    world_report_page_views(w, 1);
    world_step(w);
    assert_int_equal(w->transport.open, 4);
}

static void over_a_quarter_of_the_bytes_is_sent_at_once(void **state) {
    world *w = *state;
    w->config.queue_bytes = 160 * 1024;
    world_start(w);
    world_step(w);
    world_report_page_views(w, 400);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    world_report_page_views(w, 200);
    world_step(w);
    assert_int_equal(w->transport.open, 3);
}

static void a_queue_that_fills_up_wakes_a_paced_thread(void **state) {
    world *w = *state;
    w->config.queue_events = 2000;
    world_start(w);
    world_step(w);
    world_report_page_views(w, 400);
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    size_t wakeups = w->transport.wakeups;
    world_report_page_views(w, 600);
    assert_int_equal(w->transport.wakeups, wakeups);
    world_report_page_views(w, 200);
    assert_int_equal(w->transport.wakeups, wakeups + 1);
}

static void a_full_chunk_wakes_nobody_while_all_requests_are_under_way(void **state) {
    world *w = started(state);
    world_report(w, 800);
    world_step(w);
    assert_int_equal(w->transport.open, 4);
    size_t wakeups = w->transport.wakeups;
    world_report(w, 199);
    world_step(w);
    world_report(w, 1);
    assert_true(w->transport.wakeups <= wakeups + 1);
    wakeups = w->transport.wakeups;
    world_report(w, 1);
    world_step(w);
    world_report(w, 198);
    world_step(w);
    assert_int_equal(w->transport.open, 4);
    assert_true(w->transport.wakeups <= wakeups + 1);
}

static void batch_bytes_closes_a_batch_brackets_included(void **state) {
    world *w = *state;
    w->config.batch_bytes = 30;
    world_start(w);
    world_report(w, 6); /* 7 bytes each, 9 with separators: three make 27 with brackets */
    world_flush(w);
    assert_int_equal(w->transport.open, 2);
    for (size_t i = 0; i < w->transport.count; i++)
        assert_true(w->transport.requests[i].length <= 30);
    world_answer_all(w, world_ok());
}

static void an_event_larger_than_batch_bytes_is_refused_with_its_size(void **state) {
    world *w = *state;
    w->config.batch_bytes = 1000;
    world_start(w);
    char event[1002];
    memset(event, 'x', sizeof event);
    qa_error error;
    assert_int_equal(qa_sender_report(w->sender, w->lane, event, 1001, 1, &error),
                     QA_INVALID_EVENT);
    assert_string_equal(error.message, "event: 1001 bytes, more than batch_bytes (1000)");
    assert_int_equal(qa_sender_report(w->sender, w->lane, event, 1000, 1, &error), QA_OK);
    assert_int_equal(world_stats(w).counts.accepted, 1);
}

static void small_chunks_share_a_request(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    world_start(w);
    world_report(w, 200);
    world_flush(w);
    for (int i = 0; i < 10; i++) {
        world_report(w, 1);
        qa_sender_flush_begin(w->sender);
    }
    world_answer_all(w, world_ok());
    world_step(w);
    assert_int_equal(world_stats(w).counts.in_flight, 10);
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).counts.delivered, 210);
    const char *body = w->transport.requests[1].body;
    assert_ptr_equal(strstr(body, "[{\"n\":200},\n{\"n\":201},\n"), body);
    assert_non_null(strstr(body, "{\"n\":208},\n{\"n\":209}]"));
}

/* ---- bounds ---- */

static void a_full_queue_refuses_and_evicts_nothing(void **state) {
    world *w = *state;
    w->config.queue_events = 1000;
    world_start(w);
    world_report(w, 1000);
    qa_error error;
    assert_int_equal(qa_sender_report(w->sender, w->lane, "{}", 2, 1, &error), QA_QUEUE_FULL);
    assert_non_null(strstr(error.message, "1000 of 1000 events"));
    assert_true(error.retriable);
    world_flush(w);
    assert_int_equal(world_stats(w).counts.in_flight, 800);
    assert_int_equal(qa_sender_report(w->sender, w->lane, "{}", 2, 1, &error), QA_QUEUE_FULL);
    world_answer_all(w, world_ok());
    assert_int_equal(qa_sender_report(w->sender, w->lane, "{}", 2, 1, &error), QA_OK);
    assert_int_equal(world_stats(w).counts.accepted, 1001);
}

static void bytes_are_bounded_too(void **state) {
    world *w = *state;
    w->config.queue_bytes = 1000;
    world_start(w);
    qa_error error;
    uint64_t taken = 0;
    while (qa_sender_report(w->sender, w->lane, "{\"n\":12345}", 11, 1, &error) == QA_OK)
        taken++;
    assert_int_equal(error.status, QA_QUEUE_FULL);
    assert_non_null(strstr(error.message, "bytes"));
    assert_in_range(taken, 1000 / 13 - 1, 1000 / 13 + 1);
    assert_true(world_stats(w).queue_bytes <= 1000);
    world_flush(w);
    world_answer_all(w, world_ok());
    assert_int_equal(world_stats(w).queue_bytes, 0);
}

static size_t write_events(char *out, size_t count) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += (size_t)sprintf(out + length, "%s{\"m\":%zu}", i > 0 ? ",\n" : "", i);
    return length;
}

static void many_events_are_taken_wholly_or_not_at_all(void **state) {
    world *w = *state;
    w->config.queue_events = 1500;
    world_start(w);
    char *events = malloc(1 << 20);
    qa_error error;
    world_report(w, 7);
    size_t length = write_events(events, 1501);
    assert_int_equal(qa_sender_report(w->sender, w->lane, events, length, 1501, &error),
                     QA_QUEUE_FULL);
    assert_int_equal(world_stats(w).counts.accepted, 7);
    length = write_events(events, 1493);
    assert_int_equal(qa_sender_report(w->sender, w->lane, events, length, 1493, &error), QA_OK);
    assert_int_equal(world_stats(w).counts.accepted, 1500);
    qa_sender_flush_begin(w->sender);
    size_t seen = 0;
    while (world_stats(w).counts.delivered < 1500) {
        world_step(w);
        world_answer_all(w, world_ok());
    }
    for (size_t i = 0; i < w->transport.count; i++) {
        for (const char *at = w->transport.requests[i].body;
             (at = strstr(at, "{\"m\":")) != NULL; at++)
            assert_int_equal(strtoul(at + 5, NULL, 10), seen++);
    }
    assert_int_equal(seen, 1493);
    free(events);
}

static void one_too_large_among_many_refuses_them_all(void **state) {
    world *w = *state;
    w->config.batch_bytes = 64;
    world_start(w);
    char events[400];
    size_t length = write_events(events, 5);
    length += (size_t)sprintf(events + length, ",\n{\"m\":\"%0100d\"}", 7);
    qa_error error;
    assert_int_equal(qa_sender_report(w->sender, w->lane, events, length, 6, &error),
                     QA_INVALID_EVENT);
    assert_int_equal(qa_sender_report(w->sender, w->lane, events, length, 5, &error),
                     QA_INVALID_EVENT);
    assert_int_equal(world_stats(w).counts.accepted, 0);
}

/* ---- speed ---- */

static void no_more_requests_at_a_time_than_allowed(void **state) {
    world *w = *state;
    w->config.max_in_flight = 3;
    world_start(w);
    world_report(w, 5000);
    qa_sender_flush_begin(w->sender);
    while (world_stats(w).counts.delivered < 5000) {
        world_step(w);
        assert_true(w->transport.open <= 3);
        qa_answer answer = world_ok();
        fake_transport_answer(&w->transport, fake_transport_first_open(&w->transport), &answer);
    }
    assert_int_equal(w->transport.most_open, 3);
    assert_int_equal(w->transport.count, 25);
}

static void no_more_requests_per_second_than_allowed(void **state) {
    world *w = *state;
    w->config.max_requests_per_second = 10;
    w->config.batch_events = 1;
    world_start(w);
    world_report(w, 30);
    qa_sender_flush_begin(w->sender);
    int64_t from = w->now_us;
    while (world_stats(w).counts.delivered < 30) {
        assert_true(world_await_request(w, SECOND));
        world_answer_all(w, world_ok());
        int64_t elapsed = w->now_us - from;
        assert_true((int64_t)w->transport.count <= 1 + (elapsed + 2000) * 10 / SECOND);
    }
    assert_in_range((uint64_t)(w->now_us - from), 2890000, 2910000);
}

/* ---- direct sends ---- */

static void a_direct_send_goes_past_a_pause_and_ends_it(void **state) {
    world *w = started(state);
    world_report(w, 3);
    world_flush(w);
    world_answer_all(w, world_http(401, NULL));
    assert_int_equal(world_stats(w).state, QA_STATE_PAUSED);
    qa_error error;
    qa_ticket *ticket;
    assert_int_equal(qa_sender_send(w->sender, w->lane, "{\"a\":1}", 7, 1, &ticket, &error),
                     QA_OK);
    assert_false(qa_ticket_done(ticket));
    assert_null(qa_ticket_result(ticket));
    world_step(w);
    assert_string_equal(w->transport.requests[1].body, "[{\"a\":1}]");
    qa_answer answer = world_ok();
    answer.total_us = 77;
    fake_transport_answer(&w->transport, 1, &answer);
    assert_true(qa_ticket_done(ticket));
    const qa_send_result *result = qa_ticket_result(ticket);
    assert_int_equal(result->status, QA_OK);
    assert_string_equal(result->trace_id, "trace-1");
    assert_int_equal(result->total_us, 77);
    qa_ticket_free(ticket);
    assert_int_equal(world_stats(w).state, QA_STATE_RUNNING);
    assert_int_equal(world_stats(w).counts.accepted, 3); /* a send is not the ledger's */
    assert_int_equal(world_stats(w).counts.requests, 2);
}

static void a_direct_send_is_tried_once_and_says_what_happened(void **state) {
    static const struct {
        int http_status;
        qa_status status;
        bool retriable;
    } rows[] = {{200, QA_BAD_RESPONSE, true}, {400, QA_REJECTED, false}, {401, QA_AUTH, false},
                {403, QA_AUTH, false},        {302, QA_HTTP, false},     {404, QA_HTTP, false},
                {413, QA_HTTP, false},        {422, QA_REJECTED, false}, {429, QA_HTTP, true},
                {500, QA_HTTP, true},         {503, QA_HTTP, true}};
    world *w = started(state);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qa_error error;
        qa_ticket *ticket;
        assert_int_equal(qa_sender_send(w->sender, w->lane, "{}", 2, 1, &ticket, &error), QA_OK);
        world_step(w);
        world_answer_all(w, world_http(rows[i].http_status, NULL));
        const qa_send_result *result = qa_ticket_result(ticket);
        assert_non_null(result);
        assert_int_equal(result->status, rows[i].status);
        assert_int_equal(result->retriable, rows[i].retriable);
        assert_int_equal(result->http_status, rows[i].http_status);
        assert_true(result->message[0] != '\0');
        qa_ticket_free(ticket);
        assert_int_equal(world_stats(w).state, QA_STATE_RUNNING); /* its failure is its own */
    }
    assert_int_equal(w->transport.count, sizeof rows / sizeof rows[0]);
}

static void a_ticket_may_be_let_go_at_any_time(void **state) {
    world *w = started(state);
    qa_error error;
    qa_ticket *before, *during;
    qa_sender_send(w->sender, w->lane, "{}", 2, 1, &before, &error);
    qa_ticket_free(before);
    world_step(w);
    assert_int_equal(w->transport.open, 0); /* nobody would see it */
    qa_sender_send(w->sender, w->lane, "{}", 2, 1, &during, &error);
    world_step(w);
    qa_ticket_free(during);
    world_answer_all(w, world_ok());
    qa_ticket_free(NULL);
}

static void tickets_end_with_the_sender(void **state) {
    world *w = started(state);
    qa_error error;
    qa_ticket *waiting, *under_way;
    qa_sender_send(w->sender, w->lane, "{}", 2, 1, &under_way, &error);
    world_step(w);
    qa_sender_send(w->sender, w->lane, "{}", 2, 1, &waiting, &error);
    world_free(w);
    assert_true(qa_ticket_wait(waiting, -1));
    assert_int_equal(qa_ticket_result(waiting)->status, QA_CLOSED);
    assert_int_equal(qa_ticket_result(under_way)->status, QA_CLOSED);
    qa_ticket_free(waiting);
    qa_ticket_free(under_way);
    w->sender = NULL;
}

static void a_send_that_finds_no_free_request_times_out(void **state) {
    world *w = *state;
    w->config.max_in_flight = 1;
    world_start(w);
    world_report(w, 1);
    world_flush(w);
    qa_error error;
    qa_ticket *ticket;
    qa_sender_send(w->sender, w->lane, "{}", 2, 1, &ticket, &error);
    assert_int_equal(world_step(w), w->config.timeout_us);
    assert_false(qa_ticket_wait(ticket, 1000));
    world_advance(w, w->config.timeout_us);
    world_step(w);
    assert_int_equal(qa_ticket_result(ticket)->status, QA_TIMEOUT);
    assert_true(qa_ticket_result(ticket)->retriable);
    qa_ticket_free(ticket);
}

/* ---- flush and lanes ---- */

static void a_flush_ignores_the_linger_and_ends_with_its_mark(void **state) {
    world *w = started(state);
    world_report(w, 3);
    uint64_t mark = qa_sender_flush_begin(w->sender);
    assert_false(qa_sender_flush_done(w->sender, mark));
    world_step(w);
    assert_int_equal(w->transport.open, 1);
    world_report(w, 5); /* later ones don't count */
    uint64_t remaining = 9;
    assert_false(qa_sender_flush_wait(w->sender, mark, 1000, &remaining));
    assert_int_equal(remaining, 3);
    world_answer_all(w, world_ok());
    assert_true(qa_sender_flush_done(w->sender, mark));
    assert_true(qa_sender_flush_wait(w->sender, mark, 0, &remaining));
    assert_int_equal(remaining, 0);
}

static void reports_reach_the_lane_whose_events_they_are_about(void **state) {
    world *w = started(state);
    qa_error error;
    qa_lane *other = qa_sender_open_lane(w->sender, true, &error);
    qa_lane *deaf = qa_sender_open_lane(w->sender, false, &error);
    world_report(w, 3);
    qa_sender_report(w->sender, other, "{},\n{}", 6, 2, &error);
    qa_sender_report(w->sender, deaf, "{}", 2, 1, &error);
    assert_int_equal(world_stats(w).clients, 3);
    world_flush(w);
    assert_int_equal(w->transport.open, 1); /* one request for all three */
    world_answer_all(w, world_ok());
    assert_int_equal(world_take_reports(w, w->lane).delivered, 3);
    assert_int_equal(world_take_reports(w, other).delivered, 2);
    assert_int_equal(world_take_reports(w, deaf).delivered, 0);
}

static bool is_readable(int descriptor) {
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

static void a_descriptor_is_readable_while_reports_wait(void **state) {
    world *w = started(state);
    qa_error error;
    int descriptor = qa_sender_fileno(w->sender, w->lane, &error);
    assert_true(descriptor >= 0);
    assert_int_equal(qa_sender_fileno(w->sender, w->lane, &error), descriptor);
    assert_false(is_readable(descriptor));
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_ok());
    assert_true(is_readable(descriptor));
    world_report(w, 1);
    world_flush(w);
    world_answer_all(w, world_http(500, NULL));
    assert_true(is_readable(descriptor));
    assert_int_equal(world_take_reports(w, w->lane).delivered, 1);
    assert_false(is_readable(descriptor));
}

static void a_lane_that_goes_leaves_its_events_and_reports_to_the_others(void **state) {
    world *w = started(state);
    qa_error error;
    qa_lane *leaving = qa_sender_open_lane(w->sender, true, &error);
    int descriptor = qa_sender_fileno(w->sender, w->lane, &error);
    qa_sender_report(w->sender, leaving, "{\"done\":1}", 10, 1, &error);
    world_flush(w);
    world_answer_all(w, world_ok());
    qa_sender_report(w->sender, leaving, "{\"left\":1}", 10, 1, &error);
    world_report(w, 4); /* the others' events are none of its business */
    qa_sender_close_lane(w->sender, leaving);
    assert_int_equal(qa_sender_report(w->sender, leaving, "{}", 2, 1, &error), QA_CLOSED);
    uint64_t remaining;
    assert_false(qa_sender_wait_lane(w->sender, leaving, 0, &remaining));
    assert_int_equal(remaining, 1);
    qa_sender_detach_lane(w->sender, leaving);
    qa_sender_release_lane(w->sender, leaving);
    assert_int_equal(world_take_reports(w, w->lane).delivered, 1);
    assert_false(is_readable(descriptor));
    world_step(w);
    world_answer_all(w, world_ok());
    assert_true(is_readable(descriptor));
    assert_int_equal(world_take_reports(w, w->lane).delivered, 1);
    assert_int_equal(world_stats(w).clients, 1);
    assert_int_equal(world_stats(w).counts.queued, 4);
}

static void stats_tell_ages_and_latencies(void **state) {
    world *w = started(state);
    world_report(w, 10);
    world_advance(w, 150 * 1000);
    assert_int_equal(world_stats(w).oldest_age_us, 150 * 1000);
    world_flush(w);
    world_advance(w, 30 * 1000);
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.requests_in_flight, 1);
    world_answer_all(w, world_ok());
    stats = world_stats(w);
    assert_int_equal(stats.oldest_age_us, 0);
    assert_int_equal(stats.queue_latency.max, 150 * 1000);
    assert_int_equal(stats.round_trip.max, 30 * 1000);
    assert_int_equal(stats.batch_size.max, 10);
    assert_int_equal(stats.counts.bytes_sent, w->transport.requests[0].length);
    qa_sender_count_replaced(w->sender, 4);
    assert_int_equal(world_stats(w).counts.replaced_bytes, 4);
}

static void far_deadlines_do_not_overflow(void **state) {
    world *w = *state;
    w->config.linger_us = INT64_MAX;
    w->config.delivery_deadline_us = INT64_MAX;
    w->config.retry_max_us = INT64_MAX;
    w->config.retry_base_us = INT64_MAX;
    world_start(w);
    world_report(w, 1);
    assert_int_equal(world_step(w), -1);
    world_flush(w);
    assert_int_equal(w->transport.open, 1);
    world_answer_all(w, world_http(500, NULL));
    assert_int_equal(world_step(w), -1);
    assert_int_equal(world_stats(w).counts.queued, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_chunk_lingers_and_the_thread_is_woken_once),
        TEST(a_thread_that_has_not_looked_yet_is_not_woken_again),
        TEST(a_full_batch_does_not_linger),
        TEST(in_a_stream_full_chunks_wake_nobody),
        TEST(a_queue_that_fills_up_wakes_a_resting_thread),
        TEST(a_flush_wakes_a_resting_thread),
        TEST(a_stream_is_sent_one_batch_a_millisecond),
        TEST(small_batches_are_not_held_back),
        TEST(what_is_flushed_is_sent_at_once),
        TEST(what_is_closed_is_sent_at_once),
        TEST(a_flush_of_full_chunks_wakes_a_resting_thread),
        TEST(events_wait_20_ms_for_the_pace_at_most),
        TEST(over_a_quarter_of_the_queue_is_sent_at_once),
        TEST(over_a_quarter_of_the_bytes_is_sent_at_once),
        TEST(a_queue_that_fills_up_wakes_a_paced_thread),
        TEST(a_full_chunk_wakes_nobody_while_all_requests_are_under_way),
        TEST(batch_bytes_closes_a_batch_brackets_included),
        TEST(an_event_larger_than_batch_bytes_is_refused_with_its_size),
        TEST(small_chunks_share_a_request),
        TEST(a_full_queue_refuses_and_evicts_nothing),
        TEST(bytes_are_bounded_too),
        TEST(many_events_are_taken_wholly_or_not_at_all),
        TEST(one_too_large_among_many_refuses_them_all),
        TEST(no_more_requests_at_a_time_than_allowed),
        TEST(no_more_requests_per_second_than_allowed),
        TEST(a_direct_send_goes_past_a_pause_and_ends_it),
        TEST(a_direct_send_is_tried_once_and_says_what_happened),
        TEST(a_ticket_may_be_let_go_at_any_time),
        TEST(tickets_end_with_the_sender),
        TEST(a_send_that_finds_no_free_request_times_out),
        TEST(a_flush_ignores_the_linger_and_ends_with_its_mark),
        TEST(reports_reach_the_lane_whose_events_they_are_about),
        TEST(a_descriptor_is_readable_while_reports_wait),
        TEST(a_lane_that_goes_leaves_its_events_and_reports_to_the_others),
        TEST(stats_tell_ages_and_latencies),
        TEST(far_deadlines_do_not_overflow),
    };
    return cmocka_run_group_tests_name("sender_step", tests, NULL, NULL);
}
