/* client_test.c
 * The life of clients with a real thread and a real server: sharing, closing, forks and exits.
 * Does not know what an answer means for events (sender_test.c).
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/http_server.h"
#include "support/process_look.h"
#include "support/sink.h"

#define SECOND INT64_C(1000000)
#define SUCCESS                                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"                                            \
    "{\"traceId\":\"t\",\"success\":true,\"data\":true}"

/* ThreadSanitizer can't follow threads that start in a child of a process with threads. */
#if defined(__SANITIZE_THREAD__)
#define NEEDS_THREADS_IN_CHILDREN() skip()
enum { OWN_THREADS = 2 }; /* it starts one of its own with the first that is started */
#else
enum { OWN_THREADS = 1 };
#define NEEDS_THREADS_IN_CHILDREN() (void)0
#endif

static const http_answer good[] = {{.bytes = SUCCESS, .keep = true}};
static const http_answer held[] = {{.bytes = SUCCESS, .keep = true, .hold = true}};

typedef struct bench {
    http_server *server; /* one of the two */
    sink *sink;
    char endpoint[64];
    qa_client_config config;
} bench;

static void aim(bench *b, int port) {
    snprintf(b->endpoint, sizeof b->endpoint, "http://127.0.0.1:%d", port);
    b->config = (qa_client_config){.endpoint = b->endpoint,
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
                                   .commit_interval_us = 50 * 1000,
                                   .close_timeout_us = 2 * SECOND,
                                   .max_in_flight = 4};
}

static int set_up(void **state, const http_answer *script) {
    bench *b = calloc(1, sizeof *b);
    b->server = http_server_start(script, 1, NULL);
    aim(b, http_server_port(b->server));
    *state = b;
    return 0;
}

static int set_up_good(void **state) {
    return set_up(state, good);
}

static int set_up_held(void **state) {
    return set_up(state, held);
}

static int set_up_sink(void **state) {
    bench *b = calloc(1, sizeof *b);
    b->sink = sink_start(false);
    aim(b, sink_port(b->sink));
    *state = b;
    return 0;
}

static int set_up_silent(void **state) {
    bench *b = calloc(1, sizeof *b);
    b->sink = sink_start(true);
    aim(b, sink_port(b->sink));
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    if (b->sink != NULL)
        sink_stop(b->sink);
    http_server_stop(b->server);
    free(b);
    return 0;
}

static qa_client *open_client(const bench *b) {
    qa_error error;
    qa_client *client = NULL;
    if (qa_client_new(&b->config, true, &client, &error) != QA_OK)
        fail_msg("new: %s", error.message);
    return client;
}

static void report(qa_client *client, const char *event) {
    qa_error error;
    if (qa_client_report(client, event, strlen(event), 1, &error) != QA_OK)
        fail_msg("report: %s", error.message);
}

static void flush(qa_client *client) {
    qa_error error;
    uint64_t mark = qa_client_flush_begin(client), remaining;
    if (qa_client_flush_wait(client, mark, 20 * SECOND, &remaining, &error) != QA_OK)
        fail_msg("flush: %s", error.message);
}

static qa_stats stats_of(qa_client *client) {
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_true(qa_ledger_balanced(&stats.counts));
    return stats;
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec / 1000;
}

/* ---- one client ---- */

static void what_is_reported_arrives(void **state) {
    bench *b = *state;
    qa_client *client = open_client(b);
    for (int i = 0; i < 1000; i++)
        report(client, "{\"a\":1}");
    flush(client);
    assert_int_equal(stats_of(client).counts.delivered, 1000);
    qa_report got;
    uint64_t events = 0;
    while (qa_client_poll_one(client, &got) == 1)
        events += got.events;
    assert_int_equal(events, 1000);
    uint64_t remaining = 9;
    assert_int_equal(qa_client_close(client, SECOND, &remaining, NULL), QA_OK);
    assert_int_equal(remaining, 0);
    qa_client_free(client);
}

static void nothing_starts_before_it_is_needed_and_nothing_is_left(void **state) {
    bench *b = *state;
    qa_client_free(open_client(b)); /* libcurl and OpenSSL have what they keep for good */
    const size_t threads = OWN_THREADS + 1; /* the sink's */
    assert_true(process_await_threads(threads));
    qa_client *client = open_client(b);
    assert_int_equal(process_threads(), threads);
    report(client, "{}");
    assert_true(process_threads() >= threads + 1);
    flush(client);
    assert_int_equal(qa_client_close(client, SECOND, NULL, NULL), QA_OK);
    assert_true(process_await_threads(threads));
    while (sink_open_connections(b->sink) > 0) /* closed now, not only when it is freed */
        sched_yield();
    qa_client_free(client);
}

