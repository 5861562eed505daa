/* spool_sqlite.c
 * The spool on SQLite: one database per spool in a shared directory.
 * Does not know who reports events or delivers them.
 * SPDX-License-Identifier: MIT */
#include "spool_sqlite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "spool_directory.h"
#include "spool_lock.h"
#include "spool_receipts.h"
#include "spool_room.h"
#include "spool_salvage.h"

enum { NAME_TRIES = 4 };

/* A database of ours, and the lock that makes it ours. */
typedef struct place {
    char name[QA_SPOOL_NAME_MAX];
    qa_spool_lock *lock;
    qa_spool_file *file;
    qa_spool_receipts *receipts;
} place;

typedef struct sqlite_spool {
    qa_spool base;
    qa_spool_config config; /* its strings are owned */
    char *directory;        /* absolute */
    place at;
    pthread_mutex_t receipts; /* guards at.receipts: they are written on another thread */
    qa_spool_counts counts;
    qa_spool_room room;
    uint64_t commits, generation;
    uint64_t data_version; /* changes when another connection has written */
} sqlite_spool;

static sqlite_spool *self_of(qa_spool *spool) {
    return (sqlite_spool *)spool;
}

static int64_t wall_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Lets go of a place; `remove`: deletes its file. */
static void leave_place(place *at, const char *directory, bool remove) {
    char *path = qa_spool_directory_path(directory, at->name, QA_SPOOL_DB);
    qa_spool_file_close(at->file);
    qa_spool_receipts_close(at->receipts);
    if (remove && path != NULL)
        qa_spool_file_remove(path);
    free(path);
    qa_spool_lock_drop(at->lock); /* last: until here nobody else may touch the file */
    *at = (place){0};
}

static qa_status open_place(sqlite_spool *self, place *at, qa_spool_mode mode, bool *damaged,
                            qa_error *error) {
    qa_error ignored;
    error = error != NULL ? error : &ignored;
    *damaged = false;
    char *path = qa_spool_directory_path(self->directory, at->name, QA_SPOOL_DB);
    if (path == NULL)
        return qa_error_no_memory(error, "spool");
    at->file = qa_spool_file_open(path, mode, self->config.sync, &self->config.target, damaged,
                                  error);
    if (at->file != NULL)
        at->receipts = qa_spool_receipts_open(path, error);
    free(path);
    return at->receipts != NULL ? QA_OK : error->status;
}

/* A new, empty file under a lock of its own. */
static qa_status make_place(sqlite_spool *self, place *out, qa_error *error) {
    bool damaged;
    *out = (place){0};
    qa_status status = QA_OK;
    for (int i = 0; i < NAME_TRIES && status == QA_OK && out->lock == NULL; i++) {
        status = qa_spool_directory_name(&self->config.target, wall_ms(), out->name, error);
        if (status == QA_OK)
            status = qa_spool_lock_take(self->directory, out->name, &out->lock, error);
    }
    if (status == QA_OK && out->lock == NULL)
        status = qa_error_set(error, QA_SPOOL, "spool: cannot lock a new file in '%s'",
                              self->directory);
    if (status == QA_OK)
        status = open_place(self, out, QA_SPOOL_CREATE, &damaged, error);
    if (status == QA_OK)
        qa_spool_directory_sync(self->directory);
    else
        leave_place(out, self->directory, out->file != NULL);
    return status;
}

/* Renames a database that is not open, and its log, so that nobody takes it for a good one. */
static void set_aside(sqlite_spool *self, const char *name) {
    char *from = qa_spool_directory_path(self->directory, name, QA_SPOOL_DB);
    char *to = qa_spool_directory_path(self->directory, name, QA_SPOOL_CORRUPT);
    char *from_wal = qa_spool_directory_path(self->directory, name, QA_SPOOL_DB "-wal");
    char *to_wal = qa_spool_directory_path(self->directory, name, QA_SPOOL_CORRUPT "-wal");
    if (from != NULL && to != NULL && from_wal != NULL && to_wal != NULL) {
        (void)rename(from_wal, to_wal); /* none: nothing was in it */
        (void)rename(from, to);
        qa_spool_file_remove(from); /* what is left: the shared memory file */
    }
    free(from);
    free(to);
    free(from_wal);
    free(to_wal);
}

