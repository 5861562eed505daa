/* transport_curl.h
 * The transport over libcurl's multi interface.
 * Does not know events, retries or signatures.
 * SPDX-License-Identifier: MIT */
#ifndef QA_TRANSPORT_CURL_H
#define QA_TRANSPORT_CURL_H

#include "transport.h"

/* Strings are copied. */
typedef struct qa_transport_curl_options {
    const char *ca_file;    /* NULL: the system's; PEM */
    const char *proxy;      /* NULL or "": none, and the environment is not asked either */
    const char *user_agent; /* NULL: "quickaudience/<version>" is the caller's to build */
    size_t connections_max; /* kept open at most; at least 1 */
    size_t response_max;    /* bytes of a body; more is QA_BAD_RESPONSE */
} qa_transport_curl_options;

/* A new transport; the caller owns it and frees it through its table. NULL with `error` filled when
 * libcurl is unusable, too old at run time, without TLS, or when `ca_file` cannot be read or holds
 * no PEM certificate (QA_CONFIG).
 *
 * HTTP/2 where it is offered, connections are kept. Peer and host are always verified, TLS is 1.2
 * or later, redirects are not followed, and neither a netrc file nor the environment's proxies
 * count. A request that finds its kept connection dead before any answer is sent once more on a
 * fresh one, by libcurl.
 *
 * The first call initialises libcurl for the process (curl_global_init, once, guarded against other
 * threads here; libcurl before 7.84 asks that nobody else initialises it at that moment). It is
 * never undone, because the host may use libcurl too.
 *
 * After fork() the child must not touch a transport of its parent, not even to free it: both would
 * write to the same connections. It makes its own.
 *
 * Libcurl before 7.87 ends a request that still resolves its host only when the system's resolver
 * gave up (10 s with one silent name server): `run`, `cancel_all` and `free` take that long then.
 *
 * While a run or a cancel works, SIGPIPE is blocked in the calling thread: OpenSSL can raise it. */
qa_transport *qa_transport_curl_new(const qa_transport_curl_options *options,
                                    qa_transport_done *done, void *context, qa_error *error);

#endif
