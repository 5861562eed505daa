/* caller.c
 * The user of a transport in tests: sends requests and keeps the answers.
 * Does not know libcurl.
 * SPDX-License-Identifier: MIT */
#include "caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const qa_slice list[] = {{"[{\"a\":1}", 8}, {"]", 1}};

/* Every message of every test is checked for what must never be in one. */
static void keep(void *context, void *tag, const qa_answer *answer) {
    caller *self = context;
    assert_true(self->count < CALLER_ANSWERS_MAX);
    assert_null(strstr(answer->message, SIGNATURE));
    assert_null(strstr(answer->message, ACCESS_KEY));
    assert_int_equal(answer->status == QA_OK, answer->message[0] == '\0');
    assert_int_equal(answer->status == QA_OK, answer->delivery == QA_DELIVERY_ANSWERED);
    char *body = malloc(answer->body_length + 1);
    assert_non_null(body);
    if (answer->body_length > 0)
        memcpy(body, answer->body, answer->body_length);
    body[answer->body_length] = '\0';
    self->tags[self->count] = tag;
    self->answers[self->count] = *answer;
    self->answers[self->count].body = body;
    self->count++;
    if (self->again > 0) {
        self->again--;
        caller_start(self);
    }
}

void caller_open_with(caller *self, const http_server *server,
                      const qa_transport_curl_options *options) {
    qa_error error = {0};
    *self = (caller){0};
    self->transport = qa_transport_curl_new(options, keep, self, &error);
    assert_string_equal(error.message, "");
    assert_non_null(self->transport);
    if (server != NULL)
        caller_aim(self, "http", "127.0.0.1", http_server_port(server));
}

void caller_open(caller *self, const http_server *server) {
    const qa_transport_curl_options options = {
        .user_agent = "test/1", .connections_max = 4, .response_max = 64 * 1024};
    caller_open_with(self, server, &options);
}

void caller_aim(caller *self, const char *scheme, const char *host, int port) {
    int length = snprintf(self->url, sizeof self->url,
                          "%s://%s:%d/receive?appId=a&timestamp=1&accessKey=" ACCESS_KEY, scheme,
                          host, port);
    assert_in_range(length, 1, sizeof self->url - 1);
}

qa_request caller_request(const caller *self) {
    return (qa_request){.url = self->url,
                        .authorization = SIGNATURE,
                        .access_id = "org-1",
                        .timeout_ms = 5000,
                        .connect_timeout_ms = 5000};
}

void caller_start(caller *self) {
    qa_error error = {0};
    qa_request request = caller_request(self);
    request.pieces = list;
    request.piece_count = 2;
    qa_status status = self->transport->ops->start(self->transport, &request, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, QA_OK);
}

void caller_wait(caller *self, size_t count) {
    while (self->count < count)
        self->transport->ops->run(self->transport, -1);
    assert_int_equal(self->count, count);
}

const qa_answer *caller_ask(caller *self) {
    size_t count = self->count;
    caller_start(self);
    caller_wait(self, count + 1);
    return &self->answers[count];
}

void caller_close(caller *self) {
    if (self->transport != NULL)
        self->transport->ops->free(self->transport);
    for (size_t i = 0; i < self->count; i++)
        free((char *)(uintptr_t)self->answers[i].body);
    *self = (caller){0};
}