static void the_thread_takes_no_signals(void **state) {
    qa_client *client = open_client(*state);
    report(client, "{}");
    /* The thread gets its name a moment after it starts, and glibc starts it with all blocked. */
    unsigned long long blocked = ~0ULL;
    while (blocked == 0 || (blocked >> (SIGSEGV - 1) & 1) != 0)
        blocked = process_thread_mask("quickaudience", "SigBlk");
    static const int open_ones[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < 4; i++)
        assert_false(blocked >> (open_ones[i] - 1) & 1);
    static const int closed_ones[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGALRM, SIGUSR1};
    for (size_t i = 0; i < sizeof closed_ones / sizeof closed_ones[0]; i++)
        assert_true(blocked >> (closed_ones[i] - 1) & 1);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_false(sigismember(&own, SIGTERM));
    qa_client_free(client);
}

static void the_thread_is_nicer_than_its_host(void **state) {
    int host = getpriority(PRIO_PROCESS, 0);
    qa_client *client = open_client(*state);
    report(client, "{}");
    int nice = host;
    while (nice <= host || nice == INT_MAX) /* a moment after it starts; else the test hangs */
        nice = process_thread_nice("quickaudience");
    assert_int_equal(nice, host + 5);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), host);
    qa_client_free(client);
}

static void a_direct_send_waits_for_its_answer(void **state) {
    qa_client *client = open_client(*state);
    qa_error error;
    qa_ticket *ticket;
    assert_int_equal(qa_client_send_start(client, "", 0, 0, &ticket, &error), QA_OK);
    assert_true(qa_ticket_wait(ticket, 20 * SECOND));
    assert_int_equal(qa_ticket_result(ticket)->status, QA_OK);
    assert_int_equal(qa_ticket_result(ticket)->http_status, 200);
    qa_client_free(client);
    assert_int_equal(qa_ticket_result(ticket)->status, QA_OK); /* it outlives the client */
    qa_ticket_free(ticket);
}

static void a_closed_client_says_so(void **state) {
    qa_client *client = open_client(*state);
    report(client, "{}");
    flush(client);
    qa_error error;
    uint64_t remaining = 9;
    assert_int_equal(qa_client_close(client, SECOND, NULL, NULL), QA_OK);
    assert_int_equal(qa_client_close(client, SECOND, &remaining, &error), QA_OK);
    assert_int_equal(remaining, 0);
    assert_int_equal(qa_client_report(client, "{}", 2, 1, &error), QA_CLOSED);
    assert_string_equal(error.message, "client: closed");
    qa_ticket *ticket;
    assert_int_equal(qa_client_send_start(client, "", 0, 0, &ticket, &error), QA_CLOSED);
    assert_null(ticket);
    assert_true(qa_client_flush_done(client, qa_client_flush_begin(client)));
    assert_int_equal(qa_client_fileno(client, &error), -1);
    assert_int_equal(qa_client_pending(client), 0);
    assert_int_equal(stats_of(client).counts.delivered, 1); /* as at the end */
    assert_int_equal(stats_of(client).state, QA_STATE_CLOSING);
    qa_report got;
    assert_int_equal(qa_client_poll_one(client, &got), 1);
    assert_int_equal(qa_client_poll_one(client, &got), 0);
    qa_client_free(client);
    qa_client_free(NULL);
}

