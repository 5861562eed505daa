/* spool_rows.c
 * Chunks and dead letters in one database: written, read and counted.
 * Does not know who owns the file, nor how much room there is.
 * SPDX-License-Identifier: MIT */
#include "spool_rows.h"

#include <string.h>
#include <sys/random.h>

enum {
    LETTER_RANDOM_BITS = 20, /* of an id; the rest is the time, so ids ascend with it */
    LETTER_TRIES = 8
};

static uint64_t mix(uint64_t sum, uint64_t word) {
    sum = (sum ^ word) * 0xff51afd7ed558ccdu;
    return sum ^ sum >> 32;
}

/* Not for enemies, but every bit counts. Four sums side by side: a multiplication need not wait for
 * the one before it, so it is faster than the copy into the file. */
uint64_t qa_spool_rows_sum(const char *data, size_t length) {
    enum { LANES = 4 };
    uint64_t sum = 0x9e3779b97f4a7c15u ^ length, lanes[LANES] = {1, 2, 3, 4}, words[LANES];
    for (; length >= sizeof words; data += sizeof words, length -= sizeof words) {
        memcpy(words, data, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = mix(lanes[i], words[i]);
    }
    for (int i = 0; i < LANES; i++)
        sum = mix(sum, lanes[i]);
    for (; length >= sizeof sum; data += sizeof sum, length -= sizeof sum) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        sum = mix(sum, word);
    }
    uint64_t rest = 0;
    memcpy(&rest, data, length);
    sum = (sum ^ rest) * 0xc4ceb9fe1a85ec53u;
    return sum ^ sum >> 29;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void bind(sqlite3_stmt *statement, int column, int64_t number) {
    (void)sqlite3_bind_int64(statement, column, number);
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text, size_t length) {
    (void)sqlite3_bind_text64(statement, column, text, length, SQLITE_STATIC, SQLITE_UTF8);
}

qa_status qa_spool_rows_uncount(qa_spool_file *file, uint64_t id, qa_spool_counts *counts,
                                bool *found, qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ROW_FIND, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)id);
    int code = sqlite3_step(statement);
    *found = code == SQLITE_ROW;
    if (*found) {
        counts->rows--;
        counts->events -= (uint64_t)sqlite3_column_int64(statement, 0);
        counts->bytes -= (uint64_t)sqlite3_column_int64(statement, 1);
    }
    qa_status status = QA_OK;
    if (!*found && code != SQLITE_DONE)
        status = qa_spool_file_fail(file, "read", error);
    (void)sqlite3_reset(statement);
    return status;
}

static qa_status run_with_id(qa_spool_file *file, qa_spool_statement which, uint64_t id,
                             qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, which, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)id);
    return qa_spool_file_run(file, statement, error);
}

static qa_status put_row(qa_spool_file *file, const qa_spool_row *row, qa_spool_counts *counts,
                         qa_error *error) {
    bool replaced;
    qa_status status = qa_spool_rows_uncount(file, row->id, counts, &replaced, error);
    if (status == QA_OK && replaced) /* the row's own attempts are the newer ones */
        status = run_with_id(file, QA_SQL_ATTEMPT_DELETE, row->id, error);
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ROW_PUT, error);
    if (status != QA_OK || statement == NULL)
        return status != QA_OK ? status : QA_SPOOL;
    bind(statement, 1, (int64_t)row->id);
    bind(statement, 2, row->events);
    bind(statement, 3, (int64_t)row->length);
    bind(statement, 4, row->accepted_wall_ms);
    bind(statement, 5, row->deadline_wall_ms);
    bind(statement, 6, row->attempts);
    bind(statement, 7, row->possibly_stored);
    bind(statement, 8, (int64_t)qa_spool_rows_sum(row->data, row->length));
    bind_text(statement, 9, row->data, row->length);
    status = qa_spool_file_run(file, statement, error);
    counts->rows++;
    counts->events += row->events;
    counts->bytes += row->length;
    return status;
}

static qa_status delete_row(qa_spool_file *file, uint64_t id, qa_spool_counts *counts,
                            qa_error *error) {
    bool found;
    qa_status status = qa_spool_rows_uncount(file, id, counts, &found, error);
    if (status == QA_OK && found)
        status = run_with_id(file, QA_SQL_ROW_DELETE, id, error);
    if (status == QA_OK && found)
        status = run_with_id(file, QA_SQL_ATTEMPT_DELETE, id, error);
    return status;
}

