/* transport_curl_failure_test.c
 * How failures of a request over libcurl are told: status, delivery and words.
 * Does not know what is to be done about one.
 * SPDX-License-Identifier: MIT */
#include "transport_curl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/caller.h"
#include "support/http_server.h"

enum { MESSAGE_MAX = 256, SOCKETS_MAX = 16 };

/* The message is `words` with the number in place of the '#'. Where they end in a colon, libcurl's
 * own words follow, which differ from version to version. */
static void assert_answer(const qa_answer *answer, qa_status status, qa_delivery delivery,
                          const char *words, int number) {
    char message[MESSAGE_MAX];
    size_t before = strcspn(words, "#");
    if (words[before] == '#')
        (void)snprintf(message, sizeof message, "%.*s%d%s", (int)before, words, number,
                       words + before + 1);
    else
        (void)snprintf(message, sizeof message, "%s", words);
    size_t length = strlen(message);
    if (length > 2 && strcmp(message + length - 2, ": ") == 0) {
        assert_true(strncmp(answer->message, message, length) == 0);
        assert_true(strlen(answer->message) > length);
    } else {
        assert_string_equal(answer->message, message);
    }
    assert_int_equal(answer->status, status);
    assert_int_equal(answer->delivery, delivery);
    if (status != QA_BAD_RESPONSE)
        assert_int_equal(answer->http_status, 0);
    assert_int_equal(answer->retry_after_ms, -1);
    assert_int_equal(answer->date_ms, -1);
}

