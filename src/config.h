/* config.h
 * What a client is told once: every knob of the delivery core, copied, compared and wiped.
 * Does not know defaults nor what is sensible; whoever fills it in has checked it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_CONFIG_H
#define QA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "retry.h"
#include "sign.h"
#include "spool.h"
#include "status.h"

/* Strings are zero-terminated UTF-8; those marked "or NULL" may be absent. */
typedef struct qa_client_config {
    const char *endpoint; /* scheme, host, port; no trailing slash */
    const char *path;     /* begins with a slash */
    qa_credentials credentials;
    const char *organization_id; /* or NULL; only part of what makes two configurations equal */
    const char *access_id;       /* the form field */
    const char *ca_file;         /* or NULL: the system's */
    const char *proxy;           /* or NULL: none */
    const char *user_agent;      /* or NULL */
    qa_sign_encoding sign_encoding;
    uint64_t batch_events, batch_bytes; /* of one request */
    uint64_t queue_events, queue_bytes; /* accepted and not yet ended, in flight too */
    int64_t linger_us;                  /* how long a chunk that isn't full waits for more */
    int64_t timeout_us, connect_timeout_us;
    int64_t retry_base_us, retry_max_us;
    int64_t delivery_deadline_us;
    int64_t commit_interval_us;
    const char *spool; /* a directory; NULL: memory only */
    qa_spool_sync spool_sync;
    uint64_t spool_max_bytes;
    int64_t close_timeout_us;
    uint32_t max_in_flight;         /* requests at a time, at least 1 */
    double max_requests_per_second; /* 0: no limit */
    const qa_error_code_rule *error_codes;
    size_t error_code_count;
} qa_client_config;

/* A copy that owns all its strings; NULL with `error` filled when out of memory. */
qa_client_config *qa_config_copy(const qa_client_config *config, qa_error *error);

/* Wipes the secret and frees a copy. NULL is legal. */
void qa_config_free(qa_client_config *config);

/* Whether all is equal, credentials included: only then may two clients share a sender. */
bool qa_config_equal(const qa_client_config *a, const qa_client_config *b);

/* Replaces the credentials of a copy and wipes the old ones. On failure nothing has changed. */
qa_status qa_config_set_credentials(qa_client_config *copy, const qa_credentials *credentials,
                                    qa_error *error);

#endif