static qa_status put_attempt(qa_spool_file *file, const qa_spool_row *row, qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ATTEMPT_PUT, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)row->id);
    bind(statement, 2, row->attempts);
    bind(statement, 3, row->possibly_stored);
    return qa_spool_file_run(file, statement, error);
}

/* Adds the letter under this id unless there is one; *added tells. */
static qa_status add_letter(qa_spool_file *file, uint64_t id, const qa_spool_letter *entry,
                            bool *added, qa_error *error) {
    const qa_dead_letter *letter = &entry->letter;
    const char *code = qa_status_code(letter->code);
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_LETTER_PUT, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)id);
    bind(statement, 2, entry->retry);
    bind_text(statement, 3, code, strlen(code));
    bind_text(statement, 4, letter->service_code, strlen(letter->service_code));
    bind_text(statement, 5, letter->message, strlen(letter->message));
    bind_text(statement, 6, letter->trace_id, strlen(letter->trace_id));
    bind(statement, 7, letter->attempts);
    bind(statement, 8, letter->wall_ms);
    bind_text(statement, 9, letter->event, letter->length);
    qa_status status = qa_spool_file_run(file, statement, error);
    *added = status == QA_OK && sqlite3_changes(file->db) > 0;
    return status;
}

static uint64_t new_letter_id(int64_t wall_ms) {
    uint64_t chance = 0;
    (void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK);
    uint64_t low = chance & ((1u << LETTER_RANDOM_BITS) - 1);
    uint64_t when = wall_ms > 0 ? (uint64_t)wall_ms & 0x7ffffffffffu : 0;
    return when << LETTER_RANDOM_BITS | (low != 0 ? low : 1);
}

static qa_status put_letter(qa_spool_file *file, const qa_spool_letter *entry,
                            qa_spool_counts *counts, qa_error *error) {
    bool added = false;
    qa_status status = QA_OK;
    if (entry->id != 0) /* moved from another file, perhaps for the second time */
        status = add_letter(file, entry->id, entry, &added, error);
    for (int i = 0; entry->id == 0 && status == QA_OK && !added; i++) {
        if (i == LETTER_TRIES)
            return qa_error_set(error, QA_SPOOL, "spool: cannot write '%s': no free letter id",
                                file->path);
        status = add_letter(file, new_letter_id(entry->letter.wall_ms) + (uint64_t)i, entry, &added,
                            error);
    }
    counts->letters += added;
    counts->letters_retry += added && entry->retry;
    return status;
}

qa_status qa_spool_rows_apply(qa_spool_file *file, const qa_spool_op *op, qa_spool_counts *counts,
                              qa_error *error) {
    switch (op->verb) {
    case QA_SPOOL_PUT:
        return put_row(file, &op->row, counts, error);
    case QA_SPOOL_DELETE:
        return delete_row(file, op->row.id, counts, error);
    case QA_SPOOL_ATTEMPT:
        return put_attempt(file, &op->row, error);
    case QA_SPOOL_LETTER_PUT:
        return put_letter(file, &op->letter, counts, error);
    case QA_SPOOL_LETTER_DELETE:
        return run_with_id(file, QA_SQL_LETTER_DELETE, op->letter.id, error);
    }
    return QA_OK;
}

qa_status qa_spool_rows_count_letters(qa_spool_file *file, qa_spool_counts *out, qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_LETTER_COUNTS, error);
    if (statement == NULL)
        return QA_SPOOL;
    qa_status status = QA_OK;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        out->letters = (uint64_t)sqlite3_column_int64(statement, 0);
        out->letters_retry = (uint64_t)sqlite3_column_double(statement, 1);
    } else {
        status = qa_spool_file_fail(file, "read", error);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static qa_status apply_all(qa_spool_file *file, const qa_spool_op *ops, size_t count,
                           qa_spool_counts *counts, qa_error *error) {
    qa_status status = QA_OK;
    bool letters_gone = false;
    for (size_t i = 0; status == QA_OK && i < count; i++) {
        letters_gone = letters_gone || ops[i].verb == QA_SPOOL_LETTER_DELETE;
        status = qa_spool_rows_apply(file, &ops[i], counts, error);
    }
    /* Rare, and the command may have dropped the same letter. */
    if (status == QA_OK && letters_gone)
        status = qa_spool_rows_count_letters(file, counts, error);
    return status;
}

static qa_status run_plain(qa_spool_file *file, qa_spool_statement which, qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, which, error);
    return statement != NULL ? qa_spool_file_run(file, statement, error) : QA_SPOOL;
}