/* Asks a server that gives `script` to the request. */
static void ask(const http_answer *script, qa_status status, qa_delivery delivery,
                const char *words, int http_status) {
    caller self;
    http_server *server = http_server_start(script, 1, NULL);
    caller_open(&self, server);
    const qa_answer *answer = caller_ask(&self);
    assert_answer(answer, status, delivery, words, http_server_port(server));
    assert_int_equal(answer->http_status, http_status);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- before a connection ---- */

/* A socket bound to a free port of 127.0.0.1 that does not listen. */
static int bind_socket(struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int made = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(made >= 0);
    assert_int_equal(bind(made, (struct sockaddr *)address, size), 0);
    assert_int_equal(getsockname(made, (struct sockaddr *)address, &size), 0);
    return made;
}

static void tells_a_refused_connection(void **state) {
    (void)state;
    struct sockaddr_in address;
    caller self;
    int bound = bind_socket(&address);
    caller_open(&self, NULL);
    caller_aim(&self, "http", "127.0.0.1", ntohs(address.sin_port));
    assert_answer(caller_ask(&self), QA_NETWORK, QA_DELIVERY_UNSENT,
                  "network: cannot connect to 127.0.0.1:#: connection refused",
                  ntohs(address.sin_port));
    caller_close(&self);
    assert_int_equal(close(bound), 0);
}

/* A label of 64 bytes is no name, so no name server is asked. */
static void tells_an_unknown_host(void **state) {
    (void)state;
    static const char host[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.x";
    char message[MESSAGE_MAX];
    caller self;
    caller_open(&self, NULL);
    caller_aim(&self, "https", host, 1);
    (void)snprintf(message, sizeof message, "network: cannot resolve '%s'", host);
    assert_answer(caller_ask(&self), QA_NETWORK, QA_DELIVERY_UNSENT, message, 0);
    caller_close(&self);
}

static void tells_a_proxy_that_is_unknown_or_away(void **state) {
    (void)state;
    struct sockaddr_in address;
    char proxy[64];
    caller self;
    int bound = bind_socket(&address);
    (void)snprintf(proxy, sizeof proxy, "http://user:word@127.0.0.1:%d", ntohs(address.sin_port));
    qa_transport_curl_options options = {.proxy = proxy, .connections_max = 1};
    caller_open_with(&self, NULL, &options);
    caller_aim(&self, "http", "127.0.0.1", 1);
    assert_answer(caller_ask(&self), QA_NETWORK, QA_DELIVERY_UNSENT,
                  "network: cannot connect to proxy 127.0.0.1:#: connection refused",
                  ntohs(address.sin_port));
    caller_close(&self);
    options.proxy = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3128";
    caller_open_with(&self, NULL, &options);
    caller_aim(&self, "http", "127.0.0.1", 1);
    assert_answer(caller_ask(&self), QA_NETWORK, QA_DELIVERY_UNSENT,
                  "network: cannot resolve proxy "
                  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", 0);
    caller_close(&self);
    assert_int_equal(close(bound), 0);
}

/* Its queue of connections is full, so the kernel lets further ones wait. */
static void tells_a_connect_timeout(void **state) {
    (void)state;
    struct sockaddr_in address;
    int fillers[SOCKETS_MAX];
    caller self;
    int listener = bind_socket(&address);
    assert_int_equal(listen(listener, 0), 0);
    for (int i = 0; i < SOCKETS_MAX; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(fillers[i] >= 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    caller_open(&self, NULL);
    caller_aim(&self, "http", "127.0.0.1", ntohs(address.sin_port));
    qa_request request = caller_request(&self);
    request.connect_timeout_ms = 40;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    caller_wait(&self, 1);
    assert_answer(&self.answers[0], QA_TIMEOUT, QA_DELIVERY_UNSENT,
                  "timeout: no connection to 127.0.0.1:# within 40 ms", ntohs(address.sin_port));
    caller_close(&self);
    for (int i = 0; i < SOCKETS_MAX; i++)
        assert_int_equal(close(fillers[i]), 0);
    assert_int_equal(close(listener), 0);
}

/* ---- TLS ---- */

static void tells_a_certificate_that_is_not_trusted(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = NULL}};
    static const char start[] = "tls: certificate of 'localhost' not trusted: self";
    caller self;
    certificate *served = certificate_new("DNS:localhost");
    http_server *server = http_server_start(script, 1, served);
    caller_open(&self, server);
    caller_aim(&self, "https", "localhost", http_server_port(server));
    const qa_answer *answer = caller_ask(&self);
    assert_memory_equal(answer->message, start, sizeof start - 1);
    assert_int_equal(answer->status, QA_TLS);
    assert_int_equal(answer->delivery, QA_DELIVERY_UNSENT);
    assert_false(answer->verified);
    caller_close(&self);
    http_server_stop(server);
    certificate_free(served);
}

static void tells_a_certificate_of_another_host(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = NULL}};
    caller self;
    certificate *served = certificate_new("DNS:other.example");
    http_server *server = http_server_start(script, 1, served);
    const qa_transport_curl_options options = {.ca_file = served->path, .connections_max = 1};
    caller_open_with(&self, server, &options);
    caller_aim(&self, "https", "localhost", http_server_port(server));
    const qa_answer *answer = caller_ask(&self);
    assert_non_null(strstr(answer->message, "tls: certificate of 'localhost' not trusted: "));
    assert_non_null(strstr(answer->message, "match"));
    assert_int_equal(answer->status, QA_TLS);
    assert_int_equal(answer->delivery, QA_DELIVERY_UNSENT);
    caller_close(&self);
    http_server_stop(server);
    certificate_free(served);
}

static void ask_handshake(const http_answer *script, qa_status status, const char *start) {
    caller self;
    char message[MESSAGE_MAX];
    http_server *server = http_server_start(script, 1, NULL);
    caller_open(&self, server);
    caller_aim(&self, "https", "127.0.0.1", http_server_port(server));
    const qa_answer *answer = caller_ask(&self);
    (void)snprintf(message, sizeof message, "%s127.0.0.1:%d: ", start, http_server_port(server));
    assert_memory_equal(answer->message, message, strlen(message));
    assert_int_equal(answer->status, status);
    assert_int_equal(answer->delivery, QA_DELIVERY_UNSENT);
    caller_close(&self);
    http_server_stop(server);
}

/* What stays wrong until somebody acts is TLS; what passes is the network. */
static void tells_a_peer_without_tls_from_one_that_went_away(void **state) {
    (void)state;
    static const http_answer plain[] = {{.bytes = "HTTP/1.1 400 no\r\n\r\n", .unasked = true}};
    static const http_answer closes[] = {{.bytes = NULL, .unasked = true}};
    static const http_answer resets[] = {{.bytes = NULL, .unasked = true, .reset = true}};
    ask_handshake(plain, QA_TLS, "tls: no secure connection to ");
    ask_handshake(closes, QA_NETWORK, "network: cannot connect to ");
    ask_handshake(resets, QA_NETWORK, "network: cannot connect to ");
}

/* ---- after the request ---- */

static void tells_a_connection_that_ended_without_an_answer(void **state) {
    (void)state;
    static const http_answer closes[] = {{.bytes = NULL}};
    static const http_answer resets[] = {{.bytes = NULL, .reset = true}};
    static const http_answer interim[] = {{.bytes = "HTTP/1.1 100 Continue\r\n\r\n"}};
    ask(closes, QA_NETWORK, QA_DELIVERY_POSSIBLE,
        "network: no answer from 127.0.0.1:#: empty reply from server", 0);
    ask(resets, QA_NETWORK, QA_DELIVERY_POSSIBLE,
        "network: no answer from 127.0.0.1:#: recv failure: connection reset by peer", 0);
    ask(interim, QA_NETWORK, QA_DELIVERY_POSSIBLE,
        "network: no answer from 127.0.0.1:#: empty reply from server", 0);
}

/* Head and body of less than 64 KiB are one write to libcurl 7.88. The kernel takes a part of it at
 * first, and what goes out so is in no size of the request. */
static void tells_that_a_secure_request_was_sent_in_parts(void **state) {
    (void)state;
    enum { POLL_MS = 5 };
    static const http_answer script[] = {{.bytes = NULL, .narrow = true}};
    static char list[60000];
    const qa_slice piece = {list, sizeof list};
    caller self;
    certificate *served = certificate_new("DNS:localhost");
    http_server *server = http_server_start(script, 1, served);
    const qa_transport_curl_options options = {.ca_file = served->path, .connections_max = 1};
    memset(list, 'a', sizeof list);
    caller_open_with(&self, server, &options);
    caller_aim(&self, "https", "localhost", http_server_port(server));
    qa_request request = caller_request(&self);
    request.pieces = &piece;
    request.piece_count = 1;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    while (self.count == 0 && http_server_unread(server) == 0)
        self.transport->ops->run(self.transport, POLL_MS);
    http_server_release(server, 1);
    caller_wait(&self, 1);
    assert_int_equal(http_server_requests(server), 1);
    assert_true(http_server_request(server, 0).length > sizeof list);
    assert_int_equal(self.answers[0].status, QA_NETWORK);
    assert_int_equal(self.answers[0].delivery, QA_DELIVERY_POSSIBLE);
    caller_close(&self);
    http_server_stop(server);
    certificate_free(served);
}

static void tells_an_answer_timeout(void **state) {
    (void)state;
    static const http_answer scripts[][1] = {
        {{.bytes = "HTTP/1.1 200 OK\r\n\r\n", .hold = true}},
        {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
          .hold = true,
          .hold_after = 39}},
    };
    for (size_t i = 0; i < 2; i++) {
        caller self;
        http_server *server = http_server_start(scripts[i], 1, NULL);
        caller_open(&self, server);
        qa_request request = caller_request(&self);
        request.timeout_ms = 60;
        assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
        caller_wait(&self, 1);
        assert_answer(&self.answers[0], QA_TIMEOUT, QA_DELIVERY_POSSIBLE,
                      "timeout: no answer from 127.0.0.1:# within 60 ms",
                      http_server_port(server));
        caller_close(&self);
        http_server_stop(server);
    }
}

