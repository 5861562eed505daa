/* spool_view_test.c
 * Whoever looks sees what is there while its owner works, and changes only letters.
 * Does not know the command.
 * SPDX-License-Identifier: MIT */
#include "spool_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/spool_world.h"

typedef struct seen {
    size_t count, corrupt, unreadable;
    qa_spool_counts counts; /* of the last one */
    pid_t owner, maker;
    char name[QA_SPOOL_NAME_MAX + 16], endpoint[64], access_id[64];
} seen;

static bool keep_view(void *context, const qa_spool_view *view) {
    seen *all = context;
    all->count++;
    all->corrupt += view->corrupt;
    all->unreadable += view->error.status != QA_OK;
    all->counts = view->counts;
    all->owner = view->owner;
    all->maker = view->maker;
    assert_true(view->bytes > 0);
    (void)snprintf(all->name, sizeof all->name, "%s", view->name);
    (void)snprintf(all->endpoint, sizeof all->endpoint, "%s", view->endpoint);
    (void)snprintf(all->access_id, sizeof all->access_id, "%s", view->access_id);
    return true;
}

static seen look(const spool_world *world) {
    seen all = {.count = 0};
    assert_int_equal(qa_spool_view_each(world->spool, keep_view, &all, NULL), QA_OK);
    return all;
}

static void put_letter(qa_spool *spool, int64_t when) {
    qa_spool_op op = {.verb = QA_SPOOL_LETTER_PUT,
                      .letter.letter = {.event = "{}", .length = 2, .code = QA_REJECTED,
                                        .service_code = "E", .message = "m", .trace_id = "",
                                        .attempts = 1, .wall_ms = when}};
    assert_int_equal(spool->engine->commit(spool, &op, 1, NULL), QA_OK);
}

static bool keep_id(void *context, const qa_spool_letter *letter) {
    *(uint64_t *)context = letter->id;
    return false;
}

static uint64_t first_letter(const spool_world *world, const char *name) {
    uint64_t id = 0;
    assert_int_equal(qa_spool_view_letters(world->spool, name, 0, 10, keep_id, &id, NULL), QA_OK);
    return id;
}

static bool count_row(void *context, const qa_spool_row *row) {
    *(uint64_t *)context += row->events;
    return true;
}

static void test_an_owned_file_is_seen_as_it_is(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    uint64_t events = 0;
    world_put(spool, 1, 500);
    world_put(spool, 2, 500);
    put_letter(spool, 1000);
    seen all = look(world);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.owner, getpid());
    assert_int_equal(all.maker, getpid());
    assert_int_equal(all.counts.rows, 2);
    assert_int_equal(all.counts.letters, 1);
    assert_true(all.counts.oldest_ms == 1700000000001);
    assert_string_equal(all.endpoint, "https://service.example");
    assert_string_equal(all.access_id, "access");
    assert_int_equal(qa_spool_view_rows(world->spool, all.name, 0, 10, SIZE_MAX, count_row,
                                        &events, NULL),
                     QA_OK);
    assert_int_equal(events, all.counts.events);
    assert_int_equal(qa_spool_view_verify(world->spool, all.name, NULL), QA_OK);
    world_put(spool, 3, 100); /* nothing is in the owner's way */
    spool->engine->close(spool);
    all = look(world);
    assert_int_equal(all.owner, 0);
    assert_int_equal(all.counts.rows, 3);
}

static void test_letters_are_marked_and_dropped_under_the_owner(void **state) {
    spool_world *world = *state;
    bool found;
    qa_spool *spool = world_spool(world);
    put_letter(spool, 1000);
    put_letter(spool, 2000);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    seen all = look(world);
    uint64_t id = first_letter(world, all.name);
    assert_int_equal(qa_spool_view_retry(world->spool, all.name, id, &found, NULL), QA_OK);
    assert_true(found);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    assert_int_equal(world_gauges(spool).letters_retry, 1);
    assert_int_equal(qa_spool_view_drop(world->spool, all.name, id, &found, NULL), QA_OK);
    assert_true(found);
    assert_int_equal(qa_spool_view_drop(world->spool, all.name, id, &found, NULL), QA_OK);
    assert_false(found);
    assert_int_equal(qa_spool_view_retry(world->spool, all.name, id, &found, NULL), QA_OK);
    assert_false(found);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    assert_int_equal(world_gauges(spool).letters, 1);
    assert_int_equal(world_gauges(spool).letters_retry, 0);
    spool->engine->close(spool);
}

static void test_damage_is_told_and_nothing_moved(void **state) {
    spool_world *world = *state;
    char path[256];
    qa_error error;
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 10; id++)
        world_put(spool, id, 60000);
    spool->engine->close(spool);
    assert_int_equal(world_files(world, ".db", path, sizeof path), 1);
    world_scribble(path, 20 * 16384, 2 * 16384);
    seen all = look(world);
    assert_int_equal(all.count, 1);
    assert_int_equal(qa_spool_view_verify(world->spool, all.name, &error), QA_SPOOL);
    assert_non_null(strstr(error.message, "damaged"));
    assert_int_equal(world_files(world, ".db.corrupt", NULL, 0), 0);
    world_scribble(path, 0, 100);
    all = look(world);
    assert_int_equal(all.unreadable, 1);
    assert_null(world_adopt(world));
    all = look(world);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.corrupt, 1);
}

static void test_what_is_not_there_is_said(void **state) {
    spool_world *world = *state;
    qa_error error;
    seen all = {.count = 0};
    assert_int_equal(qa_spool_view_each(world->spool, keep_view, &all, &error), QA_SPOOL);
    assert_int_equal(access(world->spool, F_OK), -1);
    static const char *const names[] = {"qa-1.db", "../x/qa-1.db", "other.db", "qa-1.lock", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(qa_spool_view_verify(world->root, names[i], &error), QA_CONFIG);
        assert_int_equal(strncmp(error.message, "spool: no file '", 16), 0);
    }
}

static void test_what_was_acknowledged_is_not_shown(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 3; id++)
        world_put(spool, id, 100);
    assert_true(spool->engine->receipt(spool, 2));
    seen all = look(world);
    assert_int_equal(all.counts.rows, 2);
    assert_int_equal(all.counts.events, 2 * world_row(1, 100).events);
    uint64_t events = 0;
    assert_int_equal(qa_spool_view_rows(world->spool, all.name, 0, SIZE_MAX, SIZE_MAX, count_row,
                                        &events, NULL), QA_OK);
    assert_int_equal(events, all.counts.events);
    spool->engine->close(spool);
}

static void test_a_page_of_what_was_acknowledged_is_not_the_end(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 30; id++)
        world_put(spool, id, 100);
    for (uint64_t id = 1; id <= 20; id++)
        assert_true(spool->engine->receipt(spool, id));
    seen all = look(world);
    uint64_t events = 0;
    assert_int_equal(qa_spool_view_rows(world->spool, all.name, 0, 10, SIZE_MAX, count_row, &events,
                                        NULL), QA_OK);
    assert_int_equal(events, 10 * world_row(1, 100).events);
    spool->engine->close(spool);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_an_owned_file_is_seen_as_it_is),
        CASE(test_letters_are_marked_and_dropped_under_the_owner),
        CASE(test_damage_is_told_and_nothing_moved),
        CASE(test_what_is_not_there_is_said),
        CASE(test_what_was_acknowledged_is_not_shown),
        CASE(test_a_page_of_what_was_acknowledged_is_not_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
