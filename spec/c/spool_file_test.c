/* spool_file_test.c
 * A database is laid out, led from one version to the next, and refused when it is none of ours.
 * Does not know what the rows are for.
 * SPDX-License-Identifier: MIT */
#include "spool_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool_rows.h"
#include "support/spool_world.h"

static char path[128];

static int setup(void **state) {
    int failure = world_setup(state);
    (void)snprintf(path, sizeof path, "%s/x.db", ((spool_world *)*state)->root);
    return failure;
}

static qa_spool_file *open_mode(spool_world *world, qa_spool_mode mode, qa_error *error,
                                bool *damaged) {
    return qa_spool_file_open(path, mode, QA_SPOOL_SYNC_NORMAL, &world->config.target, damaged,
                              error);
}

static qa_spool_file *must_open(spool_world *world, qa_spool_mode mode) {
    qa_error error = {.message = ""};
    bool damaged;
    qa_spool_file *file = open_mode(world, mode, &error, &damaged);
    if (file == NULL)
        fail_msg("%s", error.message);
    return file;
}

static void run(qa_spool_file *file, const char *sql) {
    assert_int_equal(sqlite3_exec(file->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int64_t number(qa_spool_file *file, const char *sql) {
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    return value;
}

static void test_a_new_file_is_laid_out(void **state) {
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    assert_int_equal(number(file, "PRAGMA user_version"), QA_SPOOL_SCHEMA);
    assert_int_equal(number(file, "PRAGMA page_size"), QA_SPOOL_PAGE);
    assert_int_equal(number(file, "PRAGMA secure_delete"), 0);
    assert_int_equal(number(file, "PRAGMA mmap_size"), 0);
    assert_int_equal(number(file, "PRAGMA journal_size_limit"), QA_SPOOL_WAL_BYTES);
    assert_int_equal(number(file, "PRAGMA synchronous"), 1);
    assert_true(qa_spool_file_is_for(file, &((spool_world *)*state)->config.target));
    assert_true(qa_spool_file_is_there(file));
    assert_int_equal(qa_spool_file_check(file, NULL), QA_OK);
    qa_spool_file_close(file);
    qa_spool_file_close(NULL);
}

static void test_full_sync_is_full(void **state) {
    spool_world *world = *state;
    bool damaged;
    qa_spool_file *file = qa_spool_file_open(path, QA_SPOOL_CREATE, QA_SPOOL_SYNC_FULL,
                                             &world->config.target, &damaged, NULL);
    assert_non_null(file);
    assert_int_equal(number(file, "PRAGMA synchronous"), 2);
    qa_spool_file_close(file);
}

static void test_nothing_secret_is_written(void **state) {
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    assert_int_equal(number(file, "SELECT count(*) FROM meta"), 4);
    assert_int_equal(number(file, "SELECT count(*) FROM meta WHERE key IN"
                                  " ('endpoint', 'path', 'organization_id', 'access_id')"),
                     4);
    qa_spool_file_close(file);
}

static void test_a_file_is_made_only_once(void **state) {
    qa_error error;
    bool damaged;
    qa_spool_file_close(must_open(*state, QA_SPOOL_CREATE));
    assert_null(open_mode(*state, QA_SPOOL_CREATE, &error, &damaged));
    assert_non_null(strstr(error.message, "file exists"));
}

/* As the next version would: a column more, with a value for the rows that are there. */
static void test_a_layout_is_led_on_with_its_rows(void **state) {
    static const char *const steps[] = {
        "SELECT 1",
        "ALTER TABLE chunk ADD COLUMN lane TEXT NOT NULL DEFAULT 'first'",
    };
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = world_row(1, 100)};
    qa_spool_counts counts = {0};
    assert_int_equal(qa_spool_rows_commit(file, &op, 1, &counts, NULL), QA_OK);
    assert_int_equal(qa_spool_file_migrate(file, QA_SPOOL_SCHEMA, steps, 2, NULL), QA_OK);
    assert_int_equal(number(file, "PRAGMA user_version"), 2);
    assert_int_equal(number(file, "SELECT count(*) FROM chunk WHERE lane = 'first'"), 1);
    qa_spool_file_close(file);
}

static void test_a_step_that_fails_changes_nothing(void **state) {
    static const char *const steps[] = {"SELECT 1", "CREATE TABLE more(x)", "no such statement"};
    qa_error error;
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    assert_int_equal(qa_spool_file_migrate(file, 1, steps, 3, &error), QA_SPOOL);
    assert_int_equal(number(file, "PRAGMA user_version"), 1);
    assert_int_equal(number(file, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"), 0);
    qa_spool_file_close(file);
}

static void test_a_newer_layout_is_left_alone(void **state) {
    qa_error error;
    bool damaged;
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    run(file, "PRAGMA user_version = 7");
    qa_spool_file_close(file);
    for (int mode = QA_SPOOL_OWN; mode <= QA_SPOOL_LOOK; mode++) {
        assert_null(open_mode(*state, (qa_spool_mode)mode, &error, &damaged));
        assert_false(damaged);
        assert_non_null(strstr(error.message, "written by a newer version (layout 7, known: 1)"));
    }
}

static void test_somebody_elses_database_is_left_alone(void **state) {
    sqlite3 *db;
    qa_error error;
    bool damaged;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x); PRAGMA user_version = 1", NULL, NULL,
                                  NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_null(open_mode(*state, QA_SPOOL_OWN, &error, &damaged));
    assert_false(damaged);
    assert_non_null(strstr(error.message, "not a spool file"));
}

static void test_noise_is_damage(void **state) {
    qa_error error;
    bool damaged;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        assert_int_not_equal(fputc(i * 31 & 0xff, file), EOF);
    assert_int_equal(fclose(file), 0);
    assert_null(open_mode(*state, QA_SPOOL_OWN, &error, &damaged));
    assert_true(damaged);
    assert_non_null(strstr(error.message, "not a spool file"));
}

/* The bug to be free of: a step that failed and wasn't reset makes every later one fail. */
static void test_a_failed_statement_works_again(void **state) {
    qa_spool_file *file = must_open(*state, QA_SPOOL_CREATE);
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = world_row(1, 100)};
    qa_spool_counts counts = {0};
    qa_error error;
    run(file, "CREATE TRIGGER no BEFORE INSERT ON chunk BEGIN SELECT raise(ABORT, 'no'); END");
    assert_int_equal(qa_spool_rows_commit(file, &op, 1, &counts, &error), QA_SPOOL);
    assert_int_equal(counts.rows, 0);
    run(file, "DROP TRIGGER no");
    op.row = world_row(1, 100);
    assert_int_equal(qa_spool_rows_commit(file, &op, 1, &counts, &error), QA_OK);
    assert_int_equal(counts.rows, 1);
    assert_int_equal(qa_spool_rows_count(file, &counts, &error), QA_OK);
    assert_int_equal(counts.rows, 1);
    qa_spool_file_close(file);
}

static void test_a_sum_tells_every_byte(void **state) {
    (void)state;
    char bytes[40];
    for (size_t length = 0; length <= sizeof bytes; length++) {
        memset(bytes, 'a', sizeof bytes);
        uint64_t sum = qa_spool_rows_sum(bytes, length);
        assert_true(length == 0 || sum != qa_spool_rows_sum(bytes, length - 1));
        for (size_t i = 0; i < length; i++) {
            bytes[i] ^= 1;
            assert_true(sum != qa_spool_rows_sum(bytes, length));
            bytes[i] ^= 1;
        }
    }
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_a_new_file_is_laid_out),
        CASE(test_full_sync_is_full),
        CASE(test_nothing_secret_is_written),
        CASE(test_a_file_is_made_only_once),
        CASE(test_a_layout_is_led_on_with_its_rows),
        CASE(test_a_step_that_fails_changes_nothing),
        CASE(test_a_newer_layout_is_left_alone),
        CASE(test_somebody_elses_database_is_left_alone),
        CASE(test_noise_is_damage),
        CASE(test_a_failed_statement_works_again),
        CASE(test_a_sum_tells_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
