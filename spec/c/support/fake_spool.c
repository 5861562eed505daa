/* fake_spool.c
 * A spool engine in memory: the test owns the disk, makes it fail, and looks at what lies there.
 * Does not know the keeper, nor what a row is kept for.
 * SPDX-License-Identifier: MIT */
#include "support/fake_spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

static char *copy(const char *text, size_t length) {
    char *to = must(malloc(length + 1));
    memcpy(to, text, length);
    to[length] = '\0';
    return to;
}

/* ---- what lies there ---- */

static size_t place_of(const fake_file *file, uint64_t id) {
    size_t at = 0;
    while (at < file->row_count && file->rows[at].row.id < id)
        at++;
    return at;
}

static fake_row *find_row(const fake_file *file, uint64_t id) {
    size_t at = place_of(file, id);
    return at < file->row_count && file->rows[at].row.id == id ? &file->rows[at] : NULL;
}

static void remove_row(fake_file *file, uint64_t id) {
    fake_row *row = find_row(file, id);
    if (row == NULL)
        return;
    free((void *)(size_t)row->row.data);
    size_t behind = (size_t)(file->rows + --file->row_count - row);
    memmove(row, row + 1, behind * sizeof *row);
}

static fake_row *put_row(fake_file *file, const qa_spool_row *row) {
    char *data = copy(row->data, row->length);
    remove_row(file, row->id);
    size_t at = place_of(file, row->id);
    file->rows = must(realloc(file->rows, (file->row_count + 1) * sizeof *file->rows));
    memmove(file->rows + at + 1, file->rows + at,
            (file->row_count++ - at) * sizeof *file->rows);
    file->rows[at] = (fake_row){.row = *row};
    file->rows[at].row.data = data;
    return &file->rows[at];
}

static void free_letter(qa_spool_letter *letter) {
    free((void *)(size_t)letter->letter.event);
    free((void *)(size_t)letter->letter.service_code);
    free((void *)(size_t)letter->letter.message);
    free((void *)(size_t)letter->letter.trace_id);
}

static qa_spool_letter *put_letter(fake_file *file, const qa_spool_letter *letter) {
    for (size_t i = 0; i < file->letter_count; i++) {
        if (file->letters[i].id == letter->id)
            return &file->letters[i];
    }
    file->letters = must(realloc(file->letters, (file->letter_count + 1) * sizeof *letter));
    qa_spool_letter *kept = &file->letters[file->letter_count++];
    const qa_dead_letter *from = &letter->letter;
    *kept = *letter;
    if (kept->id == 0)
        kept->id = ++file->disk->next_letter;
    kept->letter.event = copy(from->event, from->length);
    kept->letter.service_code = copy(from->service_code, strlen(from->service_code));
    kept->letter.message = copy(from->message, strlen(from->message));
    kept->letter.trace_id = copy(from->trace_id, strlen(from->trace_id));
    return kept;
}

static void remove_letter(fake_file *file, uint64_t id) {
    for (size_t i = 0; i < file->letter_count; i++) {
        if (file->letters[i].id != id)
            continue;
        free_letter(&file->letters[i]);
        memmove(file->letters + i, file->letters + i + 1,
                (--file->letter_count - i) * sizeof *file->letters);
        return;
    }
}

fake_file *fake_disk_leave(fake_disk *disk) {
    fake_file *file = must(calloc(1, sizeof *file)), **end = &disk->files;
    file->base.engine = &disk->engine;
    file->disk = disk;
    file->generation = 1;
    while (*end != NULL)
        end = &(*end)->next;
    return *end = file;
}

void fake_disk_kill_owners(fake_disk *disk) {
    for (fake_file *file = disk->files; file != NULL; file = file->next)
        file->owned = false;
}

fake_row *fake_file_add(fake_file *file, uint64_t id, uint64_t first, uint32_t events,
                        int64_t wall_ms, int64_t left_ms) {
    char *text = must(malloc(events * 32 + 1));
    size_t length = 0;
    for (uint32_t i = 0; i < events; i++)
        length += (size_t)sprintf(text + length, "%s{\"n\":%llu}", i > 0 ? ",\n" : "",
                                  (unsigned long long)first + i);
    qa_spool_row row = {.id = id,
                        .data = text,
                        .length = length,
                        .events = events,
                        .accepted_wall_ms = wall_ms,
                        .deadline_wall_ms = wall_ms + left_ms};
    fake_row *kept = put_row(file, &row);
    free(text);
    return kept;
}

