/* lane.h
 * One client's way through a shared sender: its open chunk, its delivery reports, its descriptor.
 * Does not know the other lanes, nor what becomes of a chunk once it is closed.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LANE_H
#define QA_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "report.h"
#include "status.h"

/* The sender's lock guards all of it. */
typedef struct qa_lane {
    struct qa_lane *previous, *next; /* the sender's list */
    qa_chunk *open;                  /* is being filled; NULL: none. In the queue already */
    size_t capacity_hint;            /* what the last chunk needed, and a bit */
    uint64_t pending;                /* events that haven't ended */
    uint64_t chunks;                 /* that point here */
    qa_report_queue *reports;
    int event_fd;       /* -1: nobody asked for one */
    bool event_raised;  /* the descriptor is readable now */
    bool wants_reports; /* somebody will poll */
    bool closed;        /* takes no more events */
    bool detached;      /* closed while others go on: reports to come are not for it any more */
    bool released;      /* its client is gone; it waits for its last chunk */
} qa_lane;

/* NULL with `error` filled when out of memory. */
qa_lane *qa_lane_new(bool wants_reports, qa_error *error);

/* The open chunk, if any, isn't the lane's to free. NULL is legal. */
void qa_lane_free(qa_lane *lane);

/* A descriptor that is readable while reports wait. -1 with `error` filled on failure. */
int qa_lane_fileno(qa_lane *lane, qa_error *error);

/* Makes the descriptor tell whether `waiting` reports are there to be polled. */
void qa_lane_signal(qa_lane *lane, bool waiting);

#endif
