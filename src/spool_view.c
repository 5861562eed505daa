/* spool_view.c
 * A spool's directory for those who look: what lies there, whose it is, and its dead letters.
 * Does not own, deliver or remove anything; all works while the owners run.
 * SPDX-License-Identifier: MIT */
#include "spool_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "spool_directory.h"
#include "spool_lock.h"
#include "spool_receipts.h"

/* ---- one file --------------------------------------------------------------------------------- */

/* Only a name in the directory, so that no path can be slipped in. */
static bool is_name(const char *name) {
    return strncmp(name, "qa-", 3) == 0 && strchr(name, '/') == NULL &&
           strlen(name) < QA_SPOOL_NAME_MAX &&
           (qa_spool_directory_ends(name, QA_SPOOL_DB) ||
            qa_spool_directory_ends(name, QA_SPOOL_CORRUPT));
}

/* Whether a parent of this process has the file open; see qa_spool_lock_inherited. */
static bool is_inherited(const char *name) {
    char base[QA_SPOOL_NAME_MAX];
    (void)snprintf(base, sizeof base, "%.*s", (int)strcspn(name, "."), name);
    return qa_spool_lock_inherited(base);
}

/* NULL with `error` filled. */
static qa_spool_file *open_file(const char *directory, const char *name, qa_error *error) {
    struct stat found;
    bool damaged;
    qa_spool_file *file = NULL;
    char *path = is_name(name) ? qa_spool_directory_path(directory, name, "") : NULL;
    if (!is_name(name) || (path != NULL && stat(path, &found) != 0))
        qa_error_set(error, QA_CONFIG, "spool: no file '%s' in '%s'", name, directory);
    else if (path == NULL)
        qa_error_no_memory(error, "spool");
    else if (is_inherited(name))
        qa_error_set(error, QA_SPOOL, "spool: '%s' was open before this process forked", name);
    else
        file = qa_spool_file_open(path, QA_SPOOL_LOOK, QA_SPOOL_SYNC_FULL, NULL, &damaged, error);
    free(path);
    return file;
}

/* Rows that were acknowledged and not deleted yet are there no more for those who look. */
typedef struct receipts {
    uint64_t ids[QA_SPOOL_RECEIPT_SLOTS];
    uint32_t count;
    uint64_t last; /* row that was looked at */
    bool any, shown;
    qa_spool_visit_row *visit;
    void *context;
} receipts;

static receipts *new_receipts(const qa_spool_file *file, qa_error *error) {
    receipts *list = malloc(sizeof *list);
    if (list != NULL)
        list->count = qa_spool_receipts_look(file->path, list->ids);
    else
        qa_error_no_memory(error, "spool");
    return list;
}

static qa_status count_rows(qa_spool_file *file, qa_spool_counts *counts, qa_error *error) {
    bool found;
    receipts *list = new_receipts(file, error);
    if (list == NULL)
        return QA_NO_MEMORY;
    qa_status status = qa_spool_rows_count(file, counts, error);
    for (uint32_t i = 0; status == QA_OK && i < list->count; i++)
        status = qa_spool_rows_uncount(file, list->ids[i], counts, &found, error);
    free(list);
    return status;
}

static bool visit_pending(void *context, const qa_spool_row *row) {
    receipts *list = context;
    list->last = row->id;
    list->any = true;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->ids[i] == row->id)
            return true;
    }
    list->shown = true;
    return list->visit(list->context, row);
}

static qa_status read_rows(qa_spool_file *file, uint64_t after, size_t max_rows, size_t max_bytes,
                           qa_spool_visit_row *visit, void *context, qa_error *error) {
    receipts *list = new_receipts(file, error);
    if (list == NULL)
        return QA_NO_MEMORY;
    list->visit = visit;
    list->context = context;
    list->last = after;
    list->shown = false;
    qa_status status;
    do { /* a page of nothing but receipted rows is not the end */
        list->any = false;
        status = qa_spool_rows_read(file, list->last, max_rows, max_bytes, visit_pending, list,
                                    error);
    } while (status == QA_OK && list->any && !list->shown);
    free(list);
    return status;
}

/* SQLite keeps a file for readers beside each database; one that was set aside needs none. */
static void close_file(qa_spool_file *file, const char *directory, const char *name) {
    qa_spool_file_close(file);
    if (!qa_spool_directory_ends(name, QA_SPOOL_CORRUPT))
        return;
    char *shared = qa_spool_directory_path(directory, name, "-shm");
    if (shared != NULL)
        (void)remove(shared);
    free(shared);
}

/* ---- all files -------------------------------------------------------------------------------- */

typedef struct sizing {
    const char *name;
    size_t length;
    uint64_t bytes;
} sizing;

/* The file itself, "-wal" and the like; not "….db.corrupt" for "….db". */
static bool add_size(void *context, const char *name, uint64_t bytes) {
    sizing *size = context;
    if (strncmp(name, size->name, size->length) == 0 &&
        (name[size->length] == '\0' || name[size->length] == '-'))
        size->bytes += bytes;
    return true;
}

static const char *or_empty(const char *text) {
    return text != NULL ? text : "";
}

