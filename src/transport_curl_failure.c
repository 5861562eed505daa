/* transport_curl_failure.c
 * What a failed transfer is called: a status and words that name the host and libcurl's reason.
 * Does not know how transfers are made, nor what is to be done about one.
 * SPDX-License-Identifier: MIT */
#include "transport_curl_transfer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    HOST_MAX = 80,             /* longer names are cut */
    ORIGIN_MAX = HOST_MAX + 8, /* host:port */
    REASON_MAX = 128,          /* libcurl's words; longer ones are cut */
    LIMIT_MAX = 32
};

/* ---- which status ---- */

/* libcurl has one code for all that goes wrong in a handshake. A peer that goes away in it is a
 * network failure, which passes; a wrong version or certificate stays until somebody acts. Only
 * libcurl's words tell them apart; words that are not known count as TLS. */
static bool is_handshake_cut_off(const char *words) {
    static const char *const known[] = {"SSL_ERROR_SYSCALL", "unexpected eof", "Recv failure",
                                        "Send failure", "Connection reset", "Broken pipe"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strstr(words, known[i]) != NULL)
            return true;
    }
    return false;
}

static qa_status classify(const qa_transfer *t, CURLcode code, const qa_answer *answer) {
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT: return QA_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR: return is_handshake_cut_off(t->error) ? QA_NETWORK : QA_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED: return QA_TLS;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: return t->connected ? QA_BAD_RESPONSE : QA_NETWORK;
    default: return answer->http_status != 0 ? QA_BAD_RESPONSE : QA_NETWORK;
    }
}

/* ---- the parts of the words ---- */

