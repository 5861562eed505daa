/* transport_curl_test.c
 * The life of requests over libcurl: creation, start, run, wake-up, cancel, kept connections.
 * Does not know what a request looks like on the wire, nor how failures are worded.
 * SPDX-License-Identifier: MIT */
#include "transport_curl.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/caller.h"
#include "support/http_server.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
#define OK OK_HEAD "\r\n{}"

static const http_answer always_ok[] = {{.bytes = OK, .keep = true}};
static const http_answer held_ok[] = {{.bytes = OK, .keep = true, .hold = true}};

static int64_t now_ms(void) {
    struct timespec now = {0, 0};
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- creation ---- */

static void refuses_options(const qa_transport_curl_options *options, const char *message) {
    qa_error error = {0};
    caller ignored = {0};
    assert_null(qa_transport_curl_new(options, NULL, &ignored, &error));
    assert_int_equal(error.status, QA_CONFIG);
    assert_string_equal(error.message, message);
    assert_null(qa_transport_curl_new(options, NULL, &ignored, NULL));
}

static void refuses_a_ca_file_that_is_none(void **state) {
    (void)state;
    char path[] = "/tmp/qa-test-XXXXXX";
    char message[128];
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "not PEM\n", 8), 8);
    assert_int_equal(close(file), 0);
    (void)snprintf(message, sizeof message, "config.ca_file: no PEM certificate in '%s'", path);
    refuses_options(&(qa_transport_curl_options){.ca_file = path}, message);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(message, sizeof message,
                   "config.ca_file: cannot open '%s': no such file or directory", path);
    refuses_options(&(qa_transport_curl_options){.ca_file = path}, message);
    refuses_options(&(qa_transport_curl_options){.ca_file = "/"},
                    "config.ca_file: cannot read '/': is a directory");
}

static void frees_nothing_and_what_was_never_used(void **state) {
    (void)state;
    caller self;
    caller_open(&self, NULL);
    self.transport->ops->free(NULL);
    caller_close(&self);
}

static void *open_and_close(void *arg) {
    caller *self = arg;
    const qa_transport_curl_options options = {.connections_max = 0};
    self->transport = qa_transport_curl_new(&options, NULL, NULL, NULL);
    return NULL;
}

static void is_created_in_several_threads_at_once(void **state) {
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    caller callers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &callers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_non_null(callers[i].transport);
        caller_close(&callers[i]);
    }
}

/* ---- start ---- */

static void refuses_request(caller *self, const qa_request *request, const char *message) {
    qa_error error = {0};
    assert_int_equal(self->transport->ops->start(self->transport, request, &error), QA_CONFIG);
    assert_string_equal(error.message, message);
    self->transport->ops->run(self->transport, 0);
    self->transport->ops->cancel_all(self->transport);
    assert_int_equal(self->count, 0);
}

static void refuses_what_cannot_be_sent(void **state) {
    (void)state;
    caller self;
    char long_signature[200];
    caller_open(&self, NULL);
    caller_aim(&self, "ftp", "127.0.0.1", 1);
    qa_request request = caller_request(&self);
    refuses_request(&self, &request, "request.url: neither http nor https");
    request.url = "http://user:password@host/";
    qa_error error = {0};
    assert_int_equal(self.transport->ops->start(self.transport, &request, &error), QA_CONFIG);
    assert_null(strstr(error.message, "password"));
    request.url = "http://";
    assert_int_equal(self.transport->ops->start(self.transport, &request, &error), QA_CONFIG);
    request.url = "http://127.0.0.1/";
    request.authorization = "a\r\nX-Other: b";
    refuses_request(&self, &request, "request.authorization: not plain text");
    memset(long_signature, 'a', sizeof long_signature - 1);
    long_signature[sizeof long_signature - 1] = '\0';
    request.authorization = long_signature;
    refuses_request(&self, &request, "request.authorization: longer than 112 bytes");
    request.authorization = SIGNATURE;
    const qa_slice huge[] = {{"", 1}, {"", SIZE_MAX}};
    request.pieces = huge;
    request.piece_count = 2;
    refuses_request(&self, &request, "request.pieces: over 2147483647 bytes");
    caller_close(&self);
}

