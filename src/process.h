/* process.h
 * Which process this is: a number that grows with every fork, read without a system call.
 * Does not know what has to start anew in a child.
 * SPDX-License-Identifier: MIT */
#ifndef QA_PROCESS_H
#define QA_PROCESS_H

#include <stdatomic.h>

/* Only the fork handler of registry.c changes it, in the child, where there is one thread. */
extern atomic_uint qa_process_forks;

static inline unsigned qa_process_generation(void) {
    return atomic_load_explicit(&qa_process_forks, memory_order_relaxed);
}

#endif