/* Words go into logs and get cut, so they are ASCII without control characters. */
static void make_plain(char *text) {
    for (char *c = text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

/* Host and port out of `url`; "?" for what it does not tell. */
static void take_apart(const char *url, char host[HOST_MAX], char origin[ORIGIN_MAX]) {
    CURLU *parts = curl_url();
    char *name = NULL;
    char *port = NULL;
    if (parts != NULL && url != NULL &&
        curl_url_set(parts, CURLUPART_URL, url,
                     CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK) {
        (void)curl_url_get(parts, CURLUPART_HOST, &name, 0);
        (void)curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    }
    snprintf(host, HOST_MAX, "%s", name != NULL ? name : "?");
    make_plain(host);
    snprintf(origin, ORIGIN_MAX, "%s:%.6s", host, port != NULL ? port : "?");
    curl_free(name);
    curl_free(port);
    curl_url_cleanup(parts);
}

/* Upper case to lower where a sentence starts, but not in an acronym or a name (SSL, OpenSSL). */
static void lower_starts(char *text) {
    for (char *c = text; *c != '\0'; c++) {
        bool starts = c == text || (c > text + 1 && c[-1] == ' ' && c[-2] == ':');
        if (starts && *c >= 'A' && *c <= 'Z' && c[1] >= 'a' && c[1] <= 'z' &&
            strncmp(c, "OpenSSL", 7) != 0)
            *c = (char)(*c - 'A' + 'a');
    }
}

/* Whether libcurl's words might repeat a URL's query or the signature. */
static bool is_telling(const qa_transfer *t, const char *text) {
    const char *signature = strchr(t->authorization_line, ' ');
    return strpbrk(text, "?&") != NULL || strstr(text, "://") != NULL ||
           (signature != NULL && signature[1] != '\0' && strstr(text, signature + 1) != NULL);
}

/* libcurl's reason, tidied. */
static void find_reason(const qa_transfer *t, CURLcode code, char reason[REASON_MAX]) {
    static const char certificate[] = "SSL certificate problem: ";
    long number = 0;
    const char *text = t->error;
    if (code == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number > 0)
        text = strerror((int)number); /* a constant for known numbers; libcurl's own is vague */
    if (strncmp(text, certificate, sizeof certificate - 1) == 0)
        text += sizeof certificate - 1;
    if (*text == '\0' || is_telling(t, text))
        text = curl_easy_strerror(code);
    if (code == CURLE_SSL_CONNECT_ERROR && is_handshake_cut_off(text))
        text = "connection lost in the TLS handshake";
    snprintf(reason, REASON_MAX, "%.*s", REASON_MAX - 1, text);
    make_plain(reason);
    size_t length = strlen(reason);
    while (length > 0 && (reason[length - 1] == ' ' || reason[length - 1] == '.'))
        reason[--length] = '\0';
    lower_starts(reason);
}

static void write_limit(int64_t ms, char limit[LIMIT_MAX]) {
    if (ms >= 1000 && ms % 1000 == 0)
        snprintf(limit, LIMIT_MAX, "%" PRId64 " s", ms / 1000);
    else
        snprintf(limit, LIMIT_MAX, "%" PRId64 " ms", ms);
}

/* ---- the words ---- */

__attribute__((format(printf, 2, 3))) static void say(qa_answer *answer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(answer->message, sizeof answer->message, format, args);
    va_end(args);
}

static void explain_timeout(const qa_transfer *t, const char *origin, qa_answer *answer) {
    char limit[LIMIT_MAX];
    int64_t ms = t->timeout_ms;
    if (!t->connected && t->connect_timeout_ms < ms)
        ms = t->connect_timeout_ms;
    write_limit(ms, limit);
    say(answer, "timeout: no %s %s within %s",
        t->connected ? "answer from" : "connection to", origin, limit);
}

static void explain_tls(const qa_transfer *t, CURLcode code, const char *host, const char *origin,
                        qa_answer *answer) {
    char reason[REASON_MAX];
    find_reason(t, code, reason);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        say(answer, "tls: certificate of '%s' not trusted: %s", host, reason);
    else
        say(answer, "tls: no secure connection to %s: %s", origin, reason);
}

static void explain_bad_response(const qa_transfer *t, CURLcode code, const char *origin,
                                 qa_answer *answer) {
    char reason[REASON_MAX];
    find_reason(t, code, reason);
    if (t->body.status == QA_QUEUE_FULL)
        say(answer, "response: answer over %zu bytes", t->body.max);
    else if (t->body.status != QA_OK)
        say(answer, "response: out of memory");
    else if (answer->http_status == 0)
        say(answer, "response: no HTTP answer from %s: %s", origin, reason);
    else
        say(answer, "response: answer of %s cut off after %zu bytes: %s", origin, t->body.length,
            reason);
}

static void explain_network(const qa_transfer *t, CURLcode code, const char *host,
                            const char *origin, qa_answer *answer) {
    char reason[REASON_MAX];
    char proxy[HOST_MAX];
    char proxy_origin[ORIGIN_MAX];
    find_reason(t, code, reason);
    take_apart(t->settings->proxy, proxy, proxy_origin);
    const char *kind = "cannot connect to";
    if (t->connected) {
        kind = "no answer from";
    } else if (t->settings->proxy[0] != '\0' && code == CURLE_COULDNT_CONNECT) {
        kind = "cannot connect to proxy";
        origin = proxy_origin;
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        say(answer, "network: cannot resolve '%s'", host);
    else if (code == CURLE_COULDNT_RESOLVE_PROXY)
        say(answer, "network: cannot resolve proxy '%s'", proxy);
    else
        say(answer, "network: %s %s: %s", kind, origin, reason);
}

void qa_transfer_explain(qa_transfer *t, CURLcode code, qa_answer *answer) {
    char host[HOST_MAX];
    char origin[ORIGIN_MAX];
    char *url = NULL;
    (void)curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
    take_apart(url, host, origin);
    answer->status = classify(t, code, answer);
    if (answer->status == QA_TIMEOUT)
        explain_timeout(t, origin, answer);
    else if (answer->status == QA_TLS)
        explain_tls(t, code, host, origin, answer);
    else if (answer->status == QA_BAD_RESPONSE)
        explain_bad_response(t, code, origin, answer);
    else
        explain_network(t, code, host, origin, answer);
    if (answer->status != QA_BAD_RESPONSE)
        answer->http_status = 0;
}
