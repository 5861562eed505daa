/* sender_memory_test.c
 * Every allocation of the sender fails, alone and with others: no event is lost or counted twice.
 * Does not know which allocation is whose.
 * SPDX-License-Identifier: MIT */
#include "sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sender_world.h"

#define SECOND INT64_C(1000000)
#define FAILURE "{\"traceId\":\"t2\",\"success\":false,\"errorCode\":\"E1\",\"errorDesc\":\"bad\"}"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CAN_FAIL 1

static bool armed;
static long countdown; /* allocations until the first that fails */
static long failures;  /* that follow */

static bool fails(void) {
    return armed && --countdown < 0 && countdown >= -failures;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size) {
    return fails() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) {
    return fails() ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size) {
    return fails() ? NULL : __libc_realloc(memory, size);
}

static void service(void *context, const char *list, qa_answer *answer) {
    int *request = context;
    if (strstr(list, "poison") != NULL)
        *answer = world_http(200, FAILURE);
    else if (++*request % 5 == 0)
        *answer = world_http(503, NULL);
    else if (*request % 7 == 0 && strlen(list) > 60)
        *answer = world_http(413, NULL);
}

/* Reports until it is taken: a refusal is legal, and must leave no trace. */
static void insist(world *w, const char *events, size_t count) {
    for (int i = 0;; i++) {
        uint64_t before = world_stats(w).counts.accepted;
        qa_error error;
        qa_status status =
            qa_sender_report(w->sender, w->lane, events, strlen(events), count, &error);
        if (status == QA_OK)
            return;
        assert_int_equal(status, QA_NO_MEMORY);
        assert_int_equal(world_stats(w).counts.accepted, before);
        assert_true(i < 100);
    }
}

/* The whole life of a sender; true when an allocation was left that could have failed. */
static bool live(long first, long row) {
    world w;
    world_init(&w);
    w.config.batch_events = 16;
    world_start(&w);
    char many[1024] = "";
    for (int i = 0; i < 40; i++)
        sprintf(many + strlen(many), "%s{\"m\":%d}", i > 0 ? ",\n" : "", i);
    int request = 0;
    countdown = first;
    failures = row;
    armed = true;
    for (int i = 0; i < 30; i++)
        insist(&w, i == 17 ? "{\"poison\":1}" : "{\"good\":1}", 1);
    insist(&w, many, 40);
    qa_error error;
    qa_ticket *ticket = NULL;
    while (qa_sender_send(w.sender, w.lane, "{}", 2, 1, &ticket, &error) != QA_OK)
        assert_int_equal(error.status, QA_NO_MEMORY);
    qa_sender_flush_begin(w.sender);
    world_serve(&w, service, &request, 250 * SECOND);
    armed = false;
    bool more = countdown < 0;
    qa_stats stats = world_stats(&w);
    assert_true(qa_ledger_balanced(&stats.counts));
    assert_int_equal(stats.counts.accepted, 70);
    assert_int_equal(stats.counts.delivered, 69);
    assert_int_equal(stats.counts.dead, 1);
    world_reports reports = world_take_reports(&w, w.lane);
    assert_int_equal(reports.delivered, 69);
    assert_int_equal(reports.dead, 1);
    assert_true(qa_ticket_done(ticket));
    qa_ticket_free(ticket);
    world_free(&w);
    return more;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const long rows[] = {1, 2, 5, 20};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        long at = 0;
        while (live(at, rows[i]))
            at++;
        assert_true(at > 100);
    }
}

static void a_sender_that_cannot_be_made_says_so(void **state) {
    (void)state;
    world w;
    world_init(&w);
    qa_clock clock = qa_clock_real;
    qa_random random = {qa_random_next, &w.seed};
    for (long at = 0;; at++) {
        qa_error error = {QA_OK, false, ""};
        countdown = at;
        failures = 1;
        armed = true;
        qa_sender *sender = qa_sender_new(&w.config, &clock, &random, &error);
        qa_lane *lane = sender != NULL ? qa_sender_open_lane(sender, true, &error) : NULL;
        armed = false;
        qa_sender_free(sender);
        if (lane != NULL)
            break;
        assert_int_equal(error.status, QA_NO_MEMORY);
        assert_true(at < 100);
    }
}

#else
#define CAN_FAIL 0
#endif

static void needs_its_own_malloc(void **state) {
    (void)state;
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
#if CAN_FAIL
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_sender_that_cannot_be_made_says_so),
#else
        cmocka_unit_test(needs_its_own_malloc),
#endif
    };
#if CAN_FAIL
    (void)needs_its_own_malloc;
#endif
    return cmocka_run_group_tests_name("sender_memory", tests, NULL, NULL);
}
