/* process.c
 * Which process this is: a number that grows with every fork, read without a system call.
 * Does not know what has to start anew in a child.
 * SPDX-License-Identifier: MIT */
#include "process.h"

atomic_uint qa_process_forks;