/* ---- run ---- */

static void runs_without_work(void **state) {
    (void)state;
    caller self;
    caller_open(&self, NULL);
    int64_t start = now_ms();
    self.transport->ops->run(self.transport, 0);
    self.transport->ops->run(self.transport, 30);
    assert_in_range(now_ms() - start, 30, 5000);
    caller_close(&self);
}

static void returns_when_the_wait_is_over(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(held_ok, 1, NULL);
    caller_open(&self, server);
    caller_start(&self);
    int64_t start = now_ms();
    self.transport->ops->run(self.transport, 30);
    assert_in_range(now_ms() - start, 30, 4000);
    assert_int_equal(self.count, 0);
    http_server_release(server, 1);
    caller_wait(&self, 1);
    caller_close(&self);
    http_server_stop(server);
}

static void hands_back_tag_and_context(void **state) {
    (void)state;
    caller self;
    int tag = 0;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    qa_request request = caller_request(&self);
    request.tag = &tag;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    assert_int_equal(self.count, 0);
    caller_wait(&self, 1);
    assert_ptr_equal(self.tags[0], &tag);
    caller_close(&self);
    http_server_stop(server);
}

static void starts_the_next_inside_done(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    self.again = 10;
    caller_start(&self);
    caller_wait(&self, 11);
    assert_int_equal(http_server_requests(server), 11);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- wake-up ---- */

typedef struct waker {
    qa_transport *transport;
    http_server *server;
} waker;

static void *wake(void *arg) {
    waker *self = arg;
    http_server_wait(self->server, 1);
    self->transport->ops->wakeup(self->transport);
    return NULL;
}

static void wakes_up_from_another_thread(void **state) {
    (void)state;
    caller self;
    pthread_t thread;
    http_server *server = http_server_start(held_ok, 1, NULL);
    caller_open(&self, server);
    waker other = {self.transport, server};
    caller_start(&self);
    assert_int_equal(pthread_create(&thread, NULL, wake, &other), 0);
    self.transport->ops->run(self.transport, -1);
    assert_int_equal(self.count, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    http_server_release(server, 1);
    caller_wait(&self, 1);
    caller_close(&self);
    http_server_stop(server);
}

typedef struct rounds {
    qa_transport *transport;
    sem_t next;
} rounds;

enum { ROUNDS = 200 };

static void *wake_each_round(void *arg) {
    rounds *self = arg;
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(sem_wait(&self->next), 0);
        self->transport->ops->wakeup(self->transport);
    }
    return NULL;
}

/* Without work there is nothing else that could end the wait. */
static void wakes_up_whether_waiting_already_or_not(void **state) {
    (void)state;
    caller self;
    pthread_t thread;
    caller_open(&self, NULL);
    rounds other = {.transport = self.transport};
    assert_int_equal(sem_init(&other.next, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_each_round, &other), 0);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(sem_post(&other.next), 0);
        self.transport->ops->run(self.transport, -1);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sem_destroy(&other.next), 0);
    caller_close(&self);
}

static void wakes_up_the_next_run_and_no_other(void **state) {
    (void)state;
    caller self;
    caller_open(&self, NULL);
    self.transport->ops->wakeup(self.transport);
    self.transport->ops->wakeup(self.transport);
    self.transport->ops->run(self.transport, -1);
    int64_t start = now_ms();
    self.transport->ops->run(self.transport, 30);
    assert_in_range(now_ms() - start, 30, 5000);
    caller_close(&self);
}

/* ---- cancel ---- */

