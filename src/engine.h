/* engine.h
 * A sender at work: with its configuration, its transport and its thread.
 * Does not know which clients use it, nor what other engines the process has.
 * SPDX-License-Identifier: MIT */
#ifndef QA_ENGINE_H
#define QA_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "sender.h"
#include "status.h"

typedef struct qa_engine {
    struct qa_engine *next;   /* the registry's list, and under its lock */
    uint64_t open;            /* clients that aren't closed; likewise */
    qa_client_config *config; /* credentials change under the registry's lock */
    qa_sender *sender;        /* lives as long as the engine */
    struct qa_engine_worker *worker;
} qa_engine;

/* Makes all but the thread, so that a configuration that can't work (a CA file that isn't there) is
 * told at once. One share is the caller's. NULL with `error` filled on failure. */
qa_engine *qa_engine_new(const qa_client_config *config, qa_error *error);

/* A share more; a share less: the last one frees it. The thread has a share of its own. */
void qa_engine_ref(qa_engine *engine);
void qa_engine_unref(qa_engine *engine);

/* Starts the thread unless it runs. Any thread; cheap when there is nothing to do. */
qa_status qa_engine_start(qa_engine *engine, qa_error *error);

/* Stops the thread; what is left is dropped and reported. Waits `grace_us` for the thread, which is
 * needed only if libcurl waits for something it can't be torn from (a resolver); then the thread
 * goes on alone, and frees what it still uses. False in that case. Once, by one thread. */
bool qa_engine_stop(qa_engine *engine, int64_t grace_us);

/* The process forks: the thread is held where it is in no library, for those have locks that a
 * child would find taken for ever. Waits until then, or until `until_us`; then resume it, in the
 * parent. */
void qa_engine_hold(qa_engine *engine, int64_t until_us);
void qa_engine_resume(qa_engine *engine);

/* The process exits, and qa_process_exiting says so: the thread is stopped so that it uses no
 * library while those are being shut down. Drops, reports and frees nothing. Two calls, so that
 * many engines end at a time. */
void qa_engine_halt_begin(qa_engine *engine);
void qa_engine_halt_wait(qa_engine *engine, int64_t until_us);

#endif
