/* transport_curl_transfer.c
 * One request on one libcurl easy handle, which is kept warm for the next.
 * Does not know the multi handle, nor who waits for the answer.
 * SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "transport_curl_transfer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "form.h"

/* Buffers above this are not kept from one request to the next. */
enum { FORM_KEPT = 256 * 1024, BODY_KEPT = 64 * 1024 };

/* ---- libcurl's callbacks ---- */

/* Over HTTP/2 a service may answer before it has read the request (a body over its limit, say), and
 * then leaves the stream's window shut: libcurl (seen with 7.88) waits for it until the timeout. */
static bool is_answered_early(const qa_transfer *t) {
    curl_off_t length = 0, sent = 0;
    return t->headers.http2 && t->headers.ended &&
           curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_UPLOAD_T, &length) == CURLE_OK &&
           curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && sent < length;
}

static bool has_whole_body(const qa_transfer *t) {
    return t->headers.content_length >= 0 &&
           t->body.length >= (uint64_t)t->headers.content_length;
}

/* Fewer bytes than given end the transfer; `answered` or the buffer's status says why. */
static size_t take_body(char *bytes, size_t size, size_t count, void *arg) {
    qa_transfer *t = arg;
    qa_buf_put(&t->body, bytes, size * count);
    t->answered = is_answered_early(t) && has_whole_body(t);
    return t->body.status == QA_OK && !t->answered ? size * count : 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *arg) {
    qa_transfer *t = arg;
    qa_http_headers_line(&t->headers, line, size * count);
    t->answered = is_answered_early(t) && has_whole_body(t);
    return t->answered ? 0 : size * count;
}

/* A reused connection that died before the first byte was written has no request size yet. Where TLS
 * took the first write in parts libcurl (seen with 7.88) never counts it, but the body's bytes. */
static bool nothing_sent(qa_transfer *t) {
    long size = 0;
    curl_off_t body = 0;
    if (!t->connected)
        return true;
    return t->settings->proxy[0] == '\0' &&
           curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &size) == CURLE_OK && size == 0 &&
           curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &body) == CURLE_OK && body == 0;
}

/* A connection is ready, a proxy's CONNECT and TLS included, and the request comes next. */
static int before_request(void *arg, char *ip, char *local_ip, int port, int local_port) {
    qa_transfer *t = arg;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    t->resent += nothing_sent(t) ? 0 : 1;
    t->connected = true;
    return CURL_PREREQFUNC_OK;
}

/* No descriptor of ours may live on in what the host executes. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)arg, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the handle ---- */

/* The first failure stays in `code`. */
#define SET(option, value)                                    \
    do {                                                      \
        if (code == CURLE_OK)                                 \
            code = curl_easy_setopt(easy, (option), (value)); \
    } while (0)

static CURLcode set_callbacks(qa_transfer *t) {
    CURL *easy = t->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    return code;
}

static CURLcode set_protocol(qa_transfer *t) {
    CURL *easy = t->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else ending a transfer waits for a name server that does not answer. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    /* A redirect would hand the signature to another host. */
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    /* "" keeps libcurl from asking the environment. */
    SET(CURLOPT_PROXY, t->settings->proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_USERAGENT, t->settings->user_agent);
    /* A libcurl without HTTP/2 refuses this and stays with HTTP/1.1. */
    if (code == CURLE_OK)
        (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    return code;
}

static CURLcode set_tls(qa_transfer *t) {
    CURL *easy = t->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (t->settings->ca_file != NULL) {
        SET(CURLOPT_CAINFO, t->settings->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* else the system's directory would be trusted too */
    }
    return code;
}

qa_transfer *qa_transfer_new(const qa_transfer_settings *settings) {
    qa_transfer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->settings = settings;
    qa_buf_init(&t->form, INT_MAX);
    qa_buf_init(&t->body, settings->response_max);
    t->authorization.data = t->authorization_line;
    t->authorization.next = settings->headers;
    t->easy = curl_easy_init();
    if (t->easy == NULL || set_callbacks(t) != CURLE_OK || set_protocol(t) != CURLE_OK ||
        set_tls(t) != CURLE_OK) {
        qa_transfer_free(t);
        return NULL;
    }
    return t;
}

void qa_transfer_free(qa_transfer *t) {
    if (t == NULL)
        return;
    curl_easy_cleanup(t->easy);
    qa_buf_free(&t->form);
    qa_buf_free(&t->body);
    qa_wipe(t->authorization_line, sizeof t->authorization_line);
    free(t);
}

/* ---- a request ---- */

/* A control character would end the header and start another. */
static qa_status set_authorization(qa_transfer *t, const char *signature, qa_error *error) {
    static const char name[] = "Authorization: ";
    for (const char *c = signature; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            return qa_error_set(error, QA_CONFIG, "request.authorization: not plain text");
    }
    int length = snprintf(t->authorization_line, sizeof t->authorization_line, "%s%s", name,
                          signature);
    if (length < 0 || (size_t)length >= sizeof t->authorization_line)
        return qa_error_set(error, QA_CONFIG, "request.authorization: longer than %zu bytes",
                            sizeof t->authorization_line - sizeof name);
    return QA_OK;
}

/* At least 1: libcurl takes 0 for "no limit". */
static long limit_ms(int64_t ms) {
    return ms < 1 ? 1L : ms > INT_MAX ? (long)INT_MAX : (long)ms;
}

static CURLcode set_request(qa_transfer *t, const qa_request *request) {
    CURL *easy = t->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, &t->authorization);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->form.length);
    SET(CURLOPT_POSTFIELDS, t->form.data);
    SET(CURLOPT_TIMEOUT_MS, limit_ms(request->timeout_ms));
    SET(CURLOPT_CONNECTTIMEOUT_MS, limit_ms(request->connect_timeout_ms));
    return code;
}