static void cancels_what_was_sent_and_what_was_not(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(held_ok, 1, NULL);
    caller_open(&self, server);
    caller_start(&self);
    while (http_server_requests(server) == 0)
        self.transport->ops->run(self.transport, 1);
    caller_start(&self);
    self.transport->ops->cancel_all(self.transport);
    assert_int_equal(self.count, 2);
    assert_int_equal(self.answers[0].status, QA_CLOSED);
    assert_int_equal(self.answers[0].delivery, QA_DELIVERY_POSSIBLE);
    assert_int_equal(self.answers[0].http_status, 0);
    assert_int_equal(self.answers[1].status, QA_CLOSED);
    assert_int_equal(self.answers[1].delivery, QA_DELIVERY_UNSENT);
    assert_string_equal(self.answers[1].message, "request: given up");
    self.transport->ops->cancel_all(self.transport);
    assert_int_equal(self.count, 2);
    http_server_release(server, 2);
    assert_int_equal(caller_ask(&self)->http_status, 200);
    caller_close(&self);
    http_server_stop(server);
}

static void cancels_only_what_is_under_way(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    caller_start(&self);
    self.again = 1;
    self.transport->ops->cancel_all(self.transport);
    assert_int_equal(self.count, 1);
    caller_wait(&self, 2);
    assert_int_equal(self.answers[1].status, QA_OK);
    caller_close(&self);
    http_server_stop(server);
}

static void frees_with_requests_under_way(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(held_ok, 1, NULL);
    caller_open(&self, server);
    caller_start(&self);
    caller_start(&self);
    self.transport->ops->free(self.transport);
    self.transport = NULL;
    assert_int_equal(self.count, 2);
    assert_int_equal(self.answers[1].status, QA_CLOSED);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- connections ---- */

static void keeps_its_connection(void **state) {
    (void)state;
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    assert_true(caller_ask(&self)->connect_us > 0);
    for (int i = 0; i < 4; i++) {
        const qa_answer *answer = caller_ask(&self);
        assert_string_equal(answer->body, "{}");
        assert_int_equal(answer->connect_us, 0);
        assert_int_equal(answer->dns_us, 0);
        assert_true(answer->total_us > 0);
    }
    assert_int_equal(http_server_connections(server), 1);
    caller_close(&self);
    http_server_stop(server);
}

static void has_several_in_flight_and_keeps_some_connections(void **state) {
    (void)state;
    caller self;
    const qa_transport_curl_options options = {.connections_max = 2, .response_max = 100};
    http_server *server = http_server_start(held_ok, 1, NULL);
    caller_open_with(&self, server, &options);
    for (int i = 0; i < 4; i++)
        caller_start(&self);
    while (http_server_requests(server) < 4)
        self.transport->ops->run(self.transport, 1);
    assert_int_equal(http_server_connections(server), 4);
    http_server_release(server, 4);
    caller_wait(&self, 4);
    http_server_wait_closed(server, 2);
    http_server_release(server, 2);
    caller_start(&self);
    caller_start(&self);
    caller_wait(&self, 6);
    assert_int_equal(http_server_connections(server), 4);
    caller_close(&self);
    http_server_stop(server);
}

static void connects_anew_after_the_server_closed(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = OK}};
    caller self;
    http_server *server = http_server_start(script, 1, NULL);
    caller_open(&self, server);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(caller_ask(&self)->status, QA_OK);
        http_server_wait_closed(server, i);
    }
    assert_int_equal(http_server_connections(server), 3);
    assert_int_equal(http_server_requests(server), 3);
    caller_close(&self);
    http_server_stop(server);
}

/* The server dies on the second request of a connection: libcurl rewinds and sends it again. */
static void sends_again_when_a_kept_connection_is_dead(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = OK, .keep = true}, {.bytes = NULL}, {.bytes = OK, .keep = true}};
    caller self;
    http_server *server = http_server_start(script, 3, NULL);
    caller_open(&self, server);
    assert_int_equal(caller_ask(&self)->resent, 0);
    const qa_answer *answer = caller_ask(&self);
    assert_int_equal(answer->status, QA_OK);
    assert_int_equal(answer->resent, 1);
    assert_int_equal(http_server_requests(server), 3);
    http_record lost = http_server_request(server, 1);
    http_record again = http_server_request(server, 2);
    assert_int_equal(lost.connection, 0);
    assert_int_equal(again.connection, 1);
    assert_int_equal(again.length, lost.length);
    assert_memory_equal(again.bytes, lost.bytes, lost.length);
    caller_close(&self);
    http_server_stop(server);
}

