/* spool_room.c
 * How much room a spool takes up, whether more may be written, and when to give some back.
 * Does not know what is written.
 * SPDX-License-Identifier: MIT */
#include "spool_room.h"

#include <time.h>

enum {
    LOOK_EVERY_MS = 200,
    PAGES_BESIDE = 4,                 /* of a commit that aren't rows: the trees' upper pages */
    SHRINK_FROM = 4 * 1024 * 1024,    /* bytes of free pages */
    SHRINK_LIVE_MAX = 4 * 1024 * 1024 /* bytes that go through memory */
};

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

void qa_spool_room_look(qa_spool_room *room, const char *directory, const char *name) {
    qa_spool_usage usage;
    if (qa_spool_directory_usage(directory, name, &usage, NULL) == QA_OK)
        room->usage = usage;
    room->seen_ms = now_ms();
}

void qa_spool_room_forget(qa_spool_room *room) {
    room->seen_ms = 0;
}

uint64_t qa_spool_room_need(const qa_spool_op *ops, size_t count) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].verb != QA_SPOOL_PUT)
            continue;
        bool large = ops[i].row.length > QA_SPOOL_PAGE / 4; /* has pages of its own */
        bytes += ops[i].row.length + (large ? (uint64_t)QA_SPOOL_PAGE : 128);
    }
    return bytes;
}

uint64_t qa_spool_room_log_limit(uint64_t max_bytes) {
    uint64_t share = max_bytes / 8;
    return share < QA_SPOOL_WAL_BYTES ? share : QA_SPOOL_WAL_BYTES;
}

/* What the file and its log come to after `need` more. */
static qa_status size_after(qa_spool_file *file, uint64_t need, uint64_t *out, qa_error *error) {
    uint64_t pages = 0, unused = 0;
    qa_status status = qa_spool_file_number(file, QA_SQL_PAGE_COUNT, &pages, error);
    if (status == QA_OK)
        status = qa_spool_file_number(file, QA_SQL_FREE_COUNT, &unused, error);
    uint64_t free_bytes = unused * QA_SPOOL_PAGE;
    uint64_t log = file->wal_frames * QA_SPOOL_FRAME + need + need / 512 +
                   (uint64_t)PAGES_BESIDE * QA_SPOOL_FRAME;
    uint64_t log_now = qa_spool_file_wal_bytes(file);
    *out = pages * QA_SPOOL_PAGE + (need > free_bytes ? need - free_bytes : 0) +
           (log > log_now ? log : log_now);
    return status;
}

static qa_status say_full(const char *directory, uint64_t bytes, uint64_t max_bytes,
                          qa_error *error) {
    return qa_error_set(error, QA_SPOOL_FULL, "spool: full: '%s' holds %llu bytes of at most %llu",
                        directory, (unsigned long long)bytes, (unsigned long long)max_bytes);
}

qa_status qa_spool_room_admit(qa_spool_room *room, const char *directory, const char *name,
                              qa_spool_file *file, uint64_t max_bytes, uint64_t need,
                              qa_error *error) {
    uint64_t own = 0;
    if (need == 0)
        return QA_OK;
    if (now_ms() - room->seen_ms >= LOOK_EVERY_MS)
        qa_spool_room_look(room, directory, name);
    qa_status status = size_after(file, need, &own, error);
    if (status != QA_OK || room->usage.others + own <= max_bytes - max_bytes / 8)
        return status;
    /* Near the bound: with fresh figures, and with the log emptied where that decides. */
    qa_spool_room_look(room, directory, name);
    if (room->usage.others + own > max_bytes) {
        (void)qa_spool_file_checkpoint(file, true, NULL);
        status = size_after(file, need, &own, error);
    }
    if (status == QA_OK && room->usage.others + own > max_bytes)
        return say_full(directory, room->usage.bytes, max_bytes, error);
    return status;
}

bool qa_spool_room_worth_shrinking(qa_spool_file *file) {
    uint64_t pages = 0, unused = 0;
    if (qa_spool_file_number(file, QA_SQL_PAGE_COUNT, &pages, NULL) != QA_OK ||
        qa_spool_file_number(file, QA_SQL_FREE_COUNT, &unused, NULL) != QA_OK)
        return false;
    uint64_t live = (pages - unused) * QA_SPOOL_PAGE, free_bytes = unused * QA_SPOOL_PAGE;
    return free_bytes >= SHRINK_FROM && live <= SHRINK_LIVE_MAX && live <= free_bytes;
}
