/* report.c
 * Delivery reports, and the bounded queue in which they wait for the host to take them.
 * Does not know which events a report is about, nor who reads it.
 * SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdlib.h>
#include <string.h>

/* A place holds only the texts it has: a report of success has no message, and ten thousand of
 * them may wait. */
typedef struct place {
    struct place *next;
    uint64_t events;
    uint64_t merged;
    qa_report_status status;
    qa_status code;
    bool possibly_stored;
    uint16_t trace_size, message_size; /* end marks included */
    char texts[];                      /* the trace id, then the message */
} place;

struct qa_report_queue {
    place *head, *tail;
    place *newest[QA_REPORT_STATUSES]; /* in the queue, or NULL */
    place *spare[QA_REPORT_STATUSES];  /* room for any texts; in the queue, or waiting to be */
    size_t max;
    size_t length;
    uint64_t events;
};

const char *qa_report_status_text(qa_report_status status) {
    switch (status) {
    case QA_REPORT_DELIVERED: return "delivered";
    case QA_REPORT_DEAD: return "dead";
    case QA_REPORT_DROPPED: return "dropped";
    }
    return "unknown";
}

qa_report_queue *qa_report_queue_new(size_t max, qa_error *error) {
    qa_report_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        qa_error_no_memory(error, "delivery reports");
        return NULL;
    }
    queue->max = max > 0 ? max : 1;
    for (size_t i = 0; i < QA_REPORT_STATUSES; i++) {
        queue->spare[i] = malloc(sizeof(place) + QA_RESPONSE_TRACE_MAX + QA_ERROR_MAX);
        if (queue->spare[i] == NULL) {
            qa_report_queue_free(queue);
            qa_error_no_memory(error, "delivery reports");
            return NULL;
        }
    }
    return queue;
}

void qa_report_queue_free(qa_report_queue *queue) {
    if (queue == NULL)
        return;
    while (queue->head != NULL) {
        place *next = queue->head->next;
        if (queue->head != queue->spare[queue->head->status])
            free(queue->head);
        queue->head = next;
    }
    for (size_t i = 0; i < QA_REPORT_STATUSES; i++)
        free(queue->spare[i]);
    free(queue);
}

static bool same_but_count(const place *at, const qa_report *report) {
    return at->status == report->status && at->code == report->code &&
           at->possibly_stored == report->possibly_stored &&
           strcmp(at->texts, report->trace_id) == 0 &&
           strcmp(at->texts + at->trace_size, report->message) == 0;
}

/* A place of its own for the report while there is room and memory, else the spare of its status,
 * else NULL, and then a place with that status is in the queue: the spare itself, if no other. */
static place *take_place(qa_report_queue *queue, const qa_report *report, size_t texts) {
    if (queue->length < queue->max) {
        place *at = malloc(sizeof *at + texts);
        if (at != NULL)
            return at;
    }
    if (queue->newest[report->status] != NULL)
        return NULL;
    return queue->spare[report->status];
}

static void append(qa_report_queue *queue, place *at) {
    at->next = NULL;
    if (queue->tail != NULL)
        queue->tail->next = at;
    else
        queue->head = at;
    queue->tail = at;
    queue->newest[at->status] = at;
    queue->length++;
}

void qa_report_queue_push(qa_report_queue *queue, const qa_report *report) {
    queue->events += report->events;
    if (queue->tail != NULL && same_but_count(queue->tail, report)) {
        queue->tail->events += report->events;
        queue->tail->merged += report->merged;
        return;
    }
    size_t trace_size = strlen(report->trace_id) + 1;
    size_t message_size = strlen(report->message) + 1;
    place *at = take_place(queue, report, trace_size + message_size);
    if (at == NULL) {
        at = queue->newest[report->status];
        at->events += report->events;
        at->merged += report->merged + 1;
        at->possibly_stored = at->possibly_stored || report->possibly_stored;
        return;
    }
    at->status = report->status;
    at->code = report->code;
    at->possibly_stored = report->possibly_stored;
    at->events = report->events;
    at->merged = report->merged;
    at->trace_size = (uint16_t)trace_size;
    at->message_size = (uint16_t)message_size;
    memcpy(at->texts, report->trace_id, trace_size);
    memcpy(at->texts + trace_size, report->message, message_size);
    append(queue, at);
}

static void unlink_head(qa_report_queue *queue) {
    place *at = queue->head;
    queue->head = at->next;
    if (queue->head == NULL)
        queue->tail = NULL;
    if (queue->newest[at->status] == at)
        queue->newest[at->status] = NULL;
    queue->length--;
    queue->events -= at->events;
    if (at != queue->spare[at->status])
        free(at);
}

bool qa_report_queue_pop(qa_report_queue *queue, qa_report *out) {
    const place *at = queue->head;
    if (at == NULL)
        return false;
    out->status = at->status;
    out->code = at->code;
    out->possibly_stored = at->possibly_stored;
    out->events = at->events;
    out->merged = at->merged;
    memcpy(out->trace_id, at->texts, at->trace_size);
    memcpy(out->message, at->texts + at->trace_size, at->message_size);
    unlink_head(queue);
    return true;
}

void qa_report_queue_move(qa_report_queue *from, qa_report_queue *to) {
    qa_report report;
    while (qa_report_queue_pop(from, &report))
        qa_report_queue_push(to, &report);
}

size_t qa_report_queue_length(const qa_report_queue *queue) {
    return queue->length;
}

uint64_t qa_report_queue_events(const qa_report_queue *queue) {
    return queue->events;
}