qa_spool_letter *fake_file_add_letter(fake_file *file, const char *event, bool retry) {
    qa_spool_letter letter = {.retry = retry,
                              .letter = {.event = event,
                                         .length = strlen(event),
                                         .code = QA_REJECTED,
                                         .service_code = "E1",
                                         .message = "refused before",
                                         .trace_id = "trace-0",
                                         .attempts = 3,
                                         .wall_ms = 1}};
    return put_letter(file, &letter);
}

void fake_file_renew(fake_file *file, size_t lost) {
    while (lost-- > 0 && file->row_count > 0)
        remove_row(file, file->rows[0].row.id);
    file->generation++;
    file->disk->damaged = true;
}

fake_file *fake_disk_own(const fake_disk *disk) {
    fake_file *file = disk->files;
    while (file != NULL && !(file->owned && file->opened))
        file = file->next;
    return file;
}

uint64_t fake_file_events(const fake_file *file) {
    uint64_t events = 0;
    for (size_t i = 0; i < file->row_count; i++)
        events += file->rows[i].row.events;
    return events;
}

uint64_t fake_disk_events(const fake_disk *disk) {
    uint64_t events = 0;
    for (const fake_file *file = disk->files; file != NULL; file = file->next)
        events += fake_file_events(file);
    return events;
}

const fake_row *fake_file_row(const fake_file *file, uint64_t id) {
    return find_row(file, id);
}

bool fake_file_has_receipt(const fake_file *file, uint64_t id) {
    for (size_t i = 0; i < file->receipt_count; i++) {
        if (file->receipts[i] == id)
            return true;
    }
    return false;
}

/* ---- the engine ---- */

static fake_disk *disk_of(const qa_spool_config *config) {
    void *disk = NULL;
    if (sscanf(config->directory, "fake %p", &disk) != 1)
        abort();
    return disk;
}

/* One of so many failures to come, if any. */
static qa_status fail_by(fake_disk *disk, unsigned *left, qa_error *error) {
    if (*left == 0)
        return QA_OK;
    --*left;
    return qa_error_set(error, disk->failure, "spool: fake failure");
}

static qa_status open_one(const qa_spool_config *config, qa_spool **out, qa_error *error) {
    fake_disk *disk = disk_of(config);
    disk->calls++;
    if (fail_by(disk, &disk->fail_opens, error) != QA_OK)
        return disk->failure;
    fake_file *file = fake_disk_leave(disk);
    file->opened = file->owned = true;
    *out = &file->base;
    return QA_OK;
}

static qa_status adopt(const qa_spool_config *config, qa_spool **out, qa_error *error) {
    (void)error;
    fake_file *file = disk_of(config)->files;
    *out = NULL;
    while (file != NULL && (file->owned || file->gone))
        file = file->next;
    if (file == NULL)
        return QA_OK;
    file->disk->calls++;
    for (size_t i = file->row_count; i-- > 0;) {
        if (fake_file_has_receipt(file, file->rows[i].row.id))
            remove_row(file, file->rows[i].row.id);
    }
    file->opened = false;
    file->owned = true;
    *out = &file->base;
    return QA_OK;
}

static bool puts_rows(const qa_spool_op *ops, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (ops[i].verb == QA_SPOOL_PUT)
            return true;
    }
    return false;
}

static void apply(fake_file *file, const qa_spool_op *op, fake_commit *done) {
    fake_row *row;
    switch (op->verb) {
    case QA_SPOOL_PUT:
        put_row(file, &op->row);
        done->ids[done->puts++] = op->row.id;
        break;
    case QA_SPOOL_DELETE:
        remove_row(file, op->row.id);
        done->deletes++;
        break;
    case QA_SPOOL_ATTEMPT:
        row = find_row(file, op->row.id);
        if (row != NULL) {
            row->row.attempts = op->row.attempts;
            row->row.possibly_stored = op->row.possibly_stored;
        }
        done->attempts++;
        break;
    case QA_SPOOL_LETTER_PUT:
        put_letter(file, &op->letter);
        done->letter_puts++;
        break;
    case QA_SPOOL_LETTER_DELETE:
        remove_letter(file, op->letter.id);
        done->letter_deletes++;
        break;
    }
}

static qa_status commit(qa_spool *spool, const qa_spool_op *ops, size_t count, qa_error *error) {
    fake_file *file = (fake_file *)spool;
    fake_disk *disk = file->disk;
    if (!file->owned || count == 0 || count > sizeof disk->last.ids / sizeof disk->last.ids[0])
        abort();
    disk->calls++;
    disk->tries++;
    if (disk->during != NULL)
        disk->during(disk->context);
    if (fail_by(disk, &disk->fail_commits, error) != QA_OK)
        return disk->failure;
    if (disk->full && puts_rows(ops, count))
        return qa_error_set(error, QA_SPOOL_FULL, "spool: fake disk is full");
    disk->last = (fake_commit){.file = file};
    for (size_t i = 0; i < count; i++)
        apply(file, &ops[i], &disk->last);
    file->commits++;
    disk->commits++;
    return QA_OK;
}

