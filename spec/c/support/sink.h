/* sink.h
 * A loopback server that takes any number of requests and connections, and says yes to all.
 * Does not know what is posted (http_server.h keeps that, for a few).
 * SPDX-License-Identifier: MIT */
#ifndef QA_SINK_H
#define QA_SINK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct sink sink;

/* A thread that serves on a free port of 127.0.0.1. `silent`: takes requests, never answers. */
sink *sink_start(bool silent);
void sink_stop(sink *sink);

int sink_port(const sink *sink);
size_t sink_requests(sink *sink); /* that came whole */
size_t sink_bytes(sink *sink);    /* of their bodies */
size_t sink_open_connections(sink *sink);

#endif
