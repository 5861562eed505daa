/* form.c
 * The body of a request: the service's two fields as a multipart form.
 * Does not know HTTP, nor what is in the list.
 * SPDX-License-Identifier: MIT */
#include "form.h"

#define FIELD(name) \
    "--" QA_FORM_BOUNDARY "\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"

static const char before_id[] = FIELD("accessId");
static const char before_list[] = "\r\n" FIELD("eventMessageModelListJson");
static const char after_list[] = "\r\n--" QA_FORM_BOUNDARY "--\r\n";

enum { FRAME = sizeof before_id + sizeof before_list + sizeof after_list - 3 };

/* SIZE_MAX when it is more than fits into one. */
static size_t length_of(const char *access_id, const qa_slice *pieces, size_t count) {
    size_t length = FRAME + strlen(access_id);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].length > SIZE_MAX - length)
            return SIZE_MAX;
        length += pieces[i].length;
    }
    return length;
}

qa_status qa_form_put(qa_buf *out, const char *access_id, const qa_slice *pieces, size_t count,
                      qa_error *error) {
    if (strpbrk(access_id, "\r\n") != NULL)
        return qa_error_set(error, QA_CONFIG, "request.access_id: has more than one line");
    if (qa_buf_reserve(out, length_of(access_id, pieces, count)) == NULL)
        return out->status == QA_NO_MEMORY
                   ? qa_error_no_memory(error, "transport")
                   : qa_error_set(error, QA_CONFIG, "request.pieces: over %zu bytes", out->max);
    qa_buf_put(out, before_id, sizeof before_id - 1);
    qa_buf_put_text(out, access_id);
    qa_buf_put(out, before_list, sizeof before_list - 1);
    for (size_t i = 0; i < count; i++)
        qa_buf_put(out, pieces[i].data, pieces[i].length);
    qa_buf_put(out, after_list, sizeof after_list - 1);
    return QA_OK;
}
