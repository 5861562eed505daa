/* spool_fault_test.c
 * A disk that is full, fails, loses or spoils files: nothing committed is lost or half-read.
 * Does not know how rows lie in the file.
 * SPDX-License-Identifier: MIT */
#include "spool_sqlite.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fault_vfs.h"
#include "support/process_look.h"
#include "spool_file.h"
#include "support/spool_world.h"

enum { LARGE = 60000, PAGE = 16384 };

static qa_status try_put(qa_spool *spool, uint64_t id, size_t length, char *message, size_t size) {
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = world_row(id, length)};
    return world_try(spool, &op, message, size);
}

static qa_status try_delete(qa_spool *spool, uint64_t id) {
    char message[QA_ERROR_MAX];
    qa_spool_op op = {.verb = QA_SPOOL_DELETE, .row = {.id = id}};
    return world_try(spool, &op, message, sizeof message);
}

static void expect_rows(qa_spool *spool, uint64_t first, size_t count) {
    world_ids *ids = world_read(spool, 0);
    assert_int_equal(ids->count, count);
    assert_true(ids->whole);
    for (size_t i = 0; i < count; i++)
        assert_true(ids->list[i] == first + i);
    assert_int_equal(world_gauges(spool).rows, count);
}

/* Rows 1 to `count`, in a file that its owner has closed; its path. */
static void leave_file(spool_world *world, size_t count, char *path, size_t size) {
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= count; id++)
        world_put(spool, id, LARGE);
    spool->engine->close(spool);
    assert_int_equal(world_files(world, ".db", path, size), 1);
}

/* ---- writes that fail ------------------------------------------------------------------------ */

/* Every write, sync and truncation of a commit fails once, and once more of the attempt to write
 * the log back: what was committed stays, and the same call succeeds when the fault is gone. */
static void fail_everywhere(spool_world *world, fault_kind kind, qa_status expected,
                            const char *reason) {
    char message[QA_ERROR_MAX], words[64];
    qa_spool *spool = world_spool(world);
    (void)snprintf(words, sizeof words, ".db': %s", reason);
    uint64_t id = 1;
    bool failed = true;
    world_put(spool, id, LARGE);
    for (int n = 1; failed; n++) {
        fault_vfs_set(kind, n);
        qa_status status = try_put(spool, id + 1, LARGE, message, sizeof message);
        failed = status != QA_OK;
        fault_vfs_set(FAULT_NONE, 0);
        if (failed) {
            assert_int_equal(status, expected);
            assert_non_null(strstr(message, words));
            assert_int_equal(strncmp(message, "spool: cannot write '", 21), 0);
            expect_rows(spool, 1, id);
            world_put(spool, id + 1, LARGE);
        }
        id++;
        expect_rows(spool, 1, id);
        assert_true(n < 200);
    }
    assert_int_equal(world_gauges(spool).generation, 0);
    spool->engine->close(spool);
    spool = world_adopt(world);
    assert_non_null(spool);
    expect_rows(spool, 1, id);
    spool->engine->close(spool);
}

static void test_a_full_disk_loses_nothing(void **state) {
    fail_everywhere(*state, FAULT_FULL, QA_SPOOL_FULL, "disk full");
}

static void test_a_failing_disk_loses_nothing(void **state) {
    fail_everywhere(*state, FAULT_IO, QA_SPOOL, "i/o error");
}

static void test_a_full_disk_delays_deletions(void **state) {
    qa_spool *spool = world_spool(*state);
    for (uint64_t id = 1; id <= 3; id++)
        world_put(spool, id, LARGE);
    fault_vfs_set(FAULT_FULL, 1);
    assert_int_equal(try_delete(spool, 1), QA_SPOOL_FULL);
    fault_vfs_set(FAULT_NONE, 0);
    expect_rows(spool, 1, 3);
    assert_int_equal(try_delete(spool, 1), QA_OK);
    expect_rows(spool, 2, 2);
    spool->engine->close(spool);
}

static void test_a_full_disk_at_the_start(void **state) {
    spool_world *world = *state;
    qa_error error;
    qa_spool *spool;
    int n = 0;
    do {
        fault_vfs_set(FAULT_FULL, ++n);
        qa_status status = qa_spool_sqlite.open(&world->config, &spool, &error);
        fault_vfs_set(FAULT_NONE, 0);
        assert_true(status == QA_OK || status == QA_SPOOL_FULL);
        assert_int_equal(world_files(world, "", NULL, 0) > 0, spool != NULL);
        assert_true(n < 200);
    } while (spool == NULL);
    spool->engine->close(spool);
    assert_true(n > 1);
}

