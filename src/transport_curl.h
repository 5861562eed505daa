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
 * libcurl is unusable, too old at run time, without TLS, or `ca_file` cannot be read (QA_CONFIG). */
qa_transport *qa_transport_curl_new(const qa_transport_curl_options *options,
                                    qa_transport_done *done, void *context, qa_error *error);

#endif
