/* report.h
 * Delivery reports, and the bounded queue in which they wait for the host to take them.
 * Does not know which events a report is about, nor who reads it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_REPORT_H
#define QA_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "response.h"
#include "status.h"

typedef enum qa_report_status {
    QA_REPORT_DELIVERED, /* the service confirmed it */
    QA_REPORT_DEAD,      /* the service refused it: it is a dead letter now */
    QA_REPORT_DROPPED    /* given up: the deadline passed, or the client was closed */
} qa_report_status;

enum { QA_REPORT_STATUSES = 3 };

/* The end of `events` events that ended alike. Texts are UTF-8, zero-terminated, "" when absent. */
typedef struct qa_report {
    qa_report_status status;
    qa_status code;       /* QA_OK for delivered events */
    bool possibly_stored; /* for events not delivered: some of them may have been stored */
    uint64_t events;
    uint64_t merged; /* further reports whose counts are in this one and whose texts were let go */
    char trace_id[QA_RESPONSE_TRACE_MAX];
    char message[QA_ERROR_MAX];
} qa_report;

/* "delivered", "dead", "dropped": as users see it; static strings. */
const char *qa_report_status_text(qa_report_status status);

/* First in, first out. One thread at a time (the owner's lock). */
typedef struct qa_report_queue qa_report_queue;

/* Holds `max` reports (at least 1) and at most one more of each status; see qa_report_queue_push.
 * The caller owns it. NULL with `error` filled when out of memory. */
qa_report_queue *qa_report_queue_new(size_t max, qa_error *error);
void qa_report_queue_free(qa_report_queue *queue); /* NULL is legal */

/* Appends a copy. Cannot fail, and no count is ever lost: a report that equals the newest in
 * everything but its count is added to it; at the bound, or without memory, it is merged into the
 * newest of its status, whose texts and code stay, and where there is none it takes that status's
 * spare place. `report->merged` is normally 0. */
void qa_report_queue_push(qa_report_queue *queue, const qa_report *report);

/* Takes the oldest one; false when there is none. */
bool qa_report_queue_pop(qa_report_queue *queue, qa_report *out);

/* Appends all of `from` to `to` and leaves `from` empty. */
void qa_report_queue_move(qa_report_queue *from, qa_report_queue *to);

size_t qa_report_queue_length(const qa_report_queue *queue);  /* reports that wait */
uint64_t qa_report_queue_events(const qa_report_queue *queue); /* events they stand for */

#endif