static void test_a_read_only_disk_says_so(void **state) {
    spool_world *world = *state;
    qa_error error;
    qa_spool *spool;
    fault_vfs_set(FAULT_READ_ONLY, 1);
    assert_int_equal(qa_spool_sqlite.open(&world->config, &spool, &error), QA_SPOOL);
    fault_vfs_set(FAULT_NONE, 0);
    assert_non_null(strstr(error.message, ".db': read-only file system"));
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

/* ---- kills ----------------------------------------------------------------------------------- */

/* Runs `work` in a child whose n-th write or sync kills it in the middle; false: it survived. */
static bool kill_at(spool_world *world, int n, void (*work)(spool_world *world, int n)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        work(world, n);
        _exit(0);
    }
    int status = process_wait(child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void commit_and_die(spool_world *world, int n) {
    qa_spool *spool = world_spool(world);
    qa_spool_op ops[] = {{.verb = QA_SPOOL_DELETE, .row = {.id = 1}},
                         {.verb = QA_SPOOL_PUT, .row = world_row(3, LARGE)}};
    world_put(spool, 1, LARGE);
    world_put(spool, 2, LARGE);
    ops[1].row = world_row(3, LARGE);
    fault_vfs_set(FAULT_KILL, n);
    (void)spool->engine->commit(spool, ops, 2, NULL);
    fault_vfs_set(FAULT_NONE, 0);
    spool->engine->close(spool);
}

static void test_a_kill_inside_a_commit_leaves_all_or_nothing_of_it(void **state) {
    bool killed = true;
    for (int n = 1; killed; n++) {
        killed = kill_at(*state, n, commit_and_die);
        qa_spool *adopted = world_adopt(*state);
        assert_non_null(adopted);
        bool done = world_read(adopted, 0)->list[0] == 2;
        assert_true(killed || done);
        expect_rows(adopted, done ? 2 : 1, 2);
        for (uint64_t id = 1; id <= 3; id++)
            assert_int_equal(try_delete(adopted, id), QA_OK);
        adopted->engine->close(adopted);
        assert_int_equal(world_files(*state, "", NULL, 0), 0);
        assert_true(n < 200);
    }
}

static void make_and_die(spool_world *world, int n) {
    fault_vfs_set(FAULT_KILL, n);
    qa_spool *spool = world_spool(world);
    fault_vfs_set(FAULT_NONE, 0);
    spool->engine->close(spool);
}

static void test_a_kill_while_a_file_is_made_leaves_nothing_to_keep(void **state) {
    bool killed = true;
    for (int n = 1; killed; n++) {
        killed = kill_at(*state, n, make_and_die);
        assert_null(world_adopt(*state));
        assert_int_equal(world_files(*state, "", NULL, 0), 0);
        assert_true(n < 200);
    }
}

/* Opens what a killed one left, which writes; deletes the first row; gives it up, which writes. */
static void adopt_and_die(spool_world *world, int n) {
    fault_vfs_set(FAULT_KILL, n);
    qa_spool *spool = world_adopt(world);
    if (spool != NULL) {
        (void)try_delete(spool, 1);
        spool->engine->close(spool);
    }
    fault_vfs_set(FAULT_NONE, 0);
}

static void put_and_die(spool_world *world, int n) {
    qa_spool *spool = world_spool(world);
    (void)n;
    for (uint64_t id = 1; id <= 3; id++)
        world_put(spool, id, LARGE);
    (void)kill(getpid(), SIGKILL);
}

static void test_a_kill_inside_adoption_loses_nothing(void **state) {
    bool killed = true;
    for (int n = 1; killed; n++) {
        assert_true(kill_at(*state, 0, put_and_die));
        killed = kill_at(*state, n, adopt_and_die);
        qa_spool *adopted = world_adopt(*state);
        assert_non_null(adopted);
        size_t left = world_read(adopted, 0)->count;
        assert_true(left == 2 || (killed && left == 3));
        expect_rows(adopted, left == 3 ? 1 : 2, left);
        for (uint64_t id = 1; id <= 3; id++)
            assert_int_equal(try_delete(adopted, id), QA_OK);
        adopted->engine->close(adopted);
        assert_int_equal(world_files(*state, "", NULL, 0), 0);
        assert_true(n < 200);
    }
}

/* ---- files that go away ---------------------------------------------------------------------- */

static void move_on_after_loss_of(spool_world *world, const char *const *endings, size_t count) {
    char path[256];
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, LARGE);
    world_put(spool, 2, 100);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(world_files(world, endings[i], path, sizeof path), 1);
        assert_int_equal(unlink(path), 0);
    }
    world_put(spool, 3, LARGE);
    assert_int_equal(world_gauges(spool).generation, 1);
    expect_rows(spool, 1, 3);
    assert_null(world_adopt(world)); /* nothing of the old place is there for another */
    spool->engine->close(spool);
    spool = world_adopt(world);
    assert_non_null(spool);
    expect_rows(spool, 1, 3);
    assert_null(world_adopt(world));
    assert_int_equal(world_gauges(spool).corrupt_files, 0);
    spool->engine->close(spool);
}