qa_status qa_spool_rows_begin(qa_spool_file *file, qa_error *error) {
    return run_plain(file, QA_SQL_BEGIN, error);
}

qa_status qa_spool_rows_end(qa_spool_file *file, qa_status status, qa_error *error) {
    if (status == QA_OK)
        status = run_plain(file, QA_SQL_COMMIT, error);
    if (status != QA_OK && !sqlite3_get_autocommit(file->db)) /* some roll back by themselves */
        (void)run_plain(file, QA_SQL_ROLLBACK, NULL);
    return status;
}

qa_status qa_spool_rows_commit(qa_spool_file *file, const qa_spool_op *ops, size_t count,
                               qa_spool_counts *counts, qa_error *error) {
    qa_spool_counts next = *counts;
    qa_status status = qa_spool_rows_begin(file, error);
    if (status != QA_OK)
        return status;
    status = qa_spool_rows_end(file, apply_all(file, ops, count, &next, error), error);
    if (status == QA_OK)
        *counts = next;
    return status;
}

qa_status qa_spool_rows_mark(qa_spool_file *file, uint64_t id, bool *found, qa_error *error) {
    qa_status status = run_with_id(file, QA_SQL_LETTER_MARK, id, error);
    *found = status == QA_OK && sqlite3_changes(file->db) > 0;
    return status;
}

qa_status qa_spool_rows_drop(qa_spool_file *file, uint64_t id, bool *found, qa_error *error) {
    qa_status status = run_with_id(file, QA_SQL_LETTER_DELETE, id, error);
    *found = status == QA_OK && sqlite3_changes(file->db) > 0;
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

qa_status qa_spool_rows_count(qa_spool_file *file, qa_spool_counts *out, qa_error *error) {
    *out = (qa_spool_counts){0};
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ROW_COUNTS, error);
    if (statement == NULL)
        return QA_SPOOL;
    qa_status status = QA_OK;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        out->rows = (uint64_t)sqlite3_column_int64(statement, 0);
        out->events = (uint64_t)sqlite3_column_double(statement, 1);
        out->bytes = (uint64_t)sqlite3_column_double(statement, 2);
        out->oldest_ms = sqlite3_column_int64(statement, 3);
    } else {
        status = qa_spool_file_fail(file, "read", error);
    }
    (void)sqlite3_reset(statement);
    return status == QA_OK ? qa_spool_rows_count_letters(file, out, error) : status;
}

/* The row a statement stands on; its bytes are the statement's. False: not what was written. */
static bool take_row(sqlite3_stmt *statement, qa_spool_row *row) {
    int64_t length = sqlite3_column_int64(statement, 2);
    int64_t sum = sqlite3_column_int64(statement, 7);
    row->id = (uint64_t)sqlite3_column_int64(statement, 0);
    row->events = (uint32_t)sqlite3_column_int64(statement, 1);
    row->accepted_wall_ms = sqlite3_column_int64(statement, 3);
    row->deadline_wall_ms = sqlite3_column_int64(statement, 4);
    row->attempts = (uint32_t)sqlite3_column_int64(statement, 5);
    row->possibly_stored = sqlite3_column_int64(statement, 6) != 0;
    row->data = sqlite3_column_blob(statement, 8);
    row->length = (size_t)sqlite3_column_bytes(statement, 8);
    return row->data != NULL && row->length > 0 && length == (int64_t)row->length &&
           row->events > 0 && sum == (int64_t)qa_spool_rows_sum(row->data, row->length);
}

static qa_status changed_row(qa_spool_file *file, uint64_t id, qa_error *error) {
    file->damaged = true;
    return qa_error_set(error, QA_SPOOL, "spool: cannot read '%s': row %llu is damaged",
                        file->path, (unsigned long long)id);
}