/* Asks with a timeout of whole seconds, and gives up by a limit of 0 that must not be "none". */
static void takes_no_time_for_a_short_time(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = NULL, .hold = true}};
    caller self;
    http_server *server = http_server_start(script, 1, NULL);
    caller_open(&self, server);
    qa_request request = caller_request(&self);
    request.timeout_ms = 0;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    caller_wait(&self, 1);
    assert_int_equal(self.answers[0].status, QA_TIMEOUT);
    caller_close(&self);
    http_server_stop(server);
}

static void tells_an_answer_that_is_cut_off(void **state) {
    (void)state;
    static const http_answer cut[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a"}};
    static const http_answer reset[] = {
        {.bytes = "HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\r\n"}};
    ask(cut, QA_BAD_RESPONSE, QA_DELIVERY_POSSIBLE,
        "response: answer of 127.0.0.1:# cut off after 3 bytes: ", 200);
    caller self;
    http_server *server = http_server_start(reset, 1, NULL);
    caller_open(&self, server);
    const qa_answer *answer = caller_ask(&self);
    assert_non_null(strstr(answer->message, " cut off after "));
    assert_int_equal(answer->status, QA_BAD_RESPONSE);
    assert_int_equal(answer->delivery, QA_DELIVERY_POSSIBLE);
    assert_int_equal(answer->http_status, 503);
    assert_int_equal(answer->body_length, 0);
    caller_close(&self);
    http_server_stop(server);
}

static void tells_an_answer_that_is_not_http(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = "what?\r\n\r\n"}};
    ask(script, QA_BAD_RESPONSE, QA_DELIVERY_POSSIBLE,
        "response: no HTTP answer from 127.0.0.1:#: received HTTP/0.9 when not allowed", 0);
}