static void test_a_deleted_file_is_replaced(void **state) {
    static const char *const all[] = {".db", ".db-wal", ".db-shm", ".lock"};
    move_on_after_loss_of(*state, all, 4);
}

static void test_a_deleted_database_is_replaced(void **state) {
    static const char *const one[] = {".db"};
    move_on_after_loss_of(*state, one, 1);
}

static void test_a_deleted_log_is_replaced(void **state) {
    static const char *const one[] = {".db-wal"};
    move_on_after_loss_of(*state, one, 1);
}

static void test_a_deleted_lock_is_replaced(void **state) {
    static const char *const one[] = {".lock"};
    move_on_after_loss_of(*state, one, 1);
}

static void test_a_deleted_directory_is_made_again(void **state) {
    spool_world *world = *state;
    char away[96];
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, LARGE);
    (void)snprintf(away, sizeof away, "%s/away", world->root);
    assert_int_equal(rename(world->spool, away), 0);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    assert_int_equal(world_gauges(spool).generation, 1);
    expect_rows(spool, 1, 1);
    world_put(spool, 2, 100);
    spool->engine->close(spool);
    assert_int_equal(world_files(world, ".db", NULL, 0), 1);
}

static void test_a_deleted_file_on_a_full_disk_waits(void **state) {
    spool_world *world = *state;
    char path[256], message[QA_ERROR_MAX];
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, LARGE);
    assert_int_equal(world_files(world, ".db", path, sizeof path), 1);
    assert_int_equal(unlink(path), 0);
    fault_vfs_set(FAULT_FULL, 1);
    assert_int_equal(try_put(spool, 2, LARGE, message, sizeof message), QA_SPOOL_FULL);
    fault_vfs_set(FAULT_NONE, 0);
    assert_int_equal(world_files(world, ".db", NULL, 0), 0);
    world_put(spool, 2, LARGE);
    expect_rows(spool, 1, 2);
    spool->engine->close(spool);
}

/* ---- files that are spoilt ------------------------------------------------------------------- */

static bool look_on(void *context, const qa_spool_row *row) {
    (void)row;
    ++*(size_t *)context;
    return true;
}

/* Reads until a whole walk succeeds. */
static void settle(qa_spool *spool) {
    qa_error error;
    size_t seen = 0;
    for (int i = 0; i < 10; i++) {
        if (spool->engine->read(spool, 0, SIZE_MAX, SIZE_MAX, look_on, &seen, &error) == QA_OK)
            return;
    }
    fail_msg("%s", error.message);
}

static void test_a_spoilt_page_costs_only_its_rows(void **state) {
    enum { ROWS = 40 };
    spool_world *world = *state;
    char path[256];
    leave_file(world, ROWS, path, sizeof path);
    world_scribble(path, 80 * PAGE + 100, 2 * PAGE);
    qa_spool *spool = world_adopt(world);
    assert_non_null(spool);
    settle(spool);
    world_ids *ids = world_read(spool, 0);
    assert_true(ids->whole);
        assert_true(ids->count >= ROWS - 8 && ids->count < ROWS);
    for (size_t i = 1; i < ids->count; i++)
        assert_true(ids->list[i - 1] < ids->list[i]);
    assert_int_equal(world_gauges(spool).rows, ids->count);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    qa_spool_gauges gauges = world_gauges(spool);
    assert_int_equal(gauges.corrupt_files, 1);
    assert_int_equal(gauges.generation, 1);
    assert_int_equal(world_files(world, ".db.corrupt", path, sizeof path), 1);
    assert_non_null(strstr(path, gauges.corrupt_name));
    world_put(spool, ROWS + 1, 100);
    spool->engine->close(spool);
}

