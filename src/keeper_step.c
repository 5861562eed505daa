/* keeper_step.c
 * The keeper's thread: what it does next, and how long it may sleep.
 * Does not know what a commit holds (keeper_commit.c).
 * SPDX-License-Identifier: MIT */
#include "keeper_state.h"

#include <time.h>

/* ---- the step -------------------------------------------------------------------------------- */

/* When the next chunk is to be written. */
static int64_t next_due(const qa_sender *sender) {
    const qa_keeper *keeper = sender->keeper;
    int64_t at = QA_CLOCK_NEVER;
    const qa_chunk *first = qa_keeper_first_own(keeper);
    if (first != NULL)
        at = qa_keeper_due_us(keeper, first->opened_us);
    for (const qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->open != NULL)
            at = qa_clock_earlier(at, qa_keeper_due_us(keeper, lane->open->opened_us));
    }
    return at;
}

void qa_keeper_look(qa_sender *sender) {
    if (next_due(sender) < sender->keeper->look_at_us)
        qa_keeper_wake(sender->keeper);
}

static void open_own(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_spool *spool = NULL;
    qa_error error = {.status = QA_OK};
    qa_sender_unlock(sender);
    qa_status status = keeper->engine->open(&keeper->config, &spool, &error);
    qa_sender_lock(sender);
    if (status != QA_OK) {
        qa_keeper_fail(keeper, &error, now_us);
        return;
    }
    keeper->own.spool = spool;
    qa_keeper_well(keeper);
    keeper->engine->gauges(spool, &keeper->gauges);
}

/* Nothing is to be written, so nothing can tell that there is room again: the next one tries. */
static void forgive(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    if (keeper->status != QA_OK && keeper->retry_at_us <= now_us && keeper->own.spool != NULL &&
        !qa_keeper_has_due(sender, now_us))
        qa_keeper_well(keeper);
}

static void finish(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next)
        (void)qa_sender_close_chunk(sender, lane);
    if (keeper->own.spool == NULL)
        open_own(sender, now_us);
    while (qa_keeper_commit_own(sender, &now_us))
        continue;
    keeper->adopted.retry_at_us = INT64_MIN;
    while (qa_keeper_commit_adopted(sender, now_us))
        continue;
    qa_keeper_close_gap(sender);
    qa_spool *own = keeper->own.spool, *adopted = keeper->adopted.spool;
    keeper->own.spool = keeper->adopted.spool = NULL;
    qa_sender_unlock(sender);
    keeper->engine->close(own);
    keeper->engine->close(adopted);
    qa_sender_lock(sender);
    keeper->finished = true;
    pthread_cond_broadcast(&keeper->ended);
}

static void close_due_chunks(qa_sender *sender, int64_t now_us) {
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->open != NULL && qa_keeper_due_us(sender->keeper, lane->open->opened_us) <= now_us)
            (void)qa_sender_close_chunk(sender, lane);
    }
}

static void work(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    close_due_chunks(sender, now_us);
    if (keeper->own.spool == NULL && keeper->retry_at_us <= now_us)
        open_own(sender, now_us);
    if (keeper->retry_at_us <= now_us)
        (void)qa_keeper_commit_own(sender, &now_us);
    forgive(sender, now_us);
    (void)qa_keeper_commit_adopted(sender, now_us);
    qa_keeper_page(sender, now_us);
}

static int64_t next_look(const qa_sender *sender, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    int64_t at = next_due(sender);
    if (qa_keeper_has_due(sender, now_us))
        at = now_us;
    at = qa_clock_earlier(at, keeper->own.gone_due_us);
    if (at < keeper->retry_at_us || keeper->status != QA_OK)
        at = keeper->retry_at_us;
    int64_t adopted_at = keeper->adopted.gone_due_us;
    if (keeper->first_fresh != NULL && keeper->first_fresh->store == &keeper->adopted)
        adopted_at = now_us;
    if (adopted_at < keeper->adopted.retry_at_us)
        adopted_at = keeper->adopted.retry_at_us;
    at = qa_clock_earlier(at, adopted_at);
    if (keeper->gap && keeper->own.retry_at_us > now_us)
        at = qa_clock_earlier(at, keeper->own.retry_at_us);
    at = qa_clock_earlier(at, keeper->adopt_at_us);
    return qa_clock_earlier(at, keeper->tend_at_us);
}

bool qa_keeper_step(qa_sender *sender, int64_t *wait_us) {
    qa_keeper *keeper = sender->keeper;
    qa_sender_lock(sender);
    int64_t now = sender->clock.now_us(sender->clock.state);
    keeper->look_at_us = now; /* whoever wants more than this step does says so from now on */
    keeper->freed = false;
    bool finishing = keeper->finishing;
    if (finishing)
        finish(sender, now);
    else
        work(sender, now);
    bool needed = (sender->hungry || sender->resting) && sender->queue.first_ready != NULL;
    if (needed)
        sender->hungry = sender->resting = false;
    needed = needed || keeper->freed;
    now = sender->clock.now_us(sender->clock.state);
    int64_t at = next_look(sender, now);
    if (keeper->look_at_us == INT64_MIN || keeper->finishing)
        at = now;
    else
        keeper->look_at_us = at;
    *wait_us = at > now ? at - now : 0;
    if (needed && !sender->stopping) /* while it isn't, the transport is there */
        qa_sender_wake(sender);
    qa_sender_unlock(sender);
    return !finishing;
}

static void wait_on(pthread_cond_t *condition, qa_sender *sender, int64_t until_us) {
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_cond_timedwait(condition, &sender->mutex, &until);
}

void qa_keeper_wait(qa_sender *sender, int64_t wait_us) {
    qa_keeper *keeper = sender->keeper;
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), wait_us);
    qa_sender_lock(sender);
    /* Between the step and here somebody may have asked for another one. */
    if (keeper->look_at_us != INT64_MIN && !keeper->finishing && wait_us > 0)
        wait_on(&keeper->wake, sender, until);
    qa_sender_unlock(sender);
}

void qa_keeper_finish(qa_sender *sender) {
    qa_sender_lock(sender);
    sender->keeper->finishing = true;
    pthread_cond_signal(&sender->keeper->wake);
    qa_sender_unlock(sender);
}

bool qa_keeper_wait_finished(qa_sender *sender, int64_t limit_us) {
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), limit_us);
    qa_sender_lock(sender);
    while (!sender->keeper->finished && qa_clock_real.now_us(NULL) < until)
        wait_on(&sender->keeper->ended, sender, until);
    bool finished = sender->keeper->finished;
    qa_sender_unlock(sender);
    return finished;
}
