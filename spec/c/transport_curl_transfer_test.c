/* transport_curl_transfer_test.c
 * What a request over libcurl looks like on the wire, and what is taken from a good answer.
 * Does not know failures, nor how requests follow each other.
 * SPDX-License-Identifier: MIT */
#include "transport_curl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/caller.h"
#include "support/http_server.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

enum { TEXT_MAX = 1024 };

static const http_answer always_ok[] = {{.bytes = OK, .keep = true}};

/* ---- the body ---- */

/* The boundary that the head of `record` declares. */
static void find_boundary(const http_record *record, char boundary[TEXT_MAX]) {
    static const char name[] = "\r\nContent-Type: multipart/form-data; boundary=";
    const char *start = strstr(record->bytes, name);
    assert_non_null(start);
    start += sizeof name - 1;
    size_t length = strcspn(start, "\r");
    assert_in_range(length, 16, 70);
    (void)snprintf(boundary, TEXT_MAX, "%.*s", (int)length, start);
}

/* The body must be these two fields, byte for byte. */
static void assert_form(const http_record *record, const char *access_id, const char *list,
                        size_t list_length) {
    char boundary[TEXT_MAX];
    char before[TEXT_MAX];
    char after[TEXT_MAX];
    find_boundary(record, boundary);
    int before_length = snprintf(
        before, sizeof before,
        "--%s\r\nContent-Disposition: form-data; name=\"accessId\"\r\n\r\n%s\r\n"
        "--%s\r\nContent-Disposition: form-data; name=\"eventMessageModelListJson\"\r\n\r\n",
        boundary, access_id, boundary);
    int after_length = snprintf(after, sizeof after, "\r\n--%s--\r\n", boundary);
    size_t lengths[] = {(size_t)before_length, list_length, (size_t)after_length};
    const char *body = record->bytes + record->head_length;
    assert_int_equal(record->length - record->head_length, lengths[0] + lengths[1] + lengths[2]);
    assert_memory_equal(body, before, lengths[0]);
    assert_memory_equal(body + lengths[0], list, lengths[1]);
    assert_memory_equal(body + lengths[0] + lengths[1], after, lengths[2]);
}

/* Sends the pieces and looks at what came; the array of pieces is gone by then. */
static void send_pieces(const qa_slice *pieces, size_t count, const char *list, size_t length) {
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    qa_slice *gone = malloc((count + 1) * sizeof *gone);
    assert_non_null(gone);
    if (count > 0)
        memcpy(gone, pieces, count * sizeof *gone);
    caller_open(&self, server);
    qa_request request = caller_request(&self);
    request.pieces = gone;
    request.piece_count = count;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    free(gone);
    caller_wait(&self, 1);
    assert_int_equal(self.answers[0].status, QA_OK);
    http_record record = http_server_request(server, 0);
    assert_form(&record, "org-1", list, length);
    caller_close(&self);
    http_server_stop(server);
}

static void sends_the_form_byte_for_byte(void **state) {
    (void)state;
    const qa_slice pieces[] = {{"[", 1}, {"", 0}, {"{\"a\":1},\n", 9}, {NULL, 0}, {"{}]", 3}};
    const qa_slice binary[] = {{"\0\xFF\r\n--", 6}};
    send_pieces(pieces, 5, "[{\"a\":1},\n{}]", 13);
    send_pieces(binary, 1, "\0\xFF\r\n--", 6);
    send_pieces(NULL, 0, "", 0);
    send_pieces(pieces + 1, 1, "", 0);
}

/* More than any buffer of libcurl or the system, in pieces of uneven length. */
static void sends_a_large_list(void **state) {
    (void)state;
    enum { COUNT = 300, LENGTH = 3 * 1000 * 1000, STEP = LENGTH / COUNT };
    qa_slice pieces[COUNT];
    size_t at = 0;
    char *list = malloc(LENGTH);
    assert_non_null(list);
    for (size_t i = 0; i < LENGTH; i++)
        list[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < COUNT; i++) {
        size_t end = i == COUNT - 1 ? LENGTH : (i + 1) * STEP - i % 7;
        pieces[i] = (qa_slice){list + at, end - at};
        at = end;
    }
    send_pieces(pieces, COUNT, list, LENGTH);
    free(list);
}

/* The handle of the first request serves the second, and nothing of the first is left. */
static void fills_a_used_handle_anew(void **state) {
    (void)state;
    const qa_slice pieces[] = {{"[1,2,3", 6}, {"]", 1}};
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    (void)caller_ask(&self);
    qa_request request = caller_request(&self);
    request.access_id = "another";
    request.authorization = "0123456789abcdef";
    request.pieces = pieces;
    request.piece_count = 2;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    caller_wait(&self, 2);
    http_record first = http_server_request(server, 0);
    http_record second = http_server_request(server, 1);
    assert_form(&first, "org-1", "[{\"a\":1}]", 9);
    assert_form(&second, "another", "[1,2,3]", 7);
    assert_non_null(strstr(second.bytes, "\r\nAuthorization: 0123456789abcdef\r\n"));
    caller_close(&self);
    http_server_stop(server);
}

