/* spool_world.c
 * What tests of the spool share: a directory of their own, rows, and what a walk shows.
 * Does not know which part of the spool is tested.
 * SPDX-License-Identifier: MIT */
#include "support/spool_world.h"

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool_sqlite.h"

enum { EVENT_SIZE = 21, ROW_MAX = 1 << 20 }; /* of an event and its separator; of a row */

void world_open(spool_world *world) {
    const char *base = getenv("TMPDIR");
    memset(world, 0, sizeof *world);
    (void)snprintf(world->root, sizeof world->root, "%s/qa-spool-XXXXXX",
                   base != NULL && strlen(base) < 40 ? base : "/tmp");
    assert_non_null(mkdtemp(world->root));
    (void)snprintf(world->spool, sizeof world->spool, "%s/spool", world->root);
    world->config = (qa_spool_config){
        .directory = world->spool,
        .target = {"https://service.example", "/path", "organization", "access"},
        .sync = QA_SPOOL_SYNC_FULL,
        .max_bytes = 1u << 30,
    };
}

static int remove_one(const char *path, const struct stat *found, int type, struct FTW *at) {
    (void)found;
    (void)type;
    (void)at;
    return remove(path);
}

void world_empty(spool_world *world) {
    (void)nftw(world->spool, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void world_close(spool_world *world) {
    (void)nftw(world->root, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int world_setup(void **state) {
    spool_world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_open(world);
    *state = world;
    return 0;
}

int world_teardown(void **state) {
    world_close(*state);
    free(*state);
    return 0;
}

qa_spool *world_spool(spool_world *world) {
    qa_error error = {.message = ""};
    qa_spool *spool = NULL;
    if (qa_spool_sqlite.open(&world->config, &spool, &error) != QA_OK)
        fail_msg("%s", error.message);
    assert_non_null(spool);
    return spool;
}

qa_spool *world_adopt(spool_world *world) {
    qa_error error = {.message = ""};
    qa_spool *spool = NULL;
    if (qa_spool_sqlite.adopt(&world->config, &spool, &error) != QA_OK)
        fail_msg("%s", error.message);
    return spool;
}

qa_spool_row world_row(uint64_t id, size_t length) {
    static char bytes[ROW_MAX + EVENT_SIZE];
    size_t at = 0, events = 0;
    do {
        at += (size_t)snprintf(bytes + at, sizeof bytes - at, "%s{\"n\":%013llu}",
                               events > 0 ? ",\n" : "", (unsigned long long)(id * 1000 + events));
        events++;
    } while (at + EVENT_SIZE <= length && at < ROW_MAX);
    return (qa_spool_row){.id = id,
                          .data = bytes,
                          .length = at,
                          .events = (uint32_t)events,
                          .attempts = (uint32_t)(id % 5),
                          .possibly_stored = id % 2 == 1,
                          .accepted_wall_ms = 1700000000000 + (int64_t)id,
                          .deadline_wall_ms = 1700000060000 + (int64_t)id};
}

qa_status world_try(qa_spool *spool, const qa_spool_op *op, char *message, size_t size) {
    qa_error error = {.message = ""};
    qa_status status = spool->engine->commit(spool, op, 1, &error);
    (void)snprintf(message, size, "%s", error.message);
    return status;
}

void world_put(qa_spool *spool, uint64_t id, size_t length) {
    char message[QA_ERROR_MAX];
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = world_row(id, length)};
    if (world_try(spool, &op, message, sizeof message) != QA_OK)
        fail_msg("%s", message);
}

static bool collect(void *context, const qa_spool_row *row) {
    world_ids *ids = context;
    qa_spool_row expected = world_row(row->id, row->length);
    ids->whole = ids->whole && row->length == expected.length && row->events == expected.events &&
                 memcmp(row->data, expected.data, row->length) == 0 &&
                 row->accepted_wall_ms == expected.accepted_wall_ms &&
                 row->deadline_wall_ms == expected.deadline_wall_ms;
    ids->list[ids->count++] = row->id;
    return ids->count < sizeof ids->list / sizeof *ids->list;
}

world_ids *world_read(qa_spool *spool, uint64_t after) {
    static world_ids ids;
    qa_error error = {.message = ""};
    ids = (world_ids){.whole = true};
    if (spool->engine->read(spool, after, SIZE_MAX, SIZE_MAX, collect, &ids, &error) != QA_OK)
        fail_msg("%s", error.message);
    return &ids;
}

qa_spool_gauges world_gauges(qa_spool *spool) {
    qa_spool_gauges gauges;
    spool->engine->gauges(spool, &gauges);
    return gauges;
}

size_t world_files(const spool_world *world, const char *ending, char *path, size_t size) {
    size_t count = 0, tail = strlen(ending);
    DIR *open = opendir(world->spool);
    if (open == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length < tail ||
            strcmp(entry->d_name + length - tail, ending) != 0)
            continue;
        count++;
        if (path != NULL)
            (void)snprintf(path, size, "%s/%s", world->spool, entry->d_name);
    }
    (void)closedir(open);
    return count;
}

void world_scribble(const char *path, long offset, size_t count) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_not_equal(fputc((int)(i * 37 + 11) & 0xff, file), EOF);
    assert_int_equal(fclose(file), 0);
}
