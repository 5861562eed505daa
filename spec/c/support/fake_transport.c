/* fake_transport.c
 * A transport that sends nothing: it keeps what was to be sent, and the test answers.
 * Does not know the sender, nor what a good answer is.
 * SPDX-License-Identifier: MIT */
#include "support/fake_transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tests that let allocations fail mean the library's. */
static void *must(size_t size) {
    void *memory = NULL;
    for (int i = 0; i < 1000 && memory == NULL; i++)
        memory = malloc(size);
    if (memory == NULL)
        abort();
    return memory;
}

static char *copy(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(must(size), text, size);
}

static void grow(fake_transport *fake) {
    size_t capacity = fake->capacity > 0 ? fake->capacity * 2 : 64;
    fake_request *requests = must(capacity * sizeof *requests);
    if (fake->count > 0)
        memcpy(requests, fake->requests, fake->count * sizeof *requests);
    free(fake->requests);
    fake->requests = requests;
    fake->capacity = capacity;
}

static char *join(const qa_request *request, size_t *length) {
    size_t total = 0;
    for (size_t i = 0; i < request->piece_count; i++)
        total += request->pieces[i].length;
    char *text = must(total + 1), *at = text;
    for (size_t i = 0; i < request->piece_count; i++) {
        memcpy(at, request->pieces[i].data, request->pieces[i].length);
        at += request->pieces[i].length;
    }
    *at = '\0';
    *length = total;
    return text;
}

static qa_status start(qa_transport *transport, const qa_request *request, qa_error *error) {
    fake_transport *fake = (fake_transport *)transport;
    if (fake->refuse)
        return qa_error_set(error, QA_NETWORK, "fake: refused");
    if (fake->count == fake->capacity)
        grow(fake);
    fake_request *kept = &fake->requests[fake->count++];
    *kept = (fake_request){.tag = request->tag,
                           .url = copy(request->url),
                           .access_id = copy(request->access_id),
                           .timeout_ms = request->timeout_ms,
                           .connect_timeout_ms = request->connect_timeout_ms,
                           .open = true};
    kept->body = join(request, &kept->length);
    snprintf(kept->authorization, sizeof kept->authorization, "%s", request->authorization);
    fake->open++;
    if (fake->open > fake->most_open)
        fake->most_open = fake->open;
    return QA_OK;
}

static void run(qa_transport *transport, int64_t wait_ms) {
    (void)transport;
    (void)wait_ms;
}

static void wakeup(qa_transport *transport) {
    ((fake_transport *)transport)->wakeups++;
}

void fake_transport_answer(fake_transport *fake, size_t index, const qa_answer *answer) {
    fake_request *request = &fake->requests[index];
    if (index >= fake->count || !request->open)
        abort();
    request->open = false;
    fake->open--;
    fake->base.done(fake->base.context, request->tag, answer);
}

static void cancel_all(qa_transport *transport) {
    fake_transport *fake = (fake_transport *)transport;
    qa_answer answer = {.status = QA_CLOSED,
                        .delivery = QA_DELIVERY_POSSIBLE,
                        .retry_after_ms = -1,
                        .date_ms = -1,
                        .message = "cancelled"};
    for (size_t i = 0; i < fake->count; i++) {
        if (fake->requests[i].open)
            fake_transport_answer(fake, i, &answer);
    }
}

static void free_nothing(qa_transport *transport) {
    (void)transport;
}

void fake_transport_init(fake_transport *fake, qa_transport_done *done, void *context) {
    static const qa_transport_ops ops = {start, run, wakeup, cancel_all, free_nothing};
    *fake = (fake_transport){.base = {.ops = &ops, .done = done, .context = context}};
}

void fake_transport_free(fake_transport *fake) {
    for (size_t i = 0; i < fake->count; i++) {
        free(fake->requests[i].url);
        free(fake->requests[i].access_id);
        free(fake->requests[i].body);
    }
    free(fake->requests);
    fake->requests = NULL;
}

size_t fake_transport_first_open(const fake_transport *fake) {
    for (size_t i = 0; i < fake->count; i++) {
        if (fake->requests[i].open)
            return i;
    }
    return SIZE_MAX;
}
