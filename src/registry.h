/* registry.h
 * All engines of the process: clients of equal configuration share one, forks leave them behind.
 * Does not know what an engine does.
 * SPDX-License-Identifier: MIT */
#ifndef QA_REGISTRY_H
#define QA_REGISTRY_H

#include <stdbool.h>

#include "config.h"
#include "engine.h"
#include "status.h"

/* The engine of this configuration, made if there is none, with one share and one open client more
 * for the caller. Any thread. NULL with `error` filled on failure. */
qa_engine *qa_registry_open(const qa_client_config *config, qa_error *error);

/* One open client less. True: it was the last, the engine is out of the registry, and the caller
 * has to stop it. The share stays the caller's. */
bool qa_registry_close(qa_engine *engine);

/* Gives all engines together at most `timeout_us` to deliver what they have accepted so far. */
void qa_registry_flush(int64_t timeout_us);

/* Open clients of the engine. */
bool qa_registry_is_shared(qa_engine *engine);

/* So that a client that is opened later with the new credentials finds this engine. */
qa_status qa_registry_set_credentials(qa_engine *engine, const qa_credentials *credentials,
                                      qa_error *error);

#endif