/* ---- the head ---- */

/* All of it, but for the values that libcurl chooses. */
static void sends_these_headers_and_no_others(void **state) {
    (void)state;
    char expected[TEXT_MAX];
    char boundary[TEXT_MAX];
    caller self;
    http_server *server = http_server_start(always_ok, 1, NULL);
    caller_open(&self, server);
    (void)caller_ask(&self);
    http_record record = http_server_request(server, 0);
    find_boundary(&record, boundary);
    int length = snprintf(expected, sizeof expected,
                          "POST /receive?appId=a&timestamp=1&accessKey=" ACCESS_KEY " HTTP/1.1\r\n"
                          "Host: 127.0.0.1:%d\r\n"
                          "User-Agent: test/1\r\n"
                          "Authorization: " SIGNATURE "\r\n"
                          "Accept: application/json\r\n"
                          "Content-Type: multipart/form-data; boundary=%s\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          http_server_port(server), boundary, record.length - record.head_length);
    assert_int_equal(record.head_length, length);
    assert_memory_equal(record.bytes, expected, record.head_length);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- the answer ---- */

static const qa_answer *ask(caller *self, http_server **server, const http_answer *script) {
    *server = http_server_start(script, 1, NULL);
    caller_open(self, *server);
    const qa_answer *answer = caller_ask(self);
    assert_int_equal(answer->status, QA_OK);
    assert_int_equal(answer->delivery, QA_DELIVERY_ANSWERED);
    assert_false(answer->verified);
    assert_int_equal(answer->tls_us, 0);
    return answer;
}

static void takes_status_body_and_headers(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 503 Busy\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                  "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\nContent-Length: 5\r\n\r\nwait\0",
         .length = sizeof "HTTP/1.1 503 Busy\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\nContent-Length: 5\r\n\r\nwait\0"
                   - 1}};
    caller self;
    http_server *server = NULL;
    const qa_answer *answer = ask(&self, &server, script);
    assert_int_equal(answer->http_status, 503);
    assert_int_equal(answer->body_length, 5);
    assert_memory_equal(answer->body, "wait\0", 5);
    assert_int_equal(answer->date_ms, 784111777000);
    assert_int_equal(answer->retry_after_ms, 60000);
    caller_close(&self);
    http_server_stop(server);
}

static void takes_answers_however_they_come(void **state) {
    (void)state;
    static const http_answer scripts[][1] = {
        {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", .fragment = 1}},
        {{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nTrailer: x\r\n\r\n", .fragment = 3}},
        {{.bytes = "HTTP/1.0 200 OK\r\n\r\n{\"a\":1}"}},
        {{.bytes = "HTTP/1.1 200 OK\n\n{\"a\":1}"}},
        {{.bytes = "HTTP/1.1 100 Continue\r\nRetry-After: 5\r\n\r\n"
                   "HTTP/1.1 103 Early Hints\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
                   "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", .fragment = 5}},
    };
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        caller self;
        http_server *server = NULL;
        const qa_answer *answer = ask(&self, &server, scripts[i]);
        assert_int_equal(answer->http_status, 200);
        assert_string_equal(answer->body, "{\"a\":1}");
        assert_int_equal(answer->retry_after_ms, -1);
        assert_int_equal(answer->date_ms, -1);
        caller_close(&self);
        http_server_stop(server);
    }
}

static void takes_an_answer_without_a_body(void **state) {
    (void)state;
    static const http_answer script[] = {{.bytes = "HTTP/1.1 204 No\r\nRetry-After: 7\r\n\r\n"}};
    caller self;
    http_server *server = NULL;
    const qa_answer *answer = ask(&self, &server, script);
    assert_int_equal(answer->http_status, 204);
    assert_int_equal(answer->body_length, 0);
    assert_int_equal(answer->retry_after_ms, 7000);
    caller_close(&self);
    http_server_stop(server);
}

/* A refusal of a large body comes before the body is read. */
static void takes_an_early_refusal(void **state) {
    (void)state;
    enum { LENGTH = 2 * 1000 * 1000 };
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n", .early = true}};
    caller self;
    char *list = calloc(1, LENGTH);
    assert_non_null(list);
    const qa_slice pieces[] = {{list, LENGTH}};
    http_server *server = http_server_start(script, 1, NULL);
    caller_open(&self, server);
    qa_request request = caller_request(&self);
    request.pieces = pieces;
    request.piece_count = 1;
    assert_int_equal(self.transport->ops->start(self.transport, &request, NULL), QA_OK);
    caller_wait(&self, 1);
    assert_string_equal(self.answers[0].message, "");
    assert_int_equal(self.answers[0].http_status, 413);
    caller_close(&self);
    http_server_stop(server);
    free(list);
}

static void follows_no_redirect(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 307 No\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
         .keep = true}};
    caller self;
    http_server *server = NULL;
    assert_int_equal(ask(&self, &server, script)->http_status, 307);
    assert_int_equal(http_server_requests(server), 1);
    caller_close(&self);
    http_server_stop(server);
}

