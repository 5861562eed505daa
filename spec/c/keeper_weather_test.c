/* keeper_weather_test.c
 * Sender and keeper through weather drawn by lot: service, disk and load change all the time.
 * Does not know threads, files or real time.
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_life.h"
#include "support/sender_world.h"

#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

enum { SEEDS = 30 };

typedef struct storm {
    world *w;
    life *l;
    uint64_t seed;
} storm;

static uint64_t draw(storm *s, uint64_t below) {
    return qa_random_next(&s->seed) % below;
}

static int64_t draw_time(storm *s) {
    static const int64_t times[] = {0, 0, 300, 2 * MS, 25 * MS};
    return times[draw(s, 5)];
}

static void draw_config(storm *s) {
    qa_client_config *config = &s->w->config;
    config->batch_events = 1 + draw(s, 20);
    config->queue_events = 100 + draw(s, 400);
    config->queue_bytes = 2000 + draw(s, 2) * 100000;
    config->max_in_flight = 1 + (uint32_t)draw(s, 4);
    config->delivery_deadline_us = 3600 * SECOND;
    config->retry_base_us = 20 * MS;
    config->retry_max_us = SECOND;
    s->w->commit_us = draw_time(s);
}

static void change_weather(storm *s) {
    static const int statuses[] = {0, 0, 0, 0, 503, 401};
    fake_disk *disk = s->w->disk;
    life *l = s->l;
    l->deaf = draw(s, 8) == 0;
    l->http_status = statuses[draw(s, 6)];
    l->too_large = draw(s, 3) == 0 ? 1 + (unsigned)draw(s, 9) : 0;
    disk->receipts_refused = draw(s, 4) == 0;
    disk->failure = draw(s, 2) == 0 ? QA_SPOOL : QA_SPOOL_FULL;
    disk->full = draw(s, 10) == 0;
    disk->fail_commits = draw(s, 6) == 0 ? (unsigned)draw(s, 5) : 0;
    disk->fail_reads = draw(s, 6) == 0 ? (unsigned)draw(s, 3) : 0;
    disk->fail_tends = draw(s, 20) == 0 ? 1 : 0;
    l->to_report = draw(s, 3) == 0 ? draw(s, 300) : draw(s, 30);
    if (l->w->next_event + l->to_report > LIFE_EVENTS_MAX)
        l->to_report = 0;
}

static void clear_up(storm *s) {
    fake_disk *disk = s->w->disk;
    s->l->deaf = disk->receipts_refused = disk->full = false;
    s->l->http_status = 0;
    s->l->too_large = 0;
    s->l->answer_us = 0;
    disk->fail_commits = disk->fail_reads = disk->fail_tends = 0;
    s->l->to_report = 0;
}

static void blow(storm *s, int changes) {
    for (int i = 0; i < changes; i++) {
        change_weather(s);
        life_run(s->l, (int64_t)draw(s, 200) * MS);
    }
}

static void start(storm *s) {
    life_tally before = s->l->tally;
    s->w->ended = false;
    world_start(s->w);
    life_init(s->l, s->w);
    s->l->tally = before;
    s->l->answer_us = draw_time(s);
}

static void begin(storm *s, void **state, uint64_t seed) {
    world *w = *state;
    fake_disk_free(w->disk);
    fake_disk_init(w->disk);
    w->next_event = 0;
    w->chance_is_max = false;
    *s = (storm){.w = w, .l = malloc(sizeof *s->l), .seed = seed};
    *s->l = (life){.w = w};
    draw_config(s);
    if (draw(s, 4) == 0)
        w->disk->engine.receipt = NULL;
    start(s);
}

/* Fair weather for ever: all is delivered, and without delay but for what was put off before. */
static void end(storm *s) {
    clear_up(s);
    s->l->most_idle_us = 0;
    s->l->most_vain_steps = 0;
    s->l->idle_since_us = QA_CLOCK_NEVER;
    bool done = true;
    for (int i = 0; i < 10 && done; i++) { /* one file after the other */
        done = life_finish(s->l, 1000 * SECOND);
        life_run(s->l, 5 * SECOND);
    }
    uint64_t left = fake_disk_events(s->w->disk);
    if (!done || left > 0 || s->l->most_idle_us > 2 * SECOND + 100 * MS ||
        s->l->most_vain_steps > 0)
        fail_msg("done %d, left on disk %llu, idle %lld us, steps in vain %llu", done,
                 (unsigned long long)left, (long long)s->l->most_idle_us,
                 (unsigned long long)s->l->most_vain_steps);
    world_free(s->w);
}

static void every_event_is_taken_once_in_any_weather(void **state) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        storm s;
        begin(&s, state, seed);
        blow(&s, 60);
        end(&s);
        life_assert_all_once(s.l, s.w->next_event);
        free(s.l);
    }
}

static void every_event_is_taken_once_by_one_process_after_the_other(void **state) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        storm s;
        begin(&s, state, seed);
        for (int i = 0; i < 5; i++) {
            blow(&s, 12);
            clear_up(&s);
            world_free(s.w);
            start(&s);
        }
        end(&s);
        life_assert_all_once(s.l, s.w->next_event);
        free(s.l);
    }
}

/* How much is repeated is keeper_test's: here the disk may have failed to note what was taken. */
static void no_event_is_lost_by_kills(void **state) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        storm s;
        begin(&s, state, seed);
        for (int i = 0; i < 5; i++) {
            blow(&s, 12);
            clear_up(&s);
            world_save(s.w);
            world_kill(s.w);
            start(&s);
        }
        end(&s);
        for (uint64_t n = 0; n < s.w->next_event; n++)
            assert_true(s.l->tally.seen[n] > 0);
        free(s.l);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up_kept, world_tear_down_kept)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_event_is_taken_once_in_any_weather),
        TEST(every_event_is_taken_once_by_one_process_after_the_other),
        TEST(no_event_is_lost_by_kills),
    };
    return cmocka_run_group_tests_name("keeper_weather", tests, NULL, NULL);
}
