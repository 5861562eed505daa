/* registry.c
 * All engines of the process: clients of equal configuration share one, forks leave them behind.
 * Does not know what an engine does.
 * SPDX-License-Identifier: MIT */
#include "registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"
#include "process.h"

#define EXIT_GRACE_US (500 * 1000)
#define FORK_GRACE_US (50 * 1000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* taken before any sender's lock */
static qa_engine *engines;

/* In a child: what the parents had. Their threads don't exist here, their locks may be held by
 * nobody, their connections are the parent's. So nothing of it is ever touched or freed; it is
 * kept reachable so that leak checkers see that it is on purpose. */
static qa_engine *abandoned;

static void before_fork(void) {
    pthread_mutex_lock(&lock);
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), FORK_GRACE_US);
    for (qa_engine *engine = engines; engine != NULL; engine = engine->next)
        qa_engine_hold(engine, until);
}

static void after_fork_in_parent(void) {
    for (qa_engine *engine = engines; engine != NULL; engine = engine->next)
        qa_engine_resume(engine);
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void) {
    qa_engine **end = &engines;
    while (*end != NULL)
        end = &(*end)->next;
    *end = abandoned;
    abandoned = engines;
    engines = NULL;
    atomic_fetch_add(&qa_process_forks, 1);
    pthread_mutex_unlock(&lock);
}

static void at_exit(void) {
    pthread_mutex_lock(&lock);
    atomic_store(&qa_process_exiting, true);
    for (qa_engine *engine = engines; engine != NULL; engine = engine->next)
        qa_engine_halt_begin(engine);
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), EXIT_GRACE_US);
    for (qa_engine *engine = engines; engine != NULL; engine = engine->next)
        qa_engine_halt_wait(engine, until);
    pthread_mutex_unlock(&lock);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int hook_failure;

static void install_hooks(void) {
    hook_failure = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    /* Registered after libcurl and OpenSSL registered theirs (an engine was made before), so it
     * runs before them: the threads are gone when the libraries shut down. */
    if (hook_failure == 0 && atexit(at_exit) != 0)
        hook_failure = -1;
}

static qa_engine *find(const qa_client_config *config) {
    for (qa_engine *engine = engines; engine != NULL; engine = engine->next) {
        if (qa_config_equal(engine->config, config))
            return engine;
    }
    return NULL;
}

static qa_engine *add(const qa_client_config *config, qa_error *error) {
    qa_engine *engine = qa_engine_new(config, error);
    if (engine == NULL)
        return NULL;
    pthread_once(&once, install_hooks);
    if (hook_failure != 0) {
        qa_engine_unref(engine);
        qa_error_no_memory(error, "client");
        return NULL;
    }
    engine->next = engines;
    engines = engine;
    return engine;
}

qa_engine *qa_registry_open(const qa_client_config *config, qa_error *error) {
    pthread_mutex_lock(&lock);
    qa_engine *engine = find(config);
    if (engine != NULL)
        qa_engine_ref(engine);
    else
        engine = add(config, error);
    if (engine != NULL)
        engine->open++;
    pthread_mutex_unlock(&lock);
    return engine;
}

bool qa_registry_close(qa_engine *engine) {
    pthread_mutex_lock(&lock);
    bool last = --engine->open == 0;
    if (last) {
        qa_engine **at = &engines;
        while (*at != engine)
            at = &(*at)->next;
        *at = engine->next;
    }
    pthread_mutex_unlock(&lock);
    return last;
}

bool qa_registry_is_shared(qa_engine *engine) {
    pthread_mutex_lock(&lock);
    bool shared = engine->open > 1;
    pthread_mutex_unlock(&lock);
    return shared;
}

enum { FLUSHED_MAX = 64 };

void qa_registry_flush(int64_t timeout_us) {
    qa_engine *found[FLUSHED_MAX];
    uint64_t marks[FLUSHED_MAX];
    size_t count = 0;
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), timeout_us);
    pthread_mutex_lock(&lock);
    for (qa_engine *engine = engines; engine != NULL && count < FLUSHED_MAX;
         engine = engine->next) {
        qa_engine_ref(engine);
        marks[count] = qa_sender_flush_begin(engine->sender);
        found[count++] = engine;
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) {
        uint64_t left;
        int64_t wait_us = until - qa_clock_real.now_us(NULL);
        qa_sender_flush_wait(found[i]->sender, marks[i], wait_us > 0 ? wait_us : 0, &left);
        qa_engine_unref(found[i]);
    }
}

qa_status qa_registry_set_credentials(qa_engine *engine, const qa_credentials *credentials,
                                      qa_error *error) {
    pthread_mutex_lock(&lock);
    qa_status status = qa_sender_set_credentials(engine->sender, credentials, error);
    pthread_mutex_unlock(&lock);
    return status;
}
