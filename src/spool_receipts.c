/* spool_receipts.c
 * Which rows of a database were acknowledged, noted before their deletion is committed.
 * Does not know SQLite, nor who acknowledges.
 * SPDX-License-Identifier: MIT */
#include "spool_receipts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_directory.h"

struct qa_spool_receipts {
    char *path;
    int fd; /* -1: nothing was written yet */
    uint64_t ids[QA_SPOOL_RECEIPT_SLOTS]; /* not settled; 0: free */
};

/* Beside the database, under its whole name: removed with it. NULL: out of memory. */
static char *path_of(const char *path) {
    char *name;
    return asprintf(&name, "%s" QA_SPOOL_RECEIPTS, path) >= 0 ? name : NULL;
}

/* Whole slots only: one that was cut off was never answered for. None where there is no file. */
static uint32_t read_ids(const char *path, uint64_t *ids) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t size;
    do
        size = pread(fd, ids, QA_SPOOL_RECEIPT_SLOTS * sizeof *ids, 0);
    while (size < 0 && errno == EINTR);
    (void)close(fd);
    return size > 0 ? (uint32_t)((size_t)size / sizeof *ids) : 0;
}

qa_spool_receipts *qa_spool_receipts_open(const char *path, qa_error *error) {
    qa_spool_receipts *receipts = calloc(1, sizeof *receipts);
    if (receipts != NULL)
        receipts->path = path_of(path);
    if (receipts == NULL || receipts->path == NULL) {
        free(receipts);
        qa_error_no_memory(error, "spool");
        return NULL;
    }
    receipts->fd = -1;
    uint32_t count = read_ids(receipts->path, receipts->ids);
    memset(receipts->ids + count, 0, (QA_SPOOL_RECEIPT_SLOTS - count) * sizeof *receipts->ids);
    return receipts;
}

void qa_spool_receipts_close(qa_spool_receipts *receipts) {
    if (receipts == NULL)
        return;
    if (receipts->fd >= 0)
        (void)close(receipts->fd);
    if (qa_spool_receipts_none(receipts))
        (void)unlink(receipts->path);
    free(receipts->path);
    free(receipts);
}

static bool write_id(qa_spool_receipts *receipts, uint32_t slot, uint64_t id) {
    if (receipts->fd < 0)
        receipts->fd = open(receipts->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (receipts->fd < 0)
        return false;
    ssize_t size;
    do
        size = pwrite(receipts->fd, &id, sizeof id, (off_t)(slot * sizeof id));
    while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof id;
}

/* Ids ascend and end in about that order, so one per slot seldom meets another. */
static uint32_t slot_of(uint64_t id) {
    return (uint32_t)(id % QA_SPOOL_RECEIPT_SLOTS);
}

bool qa_spool_receipts_add(qa_spool_receipts *receipts, uint64_t id) {
    uint32_t slot = slot_of(id);
    if (receipts->ids[slot] != 0)
        return receipts->ids[slot] == id;
    if (!write_id(receipts, slot, id))
        return false;
    receipts->ids[slot] = id;
    return true;
}

void qa_spool_receipts_settle(qa_spool_receipts *receipts, uint64_t id) {
    uint32_t slot = slot_of(id);
    if (receipts->ids[slot] == id)
        receipts->ids[slot] = 0;
}

void qa_spool_receipts_copy(const qa_spool_receipts *from, qa_spool_receipts *to) {
    for (uint32_t i = 0; i < QA_SPOOL_RECEIPT_SLOTS; i++) {
        if (from->ids[i] != 0)
            (void)qa_spool_receipts_add(to, from->ids[i]);
    }
}

bool qa_spool_receipts_none(const qa_spool_receipts *receipts) {
    for (uint32_t i = 0; i < QA_SPOOL_RECEIPT_SLOTS; i++) {
        if (receipts->ids[i] != 0)
            return false;
    }
    return true;
}

uint64_t qa_spool_receipts_at(const qa_spool_receipts *receipts, uint32_t slot) {
    return receipts->ids[slot];
}

uint32_t qa_spool_receipts_look(const char *path, uint64_t *out) {
    char *name = path_of(path);
    uint32_t slots = name != NULL ? read_ids(name, out) : 0, count = 0;
    free(name);
    for (uint32_t i = 0; i < slots; i++) {
        if (out[i] != 0)
            out[count++] = out[i];
    }
    return count;
}