static void move_in(sqlite_spool *self, const place *next) {
    (void)pthread_mutex_lock(&self->receipts);
    if (self->at.receipts != NULL && next->receipts != NULL) /* none may be noted in between */
        qa_spool_receipts_copy(self->at.receipts, next->receipts);
    self->at = *next;
    (void)pthread_mutex_unlock(&self->receipts);
    self->data_version = 0;
    qa_spool_room_forget(&self->room);
}

/* Moves what can be read of the present file to a new one. */
static qa_status move_out(sqlite_spool *self, bool damaged, qa_error *error) {
    place next;
    qa_status status = make_place(self, &next, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_salvage(self->at.file, next.file, &self->counts, error);
    if (status != QA_OK) {
        leave_place(&next, self->directory, true);
        return status;
    }
    bool named = qa_spool_file_is_named(self->at.file);
    self->at.file->damaged = true; /* nothing is to be written to it any more */
    qa_spool_file_close(self->at.file);
    self->at.file = NULL;
    place old = self->at;
    move_in(self, &next);
    if (damaged && named)
        set_aside(self, old.name);
    leave_place(&old, self->directory, named);
    self->generation++;
    return QA_OK;
}

/* There was no room for a new file when the last one went. */
static qa_status find_place(sqlite_spool *self, qa_error *error) {
    place next;
    qa_status status = make_place(self, &next, error);
    if (status == QA_OK)
        move_in(self, &next);
    return status;
}

/* Makes sure that what is done next happens to a good file that is still where others find it. */
static qa_status heal(sqlite_spool *self, qa_error *error) {
    if (self->at.file == NULL)
        return find_place(self, error);
    if (self->at.file->damaged)
        return move_out(self, true, error);
    if (qa_spool_file_is_there(self->at.file) && !qa_spool_lock_lost(self->at.lock))
        return QA_OK;
    /* The directory may be gone as well; its path is absolute by now. */
    char *again;
    qa_status status = qa_spool_directory_open(self->directory, &again, error);
    free(again);
    return status == QA_OK ? move_out(self, false, error) : status;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void free_config(qa_spool_config *config) {
    free((char *)(uintptr_t)config->directory);
    free((char *)(uintptr_t)config->target.endpoint);
    free((char *)(uintptr_t)config->target.path);
    free((char *)(uintptr_t)config->target.organization_id);
    free((char *)(uintptr_t)config->target.access_id);
}

static bool copy_config(qa_spool_config *to, const qa_spool_config *from) {
    *to = *from;
    to->directory = strdup(from->directory);
    to->target.endpoint = strdup(from->target.endpoint);
    to->target.path = strdup(from->target.path);
    to->target.organization_id = strdup(from->target.organization_id);
    to->target.access_id = strdup(from->target.access_id);
    return to->directory != NULL && to->target.endpoint != NULL && to->target.path != NULL &&
           to->target.organization_id != NULL && to->target.access_id != NULL;
}

static void free_spool(sqlite_spool *self) {
    if (self == NULL)
        return;
    free_config(&self->config);
    free(self->directory);
    (void)pthread_mutex_destroy(&self->receipts);
    free(self);
}

static qa_status new_spool(const qa_spool_config *config, sqlite_spool **out, qa_error *error) {
    sqlite_spool *self = calloc(1, sizeof *self);
    if (self != NULL && pthread_mutex_init(&self->receipts, NULL) != 0) {
        free(self);
        self = NULL;
    }
    *out = self;
    if (self == NULL)
        return qa_error_no_memory(error, "spool");
    self->base.engine = &qa_spool_sqlite;
    if (!copy_config(&self->config, config))
        return qa_error_no_memory(error, "spool");
    return qa_spool_directory_open(config->directory, &self->directory, error);
}

static qa_status finish_open(sqlite_spool *self, qa_status status, qa_spool **out) {
    if (status != QA_OK || self->at.file == NULL) {
        free_spool(self);
        return status;
    }
    qa_spool_room_look(&self->room, self->directory, self->at.name);
    *out = &self->base;
    return QA_OK;
}

static qa_status open_spool(const qa_spool_config *config, qa_spool **out, qa_error *error) {
    qa_error ignored;
    sqlite_spool *self;
    *out = NULL;
    error = error != NULL ? error : &ignored;
    qa_spool_lock_enter();
    qa_status status = new_spool(config, &self, error);
    if (status == QA_OK)
        status = make_place(self, &self->at, error);
    status = finish_open(self, status, out);
    qa_spool_lock_leave();
    return status;
}

/* ---- adopting -------------------------------------------------------------------------------- */

/* Whether a file holds nothing, or was never finished; a damaged one does hold something. */
static bool is_leftover(sqlite_spool *self) {
    if (self->at.file->damaged)
        return false;
    char *endpoint = qa_spool_file_meta(self->at.file, "endpoint");
    bool finished = endpoint != NULL;
    free(endpoint);
    bool empty = self->counts.rows == 0 && self->counts.letters == 0;
    return empty && (!finished || qa_spool_file_is_for(self->at.file, &self->config.target));
}

/* Deletes the rows that the last owner had receipts for. */
static qa_status drop_receipted(sqlite_spool *self, qa_error *error) {
    qa_spool_counts ignored = {0}; /* they are counted afterwards */
    if (qa_spool_receipts_none(self->at.receipts))
        return QA_OK;
    qa_status status = qa_spool_rows_begin(self->at.file, error);
    for (uint32_t i = 0; status == QA_OK && i < QA_SPOOL_RECEIPT_SLOTS; i++) {
        qa_spool_op op = {.verb = QA_SPOOL_DELETE,
                          .row = {.id = qa_spool_receipts_at(self->at.receipts, i)}};
        if (op.row.id != 0)
            status = qa_spool_rows_apply(self->at.file, &op, &ignored, error);
    }
    status = qa_spool_rows_end(self->at.file, status, error);
    for (uint32_t i = 0; status == QA_OK && i < QA_SPOOL_RECEIPT_SLOTS; i++)
        qa_spool_receipts_settle(self->at.receipts, qa_spool_receipts_at(self->at.receipts, i));
    return status;
}

/* Looks into a file whose lock was just taken. Afterwards it is open and adopted, or left alone. */
static qa_status try_place(sqlite_spool *self, qa_error *error) {
    bool damaged;
    qa_status status = open_place(self, &self->at, QA_SPOOL_OWN, &damaged, error);
    if (status != QA_OK) {
        if (damaged)
            set_aside(self, self->at.name); /* not even its layout can be read */
        leave_place(&self->at, self->directory, false);
        return damaged ? QA_OK : status;
    }
    if (qa_spool_file_is_for(self->at.file, &self->config.target))
        status = drop_receipted(self, error);
    if (status == QA_OK)
        status = qa_spool_rows_count(self->at.file, &self->counts, error);
    if (status != QA_OK && !self->at.file->damaged) {
        leave_place(&self->at, self->directory, false);
        return status;
    }
    if (is_leftover(self)) {
        leave_place(&self->at, self->directory, true);
    } else if (!qa_spool_file_is_for(self->at.file, &self->config.target) &&
               !self->at.file->damaged) {
        leave_place(&self->at, self->directory, false);
    }
    if (self->at.file == NULL || !self->at.file->damaged)
        return QA_OK;
    status = heal(self, error);
    if (status != QA_OK)
        leave_place(&self->at, self->directory, false);
    return status;
}

static qa_status try_name(sqlite_spool *self, const char *name, qa_error *error) {
    qa_status status = qa_spool_lock_take(self->directory, name, &self->at.lock, error);
    if (status != QA_OK || self->at.lock == NULL)
        return status;
    (void)snprintf(self->at.name, sizeof self->at.name, "%s", name);
    char *path = qa_spool_directory_path(self->directory, name, QA_SPOOL_DB);
    bool there = path != NULL && access(path, F_OK) == 0;
    free(path);
    if (there)
        return try_place(self, error);
    leave_place(&self->at, self->directory, true); /* its owner was killed while it removed it */
    return QA_OK;
}

/* The first of the names that can be adopted. What can't be opened doesn't keep others from it; it
 * is told of when there is nothing else. */
static qa_status try_names(sqlite_spool *self, const char *ending, qa_error *error) {
    qa_error first = {.status = QA_OK};
    qa_spool_names names;
    qa_status status = qa_spool_directory_list(self->directory, ending, &names, error);
    for (size_t i = 0; status == QA_OK && self->at.file == NULL && i < names.count; i++) {
        if (!qa_spool_directory_matches(names.list[i], &self->config.target))
            continue;
        if (try_name(self, names.list[i], error) != QA_OK && first.status == QA_OK)
            first = *error;
    }
    qa_spool_names_free(&names);
    if (status == QA_OK && self->at.file == NULL && first.status != QA_OK) {
        *error = first;
        status = first.status;
    }
    return status;
}

static qa_status adopt_spool(const qa_spool_config *config, qa_spool **out, qa_error *error) {
    qa_error ignored;
    sqlite_spool *self;
    *out = NULL;
    error = error != NULL ? error : &ignored;
    qa_spool_lock_enter();
    qa_status status = new_spool(config, &self, error);
    if (status == QA_OK)
        status = try_names(self, QA_SPOOL_DB, error);
    if (status == QA_OK && self->at.file == NULL)
        status = try_names(self, QA_SPOOL_LOCK, error); /* of files that are gone */
    status = finish_open(self, status, out);
    qa_spool_lock_leave();
    return status;
}

/* ---- working --------------------------------------------------------------------------------- */

/* Writes the log back before it takes up too much. What was committed is safe either way, so a
 * failure is the next call's business. */
static void bound_log(sqlite_spool *self) {
    uint64_t limit = qa_spool_room_log_limit(self->config.max_bytes);
    if (self->at.file->wal_frames * QA_SPOOL_FRAME >= limit)
        (void)qa_spool_file_checkpoint(self->at.file, false, NULL);
}

static qa_status try_commit(sqlite_spool *self, const qa_spool_op *ops, size_t count,
                            qa_error *error) {
    qa_status status = heal(self, error);
    if (status == QA_OK)
        status = qa_spool_room_admit(&self->room, self->directory, self->at.name, self->at.file,
                                     self->config.max_bytes, qa_spool_room_need(ops, count),
                                     error);
    if (status == QA_OK)
        status = qa_spool_rows_commit(self->at.file, ops, count, &self->counts, error);
    return status;
}

/* What is deleted needs its receipt no longer. */
static void settle(sqlite_spool *self, const qa_spool_op *ops, size_t count) {
    (void)pthread_mutex_lock(&self->receipts);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].verb == QA_SPOOL_DELETE)
            qa_spool_receipts_settle(self->at.receipts, ops[i].row.id);
    }
    (void)pthread_mutex_unlock(&self->receipts);
}

