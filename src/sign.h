/* sign.h
 * The request signature: MD5 over the sorted, URL-encoded parameters and the secret.
 * Does not know HTTP, nor where the credentials come from.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SIGN_H
#define QA_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

/* How names and values are URL-encoded before they are hashed. The vendor documents "URL-encoded";
 * that its Java sample means java.net.URLEncoder (`FORM`) is inferred, so users can choose. */
typedef enum qa_sign_encoding {
    QA_SIGN_FORM,    /* as java.net.URLEncoder: letters, digits, . - * _ stay, space is + */
    QA_SIGN_RFC3986, /* letters, digits, - . _ ~ stay, space is %20 */
    QA_SIGN_NONE     /* verbatim */
} qa_sign_encoding;

enum {
    QA_SIGN_SIZE = 33,      /* 32 lower-case hex digits and an end mark */
    QA_SIGN_PARAMS_MAX = 64 /* further parameters of one call */
};

/* All strings are the caller's, UTF-8, zero-terminated, not NULL. */
typedef struct qa_credentials {
    const char *app_id;
    const char *access_key;
    const char *access_secret;
} qa_credentials;

typedef struct qa_sign_param {
    const char *name;
    const char *value;
} qa_sign_param;

typedef struct qa_sign_input {
    qa_credentials credentials;
    int64_t timestamp; /* ms since the epoch */
    qa_sign_encoding encoding;
    const qa_sign_param *params; /* further query parameters (GET calls only, documented) */
    size_t param_count;
} qa_sign_input;

/* QA_OK, or QA_CONFIG with words when this build of OpenSSL refuses MD5 (as in FIPS mode). */
qa_status qa_sign_available(qa_error *error);

/* The signature into `out`. Any thread; all memory that held the secret is wiped. */
qa_status qa_sign(const qa_sign_input *input, char out[QA_SIGN_SIZE], qa_error *error);

/* The text that is hashed, with "***" in place of the secret, for people who debug a mismatch. */
qa_status qa_sign_canonical(const qa_sign_input *input, qa_buf *out, qa_error *error);

/* Appends `appId=…&timestamp=…&accessKey=…`, percent-encoded (RFC 3986) for a URL. */
void qa_sign_query(const qa_sign_input *input, qa_buf *out);

#endif
