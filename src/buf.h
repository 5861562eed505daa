/* buf.h
 * A byte buffer that grows up to a cap and remembers its first failure.
 * Does not know what the bytes mean.
 * SPDX-License-Identifier: MIT */
#ifndef QA_BUF_H
#define QA_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "status.h"

/* The members are open so that writers can be inlined; only buf.c and the inline functions
 * below change them. A buffer belongs to one thread at a time. */
typedef struct qa_buf {
    char *data;       /* owned by the buffer; not zero-terminated */
    size_t length;    /* bytes written */
    size_t capacity;  /* bytes allocated */
    size_t max;       /* bytes it may ever hold */
    qa_status status; /* QA_OK, or the first failure: QA_NO_MEMORY, QA_QUEUE_FULL (over max) */
} qa_buf;

/* An empty buffer that allocates nothing yet. */
void qa_buf_init(qa_buf *buf, size_t max);

/* Frees the memory and leaves an empty buffer with the same cap. */
void qa_buf_free(qa_buf *buf);

/* As qa_buf_free, after overwriting the content: for buffers that held a secret. */
void qa_buf_wipe(qa_buf *buf);

/* Overwrites `size` bytes in a way that the compiler keeps. */
void qa_wipe(void *memory, size_t size);

/* Makes room for `extra` more bytes; on failure sets the status and returns false. */
bool qa_buf_grow(qa_buf *buf, size_t extra);

/* Keeps the memory, forgets the content and the failure. */
static inline void qa_buf_clear(qa_buf *buf) {
    buf->length = 0;
    buf->status = QA_OK;
}

/* Room for `extra` bytes at the end, not yet part of the content; NULL after any failure. */
static inline char *qa_buf_reserve(qa_buf *buf, size_t extra) {
    if (buf->capacity - buf->length < extra || buf->status != QA_OK) {
        if (!qa_buf_grow(buf, extra))
            return NULL;
    }
    return buf->data + buf->length;
}

/* Makes `added` bytes that were written to the reserved room part of the content. */
static inline void qa_buf_commit(qa_buf *buf, size_t added) {
    buf->length += added;
}

static inline void qa_buf_put(qa_buf *buf, const void *bytes, size_t size) {
    char *at = qa_buf_reserve(buf, size);
    if (at != NULL && size > 0) {
        memcpy(at, bytes, size);
        qa_buf_commit(buf, size);
    }
}

static inline void qa_buf_put_char(qa_buf *buf, char byte) {
    char *at = qa_buf_reserve(buf, 1);
    if (at != NULL) {
        *at = byte;
        qa_buf_commit(buf, 1);
    }
}

static inline void qa_buf_put_text(qa_buf *buf, const char *text) {
    qa_buf_put(buf, text, strlen(text));
}

/* The content as a C string: adds an end mark that is not counted. NULL after any failure. */
char *qa_buf_text(qa_buf *buf);

#endif