static void test_any_spoilt_page_leaves_the_rest(void **state) {
    enum { ROWS = 12 };
    spool_world *world = *state;
    char path[256];
    for (long page = 1; page < 50; page += 3) {
        leave_file(world, ROWS, path, sizeof path);
        world_scribble(path, page * PAGE, PAGE / 2);
        qa_spool *spool = world_adopt(world);
        if (spool != NULL) {
            settle(spool);
            assert_true(world_read(spool, 0)->whole);
            for (uint64_t id = 1; id <= ROWS; id++)
                assert_int_equal(try_delete(spool, id), QA_OK);
            spool->engine->close(spool);
        }
        assert_null(world_adopt(world));
        if (world_files(world, ".db.corrupt", path, sizeof path) == 1)
            assert_int_equal(unlink(path), 0);
        assert_int_equal(world_files(world, ".db", NULL, 0), 0);
    }
}

static void test_a_file_that_ends_too_soon_gives_what_it_has(void **state) {
    enum { ROWS = 30 };
    spool_world *world = *state;
    char path[256];
    struct stat found;
    leave_file(world, ROWS, path, sizeof path);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(truncate(path, found.st_size / PAGE / 2 * PAGE), 0);
    qa_spool *spool = world_adopt(world);
    if (spool != NULL) {
        settle(spool);
        world_ids *ids = world_read(spool, 0);
        assert_true(ids->whole && ids->count < ROWS);
        spool->engine->close(spool);
    }
    assert_int_equal(world_files(world, ".db.corrupt", NULL, 0), 1);
}

static void test_a_file_without_a_head_is_set_aside(void **state) {
    spool_world *world = *state;
    char path[256], expected[300];
    leave_file(world, 3, path, sizeof path);
    world_scribble(path, 0, 100);
    qa_spool *own = world_spool(world);
    world_put(own, 9, 100);
    assert_null(world_adopt(world));
    (void)snprintf(expected, sizeof expected, "%s.corrupt", path);
    assert_int_equal(access(expected, F_OK), 0);
    assert_int_equal(own->engine->tend(own, NULL), QA_OK);
    assert_int_equal(world_gauges(own).corrupt_files, 1);
    expect_rows(own, 9, 1);
    own->engine->close(own);
}

static void test_ones_own_file_is_replaced_when_it_is_spoilt(void **state) {
    enum { ROWS = 200 }; /* more than the log holds, so that the file has some */
    spool_world *world = *state;
    char path[256];
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= ROWS; id++)
        world_put(spool, id, LARGE * 2);
    assert_int_equal(world_files(world, ".db", path, sizeof path), 1);
    world_scribble(path, 30 * PAGE, 3 * PAGE);
    settle(spool);
    world_ids *ids = world_read(spool, 0);
    assert_true(ids->whole && ids->count >= ROWS / 2 && ids->count < ROWS);
    /* What is still in memory is put again. */
    for (uint64_t id = 1; id <= ROWS; id++)
        world_put(spool, id, LARGE * 2);
    expect_rows(spool, 1, ROWS);
    assert_int_equal(world_gauges(spool).generation, 1);
    spool->engine->close(spool);
    assert_int_equal(world_files(world, ".db.corrupt", NULL, 0), 1);
}

