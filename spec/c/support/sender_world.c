/* sender_world.c
 * A sender in a world where the test is the service, the clock and chance.
 * Does not know what is tested.
 * SPDX-License-Identifier: MIT */
#include "support/sender_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_state.h"

static int64_t now_us(void *state) {
    return ((world *)state)->now_us;
}

static int64_t wall_ms(void *state) {
    return ((world *)state)->wall_ms;
}

static uint64_t chance(void *state) {
    world *w = state;
    return w->chance_is_max ? UINT64_MAX : qa_random_next(&w->seed);
}

void world_init(world *w) {
    *w = (world){.now_us = INT64_C(1000000000),
                 .wall_ms = INT64_C(1700000000000),
                 .chance_is_max = true,
                 .seed = 1};
    w->config = (qa_client_config){.endpoint = "http://127.0.0.1:1",
                                   .path = "/receive",
                                   .credentials = {"app", "key", "secret"},
                                   .access_id = "org",
                                   .batch_events = 200,
                                   .batch_bytes = 512 * 1024,
                                   .queue_events = 100000,
                                   .queue_bytes = 64 * 1024 * 1024,
                                   .linger_us = 200 * 1000,
                                   .timeout_us = 10 * 1000000,
                                   .connect_timeout_us = 3 * 1000000,
                                   .retry_base_us = 200 * 1000,
                                   .retry_max_us = 60 * 1000000,
                                   .delivery_deadline_us = INT64_C(300) * 1000000,
                                   .commit_interval_us = 50 * 1000,
                                   .close_timeout_us = 2 * 1000000,
                                   .max_in_flight = 4};
}

/* In the middle of a commit the keeper holds no lock: the world goes on. */
static void during_commit(void *context) {
    world *w = context;
    int64_t end = w->now_us + w->commit_us;
    if (w->meanwhile != NULL)
        w->meanwhile(w);
    if (w->now_us < end)
        world_advance(w, end - w->now_us);
}

static void start_keeper(world *w) {
    qa_error error;
    w->config.spool = w->disk->directory;
    assert_int_equal(qa_sender_keep(w->sender, &w->disk->engine, &error), QA_OK);
    w->disk->during = during_commit;
    w->disk->context = w;
}

void world_start(world *w) {
    qa_error error;
    qa_clock clock = {now_us, wall_ms, w};
    qa_random random = {chance, w};
    w->sender = qa_sender_new(&w->config, &clock, &random, &error);
    assert_non_null(w->sender);
    if (w->disk != NULL)
        start_keeper(w);
    fake_transport_init(&w->transport, qa_sender_done, w->sender);
    qa_sender_attach(w->sender, &w->transport.base);
    w->lane = qa_sender_open_lane(w->sender, true, &error);
    assert_non_null(w->lane);
}

/* As engine.c does it: the transport, then the keeper, then what is left in memory. */
void world_end(world *w) {
    int64_t wait;
    if (w->ended)
        return;
    w->ended = true;
    w->meanwhile = NULL;
    qa_sender_stop(w->sender);
    w->transport.base.ops->cancel_all(&w->transport.base);
    if (w->disk != NULL) {
        qa_keeper_finish(w->sender);
        while (qa_keeper_step(w->sender, &wait))
            assert_int_equal(wait, 0);
        assert_true(qa_keeper_wait_finished(w->sender, 0));
    }
    qa_sender_drop_all(w->sender);
    world_check(w);
}

void world_kill(world *w) {
    fake_disk_kill_owners(w->disk);
    w->disk->during = NULL;
    w->transport.base.ops->cancel_all(&w->transport.base);
    qa_sender_free(w->sender);
    fake_transport_free(&w->transport);
    w->sender = NULL;
}

void world_free(world *w) {
    world_end(w);
    qa_stats stats = world_stats(w);
    assert_int_equal(stats.counts.queued + stats.counts.in_flight, 0);
    assert_int_equal(stats.queue_bytes, 0);
    if (w->disk != NULL)
        w->disk->during = NULL;
    qa_sender_free(w->sender);
    fake_transport_free(&w->transport);
    w->sender = NULL;
}

void world_start_kept(world *w) {
    world_start(w);
    world_keep(w);
    world_step(w);
}

world *world_started(void **state) {
    world *w = *state;
    world_start_kept(w);
    return w;
}

world *world_started_with_tens(void **state) {
    world *w = *state;
    w->config.batch_events = 10;
    w->config.max_in_flight = 1;
    return world_started(state);
}

void world_save(world *w) {
    uint64_t mark = qa_sender_save_begin(w->sender);
    int64_t wait = 0;
    while (!qa_sender_save_done(w->sender, mark)) {
        world_advance(w, wait);
        wait = world_keep(w);
    }
}

fake_file *world_file(const world *w) {
    fake_file *file = fake_disk_own(w->disk);
    assert_non_null(file);
    return file;
}

int world_set_up_kept(void **state) {
    world *w = malloc(sizeof *w);
    fake_disk *disk = malloc(sizeof *disk);
    assert_non_null(w);
    assert_non_null(disk);
    world_init(w);
    fake_disk_init(disk);
    w->disk = disk;
    *state = w;
    return 0;
}

int world_tear_down_kept(void **state) {
    world *w = *state;
    if (w->sender != NULL)
        world_free(w);
    fake_disk_free(w->disk);
    free(w->disk);
    free(w);
    return 0;
}

