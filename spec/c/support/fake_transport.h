/* fake_transport.h
 * A transport that sends nothing: it keeps what was to be sent, and the test answers.
 * Does not know the sender, nor what a good answer is.
 * SPDX-License-Identifier: MIT */
#ifndef QA_FAKE_TRANSPORT_H
#define QA_FAKE_TRANSPORT_H

#include "transport.h"

typedef struct fake_request {
    void *tag;
    char *url, *access_id, *body; /* body: the list, zero-terminated */
    char authorization[64];
    size_t length;
    int64_t timeout_ms, connect_timeout_ms;
    bool open; /* not answered yet */
} fake_request;

typedef struct fake_transport {
    qa_transport base;
    fake_request *requests; /* all that ever started, in order */
    size_t count, capacity;
    size_t open;      /* not answered yet */
    size_t most_open; /* at a time, so far */
    size_t wakeups;
    bool refuse; /* start fails */
} fake_transport;

/* `done` and `context` as qa_transport has them; start, wakeup and cancel_all work. */
void fake_transport_init(fake_transport *fake, qa_transport_done *done, void *context);
void fake_transport_free(fake_transport *fake);

/* Ends request `index`. `answer` may leave fields 0. */
void fake_transport_answer(fake_transport *fake, size_t index, const qa_answer *answer);

/* The oldest request that isn't answered; SIZE_MAX: none. */
size_t fake_transport_first_open(const fake_transport *fake);

#endif