static void a_close_in_vain_tells_and_reports_what_is_left(void **state) {
    bench *b = *state;
    qa_client *client = open_client(b);
    for (int i = 0; i < 5; i++)
        report(client, "{}");
    qa_client_flush_begin(client);
    http_server_wait(b->server, 1);
    report(client, "{}");
    qa_error error;
    uint64_t remaining;
    int64_t from = now_us();
    assert_int_equal(qa_client_close(client, SECOND / 10, &remaining, &error), QA_TIMEOUT);
    assert_in_range(now_us() - from, SECOND / 10, SECOND);
    assert_int_equal(remaining, 6);
    assert_string_equal(error.message, "close: 6 events were not delivered in time: dropped");
    qa_stats stats = stats_of(client);
    assert_int_equal(stats.counts.dropped[QA_DROP_CLOSED], 6);
    qa_report got;
    uint64_t possibly = 0, dropped = 0;
    while (qa_client_poll_one(client, &got) == 1) {
        dropped += got.events;
        possibly += got.possibly_stored ? got.events : 0;
        assert_int_equal(got.code, QA_CLOSED);
    }
    assert_int_equal(dropped, 6);
    assert_int_equal(possibly, 6); /* the close had sent the sixth too */
    qa_client_free(client);
    http_server_release(b->server, 100);
}

static void a_close_does_not_linger(void **state) {
    bench *b = *state;
    b->config.linger_us = 600 * SECOND;
    qa_client *client = open_client(b);
    report(client, "{}");
    assert_int_equal(qa_client_close(client, 20 * SECOND, NULL, NULL), QA_OK);
    assert_int_equal(stats_of(client).counts.delivered, 1);
    qa_client_free(client);
}

static void a_descriptor_wakes_the_host(void **state) {
    qa_client *client = open_client(*state);
    qa_error error;
    struct pollfd entry = {.fd = qa_client_fileno(client, &error), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 0), 0);
    report(client, "{}");
    assert_int_equal(poll(&entry, 1, 20000), 1);
    qa_report got;
    assert_int_equal(qa_client_poll_one(client, &got), 1);
    assert_int_equal(poll(&entry, 1, 0), 0);
    qa_client_free(client);
}

/* ---- several clients ---- */

static void equal_configurations_share_a_sender(void **state) {
    bench *b = *state;
    qa_client_config other = b->config;
    other.credentials.access_secret = "other";
    qa_client *first = open_client(b), *second = open_client(b), *third;
    qa_error error;
    assert_int_equal(qa_client_new(&other, false, &third, &error), QA_OK);
    assert_int_equal(stats_of(first).clients, 2);
    assert_int_equal(stats_of(third).clients, 1);
    assert_true(qa_client_shared(first));
    assert_false(qa_client_shared(third));
    report(first, "{}");
    report(second, "{}");
    report(third, "{}");
    flush(first);
    flush(third);
    assert_int_equal(stats_of(second).counts.delivered, 2);
    assert_int_equal(stats_of(third).counts.delivered, 1);
    qa_client_free(first);
    assert_false(qa_client_shared(second));
    report(second, "{}"); /* the other one's end stops nothing */
    flush(second);
    assert_int_equal(stats_of(second).counts.delivered, 3);
    qa_client_free(second);
    qa_client_free(third);
}

static void new_credentials_make_another_key(void **state) {
    bench *b = *state;
    qa_client *old = open_client(b);
    qa_credentials credentials = {"app", "key", "changed"};
    qa_error error;
    assert_int_equal(qa_client_set_credentials(old, &credentials, &error), QA_OK);
    qa_client *same_as_before = open_client(b);
    assert_false(qa_client_shared(same_as_before));
    qa_client_config changed = b->config;
    changed.credentials = credentials;
    qa_client *third;
    assert_int_equal(qa_client_new(&changed, false, &third, &error), QA_OK);
    assert_true(qa_client_shared(old));
    qa_client_free(old);
    qa_client_free(third);
    qa_client_free(same_as_before);
}

static void one_that_goes_leaves_its_events_to_the_others(void **state) {
    bench *b = *state;
    qa_client *going = open_client(b), *staying = open_client(b);
    report(going, "{}");
    qa_client_flush_begin(going);
    http_server_wait(b->server, 1);
    qa_error error;
    uint64_t remaining;
    assert_int_equal(qa_client_close(going, 0, &remaining, &error), QA_TIMEOUT);
    assert_int_equal(remaining, 1);
    assert_string_equal(error.message, "close: 1 events are left to clients that go on");
    qa_client_free(going);
    http_server_release(b->server, 100);
    flush(staying);
    qa_report got;
    assert_int_equal(qa_client_poll_one(staying, &got), 1);
    assert_int_equal(got.status, QA_REPORT_DELIVERED);
    qa_client_free(staying);
}

typedef struct crowd {
    const bench *b;
    atomic_bool over;
    atomic_uint delivered;
} crowd;

