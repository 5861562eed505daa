/* collector.c
 * A loopback service that notes which numbered events arrived, how often, and fails on demand.
 * Does not know signatures, nor who posts.
 * SPDX-License-Identifier: MIT */
#include "support/collector.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "retry.h"

enum { PEERS_MAX = 64, PIECE = 65536, PADDING = 400 };

typedef struct peer {
    int descriptor;
    char *bytes; /* of one request, zero-terminated */
    size_t length, capacity;
    bool told_to_go_on;
} peer;

struct collector {
    int listener, quit, port;
    pthread_t thread;
    peer peers[PEERS_MAX];
    size_t peer_count;
    uint64_t random;
    pthread_mutex_t mutex; /* guards all below */
    collector_manners manners;
    uint64_t events, requests, strange;
    uint32_t *arrived; /* by number */
};

static void check(bool ok, const char *what) {
    if (!ok) {
        perror(what);
        abort();
    }
}

size_t collector_event(char *out, size_t size, uint64_t n) {
    char padding[PADDING + 1];
    for (size_t i = 0; i < PADDING; i++)
        padding[i] = (char)('a' + (n + i * i) % 26);
    padding[PADDING] = '\0';
    return (size_t)snprintf(out, size,
                            "{\"customerId\":\"u-%" PRIu64 "\",\"eventCode\":\"pay_order\","
                            "\"organizationId\":\"org\",\"extendAttributes\":{\"n\":\"%" PRIu64
                            "\",\"text\":\"%s\"}}",
                            n, n, padding);
}

/* ---- what arrived ---- */

/* The number of an event that is as it was made; 0: it isn't. */
static uint64_t number_of(const collector *self, const char *event, size_t length) {
    static const char before[] = "{\"customerId\":\"u-";
    char expected[COLLECTOR_EVENT_MAX];
    if (length < sizeof before || memcmp(event, before, sizeof before - 1) != 0)
        return 0;
    uint64_t n = strtoull(event + sizeof before - 1, NULL, 10);
    if (n == 0 || n > self->events || collector_event(expected, sizeof expected, n) != length)
        return 0;
    return memcmp(event, expected, length) == 0 ? n : 0;
}

typedef struct content {
    uint64_t largest;
    bool poisoned;
} content;

/* One walk over the list; `store` notes the arrivals. */
static content walk(collector *self, const char *at, const char *end, bool store) {
    content found = {0};
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL && newline[-1] == ',' ? newline - 1 : end;
        uint64_t n = number_of(self, at, (size_t)(stop - at));
        found.largest = n > found.largest ? n : found.largest;
        found.poisoned = found.poisoned || (n > 0 && n == self->manners.poison);
        if (store && n > 0)
            self->arrived[n]++;
        else if (store)
            self->strange++;
        at = stop == end ? end : newline + 1;
    }
    return found;
}

static bool chance(collector *self, unsigned per_mille) {
    return qa_random_next(&self->random) % 1000 < per_mille;
}

/* The status to answer with; 0: none. *success is what the body says. */
static int judge(collector *self, const char *list, const char *end, bool *success) {
    content found = walk(self, list, end, false);
    const collector_manners *manners = &self->manners;
    *success = !found.poisoned;
    self->requests++;
    if (chance(self, manners->hang_up))
        return 0;
    if (chance(self, manners->refuse) ||
        (manners->away_from > 0 && found.largest >= manners->away_from))
        return 503;
    if (found.poisoned)
        return 200;
    (void)walk(self, list, end, true);
    return chance(self, manners->forget) ? 500 : 200;
}

static bool answer(collector *self, peer *p, const char *body, const char *end) {
    static const char name[] = "name=\"eventMessageModelListJson\"\r\n\r\n[";
    const char *list = memmem(body, (size_t)(end - body), name, sizeof name - 1);
    check(list != NULL, "collector: no list");
    list += sizeof name - 1;
    const char *stop = memmem(list, (size_t)(end - list), "]\r\n--", 5);
    check(stop != NULL, "collector: no end of the list");
    bool success;
    pthread_mutex_lock(&self->mutex);
    int status = judge(self, list, stop, &success);
    pthread_mutex_unlock(&self->mutex);
    if (status == 0)
        return false;
    char text[256], words[96];
    int length = snprintf(words, sizeof words, "{\"traceId\":\"t\",\"success\":%s}",
                          success ? "true,\"data\":true"
                                  : "false,\"errorCode\":\"BAD_EVENT\",\"errorDesc\":\"poison\"");
    length = snprintf(text, sizeof text,
                      "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                      "Content-Length: %d\r\n\r\n%s",
                      status, length, words);
    return send(p->descriptor, text, (size_t)length, MSG_NOSIGNAL) == length;
}

/* ---- connections ---- */