static bool receipt(qa_spool *spool, uint64_t id) {
    fake_file *file = (fake_file *)spool;
    if (!file->owned)
        abort();
    if (file->disk->receipts_refused)
        return false;
    file->receipts =
        must(realloc(file->receipts, (file->receipt_count + 1) * sizeof *file->receipts));
    file->receipts[file->receipt_count++] = id;
    return true;
}

static qa_status read_rows(qa_spool *spool, uint64_t after, size_t max_rows, size_t max_bytes,
                           qa_spool_visit_row *visit, void *context, qa_error *error) {
    fake_file *file = (fake_file *)spool;
    size_t rows = 0, bytes = 0;
    file->disk->calls++;
    if (!file->owned)
        abort();
    if (fail_by(file->disk, &file->disk->fail_reads, error) != QA_OK)
        return file->disk->failure;
    for (size_t i = place_of(file, after + 1); i < file->row_count && rows < max_rows; i++) {
        const fake_row *row = &file->rows[i];
        bytes += row->row.length;
        if (row->unreadable)
            continue;
        if ((rows++ > 0 && bytes > max_bytes) || !visit(context, &row->row))
            break;
    }
    return QA_OK;
}

static qa_status letters(qa_spool *spool, uint64_t after, size_t max, bool retry_only,
                         qa_spool_visit_letter *visit, void *context, qa_error *error) {
    const fake_file *file = (const fake_file *)spool;
    size_t shown = 0;
    (void)error;
    file->disk->calls++;
    for (size_t i = 0; i < file->letter_count && shown < max; i++) {
        const qa_spool_letter *letter = &file->letters[i];
        if (letter->id <= after || (retry_only && !letter->retry))
            continue;
        shown++;
        if (!visit(context, letter))
            break;
    }
    return QA_OK;
}

static qa_status tend(qa_spool *spool, qa_error *error) {
    fake_disk *disk = ((fake_file *)spool)->disk;
    return fail_by(disk, &disk->fail_tends, error);
}

static void gauges(const qa_spool *spool, qa_spool_gauges *out) {
    const fake_file *file = (const fake_file *)spool;
    *out = (qa_spool_gauges){.rows = file->row_count,
                             .events = fake_file_events(file),
                             .letters = file->letter_count,
                             .commits = file->commits,
                             .generation = file->generation};
    for (size_t i = 0; i < file->letter_count; i++)
        out->letters_retry += file->letters[i].retry ? 1 : 0;
    for (const fake_file *other = file->disk->files; other != NULL; other = other->next)
        out->directory_files += other->gone ? 0 : 1;
}

static qa_status clear(qa_spool *spool, qa_error *error) {
    fake_file *file = (fake_file *)spool;
    (void)error;
    if (file->letter_count > 0)
        abort();
    while (file->row_count > 0)
        remove_row(file, file->rows[0].row.id);
    file->disk->clears++;
    return QA_OK;
}

static void close_one(qa_spool *spool) {
    fake_file *file = (fake_file *)spool;
    if (file == NULL)
        return;
    if (!file->owned)
        abort();
    file->disk->calls++;
    for (size_t i = file->row_count; i-- > 0;) {
        if (file->rows[i].unreadable)
            remove_row(file, file->rows[i].row.id);
    }
    file->owned = false;
    file->gone = file->row_count == 0 && file->letter_count == 0;
}

void fake_disk_init(fake_disk *disk) {
    *disk = (fake_disk){.failure = QA_SPOOL,
                        .engine = {.open = open_one,
                                   .adopt = adopt,
                                   .commit = commit,
                                   .receipt = receipt,
                                   .clear = clear,
                                   .read = read_rows,
                                   .letters = letters,
                                   .tend = tend,
                                   .gauges = gauges,
                                   .close = close_one}};
    snprintf(disk->directory, sizeof disk->directory, "fake %p", (void *)disk);
}

void fake_disk_free(fake_disk *disk) {
    while (disk->files != NULL) {
        fake_file *file = disk->files;
        disk->files = file->next;
        while (file->row_count > 0)
            remove_row(file, file->rows[0].row.id);
        while (file->letter_count > 0)
            remove_letter(file, file->letters[0].id);
        free(file->rows);
        free(file->letters);
        free(file->receipts);
        free(file);
    }
}
