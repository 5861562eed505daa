/* process.h
 * What the process is going through: how many forks it is away from the first one, and its exit.
 * Does not know what has to start anew in a child, nor what has to end.
 * SPDX-License-Identifier: MIT */
#ifndef QA_PROCESS_H
#define QA_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

/* Only the fork handler of registry.c changes it, in the child, where there is one thread. */
extern atomic_uint qa_process_forks;

/* The exit handlers have begun: from now on a thread that is left must not use any library. */
extern atomic_bool qa_process_exiting;

/* Without a system call, as report() asks each time. */
static inline unsigned qa_process_generation(void) {
    return atomic_load_explicit(&qa_process_forks, memory_order_relaxed);
}

#endif
