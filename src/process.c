/* process.c
 * What the process is going through: how many forks it is away from the first one, and its exit.
 * Does not know what has to start anew in a child, nor what has to end.
 * SPDX-License-Identifier: MIT */
#include "process.h"

atomic_uint qa_process_forks;
atomic_bool qa_process_exiting;