static qa_status commit(qa_spool *spool, const qa_spool_op *ops, size_t count, qa_error *error) {
    qa_error ignored;
    sqlite_spool *self = self_of(spool);
    error = error != NULL ? error : &ignored;
    qa_spool_lock_enter();
    qa_status status = try_commit(self, ops, count, error);
    if (status != QA_OK && self->at.file != NULL && self->at.file->damaged)
        status = try_commit(self, ops, count, error);
    if (status == QA_OK) {
        self->commits++;
        settle(self, ops, count);
        bound_log(self);
    }
    qa_spool_lock_leave();
    return status;
}

static bool receipt(qa_spool *spool, uint64_t id) {
    sqlite_spool *self = self_of(spool);
    (void)pthread_mutex_lock(&self->receipts);
    bool noted = self->at.receipts != NULL && qa_spool_receipts_add(self->at.receipts, id);
    (void)pthread_mutex_unlock(&self->receipts);
    return noted;
}

static qa_status clear(qa_spool *spool, qa_error *error) {
    qa_error ignored;
    sqlite_spool *self = self_of(spool);
    place old = self->at;
    error = error != NULL ? error : &ignored;
    qa_spool_lock_enter();
    move_in(self, &(place){0});
    self->counts = (qa_spool_counts){0};
    leave_place(&old, self->directory, true);
    qa_status status = find_place(self, error);
    qa_spool_lock_leave();
    return status;
}

