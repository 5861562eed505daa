/* http_server.h
 * A loopback HTTP server in threads: it answers by script and keeps the raw bytes it was sent.
 * Does not know the service, nor which client is tested.
 * SPDX-License-Identifier: MIT */
#ifndef QA_HTTP_SERVER_H
#define QA_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "certificate.h"

/* What happens with one request. Zeroes: the connection is closed without a byte. */
typedef struct http_answer {
    const char *bytes; /* raw, with status line and headers; NULL: none */
    size_t length;     /* 0: strlen(bytes) */
    size_t fragment;   /* bytes of each write; 0: all at once */
    bool early;        /* answer after the head; the body is read after that, and not kept */
    bool unasked;      /* answer to the first bytes, whatever they are; counts for the first one */
    bool narrow;       /* take little at once, as a distant server, and read a connection's first
                          request only when http_server_release was called; as above */
    bool hold;         /* answer only when http_server_release was called */
    size_t hold_after; /* bytes written before holding */
    bool keep;         /* read the next request from this connection */
    bool reset;        /* end the connection with a reset */
    bool then_tls;     /* go on over TLS: for an answer to CONNECT; the first one must be it */
} http_answer;

/* A request as it came. */
typedef struct http_record {
    char *bytes; /* zero-terminated behind `length` */
    size_t length;
    size_t head_length; /* with the empty line */
    size_t connection;  /* 0 for the first that was accepted */
} http_record;

typedef struct http_server http_server;

/* Starts on a free port of 127.0.0.1. The n-th request, whatever its connection, gets the n-th
 * answer; the last one repeats. `script` must outlive the server. With `served` it speaks TLS,
 * from the start unless the first answer says `then_tls`.
 * Aborts the test when it cannot start. */
http_server *http_server_start(const http_answer *script, size_t count,
                               const certificate *served);

/* Ends all connections and threads; NULL is legal. */
void http_server_stop(http_server *server);

int http_server_port(const http_server *server);

/* Blocks until `count` requests came in whole. */
void http_server_wait(http_server *server, size_t count);

/* Lets `count` held answers go on. */
void http_server_release(http_server *server, size_t count);

size_t http_server_connections(http_server *server);
size_t http_server_unread(http_server *server); /* narrow connections that wait to be read */
size_t http_server_requests(http_server *server);

/* The n-th request; valid until stop. Aborts the test when it did not come. */
http_record http_server_request(http_server *server, size_t index);

/* Blocks until the client closed `count` connections, or they were closed here. */
void http_server_wait_closed(http_server *server, size_t count);

#endif
