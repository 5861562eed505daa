/* status.c
 * The one list of things that can go wrong, and the error object that carries one of them in words.
 * Does not know who reports an error or who reads it.
 * SPDX-License-Identifier: MIT */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *qa_status_code(qa_status status) {
    switch (status) {
    case QA_OK: return "OK";
    case QA_CONFIG: return "CONFIG";
    case QA_INVALID_EVENT: return "INVALID_EVENT";
    case QA_QUEUE_FULL: return "QUEUE_FULL";
    case QA_SPOOL_FULL: return "SPOOL_FULL";
    case QA_CLOSED: return "CLOSED";
    case QA_TIMEOUT: return "TIMEOUT";
    case QA_NETWORK: return "NETWORK";
    case QA_TLS: return "TLS";
    case QA_HTTP: return "HTTP";
    case QA_REJECTED: return "REJECTED";
    case QA_AUTH: return "AUTH";
    case QA_BAD_RESPONSE: return "BAD_RESPONSE";
    case QA_SPOOL: return "SPOOL";
    /* The contract has no code of its own for this: memory is what the queue ran out of. */
    case QA_NO_MEMORY: return "QUEUE_FULL";
    }
    return "UNKNOWN";
}

bool qa_status_retriable(qa_status status) {
    switch (status) {
    case QA_QUEUE_FULL:
    case QA_SPOOL_FULL:
    case QA_TIMEOUT:
    case QA_NETWORK:
    case QA_HTTP:
    case QA_BAD_RESPONSE:
    case QA_NO_MEMORY: return true;
    case QA_OK:
    case QA_CONFIG:
    case QA_INVALID_EVENT:
    case QA_CLOSED:
    case QA_TLS:
    case QA_REJECTED:
    case QA_AUTH:
    case QA_SPOOL: return false;
    }
    return false;
}

/* A cut must not leave half a character: the message goes into logs and JSON. */
static void cut_at_character(char *text, size_t length) {
    size_t end = length;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0)
        end--;
    else
        end = length;
    text[end] = '\0';
}

qa_status qa_error_set(qa_error *error, qa_status status, const char *format, ...) {
    if (error == NULL)
        return status;
    error->status = status;
    error->retriable = qa_status_retriable(status);
    va_list args;
    va_start(args, format);
    int length = vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    if (length < 0)
        error->message[0] = '\0';
    else if ((size_t)length >= sizeof error->message)
        cut_at_character(error->message, sizeof error->message - 1);
    return status;
}

qa_status qa_error_no_memory(qa_error *error, const char *what) {
    return qa_error_set(error, QA_NO_MEMORY, "%s: out of memory", what);
}
