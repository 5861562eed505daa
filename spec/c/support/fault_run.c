/* fault_run.c
 * Streams of events through a client into a sandbox that fails at random, and the accounts after.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#include "support/fault_run.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/sandbox.h"

#define SECOND INT64_C(1000000)
#define WRONG_SECRET "wrong"

enum {
    BATCH = 200,
    REPORTERS = 2,
    LOT = 5,               /* events that are reported one by one, or together */
    QUEUE_EVENTS = 3000,   /* so small that reporters meet its bound */
    EVENT_MAX = 256,
    PATIENCE_S = 120,      /* under a sanitizer, on a busy machine */
    IN_ROW_MAX = 6         /* calls that fail before the fault goes, and that succeed after */
};

/* ---- ways to fail ---- */

const fault_kind fault_kinds[] = {
    {.name = "status_503", .fault = "\"status\":503"},
    {.name = "status_500_after_storing", .fault = "\"status\":500,\"store\":true",
     .answer_lost = true},
    {.name = "status_429_with_retry_after", .fault = "\"status\":429,\"retry_after\":1", .most = 4},
    {.name = "delay_over_the_timeout", .fault = "\"delay\":1", .timeout_us = SECOND / 4,
     .answer_lost = true},
    {.name = "empty_body", .fault = "\"body\":\"empty\"", .answer_lost = true},
    {.name = "empty_body_nothing_stored", .fault = "\"body\":\"empty\",\"store\":false"},
    {.name = "cut_off_body", .fault = "\"body\":\"cut_off\"", .answer_lost = true},
    {.name = "garbage_body", .fault = "\"body\":\"garbage\"", .answer_lost = true},
    {.name = "oversized_body", .fault = "\"body\":\"oversized\"", .answer_lost = true, .most = 20},
    {.name = "date_of_another_day", .fault = "\"date_skew\":86400"},
    {.name = "clock_of_the_service_jumps", .on = "{\"clock_skew\":7200}",
     .off = "{\"clock_skew\":0}"},
    {.name = "closed_before_stored", .fault = "\"close\":\"before\""},
    {.name = "closed_after_stored", .fault = "\"close\":\"after\"", .answer_lost = true},
    /* A lone event that is refused while others are taken would be a dead letter, rightly. */
    {.name = "no_success_and_no_reason",
     .fault = "\"text\":\"{\\\"success\\\":false}\",\"store\":false,\"min_events\":2"},
    {.name = "status_413", .fault = "\"status\":413,\"min_bytes\":6000"},
    {.name = "poison", .poison = 10, .fault = "\"status\":503"},
    {.name = "wrong_credentials", .credentials = true},
};
const size_t fault_kind_count = sizeof fault_kinds / sizeof fault_kinds[0];

const fault_kind *fault_kind_named(const char *name) {
    for (size_t i = 0; i < fault_kind_count; i++) {
        if (strcmp(fault_kinds[i].name, name) == 0)
            return &fault_kinds[i];
    }
    return NULL;
}

/* ---- what all tests share ---- */

static sandbox *box;

uint64_t fault_seed(void) {
    const char *given = getenv("SEED");
    return given != NULL && *given != '\0' ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
}

int fault_group_start(void **state) {
    (void)state;
    print_message("SEED=%" PRIu64 "\n", fault_seed());
    box = sandbox_start(0);
    return 0;
}

int fault_group_stop(void **state) {
    (void)state;
    sandbox_stop(box);
    box = NULL;
    return 0;
}

