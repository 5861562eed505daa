/* transport_curl.c
 * The transport over libcurl's multi interface.
 * Does not know events, retries or signatures.
 * SPDX-License-Identifier: MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "transport_curl.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "form.h"
#include "transport_curl_transfer.h"

/* CURLOPT_PREREQFUNCTION tells whether a request can have been sent. */
#if LIBCURL_VERSION_NUM < 0x075000
#error "libcurl 7.80.0 or later is needed"
#endif

enum {
    VERSION_MIN = 0x075000, /* as above, at run time */
    PAUSE_MS = 100,         /* so that a broken libcurl can't make the caller's loop spin */
    LINE_BYTES = 256
};

typedef struct transport_curl {
    qa_transport base;
    CURLM *multi;
    CURLU *url;             /* scratch, to check URLs */
    qa_transfer *under_way; /* a ring, the oldest first */
    qa_transfer *idle;      /* a stack */
    size_t under_way_count, idle_count;
    size_t idle_max;
    qa_transfer_settings settings; /* its strings are owned here */
    char *ca_file, *proxy, *user_agent;
    atomic_bool woken;
} transport_curl;

/* ---- SIGPIPE ---- */

/* Under older libcurl (seen with 7.81) OpenSSL writes with write(2), so a peer that went away
 * raises SIGPIPE, and with CURLOPT_NOSIGNAL (which threads need) libcurl leaves it to us. The
 * host's handlers stay untouched: the signal is blocked in this thread, and taken back if it was
 * raised meanwhile. */
typedef struct pipe_guard {
    sigset_t old;
    bool active; /* SIGPIPE was not blocked before */
} pipe_guard;

static void guard_pipe(pipe_guard *guard) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    guard->active = pthread_sigmask(SIG_BLOCK, &set, &guard->old) == 0 &&
                    sigismember(&guard->old, SIGPIPE) == 0;
}

static void unguard_pipe(const pipe_guard *guard) {
    static const struct timespec at_once = {0, 0};
    sigset_t set;
    if (!guard->active)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    while (sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR)
        continue;
    (void)pthread_sigmask(SIG_SETMASK, &guard->old, NULL);
}

/* ---- the lists ---- */

static qa_transfer *take_idle(transport_curl *self) {
    qa_transfer *t = self->idle;
    if (t == NULL)
        return qa_transfer_new(&self->settings);
    self->idle = t->next;
    self->idle_count--;
    return t;
}

static void keep_idle(transport_curl *self, qa_transfer *t) {
    qa_transfer_let_go(t);
    if (self->idle_count >= self->idle_max) {
        qa_transfer_free(t);
        return;
    }
    t->next = self->idle;
    self->idle = t;
    self->idle_count++;
}

static void link_under_way(transport_curl *self, qa_transfer *t) {
    qa_transfer *first = self->under_way;
    t->next = first != NULL ? first : t;
    t->previous = first != NULL ? first->previous : t;
    t->previous->next = t;
    t->next->previous = t;
    if (first == NULL)
        self->under_way = t;
    self->under_way_count++;
}

static void unlink_under_way(transport_curl *self, qa_transfer *t) {
    t->previous->next = t->next;
    t->next->previous = t->previous;
    if (self->under_way == t)
        self->under_way = t->next != t ? t->next : NULL;
    self->under_way_count--;
}

/* ---- start ---- */

/* So that what can't work fails here and not on its way. The words leave out the URL: its query
 * holds the access key. */
static qa_status check_url(transport_curl *self, const char *url, qa_error *error) {
    char *scheme = NULL;
    CURLUcode code = curl_url_set(self->url, CURLUPART_URL, url,
                                  CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK)
        code = curl_url_get(self->url, CURLUPART_SCHEME, &scheme, 0);
    bool known = code == CURLUE_OK && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    if (code == CURLUE_OUT_OF_MEMORY)
        return qa_error_no_memory(error, "transport");
    if (code != CURLUE_OK)
        return qa_error_set(error, QA_CONFIG, "request.url: %s", curl_url_strerror(code));
    if (!known)
        return qa_error_set(error, QA_CONFIG, "request.url: neither http nor https");
    return QA_OK;
}

static qa_status start(qa_transport *transport, const qa_request *request, qa_error *error) {
    transport_curl *self = (transport_curl *)transport;
    qa_status status = check_url(self, request->url, error);
    if (status != QA_OK)
        return status;
    qa_transfer *t = take_idle(self);
    if (t == NULL)
        return qa_error_no_memory(error, "transport");
    status = qa_transfer_prepare(t, request, error);
    if (status == QA_OK) {
        CURLMcode code = curl_multi_add_handle(self->multi, t->easy);
        if (code == CURLM_OK) {
            link_under_way(self, t);
            return QA_OK;
        }
        status = qa_error_set(error, QA_NETWORK, "network: cannot start a request: %s",
                              curl_multi_strerror(code));
    }
    keep_idle(self, t);
    return status;
}