static void test_an_empty_file_is_nothing(void **state) {
    spool_world *world = *state;
    char path[256];
    leave_file(world, 1, path, sizeof path);
    assert_int_equal(truncate(path, 0), 0);
    assert_null(world_adopt(world));
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

/* ---- room ------------------------------------------------------------------------------------ */

static uint64_t bytes_in(const spool_world *world) {
    char path[256];
    uint64_t sum = 0;
    static const char *const endings[] = {".db", ".db-wal", ".db-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        struct stat found;
        if (world_files(world, endings[i], path, sizeof path) == 1 && stat(path, &found) == 0)
            sum += (uint64_t)found.st_size;
    }
    return sum;
}

static void test_the_bound_holds_and_room_comes_back(void **state) {
    enum { MAX = 4 << 20 };
    spool_world *world = *state;
    char message[QA_ERROR_MAX];
    world->config.max_bytes = MAX;
    qa_spool *spool = world_spool(world);
    uint64_t id = 0;
    qa_status status;
    while ((status = try_put(spool, id + 1, LARGE, message, sizeof message)) == QA_OK) {
        id++;
        assert_true(bytes_in(world) <= MAX);
        assert_true(id < 100);
    }
    assert_int_equal(status, QA_SPOOL_FULL);
    assert_non_null(strstr(message, "spool: full: '"));
    assert_true(id * LARGE > MAX / 2);
    expect_rows(spool, 1, (size_t)id);
    assert_int_equal(try_put(spool, id + 1, LARGE, message, sizeof message), QA_SPOOL_FULL);
    assert_int_equal(try_delete(spool, 1), QA_OK);
    assert_int_equal(try_delete(spool, 2), QA_OK);
    world_put(spool, id + 1, LARGE);
    assert_true(bytes_in(world) <= MAX);
    spool->engine->close(spool);
}

static void test_the_bound_is_the_directorys(void **state) {
    spool_world *world = *state;
    char message[QA_ERROR_MAX];
    world->config.max_bytes = 8 << 20;
    qa_spool *first = world_spool(world);
    for (uint64_t id = 1; id <= 60; id++)
        world_put(first, id, LARGE);
    qa_spool *second = world_spool(world);
    uint64_t id = 0;
    while (id < 100 && try_put(second, id + 1, LARGE, message, sizeof message) == QA_OK)
        id++;
    assert_true(id < 60);
    assert_int_equal(second->engine->tend(second, NULL), QA_OK);
    assert_true(world_gauges(second).directory_bytes <= 8 << 20);
    first->engine->close(first);
    second->engine->close(second);
}

static void test_a_large_file_shrinks_when_it_is_empty(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 60; id++)
        world_put(spool, id, LARGE * 5);
    assert_true(bytes_in(world) > 16 << 20);
    for (uint64_t id = 1; id < 60; id++)
        assert_int_equal(try_delete(spool, id), QA_OK);
    assert_int_equal(spool->engine->tend(spool, NULL), QA_OK);
    assert_true(bytes_in(world) < 2 << 20);
    expect_rows(spool, 60, 1);
    spool->engine->close(spool);
}

static void test_the_log_stays_small(void **state) {
    spool_world *world = *state;
    char path[256];
    struct stat found;
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 400; id++) {
        world_put(spool, id, LARGE);
        if (id > 5)
            assert_int_equal(try_delete(spool, id - 5), QA_OK);
        assert_int_equal(world_files(world, ".db-wal", path, sizeof path), 1);
        assert_int_equal(stat(path, &found), 0);
        assert_true(found.st_size < QA_SPOOL_WAL_BYTES + (1 << 20));
    }
    assert_true(bytes_in(world) < QA_SPOOL_WAL_BYTES + (4 << 20));
    spool->engine->close(spool);
}

static bool any_letter(void *context, const qa_spool_letter *letter) {
    (void)letter;
    ++*(size_t *)context;
    return true;
}

/* The old file has gone and there is no room for another one: every call says so, until there is. */
static void test_a_spool_without_a_file_waits_for_room(void **state) {
    spool_world *world = *state;
    char message[QA_ERROR_MAX];
    size_t letters = 0;
    qa_error error;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 3000);
    fault_vfs_set(FAULT_FULL, 1);
    assert_int_equal(spool->engine->clear(spool, &error), QA_SPOOL_FULL);
    assert_int_equal(world_files(world, ".db", NULL, 0), 0);
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = world_row(2, 3000)};
    assert_int_equal(world_try(spool, &op, message, sizeof message), QA_SPOOL_FULL);
    assert_int_not_equal(
        spool->engine->letters(spool, 0, 32, false, any_letter, &letters, NULL), QA_OK);
    assert_int_not_equal(spool->engine->tend(spool, NULL), QA_OK);
    assert_false(spool->engine->receipt(spool, 1));
    assert_int_equal(world_gauges(spool).rows, 0);
    fault_vfs_set(FAULT_NONE, 0);
    assert_int_equal(world_try(spool, &op, message, sizeof message), QA_OK);
    expect_rows(spool, 2, 1);
    fault_vfs_set(FAULT_FULL, 1);
    (void)spool->engine->clear(spool, NULL);
    spool->engine->close(spool); /* without a file */
    fault_vfs_set(FAULT_NONE, 0);
}

