/* form.h
 * The body of a request: the service's two fields as a multipart form.
 * Does not know HTTP, nor what is in the list.
 * SPDX-License-Identifier: MIT */
#ifndef QA_FORM_H
#define QA_FORM_H

#include "buf.h"
#include "transport.h"

/* The boundary is the same for every form. It ends a field only at the start of a line: an access id
 * has one line, and each line of the list begins an event, for JSON escapes control characters. */
#define QA_FORM_BOUNDARY "quickaudience-7c9e6a41d05b8f23"
#define QA_FORM_CONTENT_TYPE "multipart/form-data; boundary=" QA_FORM_BOUNDARY

/* Appends the form to `out`: `access_id` and the pieces one after another. QA_OK; QA_NO_MEMORY; or
 * QA_CONFIG: the access id has more than one line, or it would be over the buffer's cap. */
qa_status qa_form_put(qa_buf *out, const char *access_id, const qa_slice *pieces, size_t count,
                      qa_error *error);

#endif
