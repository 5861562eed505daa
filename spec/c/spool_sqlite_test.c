/* spool_sqlite_test.c
 * What is committed is there for the next process; what isn't, isn't; nobody's files are mixed up.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/process_look.h"
#include "support/spool_world.h"

static void close_all(qa_spool *spool) {
    spool->engine->close(spool);
}

static qa_status delete_row(qa_spool *spool, uint64_t id) {
    qa_spool_op op = {.verb = QA_SPOOL_DELETE, .row = {.id = id}};
    char message[QA_ERROR_MAX];
    return world_try(spool, &op, message, sizeof message);
}

/* A child that does `work` and is then killed, so that nothing of it ends in order. */
static void in_killed_child(spool_world *world, void (*work)(spool_world *world)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        work(world);
        (void)kill(getpid(), SIGKILL);
    }
    int status = process_wait(child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void test_rows_come_back_whole_and_in_order(void **state) {
    qa_spool *spool = world_spool(*state);
    world_put(spool, 7, 60000);
    world_put(spool, 3, 20);
    world_put(spool, 5, 700000);
    world_ids *ids = world_read(spool, 0);
    assert_int_equal(ids->count, 3);
    assert_true(ids->whole);
    assert_true(ids->list[0] == 3 && ids->list[1] == 5 && ids->list[2] == 7);
    assert_int_equal(world_read(spool, 3)->count, 2);
    assert_int_equal(world_read(spool, 7)->count, 0);
    close_all(spool);
}

static void test_gauges_follow_what_is_there(void **state) {
    qa_spool *spool = world_spool(*state);
    qa_spool_row first = world_row(1, 1000);
    world_put(spool, 1, 1000);
    world_put(spool, 2, 20);
    qa_spool_gauges gauges = world_gauges(spool);
    assert_int_equal(gauges.rows, 2);
    assert_int_equal(gauges.events, first.events + 1);
    assert_int_equal(gauges.bytes, first.length + world_row(2, 20).length);
    assert_int_equal(gauges.commits, 2);
    assert_int_equal(gauges.directory_files, 1);
    assert_int_equal(delete_row(spool, 1), QA_OK);
    assert_int_equal(delete_row(spool, 99), QA_OK);
    gauges = world_gauges(spool);
    assert_int_equal(gauges.rows, 1);
    assert_int_equal(gauges.events, 1);
    assert_int_equal(gauges.generation, 0);
    close_all(spool);
}

static void test_a_put_of_the_same_id_replaces(void **state) {
    qa_spool *spool = world_spool(*state);
    world_put(spool, 1, 5000);
    world_put(spool, 1, 100);
    assert_int_equal(world_read(spool, 0)->count, 1);
    assert_int_equal(world_gauges(spool).events, world_row(1, 100).events);
    assert_int_equal(world_gauges(spool).rows, 1);
    close_all(spool);
}

static bool keep_row(void *context, const qa_spool_row *row) {
    *(qa_spool_row *)context = *row;
    return true;
}

static void test_attempts_are_kept_without_the_bytes(void **state) {
    qa_spool *spool = world_spool(*state);
    char message[QA_ERROR_MAX];
    qa_spool_row seen = {0};
    world_put(spool, 2, 100);
    qa_spool_op op = {.verb = QA_SPOOL_ATTEMPT,
                      .row = {.id = 2, .attempts = 9, .possibly_stored = true}};
    assert_int_equal(world_try(spool, &op, message, sizeof message), QA_OK);
    assert_int_equal(spool->engine->read(spool, 0, 1, 1, keep_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.attempts, 9);
    assert_true(seen.possibly_stored);
    /* Of a row that isn't there, nothing is kept that a later one could inherit. */
    op.row.id = 4;
    assert_int_equal(world_try(spool, &op, message, sizeof message), QA_OK);
    world_put(spool, 4, 100);
    assert_int_equal(spool->engine->read(spool, 2, 1, 1, keep_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.attempts, 4);
    close_all(spool);
}

typedef struct counted {
    size_t rows, bytes, stop_at;
} counted;

static bool count_row(void *context, const qa_spool_row *row) {
    counted *seen = context;
    seen->rows++;
    seen->bytes += row->length;
    return seen->rows != seen->stop_at;
}

static void test_a_walk_keeps_its_bounds(void **state) {
    qa_spool *spool = world_spool(*state);
    for (uint64_t id = 1; id <= 10; id++)
        world_put(spool, id, 1000);
    size_t length = world_row(1, 1000).length;
    counted seen = {0};
    assert_int_equal(spool->engine->read(spool, 0, 4, SIZE_MAX, count_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.rows, 4);
    seen = (counted){0};
    assert_int_equal(spool->engine->read(spool, 0, 99, length * 3, count_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.rows, 3);
    seen = (counted){0};
    assert_int_equal(spool->engine->read(spool, 0, 99, 1, count_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.rows, 1);
    seen = (counted){.stop_at = 2};
    assert_int_equal(spool->engine->read(spool, 0, 99, SIZE_MAX, count_row, &seen, NULL), QA_OK);
    assert_int_equal(seen.rows, 2);
    close_all(spool);
}

static void test_operations_are_done_together(void **state) {
    qa_spool *spool = world_spool(*state);
    world_put(spool, 1, 5000);
    qa_dead_letter letter = {.event = "{}", .length = 2, .code = QA_REJECTED, .service_code = "",
                             .message = "", .trace_id = "", .attempts = 1, .wall_ms = 5};
    qa_spool_op ops[] = {
        {.verb = QA_SPOOL_DELETE, .row = {.id = 1}},
        {.verb = QA_SPOOL_LETTER_PUT, .letter = {.letter = letter}},
        {.verb = QA_SPOOL_PUT, .row = world_row(2, 300)},
    };
    assert_int_equal(spool->engine->commit(spool, ops, 3, NULL), QA_OK);
    qa_spool_gauges gauges = world_gauges(spool);
    assert_int_equal(gauges.rows, 1);
    assert_int_equal(gauges.letters, 1);
    assert_int_equal(gauges.commits, 2);
    assert_int_equal(spool->engine->commit(spool, NULL, 0, NULL), QA_OK);
    close_all(spool);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

typedef struct letters {
    uint64_t ids[16];
    char events[16][32], messages[16][64];
    bool retry[16];
    qa_status code;
    uint32_t attempts;
    size_t count;
} letters;

static bool keep_letter(void *context, const qa_spool_letter *entry) {
    letters *seen = context;
    size_t i = seen->count++;
    seen->ids[i] = entry->id;
    seen->retry[i] = entry->retry;
    seen->code = entry->letter.code;
    seen->attempts = entry->letter.attempts;
    (void)snprintf(seen->events[i], sizeof seen->events[i], "%.*s", (int)entry->letter.length,
                   entry->letter.event);
    (void)snprintf(seen->messages[i], sizeof seen->messages[i], "%s", entry->letter.message);
    return true;
}

static void put_letter(qa_spool *spool, uint64_t id, const char *event, int64_t when, bool retry) {
    char message[QA_ERROR_MAX];
    qa_spool_op op = {.verb = QA_SPOOL_LETTER_PUT,
                      .letter = {id, retry, {.event = event, .length = strlen(event),
                                             .code = QA_HTTP, .service_code = "E1",
                                             .message = "too large", .trace_id = "t-1",
                                             .attempts = 3, .wall_ms = when}}};
    assert_int_equal(world_try(spool, &op, message, sizeof message), QA_OK);
}

static letters read_letters(qa_spool *spool, bool retry_only) {
    letters seen = {.count = 0};
    assert_int_equal(spool->engine->letters(spool, 0, 16, retry_only, keep_letter, &seen, NULL),
                     QA_OK);
    return seen;
}

static void test_letters_are_kept_oldest_first(void **state) {
    qa_spool *spool = world_spool(*state);
    put_letter(spool, 0, "{\"n\":2}", 2000, false);
    put_letter(spool, 0, "{\"n\":1}", 1000, true);
    put_letter(spool, 0, "{\"n\":3}", 2000, false);
    letters seen = read_letters(spool, false);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.events[0], "{\"n\":1}");
    assert_string_equal(seen.messages[0], "too large");
    assert_int_equal(seen.code, QA_HTTP);
    assert_int_equal(seen.attempts, 3);
    assert_true(seen.ids[0] < seen.ids[1] && seen.ids[1] < seen.ids[2]);
    assert_int_equal(read_letters(spool, true).count, 1);
    assert_int_equal(world_gauges(spool).letters_retry, 1);
    /* Moved a second time, because a crash came between the two files. */
    put_letter(spool, seen.ids[0], "{\"n\":1}", 1000, true);
    assert_int_equal(world_gauges(spool).letters, 3);
    qa_spool_op op = {.verb = QA_SPOOL_LETTER_DELETE, .letter = {.id = seen.ids[0]}};
    assert_int_equal(spool->engine->commit(spool, &op, 1, NULL), QA_OK);
    assert_int_equal(world_gauges(spool).letters, 2);
    assert_int_equal(world_gauges(spool).letters_retry, 0);
    close_all(spool);
}

/* ---- the directory --------------------------------------------------------------------------- */

static void test_files_are_the_owners_alone(void **state) {
    spool_world *world = *state;
    char path[256];
    struct stat found;
    mode_t mask = umask(0);
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    (void)umask(mask);
    assert_int_equal(stat(world->spool, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    static const char *const endings[] = {".db", ".db-wal", ".db-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(world_files(world, endings[i], path, sizeof path), 1);
        assert_int_equal(stat(path, &found), 0);
        assert_int_equal(found.st_mode & 07777, 0600);
    }
    close_all(spool);
}

static void test_an_empty_spool_leaves_no_file(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100000);
    assert_int_equal(delete_row(spool, 1), QA_OK);
    close_all(spool);
    assert_int_equal(world_files(world, "", NULL, 0), 0);
    qa_spool_sqlite.close(NULL);
}

static void test_a_closed_spool_leaves_one_file(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    close_all(spool);
    assert_int_equal(world_files(world, "", NULL, 0), 1);
    assert_int_equal(world_files(world, ".db", NULL, 0), 1);
}

static void test_what_cannot_be_opened_says_why(void **state) {
    spool_world *world = *state;
    qa_error error;
    qa_spool *spool;
    char expected[256];
    world->config.directory = "/proc/none/spool";
    assert_int_equal(qa_spool_sqlite.open(&world->config, &spool, &error), QA_SPOOL);
    assert_null(spool);
    assert_string_equal(error.message,
                        "spool: cannot make '/proc/none/spool': no such file or directory");
    (void)snprintf(expected, sizeof expected, "%s/file", world->root);
    FILE *file = fopen(expected, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    world->config.directory = expected;
    assert_int_equal(qa_spool_sqlite.open(&world->config, &spool, &error), QA_SPOOL);
    assert_non_null(strstr(error.message, "not a directory"));
}

/* ---- adopting -------------------------------------------------------------------------------- */

static void put_three(spool_world *world) {
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 3; id++)
        world_put(spool, id, 3000);
}

static void test_a_killed_ones_rows_are_adopted(void **state) {
    spool_world *world = *state;
    in_killed_child(world, put_three);
    qa_spool *adopted = world_adopt(world);
    assert_non_null(adopted);
    assert_int_equal(world_gauges(adopted).rows, 3);
    world_ids *ids = world_read(adopted, 0);
    assert_int_equal(ids->count, 3);
    assert_true(ids->whole);
    assert_null(world_adopt(world));
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(delete_row(adopted, id), QA_OK);
    close_all(adopted);
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

/* The service took the first and the third, and the kill came before their deletion. */
static void put_three_and_deliver_two(spool_world *world) {
    qa_spool *spool = world_spool(world);
    for (uint64_t id = 1; id <= 3; id++)
        world_put(spool, id, 3000);
    if (!spool->engine->receipt(spool, 1) || !spool->engine->receipt(spool, 3))
        _exit(1);
}

static void test_rows_with_a_receipt_are_not_adopted(void **state) {
    spool_world *world = *state;
    in_killed_child(world, put_three_and_deliver_two);
    qa_spool *adopted = world_adopt(world);
    assert_non_null(adopted);
    assert_int_equal(world_gauges(adopted).rows, 1);
    world_ids *ids = world_read(adopted, 0);
    assert_int_equal(ids->count, 1);
    assert_int_equal(ids->list[0], 2);
    assert_int_equal(delete_row(adopted, 2), QA_OK);
    close_all(adopted);
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

static void test_a_receipt_waits_for_the_deletion(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    assert_true(spool->engine->receipt(spool, 1));
    assert_false(spool->engine->receipt(spool, 4097)); /* its place is taken */
    assert_int_equal(world_files(world, "-receipts", NULL, 0), 1);
    assert_int_equal(delete_row(spool, 1), QA_OK);
    assert_true(spool->engine->receipt(spool, 4097));
    assert_int_equal(delete_row(spool, 4097), QA_OK);
    close_all(spool);
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

static void test_an_owned_one_is_never_adopted(void **state) {
    spool_world *world = *state;
    qa_spool *mine = world_spool(world);
    world_put(mine, 1, 100);
    assert_null(world_adopt(world));
    close_all(mine);
    qa_spool *adopted = world_adopt(world);
    assert_non_null(adopted);
    close_all(adopted);
}

static void await_next_millisecond(void) {
    struct timespec start, now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &start), 0);
    do {
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    } while (now.tv_sec == start.tv_sec && now.tv_nsec / 1000000 == start.tv_nsec / 1000000);
}

static void test_the_oldest_is_adopted_first(void **state) {
    spool_world *world = *state;
    for (uint64_t id = 1; id <= 3; id++) {
        qa_spool *spool = world_spool(world);
        world_put(spool, id, 100);
        close_all(spool);
        await_next_millisecond(); /* names have it in them */
    }
    for (uint64_t id = 1; id <= 3; id++) {
        qa_spool *adopted = world_adopt(world);
        assert_true(world_read(adopted, 0)->list[0] == id);
        assert_int_equal(delete_row(adopted, id), QA_OK);
        close_all(adopted);
    }
}

static void test_other_targets_are_left_alone(void **state) {
    spool_world *world = *state;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    close_all(spool);
    const qa_spool_target target = world->config.target;
    for (int i = 0; i < 4; i++) {
        const char **field[] = {&world->config.target.endpoint, &world->config.target.path,
                                &world->config.target.organization_id,
                                &world->config.target.access_id};
        world->config.target = target;
        *field[i] = "other";
        assert_null(world_adopt(world));
    }
    world->config.target = target;
    spool = world_adopt(world);
    assert_non_null(spool);
    close_all(spool);
}

static void test_a_file_renamed_for_another_target_is_left_alone(void **state) {
    spool_world *world = *state;
    char from[256], to[256];
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    close_all(spool);
    assert_int_equal(world_files(world, ".db", from, sizeof from), 1);
    world->config.target.access_id = "other";
    spool = world_spool(world);
    (void)snprintf(to, sizeof to, "%s/%s.db", world->spool, world_gauges(spool).name);
    close_all(spool);
    assert_int_equal(rename(from, to), 0); /* its name says "other", its content doesn't */
    assert_null(world_adopt(world));
    assert_int_equal(world_files(world, ".db", NULL, 0), 1);
}

static void test_what_a_removal_left_behind_is_cleaned_up(void **state) {
    spool_world *world = *state;
    char db[256], lock[256];
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 100);
    close_all(spool);
    assert_int_equal(world_files(world, ".db", db, sizeof db), 1);
    (void)snprintf(lock, sizeof lock, "%.*s.lock", (int)strlen(db) - 3, db);
    assert_int_equal(rename(db, lock), 0);
    assert_null(world_adopt(world));
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

/* Each of two processes adopts what it can get, tells how many rows it got, and is killed. */
static int race(spool_world *world, int start) {
    int total = 0;
    char byte;
    (void)!read(start, &byte, 1);
    for (qa_spool *adopted; (adopted = world_adopt(world)) != NULL; close_all(adopted)) {
        world_ids *ids = world_read(adopted, 0);
        for (size_t i = 0; i < ids->count; i++) {
            total++;
            (void)delete_row(adopted, ids->list[i]);
        }
    }
    return total;
}

static void test_two_adopters_never_take_the_same(void **state) {
    enum { FILES = 20 };
    spool_world *world = *state;
    int gate[2];
    pid_t children[2];
    int totals[2];
    world->config.sync = QA_SPOOL_SYNC_NORMAL;
    for (uint64_t id = 1; id <= FILES; id++) {
        qa_spool *spool = world_spool(world);
        world_put(spool, id, 100);
        close_all(spool);
    }
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            (void)close(gate[1]);
            _exit(race(world, gate[0]));
        }
    }
    (void)close(gate[1]); /* both start */
    for (int i = 0; i < 2; i++) {
        int status = process_wait(children[i]);
        assert_true(WIFEXITED(status));
        totals[i] = WEXITSTATUS(status);
    }
    (void)close(gate[0]);
    assert_int_equal(totals[0] + totals[1], FILES);
    qa_spool *left = world_adopt(world); /* what one saw locked by the other for an instant */
    assert_null(left);
    assert_int_equal(world_files(world, ".db", NULL, 0), 0);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void test_a_child_neither_owns_nor_adopts_its_parents(void **state) {
    spool_world *world = *state;
    int done[2];
    char byte = 0;
    qa_spool *mine = world_spool(world);
    world_put(mine, 1, 100);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(done[1]);
        (void)!read(done[0], &byte, 1); /* until the parent has let go */
        qa_spool *adopted = world_adopt(world);
        qa_spool *own = world_spool(world);
        world_put(own, 9, 100);
        bool good = adopted == NULL && world_read(own, 0)->count == 1;
        close_all(own);
        _exit(good ? 0 : 1);
    }
    (void)close(done[0]);
    close_all(mine);
    /* The child lives and holds nothing: it is free for another. */
    mine = world_adopt(world);
    assert_non_null(mine);
    assert_int_equal(world_gauges(mine).rows, 1);
    close_all(mine);
    assert_int_equal(write(done[1], &byte, 1), 1);
    (void)close(done[1]);
    int status = process_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(world_files(world, ".db", NULL, 0), 2);
}

static void test_a_cleared_spool_begins_anew(void **state) {
    spool_world *world = *state;
    char before[256], after[256];
    qa_error error;
    qa_spool *spool = world_spool(world);
    world_put(spool, 1, 3000);
    world_put(spool, 2, 3000);
    assert_int_equal(world_files(world, ".db", before, sizeof before), 1);
    assert_int_equal(spool->engine->clear(spool, &error), QA_OK);
    assert_int_equal(world_gauges(spool).rows, 0);
    assert_int_equal(world_gauges(spool).generation, 0); /* nothing is to be put again */
    assert_int_equal(world_files(world, ".db", after, sizeof after), 1);
    assert_string_not_equal(before, after);
    assert_int_equal(access(before, F_OK), -1);
    world_put(spool, 3, 3000);
    assert_int_equal(world_read(spool, 0)->count, 1);
    assert_int_equal(delete_row(spool, 3), QA_OK);
    close_all(spool);
    assert_int_equal(world_files(world, "", NULL, 0), 0);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rows_come_back_whole_and_in_order),
        CASE(test_gauges_follow_what_is_there),
        CASE(test_a_put_of_the_same_id_replaces),
        CASE(test_attempts_are_kept_without_the_bytes),
        CASE(test_a_walk_keeps_its_bounds),
        CASE(test_operations_are_done_together),
        CASE(test_letters_are_kept_oldest_first),
        CASE(test_files_are_the_owners_alone),
        CASE(test_an_empty_spool_leaves_no_file),
        CASE(test_a_closed_spool_leaves_one_file),
        CASE(test_what_cannot_be_opened_says_why),
        CASE(test_a_killed_ones_rows_are_adopted),
        CASE(test_rows_with_a_receipt_are_not_adopted),
        CASE(test_a_receipt_waits_for_the_deletion),
        CASE(test_an_owned_one_is_never_adopted),
        CASE(test_the_oldest_is_adopted_first),
        CASE(test_other_targets_are_left_alone),
        CASE(test_a_file_renamed_for_another_target_is_left_alone),
        CASE(test_what_a_removal_left_behind_is_cleaned_up),
        CASE(test_two_adopters_never_take_the_same),
        CASE(test_a_child_neither_owns_nor_adopts_its_parents),
        CASE(test_a_cleared_spool_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