static bool count_row(void *context, const qa_spool_row *row) {
    (void)row;
    ++*(size_t *)context;
    return true;
}

static void test_damage_found_on_a_full_disk_is_told(void **state) {
    spool_world *world = *state;
    char path[256];
    size_t rows = 0;
    qa_spool *left = world_spool(world);
    for (uint64_t id = 1; id < 20; id++)
        world_put(left, id, LARGE);
    left->engine->close(left);
    assert_int_equal(world_files(world, ".db", path, sizeof path), 1);
    world_scribble(path, 25 * PAGE, 2000);
    qa_spool *adopted = world_adopt(world);
    assert_non_null(adopted);
    fault_vfs_set(FAULT_FULL, 1);
    assert_int_not_equal(
        adopted->engine->read(adopted, 0, SIZE_MAX, SIZE_MAX, count_row, &rows, NULL), QA_OK);
    fault_vfs_set(FAULT_NONE, 0);
    adopted->engine->close(adopted);
}

static void test_a_real_disk_that_is_full(void **state) {
    spool_world *world = *state;
    char message[QA_ERROR_MAX];
    if (mkdir(world->spool, 0700) != 0 ||
        mount("tmpfs", world->spool, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        print_message("a small tmpfs can't be mounted here\n");
        skip();
    }
    qa_spool *spool = world_spool(world);
    uint64_t id = 0;
    qa_status status;
    while ((status = try_put(spool, id + 1, LARGE, message, sizeof message)) == QA_OK)
        id++;
    assert_int_equal(status, QA_SPOOL_FULL);
    assert_non_null(strstr(message, ": disk full"));
    assert_true(id > 4);
    expect_rows(spool, 1, (size_t)id);
    assert_int_equal(mount("tmpfs", world->spool, "tmpfs", MS_REMOUNT, "size=8m"), 0);
    world_put(spool, id + 1, LARGE);
    expect_rows(spool, 1, (size_t)id + 1);
    spool->engine->close(spool);
    spool = world_adopt(world);
    assert_non_null(spool);
    expect_rows(spool, 1, (size_t)id + 1);
    spool->engine->close(spool);
    assert_int_equal(umount(world->spool), 0);
}

static int setup(void **state) {
    fault_vfs_install();
    fault_vfs_set(FAULT_NONE, 0);
    return world_setup(state);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_a_full_disk_loses_nothing),
        CASE(test_a_failing_disk_loses_nothing),
        CASE(test_a_full_disk_delays_deletions),
        CASE(test_a_full_disk_at_the_start),
        CASE(test_a_read_only_disk_says_so),
        CASE(test_a_kill_inside_a_commit_leaves_all_or_nothing_of_it),
        CASE(test_a_kill_while_a_file_is_made_leaves_nothing_to_keep),
        CASE(test_a_kill_inside_adoption_loses_nothing),
        CASE(test_a_deleted_file_is_replaced),
        CASE(test_a_deleted_database_is_replaced),
        CASE(test_a_deleted_log_is_replaced),
        CASE(test_a_deleted_lock_is_replaced),
        CASE(test_a_deleted_directory_is_made_again),
        CASE(test_a_deleted_file_on_a_full_disk_waits),
        CASE(test_a_spoilt_page_costs_only_its_rows),
        CASE(test_any_spoilt_page_leaves_the_rest),
        CASE(test_a_file_that_ends_too_soon_gives_what_it_has),
        CASE(test_a_file_without_a_head_is_set_aside),
        CASE(test_ones_own_file_is_replaced_when_it_is_spoilt),
        CASE(test_an_empty_file_is_nothing),
        CASE(test_the_bound_holds_and_room_comes_back),
        CASE(test_the_bound_is_the_directorys),
        CASE(test_a_large_file_shrinks_when_it_is_empty),
        CASE(test_the_log_stays_small),
        CASE(test_a_real_disk_that_is_full),
        CASE(test_a_spool_without_a_file_waits_for_room),
        CASE(test_damage_found_on_a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