static void empty(qa_buf *buf, size_t kept) {
    if (buf->capacity > kept)
        qa_buf_free(buf);
    qa_buf_clear(buf);
}

void qa_transfer_let_go(qa_transfer *t) {
    empty(&t->form, FORM_KEPT);
    empty(&t->body, BODY_KEPT);
}

qa_status qa_transfer_prepare(qa_transfer *t, const qa_request *request, qa_error *error) {
    qa_status status = set_authorization(t, request->authorization, error);
    if (status != QA_OK)
        return status;
    status = qa_form_put(&t->form, request->access_id, request->pieces, request->piece_count, error);
    if (status != QA_OK)
        return status;
    qa_http_headers_init(&t->headers);
    t->tag = request->tag;
    t->timeout_ms = request->timeout_ms;
    t->connect_timeout_ms = request->connect_timeout_ms;
    t->connected = false;
    t->resent = 0;
    t->answered = false;
    t->error[0] = '\0';
    CURLcode code = set_request(t, request);
    if (code == CURLE_OUT_OF_MEMORY)
        return qa_error_no_memory(error, "transport");
    if (code != CURLE_OK)
        return qa_error_set(error, QA_CONFIG, "request: %s", curl_easy_strerror(code));
    return QA_OK;
}

/* ---- an answer ---- */

static int64_t real_now_ms(void) {
    struct timespec now = {0};
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t stage_us(qa_transfer *t, CURLINFO info) {
    curl_off_t us = 0;
    return curl_easy_getinfo(t->easy, info, &us) == CURLE_OK ? (int64_t)us : 0;
}

/* libcurl tells points of time since the start; on a reused connection the stages are empty. */
static void measure_stages(qa_transfer *t, qa_answer *answer) {
    int64_t resolved = stage_us(t, CURLINFO_NAMELOOKUP_TIME_T);
    int64_t connected = stage_us(t, CURLINFO_CONNECT_TIME_T);
    int64_t secured = stage_us(t, CURLINFO_APPCONNECT_TIME_T);
    long connections = 0;
    answer->total_us = stage_us(t, CURLINFO_TOTAL_TIME_T);
    if (curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connections) != CURLE_OK ||
        connections == 0)
        return;
    answer->dns_us = resolved;
    answer->connect_us = connected > resolved ? connected - resolved : 0;
    answer->tls_us = secured > connected ? secured - connected : 0;
}

static bool is_https(qa_transfer *t) {
    const char *scheme = NULL;
    return curl_easy_getinfo(t->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK && scheme != NULL &&
           curl_strequal(scheme, "https");
}

static void describe(qa_transfer *t, qa_answer *answer) {
    long http_status = 0;
    *answer = (qa_answer){.retry_after_ms = -1, .date_ms = -1};
    measure_stages(t, answer);
    answer->resent = t->resent;
    answer->delivery = nothing_sent(t) ? QA_DELIVERY_UNSENT : QA_DELIVERY_POSSIBLE;
    if (!t->connected)
        return; /* what came, if anything, was a proxy's */
    /* 1xx are interim, no answer. */
    if (curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status) == CURLE_OK &&
        http_status >= 200)
        answer->http_status = (int)http_status;
    answer->verified = is_https(t);
}

/* An early answer that did not say its length ends with the timeout; what there is of it counts. */
static bool is_failure(const qa_transfer *t, CURLcode code, const qa_answer *answer) {
    if (code == CURLE_OK || t->answered)
        return false;
    return code != CURLE_OPERATION_TIMEDOUT || !is_answered_early(t) ||
           t->headers.content_length >= 0 || answer->http_status == 0;
}

void qa_transfer_answer(qa_transfer *t, CURLcode code, qa_answer *answer) {
    describe(t, answer);
    if (is_failure(t, code, answer)) {
        qa_transfer_explain(t, code, answer);
        return;
    }
    answer->status = QA_OK;
    answer->delivery = QA_DELIVERY_ANSWERED;
    answer->body = t->body.data;
    answer->body_length = t->body.length;
    answer->date_ms = t->headers.date_ms;
    answer->retry_after_ms = qa_http_headers_retry_after_ms(&t->headers, real_now_ms());
}

void qa_transfer_give_up(qa_transfer *t, qa_status status, const char *message,
                         qa_answer *answer) {
    describe(t, answer);
    answer->status = status;
    answer->http_status = 0;
    snprintf(answer->message, sizeof answer->message, "%s", message);
}