/* Descriptors of connections to `port` that an executed program would inherit, and all of them. */
static void count_descriptors(int port, int *inherited, int *all) {
    *inherited = *all = 0;
    for (int descriptor = 3; descriptor < 1024; descriptor++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof peer;
        if (getpeername(descriptor, (struct sockaddr *)&peer, &size) != 0 ||
            peer.sin_family != AF_INET || ntohs(peer.sin_port) != port)
            continue;
        *all += 1;
        *inherited += (fcntl(descriptor, F_GETFD) & FD_CLOEXEC) == 0;
    }
}

static void leaves_no_connection_to_executed_programs(void **state) {
    (void)state;
    caller self;
    int inherited = 0;
    int all = 0;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    (void)caller_ask(&self);
    count_descriptors(http_server_port(server), &inherited, &all);
    assert_int_equal(all, 1);
    assert_int_equal(inherited, 0);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- signals ---- */

static void leaves_the_signal_mask_as_it_was(void **state) {
    (void)state;
    caller self;
    sigset_t mask;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    (void)caller_ask(&self);
    caller_start(&self);
    self.transport->ops->cancel_all(self.transport);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGPIPE), 0);
    assert_int_equal(sigaddset(&mask, SIGPIPE), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    (void)caller_ask(&self);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGPIPE), 1);
    assert_int_equal(sigdelset(&mask, SIGPIPE), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    caller_close(&self);
    http_server_stop(server);
}

/* libcurl says goodbye on a TLS connection that was reset meanwhile, which can raise SIGPIPE. */
static void survives_a_peer_that_resets_tls(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = OK, .hold = true, .hold_after = sizeof OK - 1, .reset = true}, {.bytes = OK}};
    caller self;
    certificate *served = certificate_new("DNS:localhost");
    http_server *server = http_server_start(script, 2, served);
    const qa_transport_curl_options options = {
        .ca_file = served->path, .connections_max = 1, .response_max = 100};
    caller_open_with(&self, server, &options);
    caller_aim(&self, "https", "localhost", http_server_port(server));
    assert_string_equal(caller_ask(&self)->message, "");
    http_server_release(server, 1);
    http_server_wait_closed(server, 1);
    assert_string_equal(caller_ask(&self)->message, "");
    assert_int_equal(http_server_connections(server), 2);
    caller_close(&self);
    http_server_stop(server);
    certificate_free(served);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_a_ca_file_that_is_none),
        cmocka_unit_test(frees_nothing_and_what_was_never_used),
        cmocka_unit_test(is_created_in_several_threads_at_once),
        cmocka_unit_test(refuses_what_cannot_be_sent),
        cmocka_unit_test(runs_without_work),
        cmocka_unit_test(returns_when_the_wait_is_over),
        cmocka_unit_test(hands_back_tag_and_context),
        cmocka_unit_test(starts_the_next_inside_done),
        cmocka_unit_test(wakes_up_from_another_thread),
        cmocka_unit_test(wakes_up_whether_waiting_already_or_not),
        cmocka_unit_test(wakes_up_the_next_run_and_no_other),
        cmocka_unit_test(cancels_what_was_sent_and_what_was_not),
        cmocka_unit_test(cancels_only_what_is_under_way),
        cmocka_unit_test(frees_with_requests_under_way),
        cmocka_unit_test(keeps_its_connection),
        cmocka_unit_test(has_several_in_flight_and_keeps_some_connections),
        cmocka_unit_test(connects_anew_after_the_server_closed),
        cmocka_unit_test(sends_again_when_a_kept_connection_is_dead),
        cmocka_unit_test(leaves_no_connection_to_executed_programs),
        cmocka_unit_test(leaves_the_signal_mask_as_it_was),
        cmocka_unit_test(survives_a_peer_that_resets_tls),
    };
    return cmocka_run_group_tests_name("transport_curl", tests, NULL, NULL);
}