/* ---- TLS ---- */

static void trusts_the_ca_file(void **state) {
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    caller self;
    certificate *served = certificate_new("DNS:localhost,IP:127.0.0.1");
    http_server *server = http_server_start(always_ok, 1, served);
    const qa_transport_curl_options options = {
        .ca_file = served->path, .connections_max = 1, .response_max = 100};
    for (size_t i = 0; i < 2; i++) {
        caller_open_with(&self, server, &options);
        caller_aim(&self, "https", hosts[i], http_server_port(server));
        const qa_answer *answer = caller_ask(&self);
        assert_string_equal(answer->message, "");
        assert_int_equal(answer->http_status, 200);
        assert_true(answer->verified);
        assert_true(answer->tls_us > 0);
        http_record record = http_server_request(server, i);
        assert_form(&record, "org-1", "[{\"a\":1}]", 9);
        caller_close(&self);
    }
    http_server_stop(server);
    certificate_free(served);
}

/* ---- proxies ---- */

static void shows_a_proxy_nothing_of_a_tunnelled_request(void **state) {
    (void)state;
    static const http_answer script[] = {
        {.bytes = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
         .then_tls = true},
        {.bytes = OK, .keep = true}};
    char proxy[64];
    caller self;
    certificate *served = certificate_new("DNS:service.example");
    http_server *server = http_server_start(script, 2, served);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", http_server_port(server));
    const qa_transport_curl_options options = {
        .ca_file = served->path, .proxy = proxy, .connections_max = 1, .response_max = 100};
    caller_open_with(&self, NULL, &options);
    caller_aim(&self, "https", "service.example", 443);
    const qa_answer *answer = caller_ask(&self);
    assert_string_equal(answer->message, "");
    assert_int_equal(answer->http_status, 200);
    assert_int_equal(answer->date_ms, -1);
    assert_true(answer->verified);
    http_record tunnel = http_server_request(server, 0);
    assert_memory_equal(tunnel.bytes, "CONNECT service.example:443 HTTP/1.1\r\n", 38);
    assert_null(strstr(tunnel.bytes, "Authorization"));
    assert_null(strstr(tunnel.bytes, ACCESS_KEY));
    http_record request = http_server_request(server, 1);
    assert_non_null(strstr(request.bytes, "\r\nAuthorization: " SIGNATURE "\r\n"));
    caller_close(&self);
    http_server_stop(server);
    certificate_free(served);
}

/* Neither do its proxies count, nor its exceptions from the proxy that was asked for. */
static void ignores_the_environment(void **state) {
    (void)state;
    char proxy[64];
    caller self;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("no_proxy", "*", 1), 0);
    http_server *server = http_server_start(always_ok, 1, NULL);
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", http_server_port(server));
    const qa_transport_curl_options options = {
        .proxy = proxy, .connections_max = 1, .response_max = 100};
    caller_open_with(&self, NULL, &options);
    caller_aim(&self, "http", "service.example", 80);
    assert_string_equal(caller_ask(&self)->message, "");
    caller_close(&self);
    assert_int_equal(unsetenv("no_proxy"), 0);
    caller_open(&self, server);
    assert_string_equal(caller_ask(&self)->message, "");
    caller_close(&self);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("all_proxy"), 0);
    http_server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_the_form_byte_for_byte),
        cmocka_unit_test(sends_a_large_list),
        cmocka_unit_test(fills_a_used_handle_anew),
        cmocka_unit_test(sends_these_headers_and_no_others),
        cmocka_unit_test(takes_status_body_and_headers),
        cmocka_unit_test(takes_answers_however_they_come),
        cmocka_unit_test(takes_an_answer_without_a_body),
        cmocka_unit_test(takes_an_early_refusal),
        cmocka_unit_test(follows_no_redirect),
        cmocka_unit_test(trusts_the_ca_file),
        cmocka_unit_test(shows_a_proxy_nothing_of_a_tunnelled_request),
        cmocka_unit_test(ignores_the_environment),
    };
    return cmocka_run_group_tests_name("transport_curl_transfer", tests, NULL, NULL);
}
