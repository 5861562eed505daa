/* sign.c
 * The request signature: MD5 over the sorted, URL-encoded parameters and the secret.
 * Does not know HTTP, nor where the credentials come from.
 * SPDX-License-Identifier: MIT */
#include "sign.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    OWN_PARAMS = 4, /* accessKey, accessSecret, appId, timestamp */
    PARAMS_MAX = OWN_PARAMS + QA_SIGN_PARAMS_MAX,
    TIMESTAMP_SIZE = 24,
    DIGEST_BYTES = 16,
    TEXT_MAX = 1024 * 1024 /* bytes of the canonical text */
};

static const char masked[] = "***";

/* What goes into one canonical text, sorted by name. */
typedef struct pairs {
    qa_sign_param items[PARAMS_MAX];
    size_t count;
    char timestamp[TIMESTAMP_SIZE];
} pairs;

/* ---- encoding ---- */

static bool is_letter_or_digit(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether `c` stays as it is. */
static bool is_plain(unsigned char c, qa_sign_encoding encoding) {
    switch (encoding) {
    case QA_SIGN_FORM: return is_letter_or_digit(c) || (c != '\0' && strchr(".-*_", c) != NULL);
    case QA_SIGN_RFC3986: return is_letter_or_digit(c) || (c != '\0' && strchr("-._~", c) != NULL);
    case QA_SIGN_NONE: return true;
    }
    return true;
}

static void put_encoded(qa_buf *out, const char *text, qa_sign_encoding encoding) {
    static const char digits[] = "0123456789ABCDEF";
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (is_plain(byte, encoding)) {
            qa_buf_put_char(out, *c);
        } else if (byte == ' ' && encoding == QA_SIGN_FORM) {
            qa_buf_put_char(out, '+');
        } else {
            const char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            qa_buf_put(out, escape, sizeof escape);
        }
    }
}

/* ---- the canonical text ---- */

/* Keeps `pairs` sorted in byte order (strcmp compares unsigned bytes). A name can stand only once,
 * because the vendor's sample sorts a map. */
static qa_status add_pair(pairs *all, const char *name, const char *value, qa_error *error) {
    size_t at = all->count;
    if (name == NULL || value == NULL)
        return qa_error_set(error, QA_CONFIG, "sign.%s: missing", name != NULL ? name : "params");
    while (at > 0 && strcmp(all->items[at - 1].name, name) > 0)
        at--;
    if (at > 0 && strcmp(all->items[at - 1].name, name) == 0)
        return qa_error_set(error, QA_CONFIG, "sign.params: '%s' stands twice", name);
    memmove(&all->items[at + 1], &all->items[at], (all->count - at) * sizeof all->items[0]);
    all->items[at] = (qa_sign_param){name, value};
    all->count++;
    return QA_OK;
}

static qa_status collect(const qa_sign_input *input, const char *secret, pairs *all,
                         qa_error *error) {
    if (input->param_count > QA_SIGN_PARAMS_MAX)
        return qa_error_set(error, QA_CONFIG, "sign.params: more than %d", QA_SIGN_PARAMS_MAX);
    if (input->param_count > 0 && input->params == NULL)
        return qa_error_set(error, QA_CONFIG, "sign.params: missing");
    all->count = 0;
    (void)snprintf(all->timestamp, sizeof all->timestamp, "%" PRId64, input->timestamp);
    qa_status status = add_pair(all, "accessKey", input->credentials.access_key, error);
    if (status == QA_OK)
        status = add_pair(all, "accessSecret", secret, error);
    if (status == QA_OK)
        status = add_pair(all, "appId", input->credentials.app_id, error);
    if (status == QA_OK)
        status = add_pair(all, "timestamp", all->timestamp, error);
    for (size_t i = 0; i < input->param_count && status == QA_OK; i++)
        status = add_pair(all, input->params[i].name, input->params[i].value, error);
    return status;
}

/* Upper bound: every byte escaped, and two separators for each pair. */
static size_t longest_text(const pairs *all) {
    size_t size = 0;
    for (size_t i = 0; i < all->count && size <= TEXT_MAX; i++)
        size += 3 * (strlen(all->items[i].name) + strlen(all->items[i].value)) + 2;
    return size;
}

