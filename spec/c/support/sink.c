/* sink.c
 * A loopback server that takes any number of requests and connections, and says yes to all.
 * Does not know what is posted (http_server.h keeps that, for a few).
 * SPDX-License-Identifier: MIT */
#include "support/sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, READ_SIZE = 65536 };

typedef struct peer {
    int descriptor;
    char head[HEAD_MAX];
    size_t head_length;
    size_t body_left;
    bool in_body;
} peer;

struct sink {
    int listener, poller, quit, port;
    bool silent;
    pthread_t thread;
    atomic_size_t requests, bytes, connections;
    char buffer[READ_SIZE];
};

static void check(bool ok, const char *what) {
    if (!ok) {
        perror(what);
        abort();
    }
}

static void watch(const sink *s, int descriptor, void *tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    check(epoll_ctl(s->poller, EPOLL_CTL_ADD, descriptor, &event) == 0, "sink: epoll_ctl");
}

static void answer(sink *s, const peer *p) {
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                              "Content-Length: 42\r\n\r\n"
                              "{\"traceId\":\"t\",\"success\":true,\"data\":true}";
    atomic_fetch_add(&s->requests, 1);
    if (!s->silent && send(p->descriptor, yes, sizeof yes - 1, MSG_NOSIGNAL) < 0)
        return; /* gone already: the next read says so */
}

/* The head is whole: finds out how long the body is, and takes what of it came along. */
static size_t begin_body(peer *p, const char *end) {
    const char *at = strcasestr(p->head, "\r\nContent-Length:");
    p->body_left = at != NULL ? strtoul(at + 17, NULL, 10) : 0;
    p->in_body = true;
    if (strcasestr(p->head, "\r\nExpect:") != NULL) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        ssize_t sent = send(p->descriptor, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
        (void)sent;
    }
    return (size_t)(end + 4 - p->head);
}

static void take(sink *s, peer *p, const char *bytes, size_t length) {
    while (length > 0 || (p->in_body && p->body_left == 0)) {
        if (!p->in_body) {
            size_t old = p->head_length, room = HEAD_MAX - 1 - old;
            size_t part = length < room ? length : room;
            memcpy(p->head + old, bytes, part);
            p->head_length += part;
            p->head[p->head_length] = '\0';
            const char *end = strstr(p->head, "\r\n\r\n");
            check(end != NULL || room > 0, "sink: head too long");
            size_t used = end != NULL ? begin_body(p, end) - old : part;
            bytes += used;
            length -= used;
            if (end == NULL)
                return;
        }
        size_t part = length < p->body_left ? length : p->body_left;
        p->body_left -= part;
        bytes += part;
        length -= part;
        atomic_fetch_add(&s->bytes, part);
        if (p->body_left == 0) {
            p->in_body = false;
            p->head_length = 0;
            answer(s, p);
        }
    }
}

static void serve_peer(sink *s, peer *p) {
    ssize_t got = recv(p->descriptor, s->buffer, READ_SIZE, 0);
    if (got > 0) {
        take(s, p, s->buffer, (size_t)got);
        return;
    }
    /* Closing alone isn't enough: a forked child holds a copy, and the poller would go on. */
    epoll_ctl(s->poller, EPOLL_CTL_DEL, p->descriptor, NULL);
    close(p->descriptor);
    free(p);
    atomic_fetch_sub(&s->connections, 1);
}

static void welcome(sink *s) {
    int descriptor = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (descriptor < 0)
        return;
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer *p = calloc(1, sizeof *p);
    check(p != NULL, "sink: calloc");
    p->descriptor = descriptor;
    atomic_fetch_add(&s->connections, 1);
    watch(s, descriptor, p);
}

static void *serve(void *argument) {
    sink *s = argument;
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(s->poller, events, 64, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &s->quit)
                return NULL;
            if (events[i].data.ptr == &s->listener)
                welcome(s);
            else
                serve_peer(s, events[i].data.ptr);
        }
    }
}

sink *sink_start(bool silent) {
    sink *s = calloc(1, sizeof *s);
    check(s != NULL, "sink: calloc");
    s->silent = silent;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->poller = epoll_create1(EPOLL_CLOEXEC);
    s->quit = eventfd(0, EFD_CLOEXEC);
    check(s->listener >= 0 && s->poller >= 0 && s->quit >= 0, "sink: descriptors");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    check(bind(s->listener, (struct sockaddr *)&address, size) == 0, "sink: bind");
    check(listen(s->listener, 128) == 0, "sink: listen");
    check(getsockname(s->listener, (struct sockaddr *)&address, &size) == 0, "sink: name");
    s->port = ntohs(address.sin_port);
    watch(s, s->listener, &s->listener);
    watch(s, s->quit, &s->quit);
    check(pthread_create(&s->thread, NULL, serve, s) == 0, "sink: thread");
    return s;
}

/* Connections that clients keep open are left to the end of the process. */
void sink_stop(sink *s) {
    uint64_t one = 1;
    check(write(s->quit, &one, sizeof one) == sizeof one, "sink: write");
    pthread_join(s->thread, NULL);
    close(s->listener);
    close(s->poller);
    close(s->quit);
    free(s);
}

int sink_port(const sink *s) {
    return s->port;
}

size_t sink_requests(sink *s) {
    return atomic_load(&s->requests);
}

size_t sink_bytes(sink *s) {
    return atomic_load(&s->bytes);
}

size_t sink_open_connections(sink *s) {
    return atomic_load(&s->connections);
}