/* A walk found damage: what is left is moved at once, so that the caller's next call finds it. */
static void after_walk(sqlite_spool *self) {
    if (self->at.file->damaged)
        (void)heal(self, NULL);
}

static qa_status read_rows(qa_spool *spool, uint64_t after, size_t max_rows, size_t max_bytes,
                           qa_spool_visit_row *visit, void *context, qa_error *error) {
    sqlite_spool *self = self_of(spool);
    qa_spool_lock_enter();
    qa_status status = heal(self, error);
    if (status == QA_OK) {
        status = qa_spool_rows_read(self->at.file, after, max_rows, max_bytes, visit, context,
                                    error);
        after_walk(self);
    }
    qa_spool_lock_leave();
    return status;
}

static qa_status read_letters(qa_spool *spool, uint64_t after, size_t max, bool retry_only,
                              qa_spool_visit_letter *visit, void *context, qa_error *error) {
    sqlite_spool *self = self_of(spool);
    qa_spool_lock_enter();
    qa_status status = heal(self, error);
    if (status == QA_OK) {
        status = qa_spool_rows_letters(self->at.file, after, max, retry_only, visit, context,
                                       error);
        after_walk(self);
    }
    qa_spool_lock_leave();
    return status;
}

/* Looks again at what others may have changed: the command marks and drops letters. */
static qa_status notice_others(sqlite_spool *self, qa_error *error) {
    uint64_t version = 0;
    qa_status status =
        qa_spool_file_number(self->at.file, QA_SQL_DATA_VERSION, &version, error);
    if (status != QA_OK || version == self->data_version)
        return status;
    self->data_version = version;
    return qa_spool_rows_count_letters(self->at.file, &self->counts, error);
}