/* Resets after a walk; the failure when it did not end well. */
static qa_status end_walk(qa_spool_file *file, sqlite3_stmt *statement, int code,
                          qa_error *error) {
    qa_status status = QA_OK;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        status = qa_spool_file_fail(file, "read", error);
    (void)sqlite3_reset(statement);
    return status;
}

qa_status qa_spool_rows_read(qa_spool_file *file, uint64_t after, size_t max_rows,
                             size_t max_bytes, qa_spool_visit_row *visit, void *context,
                             qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ROWS, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)after);
    bind(statement, 2, max_rows < INT64_MAX ? (int64_t)max_rows : -1);
    qa_status status = QA_OK;
    qa_spool_row row;
    size_t bytes = 0;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        size_t length = (size_t)sqlite3_column_int64(statement, 2);
        if (bytes > 0 && (bytes > max_bytes || length > max_bytes - bytes))
            break;
        if (!take_row(statement, &row)) {
            status = changed_row(file, row.id, error);
            break;
        }
        bytes += row.length;
        if (!visit(context, &row))
            break;
    }
    qa_status ended = end_walk(file, statement, code, status == QA_OK ? error : NULL);
    return status != QA_OK ? status : ended;
}

static const char *text_column(sqlite3_stmt *statement, int column) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text != NULL ? (const char *)text : "";
}

/* The inverse of qa_status_code, for what a letter can have. */
static qa_status code_of(const char *text) {
    static const qa_status known[] = {QA_REJECTED, QA_HTTP,    QA_AUTH, QA_TIMEOUT,
                                      QA_NETWORK,  QA_BAD_RESPONSE, QA_TLS};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(qa_status_code(known[i]), text) == 0)
            return known[i];
    }
    return QA_REJECTED;
}

static void take_letter(sqlite3_stmt *statement, qa_spool_letter *entry) {
    entry->id = (uint64_t)sqlite3_column_int64(statement, 0);
    entry->retry = sqlite3_column_int64(statement, 1) != 0;
    entry->letter.code = code_of(text_column(statement, 2));
    entry->letter.service_code = text_column(statement, 3);
    entry->letter.message = text_column(statement, 4);
    entry->letter.trace_id = text_column(statement, 5);
    entry->letter.attempts = (uint32_t)sqlite3_column_int64(statement, 6);
    entry->letter.wall_ms = sqlite3_column_int64(statement, 7);
    entry->letter.event = text_column(statement, 8);
    entry->letter.length = (size_t)sqlite3_column_bytes(statement, 8);
}

qa_status qa_spool_rows_letters(qa_spool_file *file, uint64_t after, size_t max, bool retry_only,
                                qa_spool_visit_letter *visit, void *context, qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_LETTERS, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)after);
    bind(statement, 2, max < INT64_MAX ? (int64_t)max : -1);
    bind(statement, 3, retry_only);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        qa_spool_letter entry;
        take_letter(statement, &entry);
        if (!visit(context, &entry))
            break;
    }
    return end_walk(file, statement, code, error);
}

qa_status qa_spool_rows_salvage(qa_spool_file *file, uint64_t after, bool down,
                                qa_spool_visit_row *visit, void *context, uint64_t *skipped,
                                qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(
        file, down ? QA_SQL_SALVAGE_DOWN : QA_SQL_SALVAGE_UP, error);
    if (statement == NULL)
        return QA_SPOOL;
    bind(statement, 1, (int64_t)after);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        qa_spool_row row;
        if (!take_row(statement, &row))
            ++*skipped;
        else if (!visit(context, &row))
            break;
    }
    return end_walk(file, statement, code, error);
}

qa_status qa_spool_rows_attempts(qa_spool_file *file, qa_spool_visit_row *visit, void *context,
                                 qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, QA_SQL_ATTEMPTS, error);
    if (statement == NULL)
        return QA_SPOOL;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        qa_spool_row row = {.id = (uint64_t)sqlite3_column_int64(statement, 0),
                            .attempts = (uint32_t)sqlite3_column_int64(statement, 1),
                            .possibly_stored = sqlite3_column_int64(statement, 2) != 0};
        if (!visit(context, &row))
            break;
    }
    return end_walk(file, statement, code, error);
}
