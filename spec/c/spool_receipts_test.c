/* spool_receipts_test.c
 * What is noted about a row outlives whoever noted it, until the row's deletion is committed.
 * Does not know SQLite.
 * SPDX-License-Identifier: MIT */
#include "spool_receipts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/spool_world.h"

enum { SLOTS = QA_SPOOL_RECEIPT_SLOTS };

static char path[128];

static qa_spool_receipts *receipts_of(const spool_world *world) {
    qa_error error;
    (void)snprintf(path, sizeof path, "%s/x.db", world->root);
    qa_spool_receipts *receipts = qa_spool_receipts_open(path, &error);
    assert_non_null(receipts);
    return receipts;
}

static bool is_there(const qa_spool_receipts *receipts, uint64_t id) {
    return qa_spool_receipts_at(receipts, (uint32_t)(id % SLOTS)) == id;
}

static bool has_file(void) {
    char name[sizeof path + 16];
    struct stat found;
    (void)snprintf(name, sizeof name, "%s-receipts", path);
    if (stat(name, &found) != 0)
        return false;
    assert_int_equal(found.st_mode & 0777, 0600);
    return true;
}

static void they_are_there_for_whoever_comes_next(void **state) {
    qa_spool_receipts *mine = receipts_of(*state);
    assert_true(qa_spool_receipts_none(mine));
    assert_false(has_file());
    assert_true(qa_spool_receipts_add(mine, 7));
    assert_true(qa_spool_receipts_add(mine, SLOTS + 8));
    assert_true(has_file());
    qa_spool_receipts *next = receipts_of(*state); /* the first one is still open: it was killed */
    assert_true(is_there(next, 7) && is_there(next, SLOTS + 8));
    assert_false(qa_spool_receipts_none(next));
    uint64_t ids[SLOTS];
    assert_int_equal(qa_spool_receipts_look(path, ids), 2);
    qa_spool_receipts_close(next);
    assert_true(has_file());
    qa_spool_receipts_settle(mine, 7);
    qa_spool_receipts_settle(mine, SLOTS + 8);
    qa_spool_receipts_close(mine);
    assert_false(has_file());
    assert_int_equal(qa_spool_receipts_look(path, ids), 0);
}

static void a_slot_waits_for_its_row(void **state) {
    qa_spool_receipts *receipts = receipts_of(*state);
    assert_true(qa_spool_receipts_add(receipts, 5));
    assert_true(qa_spool_receipts_add(receipts, 5));
    assert_false(qa_spool_receipts_add(receipts, SLOTS + 5));
    qa_spool_receipts_settle(receipts, SLOTS + 5); /* another row's: changes nothing */
    assert_true(is_there(receipts, 5));
    qa_spool_receipts_settle(receipts, 5);
    assert_true(qa_spool_receipts_add(receipts, SLOTS + 5));
    qa_spool_receipts_close(receipts);
}

static void all_slots_can_be_used(void **state) {
    qa_spool_receipts *receipts = receipts_of(*state);
    for (uint64_t id = 1000; id < 1000 + SLOTS; id++)
        assert_true(qa_spool_receipts_add(receipts, id));
    assert_false(qa_spool_receipts_add(receipts, 1));
    uint64_t ids[SLOTS];
    assert_int_equal(qa_spool_receipts_look(path, ids), SLOTS);
    qa_spool_receipts_close(receipts);
}

static void what_is_cut_off_is_none(void **state) {
    qa_spool_receipts *receipts = receipts_of(*state);
    assert_true(qa_spool_receipts_add(receipts, 2));
    assert_true(qa_spool_receipts_add(receipts, 3));
    qa_spool_receipts_close(receipts);
    char name[sizeof path + 16];
    (void)snprintf(name, sizeof name, "%s-receipts", path);
    assert_int_equal(truncate(name, 3 * 8 + 5), 0);
    receipts = receipts_of(*state);
    assert_true(is_there(receipts, 2));
    assert_false(is_there(receipts, 3));
    qa_spool_receipts_close(receipts);
}

static void what_cannot_be_written_is_not_noted(void **state) {
    qa_error error;
    spool_world *world = *state;
    (void)snprintf(path, sizeof path, "%s/none/x.db", world->root);
    qa_spool_receipts *receipts = qa_spool_receipts_open(path, &error);
    assert_non_null(receipts);
    assert_false(qa_spool_receipts_add(receipts, 1));
    assert_true(qa_spool_receipts_none(receipts));
    qa_spool_receipts_close(receipts);
}

static void they_move_to_another_file(void **state) {
    spool_world *world = *state;
    char other[128];
    qa_error error;
    qa_spool_receipts *from = receipts_of(world);
    assert_true(qa_spool_receipts_add(from, 4));
    assert_true(qa_spool_receipts_add(from, 6));
    qa_spool_receipts_settle(from, 6);
    (void)snprintf(other, sizeof other, "%s/y.db", world->root);
    qa_spool_receipts *to = qa_spool_receipts_open(other, &error);
    assert_non_null(to);
    qa_spool_receipts_copy(from, to);
    assert_true(is_there(to, 4));
    assert_false(is_there(to, 6));
    qa_spool_receipts_close(from);
    qa_spool_receipts_close(to);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(they_are_there_for_whoever_comes_next),
        CASE(a_slot_waits_for_its_row),
        CASE(all_slots_can_be_used),
        CASE(what_is_cut_off_is_none),
        CASE(what_cannot_be_written_is_not_noted),
        CASE(they_move_to_another_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