qa_client_config fault_config(const sandbox *to, char *endpoint, size_t size) {
    snprintf(endpoint, size, "http://127.0.0.1:%d", sandbox_port(to));
    return (qa_client_config){
        .endpoint = endpoint,
        .path = SANDBOX_PATH,
        .credentials = {SANDBOX_APP_ID, SANDBOX_ACCESS_KEY, SANDBOX_ACCESS_SECRET},
        .access_id = "org",
        .batch_events = BATCH,
        .batch_bytes = 512 * 1024,
        .queue_events = QUEUE_EVENTS,
        .queue_bytes = 64 * 1024 * 1024,
        .linger_us = 5 * 1000,
        .timeout_us = 20 * SECOND,
        .connect_timeout_us = 3 * SECOND,
        .retry_base_us = 2 * 1000,
        .retry_max_us = 20 * 1000,
        .delivery_deadline_us = 600 * SECOND,
        .commit_interval_us = 50 * 1000,
        .close_timeout_us = 2 * SECOND,
        .max_in_flight = 4};
}

size_t fault_event(char *out, size_t size, uint64_t n) {
    return (size_t)snprintf(out, size,
                            "{\"customerId\":\"u-%" PRIu64 "\",\"eventCode\":\"pay_order\","
                            "\"eventTime\":1708235644862,\"organizationId\":\"org\","
                            "\"extendAttributes\":{\"n\":\"%" PRIu64 "\"}}",
                            n, n);
}

/* ---- a run ---- */

typedef struct run {
    const fault_kind *kind;
    uint64_t events, poison_step; /* 0: none is poisoned */
    char endpoint[64];
    qa_client *client;
    uint64_t random;
    atomic_uint_fast64_t next; /* number of the next event */
    atomic_uint reporting;     /* threads that have more to report */
    atomic_bool given_up, failed, over;
    uint64_t samples, unbalanced; /* the sampler's, until it has ended */
    uint64_t turn_at;             /* requests until the fault comes, or goes */
    unsigned turned_on;
    bool is_on;
    uint64_t reported[QA_REPORT_STATUSES], reported_dead_letters;
} run;

static void nap(void) {
    poll(NULL, 0, 1);
}

static bool is_poisoned(const run *r, uint64_t n) {
    return r->poison_step > 0 && n % r->poison_step == r->poison_step / 2;
}

/* The queue's bound is met again and again: then later. */
static void report_lot(run *r, const char *text, size_t length, size_t count) {
    qa_error error;
    qa_status status;
    while ((status = qa_client_report(r->client, text, length, count, &error)) == QA_QUEUE_FULL &&
           !atomic_load(&r->given_up))
        nap();
    if (status != QA_OK)
        atomic_store(&r->failed, true);
}

static void *reporter(void *argument) {
    run *r = argument;
    uint64_t from;
    while ((from = atomic_fetch_add(&r->next, LOT)) < r->events) {
        bool together = from / LOT % 2 == 0;
        char text[LOT * EVENT_MAX];
        size_t length = 0;
        for (uint64_t n = from; n < from + LOT && n < r->events; n++) {
            if (together && n > from)
                length += (size_t)snprintf(text + length, sizeof text - length, ",\n");
            length += fault_event(text + length, sizeof text - length, n);
            if (!together) {
                report_lot(r, text, length, 1);
                length = 0;
            }
        }
        if (together)
            report_lot(r, text, length, (size_t)(r->events - from < LOT ? r->events - from : LOT));
    }
    atomic_fetch_sub(&r->reporting, 1);
    return NULL;
}

static void *sampler(void *argument) {
    run *r = argument;
    qa_ledger_counts before = {0};
    while (!atomic_load(&r->over)) {
        qa_stats stats;
        qa_client_stats(r->client, &stats);
        const qa_ledger_counts *now = &stats.counts;
        if (!qa_ledger_balanced(now) || now->accepted < before.accepted ||
            now->delivered < before.delivered || now->dead < before.dead)
            r->unbalanced++;
        before = *now;
        r->samples++;
        if (r->samples % 16 == 0)
            nap();
    }
    return NULL;
}

static uint64_t any_below(run *r, uint64_t bound) {
    return qa_random_next(&r->random) % bound;
}

