/* disk_run.h
 * Clients whose disk and whose service fail at random at the same time, and the accounts after.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#ifndef QA_DISK_RUN_H
#define QA_DISK_RUN_H

#include <stdint.h>

#include "support/spool_client.h"

enum { DISK_RUN_EVENTS = 4000 };

/* So many lives share DISK_RUN_EVENTS; each but the last is closed with events pending, while the
 * disk fails. Fails the test unless every event arrived and none was dropped. */
void disk_run(spool_clients *world, unsigned lives, uint64_t seed);

#endif