/* The room is reserved in one go: growing would leave copies of the secret in freed memory. */
static qa_status write_text(const pairs *all, qa_sign_encoding encoding, qa_buf *out,
                            qa_error *error) {
    size_t size = longest_text(all);
    if (size > TEXT_MAX)
        return qa_error_set(error, QA_CONFIG, "sign.params: too long");
    (void)qa_buf_reserve(out, size);
    for (size_t i = 0; i < all->count; i++) {
        const char *value = all->items[i].value;
        if (i > 0)
            qa_buf_put_char(out, '&');
        put_encoded(out, all->items[i].name, encoding);
        qa_buf_put_char(out, '=');
        put_encoded(out, value, value == masked ? QA_SIGN_NONE : encoding);
    }
    if (out->status == QA_NO_MEMORY)
        return qa_error_no_memory(error, "sign");
    if (out->status != QA_OK)
        return qa_error_set(error, out->status, "sign: no room for the text");
    return QA_OK;
}

/* ---- the digest ---- */

static qa_status hash(const void *bytes, size_t length, unsigned char digest[DIGEST_BYTES]) {
    unsigned int size = 0;
    unsigned char out[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return QA_NO_MEMORY;
    /* The host's queue of OpenSSL errors stays as it was. */
    (void)ERR_set_mark();
    bool done = EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
                EVP_DigestUpdate(context, bytes, length) == 1 &&
                EVP_DigestFinal_ex(context, out, &size) == 1 && size == DIGEST_BYTES;
    (void)ERR_pop_to_mark();
    EVP_MD_CTX_free(context); /* wipes its copy of the last block */
    if (done)
        memcpy(digest, out, DIGEST_BYTES);
    return done ? QA_OK : QA_CONFIG;
}

static qa_status hash_failed(qa_status status, qa_error *error) {
    if (status == QA_NO_MEMORY)
        return qa_error_no_memory(error, "sign");
    return qa_error_set(error, QA_CONFIG,
                        "sign: this OpenSSL refuses MD5, which the service's signature needs "
                        "(FIPS mode?)");
}

qa_status qa_sign_available(qa_error *error) {
    unsigned char digest[DIGEST_BYTES];
    qa_status status = hash("", 0, digest);
    return status == QA_OK ? QA_OK : hash_failed(status, error);
}

/* ---- the interface ---- */

qa_status qa_sign(const qa_sign_input *input, char out[QA_SIGN_SIZE], qa_error *error) {
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[DIGEST_BYTES];
    pairs all;
    qa_buf text;
    out[0] = '\0';
    qa_buf_init(&text, TEXT_MAX);
    qa_status status = collect(input, input->credentials.access_secret, &all, error);
    if (status == QA_OK)
        status = write_text(&all, input->encoding, &text, error);
    if (status == QA_OK) {
        status = hash(text.data, text.length, digest);
        if (status != QA_OK)
            (void)hash_failed(status, error);
    }
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.capacity);
    qa_buf_free(&text);
    if (status != QA_OK)
        return status;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[QA_SIGN_SIZE - 1] = '\0';
    return QA_OK;
}

qa_status qa_sign_canonical(const qa_sign_input *input, qa_buf *out, qa_error *error) {
    pairs all;
    qa_status status = collect(input, masked, &all, error);
    if (status != QA_OK)
        return status;
    return write_text(&all, input->encoding, out, error);
}

void qa_sign_query(const qa_sign_input *input, qa_buf *out) {
    char timestamp[TIMESTAMP_SIZE];
    (void)snprintf(timestamp, sizeof timestamp, "%" PRId64, input->timestamp);
    qa_buf_put_text(out, "appId=");
    put_encoded(out, input->credentials.app_id, QA_SIGN_RFC3986);
    qa_buf_put_text(out, "&timestamp=");
    put_encoded(out, timestamp, QA_SIGN_RFC3986);
    qa_buf_put_text(out, "&accessKey=");
    put_encoded(out, input->credentials.access_key, QA_SIGN_RFC3986);
}
