/* engine.c
 * A sender at work: with its configuration, its transport and its thread.
 * Does not know which clients use it, nor what other engines the process has.
 * SPDX-License-Identifier: MIT */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "clock.h"
#include "keeper.h"
#include "process.h"
#include "response.h"
#include "spool_sqlite.h"
#include "transport_curl.h"

struct qa_engine_worker {
    qa_transport *transport; /* used by the thread alone, but for its wakeup */
    uint64_t random;         /* the sender's, under its lock */
    atomic_uint shares;
    atomic_bool running;  /* the thread was started: set once, for a look without the lock */
    atomic_bool hold;     /* the thread is to rest before its next step */
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    pthread_t thread, keeper;
    bool started, resting, finished;
    bool keeping; /* the keeper's thread was started */
};

enum { NICE_STEPS = 5 };

/* How long the end of a process or of a client waits for the last commit. */
#define KEEPER_GRACE_US (2 * 1000 * 1000)
#define KEEPER_EXIT_GRACE_US (400 * 1000)

/* Spreads retries only, so a clock does where the kernel has nothing. */
static uint64_t seed(void) {
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        bits = (uint64_t)qa_clock_real.now_us(NULL);
    return bits;
}

static bool init_locks(struct qa_engine_worker *worker) {
    pthread_condattr_t timing;
    if (pthread_condattr_init(&timing) != 0)
        return false;
    bool ok = pthread_condattr_setclock(&timing, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&worker->changed, &timing) == 0;
    pthread_condattr_destroy(&timing);
    if (!ok)
        return false;
    if (pthread_mutex_init(&worker->mutex, NULL) == 0)
        return true;
    pthread_cond_destroy(&worker->changed);
    return false;
}

static struct qa_engine_worker *new_worker(qa_error *error) {
    struct qa_engine_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL || !init_locks(worker)) {
        free(worker);
        qa_error_no_memory(error, "client");
        return NULL;
    }
    worker->random = seed();
    atomic_init(&worker->shares, 1);
    return worker;
}

static void free_transport(struct qa_engine_worker *worker) {
    if (worker->transport != NULL)
        worker->transport->ops->free(worker->transport);
    worker->transport = NULL;
}

static void free_engine(qa_engine *engine) {
    struct qa_engine_worker *worker = engine->worker;
    if (worker != NULL) {
        free_transport(worker);
        pthread_cond_destroy(&worker->changed);
        pthread_mutex_destroy(&worker->mutex);
        free(worker);
    }
    qa_sender_free(engine->sender);
    qa_config_free(engine->config);
    free(engine);
}

static bool build(qa_engine *engine, const qa_client_config *config, qa_error *error) {
    engine->config = qa_config_copy(config, error);
    if (engine->config == NULL)
        return false;
    engine->worker = new_worker(error);
    if (engine->worker == NULL)
        return false;
    qa_random random = {qa_random_next, &engine->worker->random};
    engine->sender = qa_sender_new(engine->config, &qa_clock_real, &random, error);
    if (engine->sender == NULL)
        return false;
    if (config->spool != NULL && qa_sender_keep(engine->sender, &qa_spool_sqlite, error) != QA_OK)
        return false;
    qa_transport_curl_options options = {.ca_file = config->ca_file,
                                         .proxy = config->proxy,
                                         .user_agent = config->user_agent,
                                         .connections_max = config->max_in_flight,
                                         .response_max = QA_RESPONSE_MAX};
    engine->worker->transport =
        qa_transport_curl_new(&options, qa_sender_done, engine->sender, error);
    if (engine->worker->transport == NULL)
        return false;
    qa_sender_attach(engine->sender, engine->worker->transport);
    return true;
}

qa_engine *qa_engine_new(const qa_client_config *config, qa_error *error) {
    qa_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        qa_error_no_memory(error, "client");
        return NULL;
    }
    if (build(engine, config, error))
        return engine;
    free_engine(engine);
    return NULL;
}

void qa_engine_ref(qa_engine *engine) {
    atomic_fetch_add(&engine->worker->shares, 1);
}

void qa_engine_unref(qa_engine *engine) {
    if (atomic_fetch_sub(&engine->worker->shares, 1) == 1)
        free_engine(engine);
}

/* ---- the thread ---- */

static int64_t to_wait_ms(int64_t wait_us) {
    return wait_us < 0 ? -1 : wait_us / 1000 + (wait_us % 1000 > 0);
}

/* The thread must not take the core from the very call that woke it: a batch task is never put
 * before a running one (Linux). Needs no privilege; where it is refused, calls wait at times. */
