/* ticket.c
 * One direct send: its bytes on the way out, and its result, which the caller waits or polls for.
 * Does not know who sends it, nor when.
 * SPDX-License-Identifier: MIT */
#include "ticket.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "process.h"

struct qa_ticket {
    pthread_mutex_t mutex; /* guards refs, done, result */
    pthread_cond_t ended;
    unsigned generation; /* of the process that made it */
    unsigned refs;       /* the caller, the sender */
    bool done;
    qa_send_result result;
    qa_ticket *next;
    int64_t started_us;
    size_t length, count;
    char events[];
};

/* In a child, the sender that would end the parent's ticket doesn't exist, and a thread that is
 * gone may hold the mutex: nothing of it may be touched. */
static const qa_send_result forked = {
    .status = QA_CLOSED,
    .possibly_stored = true,
    .message = "send: the process forked while the request was under way",
};

static bool inherited(const qa_ticket *ticket) {
    return ticket->generation != qa_process_generation();
}

static bool init_locks(qa_ticket *ticket) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    bool ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&ticket->ended, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (!ok)
        return false;
    if (pthread_mutex_init(&ticket->mutex, NULL) == 0)
        return true;
    pthread_cond_destroy(&ticket->ended);
    return false;
}

qa_ticket *qa_ticket_new(const char *events, size_t length, size_t count, qa_error *error) {
    qa_ticket *ticket = length < SIZE_MAX / 2 ? calloc(1, sizeof *ticket + length) : NULL;
    if (ticket == NULL || !init_locks(ticket)) {
        free(ticket);
        qa_error_no_memory(error, "send");
        return NULL;
    }
    ticket->generation = qa_process_generation();
    ticket->refs = 2;
    ticket->length = length;
    ticket->count = count;
    if (length > 0)
        memcpy(ticket->events, events, length);
    return ticket;
}

static void destroy(qa_ticket *ticket) {
    pthread_mutex_destroy(&ticket->mutex);
    pthread_cond_destroy(&ticket->ended);
    free(ticket);
}

void qa_ticket_free(qa_ticket *ticket) {
    if (ticket == NULL)
        return;
    if (inherited(ticket)) {
        free(ticket);
        return;
    }
    pthread_mutex_lock(&ticket->mutex);
    bool last = --ticket->refs == 0;
    pthread_mutex_unlock(&ticket->mutex);
    if (last)
        destroy(ticket);
}

void qa_ticket_finish(qa_ticket *ticket, const qa_send_result *result) {
    pthread_mutex_lock(&ticket->mutex);
    ticket->result = *result;
    ticket->done = true;
    pthread_cond_broadcast(&ticket->ended);
    bool last = --ticket->refs == 0;
    pthread_mutex_unlock(&ticket->mutex);
    if (last)
        destroy(ticket);
}

bool qa_ticket_done(qa_ticket *ticket) {
    if (inherited(ticket))
        return true;
    pthread_mutex_lock(&ticket->mutex);
    bool done = ticket->done;
    pthread_mutex_unlock(&ticket->mutex);
    return done;
}

bool qa_ticket_wait(qa_ticket *ticket, int64_t timeout_us) {
    if (inherited(ticket))
        return true;
    int64_t until = timeout_us < 0 ? QA_CLOCK_NEVER
                                   : qa_clock_add(qa_clock_real.now_us(NULL), timeout_us);
    struct timespec deadline = {.tv_sec = (time_t)(until / 1000000),
                                .tv_nsec = (long)(until % 1000000) * 1000};
    pthread_mutex_lock(&ticket->mutex);
    int failure = 0;
    while (!ticket->done && failure == 0) {
        failure = until == QA_CLOCK_NEVER
                      ? pthread_cond_wait(&ticket->ended, &ticket->mutex)
                      : pthread_cond_timedwait(&ticket->ended, &ticket->mutex, &deadline);
    }
    bool done = ticket->done;
    pthread_mutex_unlock(&ticket->mutex);
    return done;
}

const qa_send_result *qa_ticket_result(qa_ticket *ticket) {
    if (inherited(ticket))
        return &forked;
    return qa_ticket_done(ticket) ? &ticket->result : NULL;
}

bool qa_ticket_abandoned(qa_ticket *ticket) {
    pthread_mutex_lock(&ticket->mutex);
    bool abandoned = ticket->refs == 1;
    pthread_mutex_unlock(&ticket->mutex);
    return abandoned;
}

const char *qa_ticket_events(const qa_ticket *ticket, size_t *length, size_t *count) {
    *length = ticket->length;
    *count = ticket->count;
    return ticket->events;
}

qa_ticket **qa_ticket_next(qa_ticket *ticket) {
    return &ticket->next;
}

int64_t *qa_ticket_started_us(qa_ticket *ticket) {
    return &ticket->started_us;
}