static qa_status tend(qa_spool *spool, qa_error *error) {
    sqlite_spool *self = self_of(spool);
    qa_spool_lock_enter();
    qa_status status = heal(self, error);
    if (status == QA_OK)
        status = notice_others(self, error);
    if (status == QA_OK && qa_spool_room_worth_shrinking(self->at.file))
        status = qa_spool_file_shrink(self->at.file, error);
    qa_spool_room_look(&self->room, self->directory, self->at.name);
    qa_spool_lock_leave();
    return status;
}

static void gauges(const qa_spool *spool, qa_spool_gauges *out) {
    const sqlite_spool *self = (const sqlite_spool *)spool;
    const qa_spool_usage *usage = &self->room.usage;
    *out = (qa_spool_gauges){
        .rows = self->counts.rows,
        .events = self->counts.events,
        .bytes = self->counts.bytes,
        .letters = self->counts.letters,
        .letters_retry = self->counts.letters_retry,
        .commits = self->commits,
        .generation = self->generation,
        .directory_files = usage->files,
        .directory_bytes = usage->bytes,
        .corrupt_files = usage->corrupt_files,
    };
    memcpy(out->name, self->at.name, sizeof out->name);
    memcpy(out->corrupt_name, usage->corrupt_name, sizeof out->corrupt_name);
}

/* Whether nothing is in there, asked of the file itself: the command may have changed it. */
static bool is_empty(sqlite_spool *self) {
    qa_spool_counts counts;
    return self->at.file != NULL && !self->at.file->damaged && self->counts.rows == 0 &&
           qa_spool_file_is_there(self->at.file) && !qa_spool_lock_lost(self->at.lock) &&
           qa_spool_rows_count(self->at.file, &counts, NULL) == QA_OK && counts.rows == 0 &&
           counts.letters == 0;
}

static void close_spool(qa_spool *spool) {
    if (spool == NULL)
        return;
    sqlite_spool *self = self_of(spool);
    qa_spool_lock_enter();
    leave_place(&self->at, self->directory, is_empty(self));
    qa_spool_lock_leave();
    free_spool(self);
}

const qa_spool_engine qa_spool_sqlite = {
    .open = open_spool,
    .adopt = adopt_spool,
    .commit = commit,
    .receipt = receipt,
    .clear = clear,
    .read = read_rows,
    .letters = read_letters,
    .tend = tend,
    .gauges = gauges,
    .close = close_spool,
};
