/* transport_curl_transfer.h
 * One request on one libcurl easy handle, which is kept warm for the next; private to
 * transport_curl*.c, the only files that know libcurl.
 * Does not know the multi handle, nor who waits for the answer.
 * SPDX-License-Identifier: MIT */
#ifndef QA_TRANSPORT_CURL_TRANSFER_H
#define QA_TRANSPORT_CURL_TRANSFER_H

#include <curl/curl.h>

#include "buf.h"
#include "http_headers.h"
#include "transport.h"

enum { QA_TRANSFER_AUTHORIZATION_MAX = 128 }; /* bytes of the header line, end mark included */

/* What is the same for every transfer of a transport; must outlive them. */
typedef struct qa_transfer_settings {
    const char *ca_file;        /* NULL: the system's */
    const char *proxy;          /* "": none */
    const char *user_agent;     /* NULL: none */
    struct curl_slist *headers; /* of every request */
    size_t response_max;        /* bytes of a body */
} qa_transfer_settings;

typedef struct qa_transfer {
    const qa_transfer_settings *settings;
    struct qa_transfer *previous, *next; /* the transport's, for its lists */
    CURL *easy;
    void *tag;                /* the request's */
    qa_buf form;              /* the request's body */
    struct curl_slist authorization; /* heads the headers; libcurl only reads the list */
    char authorization_line[QA_TRANSFER_AUTHORIZATION_MAX];
    qa_http_headers headers;
    qa_buf body;
    bool answered;  /* in full over HTTP/2, before the request was sent in full */
    bool connected; /* a connection was ready for the request, so bytes of it may have left */
    uint32_t resent; /* times they did, but libcurl had to begin anew on another connection */
    int64_t timeout_ms, connect_timeout_ms;
    char error[CURL_ERROR_SIZE]; /* libcurl's words */
} qa_transfer;

/* NULL when out of memory, or when libcurl lacks an option that safety needs. */
qa_transfer *qa_transfer_new(const qa_transfer_settings *settings);
void qa_transfer_free(qa_transfer *transfer); /* NULL is legal */

/* Fills the handle for `request`: QA_OK, QA_CONFIG (the subject is the request's member) or
 * QA_NO_MEMORY. The URL was checked before. */
qa_status qa_transfer_prepare(qa_transfer *transfer, const qa_request *request, qa_error *error);

/* What came of it. The answer's body lives until the transfer is let go. */
void qa_transfer_answer(qa_transfer *transfer, CURLcode code, qa_answer *answer);

/* As qa_transfer_answer for a transfer that is given up: `status` and these words. */
void qa_transfer_give_up(qa_transfer *transfer, qa_status status, const char *message,
                         qa_answer *answer);

/* Empties what belonged to the request, so that the transfer can be prepared for another. It must not
 * be under way any more. */
void qa_transfer_let_go(qa_transfer *transfer);

/* Status and words for a transfer that failed with `code`, from an answer whose delivery and
 * http_status are known. Neither query, signature nor proxy credentials get into the words.
 * (transport_curl_failure.c) */
void qa_transfer_explain(qa_transfer *transfer, CURLcode code, qa_answer *answer);

#endif