static void turn_fault(run *r, uint64_t requests) {
    char script[256];
    uint64_t times = 1 + any_below(r, IN_ROW_MAX);
    snprintf(script, sizeof script, "{%s,\"times\":%" PRIu64 "}", r->kind->fault, times);
    sandbox_post(box, "/sandbox/faults", script);
    r->turned_on++;
    r->turn_at = requests + times + 1 + any_below(r, IN_ROW_MAX);
}

static void turn_credentials(run *r) {
    qa_credentials credentials = {SANDBOX_APP_ID, SANDBOX_ACCESS_KEY,
                                  r->is_on ? WRONG_SECRET : SANDBOX_ACCESS_SECRET};
    qa_error error;
    if (qa_client_set_credentials(r->client, &credentials, &error) != QA_OK)
        atomic_store(&r->failed, true);
}

static void turn(run *r, uint64_t requests) {
    if (requests < r->turn_at || (r->kind->most > 0 && r->turned_on >= r->kind->most))
        return;
    if (r->kind->fault != NULL) {
        turn_fault(r, requests);
        return;
    }
    r->is_on = !r->is_on;
    r->turned_on += r->is_on;
    if (r->kind->credentials)
        turn_credentials(r);
    else
        sandbox_post(box, "/sandbox/faults", r->is_on ? r->kind->on : r->kind->off);
    r->turn_at = requests + 1 + any_below(r, IN_ROW_MAX);
}

static void take_reports(run *r) {
    qa_report got;
    while (qa_client_poll_one(r->client, &got) == 1)
        r->reported[got.status] += got.events;
}

static void begin(run *r, const fault_kind *kind, uint64_t events) {
    *r = (run){.kind = kind, .events = events, .random = fault_seed()};
    atomic_store(&r->reporting, REPORTERS);
    sandbox_post(box, "/sandbox/reset", "");
    if (kind->poison > 0) {
        r->poison_step = events / kind->poison;
        char rule[1024];
        size_t length = (size_t)snprintf(rule, sizeof rule, "{\"reject_customer_ids\":[");
        for (uint64_t n = 0; n < events; n++) {
            if (is_poisoned(r, n))
                length += (size_t)snprintf(rule + length, sizeof rule - length,
                                           "\"u-%" PRIu64 "\",", n);
        }
        snprintf(rule + length - 1, sizeof rule - length + 1, "]}");
        sandbox_post(box, "/sandbox/faults", rule);
    }
    qa_client_config config = fault_config(box, r->endpoint, sizeof r->endpoint);
    if (kind->timeout_us > 0)
        config.timeout_us = kind->timeout_us;
    qa_error error;
    if (qa_client_new(&config, true, &r->client, &error) != QA_OK)
        fail_msg("new: %s", error.message);
}

/* What went wrong is kept for later: a failure must not jump out while other threads run. */
static void stream(run *r) {
    pthread_t threads[REPORTERS + 1];
    for (int i = 0; i <= REPORTERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < REPORTERS ? reporter : sampler, r), 0);
    struct pollfd entry = {.fd = qa_client_fileno(r->client, NULL), .events = POLLIN};
    time_t limit = time(NULL) + PATIENCE_S;
    while (atomic_load(&r->reporting) > 0 || qa_client_pending(r->client) > 0) {
        qa_stats stats;
        qa_client_stats(r->client, &stats);
        turn(r, stats.counts.requests);
        take_reports(r);
        poll(&entry, 1, 2);
        if (time(NULL) > limit) {
            atomic_store(&r->given_up, true);
            break;
        }
    }
    for (int i = 0; i < REPORTERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&r->over, true);
    pthread_join(threads[REPORTERS], NULL);
    take_reports(r);
}

static bool visit(void *context, const qa_dead_letter *letter) {
    run *r = context;
    static const char before[] = "{\"customerId\":\"u-";
    bool ours = letter->length > sizeof before &&
                memcmp(letter->event, before, sizeof before - 1) == 0;
    if (ours && is_poisoned(r, strtoull(letter->event + sizeof before - 1, NULL, 10)))
        r->reported_dead_letters++;
    else
        r->unbalanced++;
    return true;
}

