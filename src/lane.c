/* lane.c
 * One client's way through a shared sender: its open chunk, its delivery reports, its descriptor.
 * Does not know the other lanes, nor what becomes of a chunk once it is closed.
 * SPDX-License-Identifier: MIT */
#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REPORTS_MAX = 10000 }; /* that wait; more are merged, so that no count is lost */

qa_lane *qa_lane_new(bool wants_reports, qa_error *error) {
    qa_lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        qa_error_no_memory(error, "client");
        return NULL;
    }
    lane->event_fd = -1;
    lane->wants_reports = wants_reports;
    lane->reports = qa_report_queue_new(REPORTS_MAX, error);
    if (lane->reports == NULL) {
        free(lane);
        return NULL;
    }
    return lane;
}

void qa_lane_free(qa_lane *lane) {
    if (lane == NULL)
        return;
    if (lane->event_fd >= 0)
        close(lane->event_fd);
    qa_report_queue_free(lane->reports);
    free(lane);
}

int qa_lane_fileno(qa_lane *lane, qa_error *error) {
    if (lane->event_fd >= 0)
        return lane->event_fd;
    lane->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->event_fd < 0)
        qa_error_set(error, QA_NO_MEMORY, "client: cannot make a descriptor: %s",
                     strerror(errno));
    return lane->event_fd;
}

/* The counter is only ever 0 or 1, so neither call can block, and a failure (the host closed a
 * descriptor that wasn't its own) leaves nothing to be done. */
void qa_lane_signal(qa_lane *lane, bool waiting) {
    if (lane->event_fd < 0 || lane->event_raised == waiting)
        return;
    uint64_t value = 1;
    ssize_t moved = waiting ? write(lane->event_fd, &value, sizeof value)
                            : read(lane->event_fd, &value, sizeof value);
    (void)moved;
    lane->event_raised = waiting;
}