static void tells_an_answer_over_the_cap(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"},
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890"},
        {.bytes = "HTTP/1.1 500 OK\r\n\r\n01234567890", .fragment = 1},
    };
    caller self;
    const qa_transport_curl_options options = {.connections_max = 1, .response_max = 10};
    http_server *server = http_server_start(script, 3, NULL);
    caller_open_with(&self, server, &options);
    assert_string_equal(caller_ask(&self)->body, "0123456789");
    for (size_t i = 1; i <= 2; i++) {
        const qa_answer *answer = caller_ask(&self);
        assert_answer(answer, QA_BAD_RESPONSE, QA_DELIVERY_POSSIBLE,
                      "response: answer over # bytes", 10);
        assert_int_equal(answer->http_status, i == 1 ? 200 : 500);
        assert_int_equal(answer->body_length, 0);
    }
    caller_close(&self);
    http_server_stop(server);
}

/* ---- a proxy's CONNECT ---- */

/* Nothing of the request went out, and the proxy's status is not the service's. */
static void tells_a_proxy_that_refuses(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 403 Forbidden\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                  "Retry-After: 5\r\nContent-Length: 0\r\n\r\n"}};
    char proxy[64];
    caller self;
    http_server *server = http_server_start(script, 1, NULL);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", http_server_port(server));
    const qa_transport_curl_options options = {.proxy = proxy, .connections_max = 1};
    caller_open_with(&self, NULL, &options);
    caller_aim(&self, "https", "service.example", 443);
    const qa_answer *answer = caller_ask(&self);
    assert_int_equal(answer->status, QA_NETWORK);
    assert_int_equal(answer->delivery, QA_DELIVERY_UNSENT);
    assert_int_equal(answer->http_status, 0);
    assert_int_equal(answer->date_ms, -1);
    assert_non_null(strstr(answer->message, "network: cannot connect to service.example:443: "));
    assert_non_null(strstr(answer->message, "403"));
    caller_close(&self);
    http_server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_a_refused_connection),
        cmocka_unit_test(tells_an_unknown_host),
        cmocka_unit_test(tells_a_proxy_that_is_unknown_or_away),
        cmocka_unit_test(tells_a_connect_timeout),
        cmocka_unit_test(tells_a_certificate_that_is_not_trusted),
        cmocka_unit_test(tells_a_certificate_of_another_host),
        cmocka_unit_test(tells_a_peer_without_tls_from_one_that_went_away),
        cmocka_unit_test(tells_a_connection_that_ended_without_an_answer),
        cmocka_unit_test(tells_that_a_secure_request_was_sent_in_parts),
        cmocka_unit_test(tells_an_answer_timeout),
        cmocka_unit_test(takes_no_time_for_a_short_time),
        cmocka_unit_test(tells_an_answer_that_is_cut_off),
        cmocka_unit_test(tells_an_answer_that_is_not_http),
        cmocka_unit_test(tells_an_answer_over_the_cap),
        cmocka_unit_test(tells_a_proxy_that_refuses),
    };
    return cmocka_run_group_tests_name("transport_curl_failure", tests, NULL, NULL);
}