static void look_inside(const char *directory, qa_spool_view *view, char *texts[4]) {
    static const char *const keys[4] = {"endpoint", "path", "organization_id", "access_id"};
    qa_spool_file *file = open_file(directory, view->name, &view->error);
    if (file == NULL)
        return;
    for (size_t i = 0; i < 4; i++)
        texts[i] = qa_spool_file_meta(file, keys[i]);
    (void)count_rows(file, &view->counts, &view->error);
    close_file(file, directory, view->name);
}

static bool show_one(const char *directory, const char *base, bool corrupt,
                     qa_spool_visit_view *visit, void *context) {
    char name[QA_SPOOL_NAME_MAX + 16];
    char *texts[4] = {NULL, NULL, NULL, NULL};
    (void)snprintf(name, sizeof name, "%s%s", base, corrupt ? QA_SPOOL_CORRUPT : QA_SPOOL_DB);
    sizing size = {name, strlen(name), 0};
    qa_spool_view view = {.name = name,
                          .owner = corrupt ? 0 : qa_spool_lock_owner(directory, base),
                          .maker = qa_spool_directory_pid(base),
                          .corrupt = corrupt,
                          .error = {.status = QA_OK}};
    (void)qa_spool_directory_each(directory, add_size, &size, NULL);
    view.bytes = size.bytes;
    look_inside(directory, &view, texts);
    view.endpoint = or_empty(texts[0]);
    view.path = or_empty(texts[1]);
    view.organization_id = or_empty(texts[2]);
    view.access_id = or_empty(texts[3]);
    /* One that was delivered and removed since it was listed is none. */
    bool more = view.error.status == QA_CONFIG || visit(context, &view);
    for (size_t i = 0; i < 4; i++)
        free(texts[i]);
    return more;
}

static qa_status show_all(const char *directory, bool corrupt, qa_spool_visit_view *visit,
                          void *context, bool *more, qa_error *error) {
    qa_spool_names names;
    qa_status status = qa_spool_directory_list(
        directory, corrupt ? QA_SPOOL_CORRUPT : QA_SPOOL_DB, &names, error);
    for (size_t i = 0; status == QA_OK && *more && i < names.count; i++)
        *more = show_one(directory, names.list[i], corrupt, visit, context);
    qa_spool_names_free(&names);
    return status;
}

qa_status qa_spool_view_each(const char *directory, qa_spool_visit_view *visit, void *context,
                             qa_error *error) {
    bool more = true;
    qa_spool_lock_enter();
    qa_status status = show_all(directory, false, visit, context, &more, error);
    if (status == QA_OK && more)
        status = show_all(directory, true, visit, context, &more, error);
    qa_spool_lock_leave();
    return status;
}

/* ---- rows and letters ------------------------------------------------------------------------- */

/* Opens the file for what comes in between the two; QA_OK, or why it can't. */
static qa_status begin(const char *directory, const char *name, qa_spool_file **file,
                       qa_error *error) {
    qa_spool_lock_enter();
    *file = open_file(directory, name, error);
    if (*file != NULL)
        return QA_OK;
    qa_spool_lock_leave();
    return error->status;
}

static qa_status end(const char *directory, const char *name, qa_spool_file *file,
                     qa_status status) {
    close_file(file, directory, name);
    qa_spool_lock_leave();
    return status;
}

qa_status qa_spool_view_rows(const char *directory, const char *name, uint64_t after,
                             size_t max_rows, size_t max_bytes, qa_spool_visit_row *visit,
                             void *context, qa_error *error) {
    qa_spool_file *file;
    qa_status status = begin(directory, name, &file, error);
    if (status != QA_OK)
        return status;
    status = read_rows(file, after, max_rows, max_bytes, visit, context, error);
    return end(directory, name, file, status);
}

qa_status qa_spool_view_letters(const char *directory, const char *name, uint64_t after,
                                size_t max, qa_spool_visit_letter *visit, void *context,
                                qa_error *error) {
    qa_spool_file *file;
    qa_status status = begin(directory, name, &file, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_rows_letters(file, after, max, false, visit, context, error);
    return end(directory, name, file, status);
}

static bool go_on(void *context, const qa_spool_row *row) {
    (void)context;
    (void)row;
    return true;
}

static bool go_on_letter(void *context, const qa_spool_letter *letter) {
    (void)context;
    (void)letter;
    return true;
}

qa_status qa_spool_view_verify(const char *directory, const char *name, qa_error *error) {
    qa_spool_file *file;
    qa_status status = begin(directory, name, &file, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_file_check(file, error);
    if (status == QA_OK)
        status = qa_spool_rows_read(file, 0, SIZE_MAX, SIZE_MAX, go_on, NULL, error);
    if (status == QA_OK)
        status = qa_spool_rows_letters(file, 0, SIZE_MAX, false, go_on_letter, NULL, error);
    return end(directory, name, file, status);
}

qa_status qa_spool_view_retry(const char *directory, const char *name, uint64_t id, bool *found,
                              qa_error *error) {
    qa_spool_file *file;
    *found = false;
    qa_status status = begin(directory, name, &file, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_rows_mark(file, id, found, error);
    return end(directory, name, file, status);
}

qa_status qa_spool_view_drop(const char *directory, const char *name, uint64_t id, bool *found,
                             qa_error *error) {
    qa_spool_file *file;
    *found = false;
    qa_status status = begin(directory, name, &file, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_rows_drop(file, id, found, error);
    return end(directory, name, file, status);
}