/* ---- the end of a request ---- */

/* `done` may start the next request, so the lists are right before it is called. */
static void finish(transport_curl *self, qa_transfer *t, const qa_answer *answer) {
    unlink_under_way(self, t);
    /* Fails only for a handle that is not in there, which is what we want. */
    (void)curl_multi_remove_handle(self->multi, t->easy);
    self->base.done(self->base.context, t->tag, answer);
    keep_idle(self, t);
}

static size_t finish_done(transport_curl *self) {
    size_t count = 0;
    int left = 0;
    const CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
        qa_transfer *t = NULL;
        qa_answer answer;
        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK)
            continue;
        qa_transfer_answer(t, message->data.result, &answer);
        finish(self, t, &answer);
        count++;
    }
    return count;
}

/* Only what is under way now: `done` may start new ones. */
static void give_up_all(transport_curl *self, qa_status status, const char *message) {
    for (size_t count = self->under_way_count; count > 0; count--) {
        qa_transfer *t = self->under_way;
        qa_answer answer;
        qa_transfer_give_up(t, status, message, &answer);
        finish(self, t, &answer);
    }
}

static void cancel_all(qa_transport *transport) {
    transport_curl *self = (transport_curl *)transport;
    pipe_guard guard;
    guard_pipe(&guard);
    give_up_all(self, QA_CLOSED, "request: given up");
    unguard_pipe(&guard);
}

/* ---- run ---- */

static int64_t now_ms(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails only for clocks that do not exist */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ms until `deadline` (-1: none) as libcurl takes it. */
static int time_left(int64_t deadline) {
    if (deadline < 0)
        return INT_MAX;
    int64_t left = deadline - now_ms();
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* libcurl itself failed (out of memory, poll refused): nothing under way can go on. */
static void fail_all(transport_curl *self, CURLMcode code, int64_t deadline) {
    char message[LINE_BYTES];
    snprintf(message, sizeof message, "network: libcurl failed: %s", curl_multi_strerror(code));
    if (self->under_way_count > 0) {
        give_up_all(self, QA_NETWORK, message);
        return;
    }
    int pause = time_left(deadline);
    struct timespec wait = {0, (pause < PAUSE_MS ? pause : PAUSE_MS) * 1000000L};
    (void)nanosleep(&wait, NULL);
}

/* Whether anything ended. */
static bool work(transport_curl *self, CURLMcode *code) {
    int running = 0;
    *code = curl_multi_perform(self->multi, &running);
    return finish_done(self) > 0;
}

static void run_until(transport_curl *self, int64_t deadline) {
    CURLMcode code = CURLM_OK;
    bool ended = work(self, &code);
    while (code == CURLM_OK && !ended && !atomic_load(&self->woken)) {
        int left = time_left(deadline);
        if (left == 0)
            break;
        code = curl_multi_poll(self->multi, NULL, 0, left, NULL);
        if (code == CURLM_OK)
            ended = work(self, &code);
    }
    if (code != CURLM_OK)
        fail_all(self, code, deadline);
}

static void run(qa_transport *transport, int64_t wait_ms) {
    transport_curl *self = (transport_curl *)transport;
    pipe_guard guard;
    int64_t now = now_ms();
    guard_pipe(&guard);
    if (wait_ms < 0 || wait_ms > INT64_MAX - now)
        run_until(self, -1);
    else
        run_until(self, now + wait_ms);
    /* A wake-up until here has had its effect: this run returns after it. */
    (void)atomic_exchange(&self->woken, false);
    unguard_pipe(&guard);
}

/* The flag tells a wake-up from libcurl's own timers, which end a poll early too. */
static void wakeup(qa_transport *transport) {
    transport_curl *self = (transport_curl *)transport;
    atomic_store(&self->woken, true);
    (void)curl_multi_wakeup(self->multi); /* a full pipe means that it was woken already */
}

/* ---- creation ---- */

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result = CURLE_FAILED_INIT;

static void init_global(void) {
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static qa_status check_libcurl(qa_error *error) {
    if (pthread_once(&global_once, init_global) != 0 || global_result != CURLE_OK)
        return qa_error_set(error, QA_CONFIG, "transport: libcurl cannot be initialised: %s",
                            curl_easy_strerror(global_result));
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->version_num < VERSION_MIN)
        return qa_error_set(error, QA_CONFIG, "transport: libcurl %s is older than 7.80.0",
                            info->version);
    if ((info->features & CURL_VERSION_SSL) == 0)
        return qa_error_set(error, QA_CONFIG, "transport: libcurl %s has no TLS", info->version);
    return QA_OK;
}

/* The system's words for `number` in lower case. A constant in glibc and musl, so any thread. */
static void write_reason(int number, char reason[LINE_BYTES]) {
    (void)snprintf(reason, LINE_BYTES, "%s", strerror(number));
    if (reason[0] >= 'A' && reason[0] <= 'Z')
        reason[0] = (char)(reason[0] - 'A' + 'a');
}

/* libcurl would only say so at the first connection, long after the mistake. */
static qa_status check_ca_file(const char *path, qa_error *error) {
    char line[LINE_BYTES];
    bool found = false;
    if (path == NULL)
        return QA_OK;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        write_reason(errno, line);
        return qa_error_set(error, QA_CONFIG, "config.ca_file: cannot open '%s': %s", path, line);
    }
    errno = 0;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, "-----BEGIN ", 11) == 0 && strstr(line, "CERTIFICATE-----") != NULL;
    int reason = ferror(file) != 0 ? errno : 0;
    (void)fclose(file);
    if (reason != 0) {
        write_reason(reason, line);
        return qa_error_set(error, QA_CONFIG, "config.ca_file: cannot read '%s': %s", path, line);
    }
    if (!found)
        return qa_error_set(error, QA_CONFIG, "config.ca_file: no PEM certificate in '%s'", path);
    return QA_OK;
}