static uint64_t pending_of_lanes(world *w) {
    uint64_t pending = 0;
    qa_sender_lock(w->sender);
    for (const qa_lane *lane = w->sender->lanes; lane != NULL; lane = lane->next)
        pending += lane->pending;
    qa_sender_unlock(w->sender);
    return pending;
}

void world_check(world *w) {
    qa_stats stats = world_stats(w);
    const qa_ledger_counts *counts = &stats.counts;
    uint64_t pending = counts->queued + counts->spooled + counts->in_flight;
    assert_true(qa_ledger_balanced(counts));
    assert_true(counts->spooled <= counts->accepted);
    if (!w->ended) /* what is on disk is nobody's then */
        assert_int_equal(pending, pending_of_lanes(w));
    assert_true(pending - stats.spool_paged <= w->config.queue_events);
    assert_true(stats.queue_bytes <= w->config.queue_bytes);
    assert_true(w->transport.open <= w->config.max_in_flight);
    if (w->disk != NULL && !w->disk->damaged)
        assert_true(counts->spooled <= fake_disk_events(w->disk));
}

int64_t world_keep(world *w) {
    int64_t wait = 0;
    assert_true(qa_keeper_step(w->sender, &wait));
    assert_true(wait >= 0);
    world_check(w);
    return wait;
}

bool world_keeper_is_called(const world *w) {
    return w->sender->keeper->look_at_us == INT64_MIN;
}

void world_advance(world *w, int64_t us) {
    w->wall_ms += (w->now_us + us) / 1000 - w->now_us / 1000;
    w->now_us += us;
}

void world_report_text(world *w, const char *event) {
    qa_error error;
    qa_status status = qa_sender_report(w->sender, w->lane, event, strlen(event), 1, &error);
    if (status != QA_OK)
        fail_msg("report: %s", error.message);
}

void world_report(world *w, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        char event[48];
        snprintf(event, sizeof event, "{\"n\":%llu}", (unsigned long long)w->next_event++);
        world_report_text(w, event);
    }
    world_check(w);
}

void world_report_page_views(world *w, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        world_report_text(w, "{\"path\":\"/a/page/of/a/shop\",\"agent\":\"a browser that tells much "
                             "about itself\",\"status\":\"200\"}");
    world_check(w);
}

int64_t world_step(world *w) {
    int64_t wait = 0;
    assert_true(qa_sender_step(w->sender, &wait));
    world_check(w);
    return wait;
}

void world_flush(world *w) {
    qa_sender_flush_begin(w->sender);
    world_step(w);
}

bool world_await_request(world *w, int64_t limit_us) {
    int64_t end = w->now_us + limit_us;
    for (;;) {
        int64_t wait = world_step(w);
        if (w->transport.open > 0)
            return true;
        if (wait < 0 || w->now_us + wait > end)
            return false;
        world_advance(w, wait);
    }
}

qa_answer world_http(int status, const char *body) {
    if (body == NULL)
        body = "<html>no</html>";
    return (qa_answer){.status = QA_OK,
                       .delivery = QA_DELIVERY_ANSWERED,
                       .http_status = status,
                       .body = body,
                       .body_length = strlen(body),
                       .retry_after_ms = -1,
                       .date_ms = -1};
}

qa_answer world_ok(void) {
    return world_http(200, "{\"traceId\":\"trace-1\",\"success\":true,\"errorCode\":null,"
                           "\"errorDesc\":null,\"data\":true}");
}

qa_answer world_failure(qa_status status, qa_delivery delivery) {
    qa_answer answer = {
        .status = status, .delivery = delivery, .retry_after_ms = -1, .date_ms = -1};
    snprintf(answer.message, sizeof answer.message, "fake failure");
    return answer;
}

void world_answer_all(world *w, qa_answer answer) {
    size_t index;
    while ((index = fake_transport_first_open(&w->transport)) != SIZE_MAX)
        fake_transport_answer(&w->transport, index, &answer);
    world_check(w);
}

size_t world_serve(world *w, world_service *service, void *context, int64_t limit_us) {
    int64_t end = w->now_us + limit_us;
    size_t answered = 0;
    while (w->now_us <= end) {
        int64_t wait = world_step(w);
        size_t index = fake_transport_first_open(&w->transport);
        if (index != SIZE_MAX) {
            qa_answer answer = world_ok();
            service(context, w->transport.requests[index].body, &answer);
            world_advance(w, 1000);
            fake_transport_answer(&w->transport, index, &answer);
            answered++;
        } else if (wait < 0) {
            break;
        } else {
            world_advance(w, wait > 0 ? wait : 1);
        }
        world_check(w);
    }
    return answered;
}

qa_stats world_stats(world *w) {
    qa_stats stats = {.has_spool = false};
    qa_sender_stats(w->sender, w->lane, &stats);
    return stats;
}

world_reports world_take_reports(world *w, qa_lane *lane) {
    world_reports sum = {0};
    qa_report report;
    while (qa_sender_poll(w->sender, lane, &report) == 1) {
        switch (report.status) {
        case QA_REPORT_DELIVERED: sum.delivered += report.events; break;
        case QA_REPORT_DEAD: sum.dead += report.events; break;
        case QA_REPORT_DROPPED: sum.dropped += report.events; break;
        }
        if (report.possibly_stored)
            sum.possibly_stored += report.events;
        sum.last = report;
        if (report.status != QA_REPORT_DELIVERED)
            sum.last_loss = report;
    }
    return sum;
}
