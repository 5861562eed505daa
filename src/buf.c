/* buf.c
 * A byte buffer that grows up to a cap and remembers its first failure.
 * Does not know what the bytes mean.
 * SPDX-License-Identifier: MIT */
#include "buf.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 512 };

void qa_buf_init(qa_buf *buf, size_t max) {
    *buf = (qa_buf){.max = max};
}

void qa_buf_free(qa_buf *buf) {
    free(buf->data);
    qa_buf_init(buf, buf->max);
}

void qa_wipe(void *memory, size_t size) {
    if (memory == NULL || size == 0)
        return;
    memset(memory, 0, size);
    /* The empty assembly claims to read the memory, so the memset above is not a dead store. */
    __asm__ __volatile__("" : : "r"(memory) : "memory");
}

void qa_buf_wipe(qa_buf *buf) {
    qa_wipe(buf->data, buf->capacity);
    qa_buf_free(buf);
}

bool qa_buf_grow(qa_buf *buf, size_t extra) {
    if (buf->status != QA_OK)
        return false;
    if (extra > buf->max - buf->length) {
        buf->status = QA_QUEUE_FULL;
        return false;
    }
    size_t needed = buf->length + extra;
    if (needed <= buf->capacity)
        return true;
    size_t capacity = buf->capacity > 0 ? buf->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity > buf->max / 2 ? buf->max : capacity * 2;
    if (capacity > buf->max)
        capacity = buf->max;
    char *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->status = QA_NO_MEMORY;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

char *qa_buf_text(qa_buf *buf) {
    char *end = qa_buf_reserve(buf, 1);
    if (end == NULL)
        return NULL;
    *end = '\0';
    return buf->data;
}
