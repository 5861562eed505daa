/* sender_life.c
 * A sender and its keeper side by side on one clock, each stepped only when it would be awake.
 * Does not know what is tested, nor threads.
 * SPDX-License-Identifier: MIT */
#include "support/sender_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One life at a time: a world's `meanwhile` has no context of its own. */
static life *alive;

void life_count(life_tally *tally, const char *list) {
    for (const char *at = list; (at = strstr(at, "{\"n\":")) != NULL; at++) {
        uint64_t n = strtoull(at + 5, NULL, 10);
        assert_true(n < LIFE_EVENTS_MAX);
        tally->seen[n]++;
        tally->count++;
        if (n < tally->next)
            tally->ordered = false;
        tally->next = n + 1;
    }
}

void life_assert_all_once(const life *l, uint64_t count) {
    for (uint64_t n = 0; n < LIFE_EVENTS_MAX; n++) {
        if (l->tally.seen[n] != (n < count ? 1 : 0))
            fail_msg("event %llu was taken %u times", (unsigned long long)n, l->tally.seen[n]);
    }
}

/* ---- the sender's side ---- */

static bool report_some(life *l) {
    world *w = l->w;
    bool any = false;
    while (l->to_report > 0) {
        char event[48];
        qa_error error;
        snprintf(event, sizeof event, "{\"n\":%llu}", (unsigned long long)w->next_event);
        if (qa_sender_report(w->sender, w->lane, event, strlen(event), 1, &error) != QA_OK)
            break;
        w->next_event++;
        l->to_report--;
        any = true;
    }
    return any;
}

static bool answer_one(life *l) {
    fake_transport *transport = &l->w->transport;
    if (transport->open == 0 || l->deaf || l->answer_at_us > l->w->now_us)
        return false;
    size_t index = fake_transport_first_open(transport);
    const char *list = transport->requests[index].body;
    bool large = l->too_large > 0 && index % l->too_large == 0 && strchr(list, '\n') != NULL;
    int status = large ? 413 : l->http_status;
    qa_answer answer = status == 0 ? world_ok() : world_http(status, NULL);
    if (status == 0)
        life_count(&l->tally, list);
    fake_transport_answer(transport, index, &answer);
    l->answer_at_us = QA_CLOCK_NEVER;
    l->sender_at_us = l->w->now_us; /* its thread steps after the transport has run */
    return true;
}

static bool step_sender(life *l) {
    world *w = l->w;
    if (w->transport.wakeups == l->wakeups && l->sender_at_us > w->now_us)
        return false;
    l->wakeups = w->transport.wakeups;
    int64_t wait = world_step(w);
    l->sender_at_us = wait < 0 ? QA_CLOCK_NEVER : w->now_us + wait;
    return true;
}

static void note_idleness(life *l) {
    const world *w = l->w;
    qa_stats stats = world_stats(l->w);
    bool waits = stats.counts.queued + stats.counts.spooled > 0 && w->transport.open == 0;
    if (!waits)
        l->idle_since_us = QA_CLOCK_NEVER;
    else if (l->idle_since_us == QA_CLOCK_NEVER)
        l->idle_since_us = w->now_us;
    if (waits && w->now_us - l->idle_since_us > l->most_idle_us)
        l->most_idle_us = w->now_us - l->idle_since_us;
}

static void turn_sender(life *l) {
    bool any = true;
    while (any) {
        any = report_some(l);
        any = answer_one(l) || any;
        any = step_sender(l) || any;
    }
    if (l->w->transport.open > 0 && l->answer_at_us == QA_CLOCK_NEVER)
        l->answer_at_us = l->w->now_us + l->answer_us;
    note_idleness(l);
}

/* When something happens on the sender's side by itself. */
static int64_t next_of_sender(const life *l) {
    bool answers = l->w->transport.open > 0 && !l->deaf;
    return qa_clock_earlier(l->sender_at_us, answers ? l->answer_at_us : QA_CLOCK_NEVER);
}

/* To the next thing that happens, `limit_us` at the latest. */
static void pass_time(life *l, int64_t next_us, int64_t limit_us) {
    int64_t at = qa_clock_earlier(next_us, limit_us);
    if (at > l->w->now_us)
        world_advance(l->w, at - l->w->now_us);
}

static void go_on(world *w) {
    life *l = alive;
    int64_t end = w->now_us + w->commit_us;
    while (w->now_us < end) {
        turn_sender(l);
        pass_time(l, next_of_sender(l), end);
    }
}

/* ---- both ---- */

static bool step_keeper(life *l) {
    world *w = l->w;
    if (!world_keeper_is_called(w) && l->keeper_at_us > w->now_us)
        return false;
    uint64_t calls = w->disk->calls;
    int64_t wait = world_keep(w);
    l->keeper_steps++;
    l->keeper_at_us = w->now_us + wait;
    bool vain = wait == 0 && w->disk->calls == calls && !world_keeper_is_called(w);
    l->vain_steps = vain ? l->vain_steps + 1 : 0;
    if (l->vain_steps > l->most_vain_steps)
        l->most_vain_steps = l->vain_steps;
    if (vain)
        world_advance(w, 100); /* so that a keeper that doesn't sleep doesn't hang the test */
    return true;
}

void life_init(life *l, world *w) {
    *l = (life){.w = w,
                .answer_us = 1000,
                .tally = {.ordered = true},
                .sender_at_us = INT64_MIN,
                .keeper_at_us = INT64_MIN,
                .answer_at_us = QA_CLOCK_NEVER,
                .idle_since_us = QA_CLOCK_NEVER};
    alive = l;
    w->meanwhile = go_on;
}

static bool is_done(const life *l) {
    qa_stats stats = world_stats(l->w);
    const qa_ledger_counts *counts = &stats.counts;
    return l->to_report == 0 && counts->queued + counts->spooled + counts->in_flight == 0;
}

static bool run(life *l, int64_t us, bool till_done) {
    world *w = l->w;
    int64_t end = w->now_us + us;
    alive = l;
    for (;;) {
        turn_sender(l);
        bool kept = step_keeper(l);
        if (till_done && is_done(l))
            return true;
        if (kept)
            continue;
        if (w->now_us >= end)
            return false;
        pass_time(l, qa_clock_earlier(next_of_sender(l), l->keeper_at_us), end);
    }
}

void life_run(life *l, int64_t us) {
    (void)run(l, us, false);
}

bool life_finish(life *l, int64_t us) {
    return run(l, us, true);
}
