/* http_server.c
 * A loopback HTTP server in threads: it answers by script and keeps the raw bytes it was sent.
 * Does not know the service, nor which client is tested.
 * SPDX-License-Identifier: MIT */
#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, REQUESTS_MAX = 256, READ_SIZE = 16384 };
enum { NARROW_SEGMENT = 216, NARROW_BUFFER = 4096 };

/* cmocka's assertions jump, which other threads than the test's must not. */
#define REQUIRE(condition)                                                       \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "http_server.c:%d: not %s\n", __LINE__, #condition); \
            abort();                                                             \
        }                                                                        \
    } while (0)

typedef struct connection {
    http_server *server;
    pthread_t thread;
    size_t index;
    int socket; /* -1 once closed; guarded by the server's mutex */
    SSL *ssl;   /* NULL without TLS */
    bool reset; /* how to close it; the connection's thread only */
    char *bytes; /* read, not yet recorded; the connection's thread only */
    size_t length, capacity;
} connection;

struct http_server {
    const http_answer *script;
    size_t script_count;
    SSL_CTX *tls; /* NULL without TLS */
    int listener;
    int port;
    pthread_t acceptor;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    connection connections[CONNECTIONS_MAX];
    size_t connection_count, closed_count;
    http_record records[REQUESTS_MAX];
    size_t started_count; /* requests whose head came */
    size_t record_count;  /* requests that came in whole */
    size_t unread_count;  /* narrow connections whose request began to come */
    size_t released;
};

/* ---- bytes ---- */

static ssize_t read_some(connection *c, void *out, size_t size) {
    if (c->ssl != NULL)
        return SSL_read(c->ssl, out, (int)size);
    return recv(c->socket, out, size, 0);
}