static void check_client(run *r, const qa_stats *stats, uint64_t poison) {
    const qa_ledger_counts *counts = &stats->counts;
    if (atomic_load(&r->given_up))
        fail_msg("not all was settled: %" PRIu64 " of %" PRIu64 " delivered, %s: %s",
                 counts->delivered, counts->accepted, qa_state_text(stats->state),
                 stats->reason_message);
    assert_false(atomic_load(&r->failed));
    assert_true(r->samples > 0);
    assert_int_equal(r->unbalanced, 0);
    assert_int_equal(counts->accepted, r->events);
    assert_int_equal(counts->delivered, r->events - poison);
    assert_int_equal(counts->dead, poison);
    assert_int_equal(r->reported[QA_REPORT_DELIVERED], r->events - poison);
    assert_int_equal(r->reported[QA_REPORT_DEAD], poison);
    assert_int_equal(r->reported[QA_REPORT_DROPPED], 0);
    assert_int_equal(r->reported_dead_letters, poison);
}

static void check_sandbox(const run *r, const qa_stats *stats, uint64_t poison) {
    uint64_t duplicates = sandbox_count(box, "duplicates");
    uint64_t applied = sandbox_count(box, "faults.applied");
    print_message("%s: %u times on, %" PRIu64 " calls spoilt, %" PRIu64 " requests, %" PRIu64
                  " retries, %" PRIu64 " events twice, %" PRIu64 " samples\n",
                  r->kind->name, r->turned_on, applied, stats->counts.requests,
                  stats->counts.retries, duplicates, r->samples);
    assert_true(r->turned_on > 0);
    assert_int_equal(sandbox_count(box, "events.untracked"), 0);
    assert_int_equal(sandbox_count(box, "events.distinct"), r->events - poison);
    if (r->kind->fault != NULL)
        assert_true(applied > 0);
    if (!r->kind->answer_lost) {
        assert_int_equal(duplicates, 0);
        return;
    }
    /* What came twice came in a request that the client knows to have repeated. */
    assert_true(duplicates <= stats->counts.retries * BATCH);
    assert_true(r->kind->timeout_us > 0 || duplicates <= applied * BATCH);
}

void fault_run(const fault_kind *kind, uint64_t events) {
    run r;
    begin(&r, kind, events);
    stream(&r);
    qa_client_dead(r.client, SIZE_MAX, visit, &r);
    qa_client_close(r.client, 0, NULL, NULL);
    take_reports(&r);
    qa_stats stats;
    qa_client_stats(r.client, &stats);
    qa_client_free(r.client);
    check_client(&r, &stats, kind->poison);
    check_sandbox(&r, &stats, kind->poison);
}

/* ---- one batch ---- */

static void report_batch(qa_client *client) {
    static char text[BATCH * EVENT_MAX];
    size_t length = 0;
    for (uint64_t n = 0; n < BATCH; n++) {
        if (n > 0)
            length += (size_t)snprintf(text + length, sizeof text - length, ",\n");
        length += fault_event(text + length, sizeof text - length, n);
    }
    qa_error error;
    if (qa_client_report(client, text, length, BATCH, &error) != QA_OK)
        fail_msg("report: %s", error.message);
}

static void flush(qa_client *client) {
    qa_error error;
    uint64_t mark = qa_client_flush_begin(client);
    if (qa_client_flush_wait(client, mark, PATIENCE_S * SECOND, NULL, &error) != QA_OK)
        fail_msg("flush: %s", error.message);
}

static qa_client *open_for(const qa_client_config *config) {
    qa_error error;
    qa_client *client = NULL;
    if (qa_client_new(config, true, &client, &error) != QA_OK)
        fail_msg("new: %s", error.message);
    return client;
}