static void give_way(void) {
    const struct sched_param none = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

/* Nor is it to take a core from the host's own work while that has more to do than the machine has
 * cores: a quarter of one is what it gets then at least, and is worth half a million events a
 * second. The keeper isn't slowed down: it has promised a time. */
static void step_back(void) {
    errno = 0;
    int before = getpriority(PRIO_PROCESS, 0); /* on Linux: of this thread */
    if (errno == 0)
        (void)setpriority(PRIO_PROCESS, 0, before + NICE_STEPS);
}

static void rest(struct qa_engine_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    worker->resting = true;
    pthread_cond_broadcast(&worker->changed);
    while (atomic_load(&worker->hold))
        pthread_cond_wait(&worker->changed, &worker->mutex);
    worker->resting = false;
    pthread_mutex_unlock(&worker->mutex);
}

static void *keep(void *argument) {
    qa_engine *engine = argument;
    int64_t wait_us;
    give_way();
    while (qa_keeper_step(engine->sender, &wait_us))
        qa_keeper_wait(engine->sender, wait_us);
    if (!atomic_load(&qa_process_exiting)) /* as in work() */
        qa_engine_unref(engine);
    return NULL;
}

/* After the transport has ended everything: what is left is committed, and the disk let go of. A disk
 * that takes longer goes on alone. */
static void end_keeper(qa_engine *engine) {
    struct qa_engine_worker *worker = engine->worker;
    bool exiting = atomic_load(&qa_process_exiting);
    if (!worker->keeping)
        return;
    qa_keeper_finish(engine->sender);
    if (qa_keeper_wait_finished(engine->sender, exiting ? KEEPER_EXIT_GRACE_US : KEEPER_GRACE_US))
        pthread_join(worker->keeper, NULL);
    else
        pthread_detach(worker->keeper);
}

static void *work(void *argument) {
    qa_engine *engine = argument;
    struct qa_engine_worker *worker = engine->worker;
    int64_t wait_us;
    give_way();
    step_back();
    while (qa_sender_step(engine->sender, &wait_us)) {
        worker->transport->ops->run(worker->transport, to_wait_ms(wait_us));
        if (atomic_load(&worker->hold))
            rest(worker);
    }
    worker->transport->ops->cancel_all(worker->transport);
    end_keeper(engine);
    bool exiting = atomic_load(&qa_process_exiting);
    if (!exiting)
        qa_sender_drop_all(engine->sender);
    pthread_mutex_lock(&worker->mutex);
    worker->finished = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (!exiting) /* else the last share would free a transport, whose libraries may be gone */
        qa_engine_unref(engine);
    return NULL;
}

static int create_one(qa_engine *engine, pthread_t *thread, void *run(void *),
                      const char *name) {
    qa_engine_ref(engine);
    int failure = pthread_create(thread, NULL, run, engine);
    if (failure != 0)
        qa_engine_unref(engine);
    else
        pthread_setname_np(*thread, name);
    return failure;
}

/* Signals are the host's business: a thread that doesn't block them would take them from it. The
 * four that a fault of the thread itself raises must stay, or the kernel kills without a word. */
static int create_thread(qa_engine *engine) {
    sigset_t blocked, before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    int failure = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (failure != 0)
        return failure;
    struct qa_engine_worker *worker = engine->worker;
    if (qa_sender_keeps(engine->sender) && !worker->keeping) {
        failure = create_one(engine, &worker->keeper, keep, "qa-spool");
        worker->keeping = failure == 0;
    }
    if (failure == 0)
        failure = create_one(engine, &worker->thread, work, "quickaudience");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

qa_status qa_engine_start(qa_engine *engine, qa_error *error) {
    struct qa_engine_worker *worker = engine->worker;
    if (atomic_load_explicit(&worker->running, memory_order_acquire))
        return QA_OK;
    int failure = 0;
    pthread_mutex_lock(&worker->mutex);
    if (!worker->started) {
        failure = create_thread(engine);
        worker->started = failure == 0;
        atomic_store_explicit(&worker->running, worker->started, memory_order_release);
    }
    pthread_mutex_unlock(&worker->mutex);
    if (failure == 0)
        return QA_OK;
    return qa_error_set(error, QA_NO_MEMORY, "client: cannot start a thread: %s",
                        strerror(failure));
}

/* Whether *flag is set by then. With the worker's lock held. */
static bool wait_for(struct qa_engine_worker *worker, const bool *flag, int64_t until_us) {
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    int failure = 0;
    while (!*flag && failure == 0)
        failure = pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
    return *flag;
}

/* Whether the thread has done its last step by then. */
static bool wait_finished(struct qa_engine_worker *worker, int64_t until_us) {
    pthread_mutex_lock(&worker->mutex);
    bool finished = wait_for(worker, &worker->finished, until_us);
    pthread_mutex_unlock(&worker->mutex);
    return finished;
}

bool qa_engine_stop(qa_engine *engine, int64_t grace_us) {
    struct qa_engine_worker *worker = engine->worker;
    if (qa_sender_keeps(engine->sender))
        grace_us = qa_clock_add(grace_us, KEEPER_GRACE_US);
    qa_sender_stop(engine->sender);
    pthread_mutex_lock(&worker->mutex);
    bool started = worker->started;
    pthread_mutex_unlock(&worker->mutex);
    if (!started) {
        qa_sender_drop_all(engine->sender);
    } else if (!wait_finished(worker, qa_clock_add(qa_clock_real.now_us(NULL), grace_us))) {
        pthread_detach(worker->thread);
        return false;
    } else {
        pthread_join(worker->thread, NULL);
    }
    qa_sender_attach(engine->sender, NULL);
    free_transport(worker);
    return true;
}

void qa_engine_hold(qa_engine *engine, int64_t until_us) {
    struct qa_engine_worker *worker = engine->worker;
    pthread_mutex_lock(&worker->mutex);
    if (worker->started) {
        atomic_store(&worker->hold, true);
        worker->transport->ops->wakeup(worker->transport);
        (void)wait_for(worker, &worker->resting, until_us);
    }
    pthread_mutex_unlock(&worker->mutex);
}

void qa_engine_resume(qa_engine *engine) {
    struct qa_engine_worker *worker = engine->worker;
    pthread_mutex_lock(&worker->mutex);
    atomic_store(&worker->hold, false);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

void qa_engine_halt_begin(qa_engine *engine) {
    qa_sender_stop(engine->sender);
}

void qa_engine_halt_wait(qa_engine *engine, int64_t until_us) {
    pthread_mutex_lock(&engine->worker->mutex);
    bool started = engine->worker->started;
    pthread_mutex_unlock(&engine->worker->mutex);
    /* Joined, not only finished: what a thread does last is to give back what OpenSSL keeps for it,
     * and OpenSSL is what shuts down next. */
    if (started && wait_finished(engine->worker, until_us))
        pthread_join(engine->worker->thread, NULL);
}