/* False when the client went away. */
static bool write_all(connection *c, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)length)
                                         : send(c->socket, bytes, length, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

/* Reads on until `c` holds at least `length` bytes. */
static bool read_until(connection *c, size_t length) {
    while (c->length < length) {
        if (c->capacity - c->length < READ_SIZE + 1) {
            c->capacity = c->capacity * 2 + READ_SIZE + 1;
            c->bytes = realloc(c->bytes, c->capacity);
            REQUIRE(c->bytes);
        }
        ssize_t got = read_some(c, c->bytes + c->length, READ_SIZE);
        if (got <= 0)
            return false;
        c->length += (size_t)got;
        c->bytes[c->length] = '\0';
    }
    return true;
}

/* The length of the head with its empty line; 0 when the client went away before. */
static size_t read_head(connection *c) {
    size_t wanted = 1;
    for (;;) {
        if (!read_until(c, wanted))
            return 0;
        const char *end = strstr(c->bytes, "\r\n\r\n");
        if (end != NULL)
            return (size_t)(end - c->bytes) + 4;
        wanted = c->length + 1;
    }
}

static size_t content_length(const char *head) {
    static const char name[] = "Content-Length:";
    const char *line = strcasestr(head, "\r\nContent-Length:");
    return line != NULL ? strtoul(line + 2 + sizeof name - 1, NULL, 10) : 0;
}

/* ---- requests ---- */

/* Moves the first `length` bytes into the record number `index`. */
static void record(connection *c, size_t head_length, size_t length, size_t index) {
    http_server *server = c->server;
    char *bytes = malloc(length + 1);
    REQUIRE(bytes);
    memcpy(bytes, c->bytes, length);
    bytes[length] = '\0';
    memmove(c->bytes, c->bytes + length, c->length - length + 1);
    c->length -= length;
    pthread_mutex_lock(&server->mutex);
    server->records[index] = (http_record){bytes, length, head_length, c->index};
    server->record_count++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static size_t next_index(http_server *server) {
    pthread_mutex_lock(&server->mutex);
    size_t index = server->started_count++;
    pthread_mutex_unlock(&server->mutex);
    REQUIRE(index < REQUESTS_MAX);
    return index;
}

static const http_answer *answer_for(const http_server *server, size_t index) {
    return &server->script[index < server->script_count ? index : server->script_count - 1];
}

/* False when the server is to stop. */
static bool wait_release(http_server *server) {
    pthread_mutex_lock(&server->mutex);
    while (server->released == 0 && !server->stopping)
        pthread_cond_wait(&server->changed, &server->mutex);
    bool stopping = server->stopping;
    if (!stopping)
        server->released--;
    pthread_mutex_unlock(&server->mutex);
    return !stopping;
}

static bool write_answer(connection *c, const http_answer *answer) {
    size_t length = answer->bytes == NULL ? 0
                    : answer->length > 0 ? answer->length : strlen(answer->bytes);
    size_t step = answer->fragment > 0 ? answer->fragment : length;
    size_t held = answer->hold ? answer->hold_after : 0;
    if (held > 0 && !write_all(c, answer->bytes, held))
        return false;
    if (answer->hold && !wait_release(c->server))
        return false;
    for (size_t at = held; at < length; at += step) {
        if (!write_all(c, answer->bytes + at, step < length - at ? step : length - at))
            return false;
    }
    return true;
}

static bool start_tls(connection *c) {
    c->ssl = SSL_new(c->server->tls);
    REQUIRE(c->ssl != NULL);
    REQUIRE(SSL_set_fd(c->ssl, c->socket) == 1);
    return SSL_accept(c->ssl) == 1;
}

/* Whether the connection lives on. */
static bool serve_request(connection *c) {
    size_t head_length = read_head(c);
    if (head_length == 0)
        return false;
    size_t body_length = content_length(c->bytes);
    size_t index = next_index(c->server);
    const http_answer *answer = answer_for(c->server, index);
    if (!answer->early && !read_until(c, head_length + body_length))
        return false;
    record(c, head_length, answer->early ? head_length : head_length + body_length, index);
    c->reset = answer->reset;
    if (!write_answer(c, answer))
        return false;
    if (answer->early && !answer->reset) {
        if (!read_until(c, body_length))
            return false;
        c->length = 0;
    }
    if (answer->then_tls && !start_tls(c))
        return false;
    return !answer->reset && (answer->keep || answer->then_tls);
}

/* ---- connections ---- */

static void close_connection(connection *c) {
    http_server *server = c->server;
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (c->ssl != NULL && !c->reset)
        (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    pthread_mutex_lock(&server->mutex);
    if (c->reset)
        (void)setsockopt(c->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(c->socket);
    c->socket = -1;
    server->closed_count++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    free(c->bytes);
}

static void serve_unasked(connection *c) {
    const http_answer *answer = &c->server->script[0];
    c->reset = answer->reset;
    if (read_until(c, 1))
        (void)write_answer(c, answer);
    close_connection(c);
}

/* False when the client went away, or the server is to stop. */
static bool wait_narrow(connection *c) {
    http_server *server = c->server;
    char byte;
    if (recv(c->socket, &byte, 1, MSG_PEEK) <= 0)
        return false;
    pthread_mutex_lock(&server->mutex);
    server->unread_count++;
    pthread_mutex_unlock(&server->mutex);
    return wait_release(server);
}

static void *serve(void *arg) {
    connection *c = arg;
    const http_server *server = c->server;
    if (server->script[0].unasked) {
        serve_unasked(c);
        return NULL;
    }
    bool alive = server->tls == NULL || server->script[0].then_tls || start_tls(c);
    if (alive && server->script[0].narrow)
        alive = wait_narrow(c);
    while (alive)
        alive = serve_request(c);
    close_connection(c);
    return NULL;
}

static void add_connection(http_server *server, int socket) {
    const int on = 1;
    pthread_mutex_lock(&server->mutex);
    size_t index = server->connection_count;
    REQUIRE(index < CONNECTIONS_MAX);
    connection *c = &server->connections[index];
    *c = (connection){.server = server, .index = index, .socket = socket};
    /* So that each fragment leaves on its own. */
    (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (server->stopping)
        (void)shutdown(socket, SHUT_RDWR);
    REQUIRE(pthread_create(&c->thread, NULL, serve, c) == 0);
    server->connection_count++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static void *accept_all(void *arg) {
    http_server *server = arg;
    for (;;) {
        int socket = accept(server->listener, NULL, NULL);
        if (socket < 0)
            return NULL; /* shut down by stop */
        add_connection(server, socket);
    }
}

/* ---- the interface ---- */

static SSL_CTX *new_tls(const certificate *served) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    REQUIRE(tls != NULL);
    REQUIRE(SSL_CTX_use_certificate(tls, served->x509) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(tls, served->key) == 1);
    return tls;
}

/* The size of segments that is told to a client bounds what its kernel takes of a write, which over
 * the loopback is more than any request. Both are inherited by what is accepted. */
static void make_narrow(int listener) {
    const int segment = NARROW_SEGMENT;
    const int buffer = NARROW_BUFFER;
    REQUIRE(setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment) == 0);
    REQUIRE(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0);
}

static void listen_on_free_port(http_server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(server->listener >= 0);
    if (server->script[0].narrow)
        make_narrow(server->listener);
    REQUIRE(bind(server->listener, (struct sockaddr *)&address, size) == 0);
    REQUIRE(listen(server->listener, CONNECTIONS_MAX) == 0);
    REQUIRE(getsockname(server->listener, (struct sockaddr *)&address, &size) == 0);
    server->port = ntohs(address.sin_port);
}

/* A client that went away must not kill the test; threads inherit the mask of their creator. */
static void start_acceptor(http_server *server) {
    sigset_t pipe_signal, old;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &pipe_signal, &old) == 0);
    REQUIRE(pthread_create(&server->acceptor, NULL, accept_all, server) == 0);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
}

http_server *http_server_start(const http_answer *script, size_t count,
                               const certificate *served) {
    http_server *server = calloc(1, sizeof *server);
    REQUIRE(server != NULL);
    server->script = script;
    server->script_count = count;
    server->tls = served != NULL ? new_tls(served) : NULL;
    REQUIRE(pthread_mutex_init(&server->mutex, NULL) == 0);
    REQUIRE(pthread_cond_init(&server->changed, NULL) == 0);
    listen_on_free_port(server);
    start_acceptor(server);
    return server;
}

void http_server_stop(http_server *server) {
    if (server == NULL)
        return;
    pthread_mutex_lock(&server->mutex);
    server->stopping = true;
    for (size_t i = 0; i < server->connection_count; i++) {
        if (server->connections[i].socket >= 0)
            (void)shutdown(server->connections[i].socket, SHUT_RDWR);
    }
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    (void)shutdown(server->listener, SHUT_RDWR);
    REQUIRE(pthread_join(server->acceptor, NULL) == 0);
    for (size_t i = 0; i < server->connection_count; i++)
        REQUIRE(pthread_join(server->connections[i].thread, NULL) == 0);
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        free(server->records[i].bytes);
    (void)close(server->listener);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    SSL_CTX_free(server->tls);
    free(server);
}

int http_server_port(const http_server *server) {
    return server->port;
}

static void wait_for(http_server *server, const size_t *counter, size_t count) {
    pthread_mutex_lock(&server->mutex);
    while (*counter < count)
        pthread_cond_wait(&server->changed, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
}

void http_server_wait(http_server *server, size_t count) {
    wait_for(server, &server->record_count, count);
}

void http_server_wait_closed(http_server *server, size_t count) {
    wait_for(server, &server->closed_count, count);
}

void http_server_release(http_server *server, size_t count) {
    pthread_mutex_lock(&server->mutex);
    server->released += count;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static size_t read_counter(http_server *server, const size_t *counter) {
    pthread_mutex_lock(&server->mutex);
    size_t value = *counter;
    pthread_mutex_unlock(&server->mutex);
    return value;
}

size_t http_server_connections(http_server *server) {
    return read_counter(server, &server->connection_count);
}

size_t http_server_unread(http_server *server) {
    return read_counter(server, &server->unread_count);
}

size_t http_server_requests(http_server *server) {
    return read_counter(server, &server->record_count);
}

http_record http_server_request(http_server *server, size_t index) {
    pthread_mutex_lock(&server->mutex);
    REQUIRE(index < REQUESTS_MAX && server->records[index].bytes != NULL);
    http_record found = server->records[index];
    pthread_mutex_unlock(&server->mutex);
    return found;
}
