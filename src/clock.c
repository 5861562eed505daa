/* clock.c
 * Where time comes from, as an argument, so that tests move it.
 * Does not know what is timed.
 * SPDX-License-Identifier: MIT */
#include "clock.h"

#include <time.h>

/* clock_gettime with these two clocks cannot fail where it exists at all. */
static int64_t real_now_us(void *state) {
    (void)state;
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_wall_ms(void *state) {
    (void)state;
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const qa_clock qa_clock_real = {real_now_us, real_wall_ms, 0};
