/* spool_lock_test.c
 * One owner at a time, in one process or many; a lock dies with its owner and not with a child.
 * Does not know what is owned.
 * SPDX-License-Identifier: MIT */
#include "spool_lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/process_look.h"
#include "support/spool_world.h"

static qa_spool_lock *take(const spool_world *world, const char *name) {
    qa_error error = {.message = ""};
    qa_spool_lock *lock;
    if (qa_spool_lock_take(world->root, name, &lock, &error) != QA_OK)
        fail_msg("%s", error.message);
    return lock;
}

static void test_one_owner_at_a_time(void **state) {
    spool_world *world = *state;
    qa_spool_lock *lock = take(world, "qa-1");
    assert_non_null(lock);
    assert_null(take(world, "qa-1"));
    assert_int_equal(qa_spool_lock_owner(world->root, "qa-1"), getpid());
    qa_spool_lock *other = take(world, "qa-2");
    assert_non_null(other);
    qa_spool_lock_drop(other);
    qa_spool_lock_drop(lock);
    assert_int_equal(qa_spool_lock_owner(world->root, "qa-1"), 0);
    lock = take(world, "qa-1");
    assert_non_null(lock);
    qa_spool_lock_drop(lock);
    qa_spool_lock_drop(NULL);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/qa-1.lock", world->root);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_a_lock_whose_file_is_gone_is_lost(void **state) {
    spool_world *world = *state;
    char path[128];
    qa_spool_lock *lock = take(world, "qa-1");
    assert_false(qa_spool_lock_lost(lock));
    (void)snprintf(path, sizeof path, "%s/qa-1.lock", world->root);
    assert_int_equal(unlink(path), 0);
    assert_true(qa_spool_lock_lost(lock));
    qa_spool_lock *next = take(world, "qa-1");
    assert_non_null(next);
    assert_true(qa_spool_lock_lost(lock));
    qa_spool_lock_drop(lock); /* must leave the file: it is the next one's */
    assert_false(qa_spool_lock_lost(next));
    qa_spool_lock_drop(next);
}

static void test_a_lock_dies_with_its_owner(void **state) {
    spool_world *world = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)take(world, "qa-1");
        (void)!write(ready[1], "x", 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_null(take(world, "qa-1"));
    assert_int_equal(qa_spool_lock_owner(world->root, "qa-1"), child);
    assert_int_equal(kill(child, SIGKILL), 0);
    (void)process_wait(child);
    assert_int_equal(qa_spool_lock_owner(world->root, "qa-1"), 0);
    qa_spool_lock *lock = take(world, "qa-1");
    assert_non_null(lock);
    qa_spool_lock_drop(lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_a_child_neither_has_nor_takes_it(void **state) {
    spool_world *world = *state;
    int gate[2];
    char byte = 'x';
    qa_spool_lock *lock = take(world, "qa-1");
    assert_int_equal(pipe(gate), 0);
    assert_false(qa_spool_lock_inherited("qa-1"));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)!read(gate[0], &byte, 1);
        bool good = qa_spool_lock_inherited("qa-1") && take(world, "qa-1") == NULL &&
                    !qa_spool_lock_inherited("qa-2") && take(world, "qa-2") != NULL;
        _exit(good ? 0 : 1);
    }
    qa_spool_lock_drop(lock);
    lock = take(world, "qa-1"); /* the child lives, and doesn't hold it */
    assert_non_null(lock);
    qa_spool_lock_drop(lock);
    assert_int_equal(write(gate[1], &byte, 1), 1);
    int status = process_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(gate[0]);
    (void)close(gate[1]);
}

static void test_a_program_that_is_run_does_not_have_it(void **state) {
    spool_world *world = *state;
    qa_spool_lock *lock = take(world, "qa-1");
    pid_t child = vfork(); /* no handler runs in between: O_CLOEXEC alone has to do */
    assert_true(child >= 0);
    if (child == 0) {
        (void)execlp("true", "true", (char *)NULL);
        _exit(127);
    }
    qa_spool_lock_drop(lock);
    lock = take(world, "qa-1");
    assert_non_null(lock);
    qa_spool_lock_drop(lock);
    (void)process_wait(child);
}

static void test_what_cannot_be_locked_says_why(void **state) {
    qa_error error;
    qa_spool_lock *lock;
    (void)state;
    assert_int_equal(qa_spool_lock_take("/proc/none", "qa-1", &lock, &error), QA_SPOOL);
    assert_null(lock);
    assert_string_equal(error.message, "spool: cannot lock '/proc/none/qa-1.lock': "
                                       "no such file or directory");
    assert_int_equal(qa_spool_lock_owner("/proc/none", "qa-1"), 0);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_one_owner_at_a_time),
        CASE(test_a_lock_whose_file_is_gone_is_lost),
        CASE(test_a_lock_dies_with_its_owner),
        CASE(test_a_child_neither_has_nor_takes_it),
        CASE(test_a_program_that_is_run_does_not_have_it),
        CASE(test_what_cannot_be_locked_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
