/* process_look.h
 * What a process holds: its threads and descriptors, counted from /proc; and children, waited for.
 * Does not know who they belong to.
 * SPDX-License-Identifier: MIT */
#ifndef QA_PROCESS_LOOK_H
#define QA_PROCESS_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

size_t process_threads(void);

/* Waits, 20 s at most, until there are `count` threads: one that was joined is seen a moment
 * longer. Whether there are. */
bool process_await_threads(size_t count);

size_t process_descriptors(void);
size_t process_rss_bytes(void);

/* The status line of the first thread of that name, such as "SigBlk"; 0: no such thread. */
unsigned long long process_thread_mask(const char *thread, const char *field);

/* How nice the first thread of that name is; INT_MAX: no such thread. */
int process_thread_nice(const char *thread);

/* Waits for the child, 20 s at most (then it is killed and the test fails): its wait status. */
int process_wait(pid_t child);

#endif
