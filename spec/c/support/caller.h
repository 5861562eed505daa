/* caller.h
 * The user of a transport in tests: sends requests and keeps the answers.
 * Does not know libcurl.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CALLER_H
#define QA_CALLER_H

#include "http_server.h"
#include "transport_curl.h"

#define SIGNATURE "482898c9c725580c190c4df6b806f59e"
#define ACCESS_KEY "key-never-shown"

enum { CALLER_ANSWERS_MAX = 64, CALLER_URL_MAX = 256 };

typedef struct caller {
    qa_transport *transport;
    qa_answer answers[CALLER_ANSWERS_MAX]; /* in the order they came; bodies are copies */
    void *tags[CALLER_ANSWERS_MAX];
    size_t count;
    size_t again; /* requests that `done` starts as soon as one ends */
    char url[CALLER_URL_MAX];
} caller;

/* A transport with 4 connections and answers of up to 64 KiB, or with these options; requests go to
 * `server` (may be NULL) at 127.0.0.1. */
void caller_open(caller *self, const http_server *server);
void caller_open_with(caller *self, const http_server *server,
                      const qa_transport_curl_options *options);

/* Writes a URL of the service's form into self->url. */
void caller_aim(caller *self, const char *scheme, const char *host, int port);

/* A request to self->url that can be changed before it is started: 5 s, no pieces. */
qa_request caller_request(const caller *self);

/* Starts that request with the list `[{"a":1}]`, which must succeed. */
void caller_start(caller *self);

/* Runs until `count` answers came in all. */
void caller_wait(caller *self, size_t count);

/* caller_start, and the answer to it. Valid until the next call. */
const qa_answer *caller_ask(caller *self);

/* Frees the transport first. */
void caller_close(caller *self);

#endif