static void free_transport(qa_transport *transport) {
    transport_curl *self = (transport_curl *)transport;
    pipe_guard guard;
    if (self == NULL)
        return;
    guard_pipe(&guard);
    give_up_all(self, QA_CLOSED, "request: given up");
    while (self->idle != NULL) {
        qa_transfer *t = self->idle;
        self->idle = t->next;
        qa_transfer_free(t);
    }
    (void)curl_multi_cleanup(self->multi);
    unguard_pipe(&guard);
    curl_url_cleanup(self->url);
    curl_slist_free_all(self->settings.headers);
    free(self->ca_file);
    free(self->proxy);
    free(self->user_agent);
    free(self);
}

/* NULL stays NULL; false when out of memory. */
static bool copy_text(char **out, const char *text) {
    *out = text != NULL ? strdup(text) : NULL;
    return (*out != NULL) == (text != NULL);
}

static bool make_headers(transport_curl *self) {
    static const char *const lines[] = {
        "Accept: application/json", "Content-Type: " QA_FORM_CONTENT_TYPE,
        /* Without a value libcurl leaves it out; else a large body waits for a "100 Continue". */
        "Expect:"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct curl_slist *longer = curl_slist_append(self->settings.headers, lines[i]);
        if (longer == NULL)
            return false;
        self->settings.headers = longer;
    }
    return true;
}

static bool fill(transport_curl *self, const qa_transport_curl_options *options) {
    size_t connections = options->connections_max > 0 ? options->connections_max : 1;
    bool copied = copy_text(&self->ca_file, options->ca_file);
    copied = copy_text(&self->proxy, options->proxy != NULL ? options->proxy : "") && copied;
    copied = copy_text(&self->user_agent, options->user_agent) && copied;
    self->settings.ca_file = self->ca_file;
    self->settings.proxy = self->proxy;
    self->settings.user_agent = self->user_agent;
    self->settings.response_max = options->response_max;
    self->idle_max = connections;
    self->multi = curl_multi_init();
    self->url = curl_url();
    long kept = connections < INT_MAX ? (long)connections : (long)INT_MAX;
    return copied && make_headers(self) && self->url != NULL && self->multi != NULL &&
           curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, kept) == CURLM_OK &&
           /* A connection for each request, over HTTP/2 too: one that is cut short, or stuck behind
            * its window, then harms no other. */
           curl_multi_setopt(self->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

static const qa_transport_ops ops = {start, run, wakeup, cancel_all, free_transport};

qa_transport *qa_transport_curl_new(const qa_transport_curl_options *options,
                                    qa_transport_done *done, void *context, qa_error *error) {
    if (check_libcurl(error) != QA_OK || check_ca_file(options->ca_file, error) != QA_OK)
        return NULL;
    transport_curl *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)qa_error_no_memory(error, "transport");
        return NULL;
    }
    self->base = (qa_transport){.ops = &ops, .done = done, .context = context};
    atomic_init(&self->woken, false);
    if (!fill(self, options)) {
        free_transport(&self->base);
        (void)qa_error_no_memory(error, "transport");
        return NULL;
    }
    return &self->base;
}