static void *member(void *argument) {
    crowd *c = argument;
    qa_error error;
    for (int round = 0; round < 20; round++) {
        qa_client *client = open_client(c->b);
        for (int i = 0; i < 100; i++)
            (void)qa_client_report(client, "{\"a\":1}", 7, 1, &error);
        qa_stats stats;
        qa_client_stats(client, &stats);
        if (!qa_ledger_balanced(&stats.counts))
            abort();
        if (qa_client_close(client, 20 * SECOND, NULL, NULL) != QA_OK)
            abort();
        qa_report got;
        while (qa_client_poll_one(client, &got) == 1)
            atomic_fetch_add(&c->delivered,
                             got.status == QA_REPORT_DELIVERED ? (unsigned)got.events : 0);
        qa_client_free(client);
    }
    return NULL;
}

static void many_threads_share_and_come_and_go(void **state) {
    crowd c = {.b = *state};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, member, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* Each waits for its own events before it goes, so each gets its own reports. */
    assert_int_equal(atomic_load(&c.delivered), 4 * 20 * 100);
}

static void *sampler(void *argument) {
    qa_client *client = ((void **)argument)[0];
    atomic_bool *over = ((void **)argument)[1];
    uint64_t before = 0;
    while (!atomic_load(over)) {
        qa_stats stats;
        qa_client_stats(client, &stats);
        if (!qa_ledger_balanced(&stats.counts) || stats.counts.accepted < before)
            abort();
        before = stats.counts.accepted;
        sched_yield();
    }
    return NULL;
}

static void the_ledger_adds_up_at_every_moment(void **state) {
    qa_client *client = open_client(*state);
    atomic_bool over = false;
    void *argument[] = {client, &over};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sampler, argument), 0);
    for (int i = 0; i < 20000; i++)
        report(client, "{\"a\":1}");
    flush(client);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    assert_int_equal(stats_of(client).counts.delivered, 20000);
    qa_client_free(client);
}

/* ---- forks and exits ---- */

/* In the child: 0 when all is as it should be, else the number of what isn't. */
static int live_in_child(qa_client *client, int descriptor) {
    qa_error error;
    qa_stats stats;
    qa_client_stats(client, &stats);
    if (stats.counts.accepted != 0)
        return 1;
    if (qa_client_fileno(client, &error) != descriptor)
        return 2;
    if (qa_client_report(client, "{\"child\":1}", 11, 1, &error) != QA_OK)
        return 3;
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    if (poll(&entry, 1, 20000) != 1)
        return 4;
    qa_report got;
    if (qa_client_poll_one(client, &got) != 1 || got.events != 1)
        return 5;
    if (qa_client_close(client, 20 * SECOND, NULL, &error) != QA_OK)
        return 6;
    qa_client_free(client);
    return process_await_threads(OWN_THREADS) ? 0 : 7;
}

static void a_child_starts_anew_and_sends_nothing_of_its_parent(void **state) {
    NEEDS_THREADS_IN_CHILDREN();
    bench *b = *state;
    b->config.linger_us = 600 * SECOND;
    qa_client *client = open_client(b);
    qa_error error;
    int descriptor = qa_client_fileno(client, &error);
    report(client, "{\"parent\":1}");
    flush(client);
    for (int i = 0; i < 5; i++)
        report(client, "{\"parent\":2}");
    b->config.linger_us = 20 * 1000;
    qa_client *idle = open_client(b); /* another configuration; nothing of it has started */
    int idle_descriptor = qa_client_fileno(idle, &error);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        qa_client_free(client);
        _exit(live_in_child(idle, idle_descriptor));
    }
    int status = process_wait(child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(stats_of(client).counts.queued, 5);
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 0), 1); /* the parent's report still waits */
    flush(client);
    assert_int_equal(stats_of(client).counts.delivered, 6);
    assert_int_equal(http_server_requests(b->server), 3);
    assert_null(strstr(http_server_request(b->server, 1).bytes, "parent"));
    assert_null(strstr(http_server_request(b->server, 2).bytes, "child"));
    qa_client_free(client);
    qa_client_free(idle);
}