/* Whether the connection goes on; handles the requests that are whole. */
static bool take(collector *self, peer *p) {
    for (;;) {
        char *head_end = p->length > 0 ? strstr(p->bytes, "\r\n\r\n") : NULL;
        if (head_end == NULL)
            return true;
        const char *field = strcasestr(p->bytes, "\r\nContent-Length:");
        size_t head = (size_t)(head_end + 4 - p->bytes);
        size_t body = field != NULL && field < head_end ? strtoul(field + 17, NULL, 10) : 0;
        const char *expect = strcasestr(p->bytes, "\r\nExpect:");
        if (p->length < head + body) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            bool ask = expect != NULL && expect < head_end && !p->told_to_go_on;
            p->told_to_go_on = p->told_to_go_on || ask;
            return !ask || send(p->descriptor, go_on, sizeof go_on - 1, MSG_NOSIGNAL) > 0;
        }
        if (!answer(self, p, p->bytes + head, p->bytes + head + body))
            return false;
        p->length -= head + body;
        p->told_to_go_on = false;
        memmove(p->bytes, p->bytes + head + body, p->length + 1);
    }
}

static bool serve_peer(collector *self, peer *p) {
    if (p->capacity - p->length < PIECE + 1) {
        p->capacity = p->capacity * 2 + 2 * PIECE;
        p->bytes = realloc(p->bytes, p->capacity);
        check(p->bytes != NULL, "collector: realloc");
    }
    ssize_t got = recv(p->descriptor, p->bytes + p->length, PIECE, 0);
    if (got <= 0)
        return false;
    p->length += (size_t)got;
    p->bytes[p->length] = '\0';
    return take(self, p);
}

static void forget_peer(collector *self, size_t index) {
    shutdown(self->peers[index].descriptor, SHUT_RDWR); /* a forked child may hold a copy */
    close(self->peers[index].descriptor);
    free(self->peers[index].bytes);
    self->peers[index] = self->peers[--self->peer_count];
}

static void welcome(collector *self) {
    int on = 1, descriptor = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    if (descriptor < 0)
        return;
    check(self->peer_count < PEERS_MAX, "collector: too many connections");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    self->peers[self->peer_count++] = (peer){.descriptor = descriptor};
}

static void *serve(void *argument) {
    collector *self = argument;
    for (;;) {
        struct pollfd watched[PEERS_MAX + 2] = {{.fd = self->quit, .events = POLLIN},
                                                {.fd = self->listener, .events = POLLIN}};
        for (size_t i = 0; i < self->peer_count; i++)
            watched[i + 2] = (struct pollfd){.fd = self->peers[i].descriptor, .events = POLLIN};
        (void)poll(watched, (nfds_t)self->peer_count + 2, -1);
        if (watched[0].revents != 0)
            return NULL;
        for (size_t i = self->peer_count; i-- > 0;) { /* the last one takes a gone one's place */
            if (watched[i + 2].revents != 0 && !serve_peer(self, &self->peers[i]))
                forget_peer(self, i);
        }
        if (watched[1].revents != 0)
            welcome(self);
    }
}

collector *collector_start(uint64_t events, uint64_t seed) {
    collector *self = calloc(1, sizeof *self);
    check(self != NULL, "collector: calloc");
    self->events = events;
    self->random = seed;
    self->arrived = calloc(events + 1, sizeof *self->arrived);
    check(self->arrived != NULL, "collector: calloc");
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    self->quit = eventfd(0, EFD_CLOEXEC);
    check(self->listener >= 0 && self->quit >= 0, "collector: descriptors");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    check(bind(self->listener, (struct sockaddr *)&address, size) == 0, "collector: bind");
    check(listen(self->listener, 128) == 0, "collector: listen");
    check(getsockname(self->listener, (struct sockaddr *)&address, &size) == 0, "collector: name");
    self->port = ntohs(address.sin_port);
    pthread_mutex_init(&self->mutex, NULL);
    check(pthread_create(&self->thread, NULL, serve, self) == 0, "collector: thread");
    return self;
}

void collector_stop(collector *self) {
    uint64_t one = 1;
    check(write(self->quit, &one, sizeof one) == sizeof one, "collector: write");
    pthread_join(self->thread, NULL);
    while (self->peer_count > 0)
        forget_peer(self, 0);
    close(self->listener);
    close(self->quit);
    pthread_mutex_destroy(&self->mutex);
    free(self->arrived);
    free(self);
}

int collector_port(const collector *self) {
    return self->port;
}

void collector_behave(collector *self, const collector_manners *manners) {
    pthread_mutex_lock(&self->mutex);
    self->manners = *manners;
    pthread_mutex_unlock(&self->mutex);
}

void collector_reset(collector *self) {
    pthread_mutex_lock(&self->mutex);
    self->manners = (collector_manners){0};
    memset(self->arrived, 0, (self->events + 1) * sizeof *self->arrived);
    self->requests = self->strange = 0;
    pthread_mutex_unlock(&self->mutex);
}

collector_sums collector_look(collector *self, uint64_t last) {
    collector_sums sums = {0};
    pthread_mutex_lock(&self->mutex);
    for (uint64_t n = 1; n <= self->events; n++) {
        uint32_t times = self->arrived[n];
        if (times == 0 && n <= last) {
            sums.first_missing = sums.missing == 0 ? n : sums.first_missing;
            sums.missing++;
        }
        sums.distinct += times > 0;
        sums.repeated += times > 1 ? times - 1 : 0;
        sums.most = times > sums.most ? times : sums.most;
    }
    sums.requests = self->requests;
    sums.strange = self->strange;
    pthread_mutex_unlock(&self->mutex);
    return sums;
}
