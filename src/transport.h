/* transport.h
 * The contract of whatever carries a request to the service: a table of functions.
 * Does not know events, retries or signatures; libcurl stands behind it, or a test's fake.
 * SPDX-License-Identifier: MIT */
#ifndef QA_TRANSPORT_H
#define QA_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* A piece of a body that lies somewhere in memory. */
typedef struct qa_slice {
    const char *data;
    size_t length;
} qa_slice;

/* One POST of the form fields `accessId` and `eventMessageModelListJson`. All pointers but the
 * slices' bytes may go away when `start` returns; the bytes stay the caller's and must not change
 * until `done` was called. */
typedef struct qa_request {
    const char *url;           /* with the query */
    const char *authorization; /* the signature; never logged */
    const char *access_id;     /* form field */
    const qa_slice *pieces;    /* form field eventMessageModelListJson: the pieces one after another */
    size_t piece_count;
    int64_t timeout_ms;         /* the whole request */
    int64_t connect_timeout_ms; /* DNS, TCP and TLS */
    void *tag;                  /* handed back to `done` */
} qa_request;

typedef enum qa_delivery {
    QA_DELIVERY_UNSENT,   /* not all of the request can have left this machine, so it cannot have
                             been stored */
    QA_DELIVERY_POSSIBLE, /* sent in part or whole, but no complete answer came */
    QA_DELIVERY_ANSWERED  /* a whole answer came */
} qa_delivery;

/* How a request ended. Valid only inside `done`. */
typedef struct qa_answer {
    qa_status status;     /* QA_OK: an HTTP answer came; else QA_NETWORK, QA_TLS, QA_TIMEOUT or
                             QA_BAD_RESPONSE (body over the cap, or cut off) */
    qa_delivery delivery;
    int http_status;      /* 0 when none came; set too when status is QA_BAD_RESPONSE */
    const char *body;     /* body_length bytes, not zero-terminated */
    size_t body_length;
    int64_t retry_after_ms; /* from Retry-After, seconds or date; -1: none; not capped here */
    int64_t date_ms;        /* the Date header, ms since the epoch; -1: none */
    bool verified;          /* over TLS with the peer verified */
    uint32_t resent;        /* times it left before: kept connections took it and died unanswered */
    int64_t dns_us, connect_us, tls_us, total_us; /* durations of the stages; 0: not reached */
    char message[256];      /* in words, for status other than QA_OK, subject first:
                               "network: cannot resolve 'host'"; no query, no signature */
} qa_answer;

typedef void qa_transport_done(void *context, void *tag, const qa_answer *answer);

typedef struct qa_transport qa_transport;

/* A transport belongs to one thread; only `wakeup` may be called from another. */
typedef struct qa_transport_ops {
    /* Starts a request; `done` comes later, from `run` or `cancel_all`, exactly once. When it fails
     * nothing was started and `done` is not called. */
    qa_status (*start)(qa_transport *transport, const qa_request *request, qa_error *error);
    /* Works on what is under way and returns after something ended, after `wakeup`, or after
     * `wait_ms` (0: at once; -1: without limit). Calls `done` for what ended; `done` may call
     * `start` and `wakeup`, nothing else. */
    void (*run)(qa_transport *transport, int64_t wait_ms);
    /* Makes a `run` that waits, or the next one, return at once. Any thread; signal-safe. */
    void (*wakeup)(qa_transport *transport);
    /* Ends everything that is under way, each with `done` (QA_CLOSED, and what was sent). */
    void (*cancel_all)(qa_transport *transport);
    void (*free)(qa_transport *transport); /* NULL is legal; implies cancel_all */
} qa_transport_ops;

/* An implementation's struct starts with this. */
struct qa_transport {
    const qa_transport_ops *ops;
    qa_transport_done *done;
    void *context; /* first argument of `done` */
};

#endif