static void a_fork_in_the_middle_of_work_harms_nobody(void **state) {
    NEEDS_THREADS_IN_CHILDREN();
    qa_client *client = open_client(*state);
    for (int i = 0; i < 50; i++) {
        for (int j = 0; j < 100; j++)
            report(client, "{\"a\":1}");
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            qa_error error;
            bool ok = qa_client_report(client, "{\"c\":1}", 7, 1, &error) == QA_OK &&
                      qa_client_close(client, 20 * SECOND, NULL, NULL) == QA_OK;
            qa_client_free(client);
            _exit(ok ? 0 : 1);
        }
        int status = process_wait(child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    flush(client);
    assert_int_equal(stats_of(client).counts.delivered, 5000);
    qa_client_free(client);
}

static void a_ticket_of_the_parent_is_done_in_the_child(void **state) {
    bench *b = *state;
    qa_client *client = open_client(b);
    qa_error error;
    qa_ticket *ticket;
    assert_int_equal(qa_client_send_start(client, "{}", 2, 1, &ticket, &error), QA_OK);
    http_server_wait(b->server, 1);
    pid_t child = fork();
    if (child == 0) {
        bool ok = qa_ticket_done(ticket) && qa_ticket_wait(ticket, -1) &&
                  qa_ticket_result(ticket)->status == QA_CLOSED;
        qa_ticket_free(ticket);
        qa_client_free(client);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(process_wait(child), 0);
    assert_false(qa_ticket_done(ticket));
    http_server_release(b->server, 100);
    assert_true(qa_ticket_wait(ticket, 20 * SECOND));
    qa_ticket_free(ticket);
    qa_client_free(client);
}

static void an_exit_with_requests_under_way_is_quick_and_clean(void **state) {
    NEEDS_THREADS_IN_CHILDREN();
    bench *b = *state;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            qa_client *client = open_client(b);
            for (int j = 0; j < 1000; j++)
                report(client, "{\"a\":1}");
            for (int spin = 0; spin < i * 2000; spin++) /* at different moments */
                (void)qa_client_pending(client);
            exit(0);
        }
        int64_t from = now_us();
        assert_int_equal(process_wait(child), 0);
        assert_true(now_us() - from < 5 * SECOND);
    }
}

static void many_rounds_leave_nothing_behind(void **state) {
    bench *b = *state;
    qa_client_free(open_client(b)); /* libcurl and OpenSSL have what they keep for good */
    const size_t threads = OWN_THREADS + 1; /* the sink's */
    size_t descriptors = process_descriptors();
    for (size_t i = 1; i <= 300; i++) {
        qa_client *client = open_client(b);
        report(client, "{\"a\":1}");
        assert_int_equal(qa_client_close(client, 20 * SECOND, NULL, NULL), QA_OK);
        qa_client_free(client);
        assert_int_equal(sink_requests(b->sink), i);
    }
    assert_true(process_await_threads(threads));
    while (sink_open_connections(b->sink) > 0) /* the sink's ends, in this very process */
        sched_yield();
    assert_int_equal(process_descriptors(), descriptors);
}

#define GOOD(name) cmocka_unit_test_setup_teardown(name, set_up_good, tear_down)
#define HELD(name) cmocka_unit_test_setup_teardown(name, set_up_held, tear_down)
#define SINK(name) cmocka_unit_test_setup_teardown(name, set_up_sink, tear_down)
#define SILENT(name) cmocka_unit_test_setup_teardown(name, set_up_silent, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SINK(what_is_reported_arrives),
        SINK(nothing_starts_before_it_is_needed_and_nothing_is_left),
        GOOD(the_thread_takes_no_signals),
        GOOD(the_thread_is_nicer_than_its_host),
        GOOD(a_direct_send_waits_for_its_answer),
        GOOD(a_closed_client_says_so),
        HELD(a_close_in_vain_tells_and_reports_what_is_left),
        GOOD(a_close_does_not_linger),
        GOOD(a_descriptor_wakes_the_host),
        GOOD(equal_configurations_share_a_sender),
        GOOD(new_credentials_make_another_key),
        HELD(one_that_goes_leaves_its_events_to_the_others),
        SINK(many_threads_share_and_come_and_go),
        SINK(the_ledger_adds_up_at_every_moment),
        GOOD(a_child_starts_anew_and_sends_nothing_of_its_parent),
        SINK(a_fork_in_the_middle_of_work_harms_nobody),
        HELD(a_ticket_of_the_parent_is_done_in_the_child),
        SILENT(an_exit_with_requests_under_way_is_quick_and_clean),
        SINK(many_rounds_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
