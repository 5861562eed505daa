/* client_test.c
 * The life of clients, many times over: rounds, forks, exits, and a long stream.
 * Does not know what an answer means for events (sender_test.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/process_look.h"
#include "support/sink.h"

enum { ROUNDS = 10000, FORKS = 1000, EXITS = 200, STREAM = 10 * 1000 * 1000 };

#define SECOND INT64_C(1000000)

static char endpoint[64];
static qa_client_config config;

static sink *start(bool silent) {
    sink *s = sink_start(silent);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", sink_port(s));
    config = (qa_client_config){.endpoint = endpoint,
                                .path = "/receive",
                                .credentials = {"app", "key", "secret"},
                                .access_id = "org",
                                .batch_events = 200,
                                .batch_bytes = 512 * 1024,
                                .queue_events = 100000,
                                .queue_bytes = 64 * 1024 * 1024,
                                .linger_us = 20 * 1000,
                                .timeout_us = 10 * SECOND,
                                .connect_timeout_us = 3 * SECOND,
                                .retry_base_us = 20 * 1000,
                                .retry_max_us = SECOND,
                                .delivery_deadline_us = 300 * SECOND,
                                .max_in_flight = 4};
    return s;
}

static qa_client *open_client(void) {
    qa_error error;
    qa_client *client = NULL;
    if (qa_client_new(&config, true, &client, &error) != QA_OK)
        fail_msg("new: %s", error.message);
    return client;
}

static void report(qa_client *client) {
    qa_error error;
    if (qa_client_report(client, "{\"a\":1}", 7, 1, &error) != QA_OK)
        fail_msg("report: %s", error.message);
}

static void round_trip(void) {
    qa_client *client = open_client();
    report(client);
    assert_int_equal(qa_client_close(client, 20 * SECOND, NULL, NULL), QA_OK);
    qa_client_free(client);
}

static void rounds_leave_nothing_behind(void **state) {
    (void)state;
    sink *s = start(false);
    for (int i = 0; i < ROUNDS / 10; i++)
        round_trip();
    while (sink_open_connections(s) > 0)
        sched_yield();
    size_t descriptors = process_descriptors();
    size_t rss = process_rss_bytes();
    for (int i = 0; i < ROUNDS; i++)
        round_trip();
    while (sink_open_connections(s) > 0)
        sched_yield();
    assert_int_equal(sink_requests(s), ROUNDS + ROUNDS / 10);
    assert_true(process_await_threads(2)); /* this one, and the sink's */
    assert_int_equal(process_descriptors(), descriptors);
    print_message("rss: %zu KiB before, %zu KiB after\n", rss / 1024, process_rss_bytes() / 1024);
    assert_true(process_rss_bytes() < rss + 2 * 1024 * 1024);
    sink_stop(s);
}

static void forks_leave_nothing_behind(void **state) {
    (void)state;
    sink *s = start(false);
    qa_client *client = open_client();
    size_t descriptors = 0;
    for (int i = 0; i < FORKS; i++) {
        for (int j = 0; j < 20; j++)
            report(client);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (i % 2 == 0)
                report(client);
            bool ok = qa_client_close(client, 20 * SECOND, NULL, NULL) == QA_OK;
            qa_client_free(client);
            _exit(ok ? 0 : 1);
        }
        int status = process_wait(child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        if (i == FORKS / 10)
            descriptors = process_descriptors();
    }
    assert_int_equal(qa_client_close(client, 20 * SECOND, NULL, NULL), QA_OK);
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_int_equal(stats.counts.delivered, FORKS * 20);
    assert_true(process_descriptors() <= descriptors);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    qa_client_free(client);
    sink_stop(s);
}

/* The child uses everything, then exits as scripts do: through the exit handlers. */
static void exits_with_requests_under_way_are_clean(void **state) {
    (void)state;
    for (int silent = 0; silent <= 1; silent++) {
        sink *s = start(silent == 1);
        for (int i = 0; i < EXITS; i++) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                qa_client *client = open_client();
                for (int j = 0; j < 500; j++)
                    report(client);
                for (int spin = 0; spin < i * 500; spin++) /* at different moments */
                    (void)qa_client_pending(client);
                exit(0);
            }
            int status = process_wait(child);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        sink_stop(s);
    }
}

static void memory_stays_flat_over_a_long_stream(void **state) {
    (void)state;
    sink *s = start(false);
    qa_client *client = open_client();
    qa_error error;
    static const char event[] = "{\"customerId\":\"u-42\",\"eventCode\":\"pay_order\"}";
    size_t early = 0;
    for (int i = 0; i < STREAM; i++) {
        if (i == STREAM / 10)
            early = process_rss_bytes();
        while (qa_client_report(client, event, strlen(event), 1, &error) == QA_QUEUE_FULL)
            sched_yield();
        qa_report got;
        if (i % 1000 == 0) {
            while (qa_client_poll_one(client, &got) == 1)
                assert_int_equal(got.status, QA_REPORT_DELIVERED);
        }
    }
    size_t late = process_rss_bytes();
    assert_int_equal(qa_client_close(client, 60 * SECOND, NULL, NULL), QA_OK);
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_int_equal(stats.counts.delivered, STREAM);
    print_message("rss: %zu KiB after a tenth, %zu KiB at the end\n", early / 1024, late / 1024);
    assert_true(late < early + early / 4 + 4 * 1024 * 1024);
    qa_client_free(client);
    sink_stop(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_leave_nothing_behind),
        cmocka_unit_test(forks_leave_nothing_behind),
        cmocka_unit_test(exits_with_requests_under_way_are_clean),
        cmocka_unit_test(memory_stays_flat_over_a_long_stream),
    };
    return cmocka_run_group_tests_name("client, at length", tests, NULL, NULL);
}