static bool is_of(void *context, const qa_dead_letter *letter) {
    char event[EVENT_MAX];
    size_t length = fault_event(event, sizeof event, *(const size_t *)context);
    assert_int_equal(letter->length, length);
    assert_memory_equal(letter->event, event, length);
    assert_string_equal(letter->service_code, "CUSTOMER_REJECTED");
    return true;
}

uint64_t fault_poison_requests(size_t position) {
    char rule[64], endpoint[64];
    sandbox_post(box, "/sandbox/reset", "");
    snprintf(rule, sizeof rule, "{\"reject_customer_ids\":[\"u-%zu\"]}", position);
    sandbox_post(box, "/sandbox/faults", rule);
    qa_client_config config = fault_config(box, endpoint, sizeof endpoint);
    qa_client *client = open_for(&config);
    report_batch(client);
    flush(client);
    qa_stats stats;
    qa_client_stats(client, &stats);
    qa_client_dead(client, 1, is_of, &position);
    qa_client_free(client);
    assert_int_equal(stats.counts.delivered, BATCH - 1);
    assert_int_equal(stats.counts.dead, 1);
    assert_int_equal(stats.dead_letters, 1);
    assert_int_equal(sandbox_count(box, "events.distinct"), BATCH - 1);
    assert_int_equal(sandbox_count(box, "duplicates"), 0);
    assert_int_equal(sandbox_count(box, "requests"), stats.counts.requests);
    return stats.counts.requests;
}

void fault_run_wrong_credentials(void) {
    char endpoint[64];
    sandbox_post(box, "/sandbox/reset", "");
    qa_client_config config = fault_config(box, endpoint, sizeof endpoint);
    config.credentials.access_secret = WRONG_SECRET;
    qa_client *client = open_for(&config);
    report_batch(client);
    qa_stats stats;
    do { /* several probes, none of which may cost an event */
        nap();
        qa_client_stats(client, &stats);
    } while (stats.counts.requests < 10);
    assert_int_equal(stats.state, QA_STATE_PAUSED);
    assert_int_equal(stats.reason, QA_AUTH);
    assert_int_equal(stats.counts.requests_by[QA_AUTH], stats.counts.requests);
    assert_int_equal(stats.counts.queued + stats.counts.in_flight, BATCH);
    assert_int_equal(stats.reports_waiting, 0);
    qa_credentials right = {SANDBOX_APP_ID, SANDBOX_ACCESS_KEY, SANDBOX_ACCESS_SECRET};
    assert_int_equal(qa_client_set_credentials(client, &right, NULL), QA_OK);
    flush(client);
    qa_client_stats(client, &stats);
    qa_client_free(client);
    assert_int_equal(stats.counts.delivered, BATCH);
    assert_int_equal(stats.counts.dead, 0);
    assert_int_equal(stats.dead_letters, 0);
    assert_int_equal(sandbox_count(box, "events.distinct"), BATCH);
    assert_int_equal(sandbox_count(box, "duplicates"), 0);
}

void fault_run_never_confirmed(void) {
    char endpoint[64];
    sandbox_post(box, "/sandbox/reset", "");
    sandbox_post(box, "/sandbox/faults", "{\"body\":\"garbage\",\"times\":\"forever\"}");
    qa_client_config config = fault_config(box, endpoint, sizeof endpoint);
    qa_client *client = open_for(&config);
    report_batch(client);
    qa_stats stats;
    do {
        nap();
        qa_client_stats(client, &stats);
    } while (stats.counts.retries < 3);
    assert_int_equal(qa_client_close(client, 0, NULL, NULL), QA_TIMEOUT);
    qa_report got;
    uint64_t events = 0;
    while (qa_client_poll_one(client, &got) == 1) {
        assert_int_equal(got.status, QA_REPORT_DROPPED);
        assert_true(got.possibly_stored);
        events += got.events;
    }
    assert_int_equal(events, BATCH);
    qa_client_free(client);
    assert_int_equal(sandbox_count(box, "events.distinct"), BATCH);
}
