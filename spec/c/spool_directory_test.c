/* spool_directory_test.c
 * A directory is made, refused or tightened; names sort by age and tell targets apart.
 * Does not know what is inside a file.
 * SPDX-License-Identifier: MIT */
#include "spool_directory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/spool_world.h"

static void touch(const char *directory, const char *name, size_t bytes) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < bytes; i++)
        assert_int_not_equal(fputc('x', file), EOF);
    assert_int_equal(fclose(file), 0);
}

static mode_t mode_of(const char *path) {
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    return found.st_mode & 07777;
}

static qa_status open_it(const spool_world *world, qa_error *error) {
    char *real;
    qa_status status = qa_spool_directory_open(world->spool, &real, error);
    assert_int_equal(status == QA_OK, real != NULL);
    free(real);
    return status;
}

static void test_it_is_made_for_the_owner_alone(void **state) {
    spool_world *world = *state;
    mode_t mask = umask(0);
    assert_int_equal(open_it(world, NULL), QA_OK);
    (void)umask(mask);
    assert_int_equal(mode_of(world->spool), 0700);
    assert_int_equal(open_it(world, NULL), QA_OK);
}

static void test_one_of_its_own_is_tightened(void **state) {
    spool_world *world = *state;
    assert_int_equal(mkdir(world->spool, 0700), 0);
    touch(world->spool, "qa-1.db", 1);
    assert_int_equal(chmod(world->spool, 0777), 0);
    assert_int_equal(open_it(world, NULL), QA_OK);
    assert_int_equal(mode_of(world->spool), 0700);
}

static void test_one_for_other_ends_is_never_changed(void **state) {
    spool_world *world = *state;
    qa_error error;
    assert_int_equal(mkdir(world->spool, 0700), 0);
    touch(world->spool, "letter.txt", 1);
    assert_int_equal(chmod(world->spool, 0755), 0);
    assert_int_equal(open_it(world, &error), QA_OK);
    assert_int_equal(mode_of(world->spool), 0755);
    assert_int_equal(chmod(world->spool, 01777), 0);
    assert_int_equal(open_it(world, &error), QA_SPOOL);
    assert_non_null(strstr(error.message, "other users may write to '"));
    assert_non_null(strstr(error.message, "(mode 1777)"));
    assert_int_equal(mode_of(world->spool), 01777);
}

static void test_somebody_elses_is_refused(void **state) {
    spool_world *world = *state;
    qa_error error;
    assert_int_equal(mkdir(world->spool, 0700), 0);
    if (chown(world->spool, 12345, 12345) != 0) {
        print_message("only root can give a directory away\n");
        skip();
    }
    assert_int_equal(open_it(world, &error), QA_SPOOL);
    assert_non_null(strstr(error.message, "belongs to another user (uid 12345)"));
}

static void test_names_sort_by_age_and_tell_targets_apart(void **state) {
    spool_world *world = *state;
    char first[QA_SPOOL_NAME_MAX], second[QA_SPOOL_NAME_MAX];
    qa_spool_target other = world->config.target;
    assert_int_equal(qa_spool_directory_name(&other, 1700000000000, first, NULL), QA_OK);
    assert_int_equal(qa_spool_directory_name(&other, 1700000000001, second, NULL), QA_OK);
    assert_true(strcmp(first, second) < 0);
    assert_int_equal(qa_spool_directory_pid(first), getpid());
    assert_int_equal(qa_spool_directory_pid("qa-x"), 0);
    assert_true(qa_spool_directory_matches(first, &other));
    /* The same letters in other fields are another target. */
    other.organization_id = "organizationaccess";
    other.access_id = "";
    assert_false(qa_spool_directory_matches(first, &other));
    assert_false(qa_spool_directory_matches("qa-", &other));
}

static void test_only_its_own_files_are_seen(void **state) {
    spool_world *world = *state;
    qa_spool_names names;
    qa_spool_usage usage;
    assert_int_equal(mkdir(world->spool, 0700), 0);
    touch(world->spool, "qa-2.db", 10);
    touch(world->spool, "qa-1.db", 20);
    touch(world->spool, "qa-1.db-wal", 5);
    touch(world->spool, "qa-1.lock", 1);
    touch(world->spool, "qa-10.db", 100);
    touch(world->spool, "qa-0.db.corrupt", 1000);
    touch(world->spool, "mine.db", 7);
    assert_int_equal(qa_spool_directory_list(world->spool, QA_SPOOL_DB, &names, NULL), QA_OK);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.list[0], "qa-1");
    assert_string_equal(names.list[1], "qa-10");
    assert_string_equal(names.list[2], "qa-2");
    qa_spool_names_free(&names);
    assert_int_equal(qa_spool_directory_usage(world->spool, "qa-1", &usage, NULL), QA_OK);
    assert_int_equal(usage.files, 3);
    assert_int_equal(usage.corrupt_files, 1);
    assert_string_equal(usage.corrupt_name, "qa-0.db.corrupt");
    assert_int_equal(usage.bytes, 1136);
    assert_int_equal(usage.others, 1110);
}

static void test_words_are_for_people(void **state) {
    char words[64];
    (void)state;
    assert_string_equal(qa_spool_words(ENOSPC, words, sizeof words), "disk full");
    assert_string_equal(qa_spool_words(EDQUOT, words, sizeof words), "disk full");
    assert_string_equal(qa_spool_words(EIO, words, sizeof words), "i/o error");
    assert_string_equal(qa_spool_words(EROFS, words, sizeof words), "read-only file system");
    assert_string_equal(qa_spool_words(EACCES, words, sizeof words), "permission denied");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_it_is_made_for_the_owner_alone),
        CASE(test_one_of_its_own_is_tightened),
        CASE(test_one_for_other_ends_is_never_changed),
        CASE(test_somebody_elses_is_refused),
        CASE(test_names_sort_by_age_and_tell_targets_apart),
        CASE(test_only_its_own_files_are_seen),
        CASE(test_words_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
