/* spool_world.h
 * What tests of the spool share: a directory of their own, rows, and what a walk shows.
 * Does not know which part of the spool is tested.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_WORLD_H
#define QA_SPOOL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool.h"

/* A fresh directory, removed with all that is in it by world_close. `spool` doesn't exist yet. */
typedef struct spool_world {
    char root[64];
    char spool[80];
    qa_spool_config config;
} spool_world;

void world_open(spool_world *world);
void world_close(spool_world *world);

/* Removes what is in it. */
void world_empty(spool_world *world);

/* For setup and teardown of cmocka. */
int world_setup(void **state);
int world_teardown(void **state);

/* Fail the test when it can't be done. */
qa_spool *world_spool(spool_world *world);
qa_spool *world_adopt(spool_world *world); /* NULL: there is none */
void world_put(qa_spool *spool, uint64_t id, size_t length);

/* A row of events {"n":…} numbered from id * 1000, of about `length` bytes, which are static. */
qa_spool_row world_row(uint64_t id, size_t length);

/* One operation; what it returned, with the message kept in `message`. */
qa_status world_try(qa_spool *spool, const qa_spool_op *op, char *message, size_t size);

/* Ids of the rows that a walk shows, all checked to be what world_row made. */
typedef struct world_ids {
    uint64_t list[4096];
    size_t count;
    bool whole; /* each was what was written */
} world_ids;
world_ids *world_read(qa_spool *spool, uint64_t after);

qa_spool_gauges world_gauges(qa_spool *spool);

/* Files whose name ends so. The last one's whole path is kept in `path`. */
size_t world_files(const spool_world *world, const char *ending, char *path, size_t size);

/* Writes `count` bytes of noise into a file at `offset`. */
void world_scribble(const char *path, long offset, size_t count);

#endif
