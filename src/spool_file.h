/* spool_file.h
 * One SQLite database of a spool: opened, laid out, its statements and failures.
 * Does not know directories, owners, or what a caller wants with a row.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_FILE_H
#define QA_SPOOL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "spool.h"

/* Measured (bench/queues.c): with pages of 4 KiB a chunk takes in half as many bytes a
 * second, and above 16 KiB single small chunks cost more than large ones gain. */
#define QA_SPOOL_PAGE 16384
#define QA_SPOOL_WAL_BYTES 16777216 /* the log is written back from here on */
enum {
    QA_SPOOL_FRAME = QA_SPOOL_PAGE + 24, /* a page in the log */
    QA_SPOOL_SCHEMA = 1                  /* the layout's version that this code writes */
};

typedef enum qa_spool_statement {
    QA_SQL_BEGIN,
    QA_SQL_COMMIT,
    QA_SQL_ROLLBACK,
    QA_SQL_ROW_FIND,
    QA_SQL_ROW_PUT,
    QA_SQL_ROW_DELETE,
    QA_SQL_ROWS,
    QA_SQL_SALVAGE_UP,
    QA_SQL_SALVAGE_DOWN,
    QA_SQL_ATTEMPTS,
    QA_SQL_ROW_COUNTS,
    QA_SQL_ATTEMPT_PUT,
    QA_SQL_ATTEMPT_DELETE,
    QA_SQL_LETTER_PUT,
    QA_SQL_LETTER_DELETE,
    QA_SQL_LETTERS,
    QA_SQL_LETTER_COUNTS,
    QA_SQL_LETTER_MARK,
    QA_SQL_PAGE_COUNT,
    QA_SQL_FREE_COUNT,
    QA_SQL_DATA_VERSION,
    QA_SQL_STATEMENTS
} qa_spool_statement;

/* Open, for spool_*.c. One thread at a time. */
typedef struct qa_spool_file {
    sqlite3 *db;
    char *path, *wal_path;
    uint64_t device, inode; /* of the path when it was opened */
    uint64_t wal_frames;    /* in use, as of the last commit */
    bool damaged;           /* SQLite or a checksum said so: needs to be set aside */
    sqlite3_stmt *statements[QA_SQL_STATEMENTS];
} qa_spool_file;

typedef enum qa_spool_mode {
    QA_SPOOL_CREATE, /* a new file, 0600; fails when there is one */
    QA_SPOOL_OWN,    /* an existing one, brought to the present schema */
    QA_SPOOL_LOOK    /* an existing one, to read, and to mark letters; its schema is left alone */
} qa_spool_mode;

/* Opens the database at `path` (copied). `target` is written to a new one; may be NULL otherwise.
 * A file that is no database, or damaged, fails with *damaged set. NULL with `error` filled. */
qa_spool_file *qa_spool_file_open(const char *path, qa_spool_mode mode, qa_spool_sync sync,
                                  const qa_spool_target *target, bool *damaged, qa_error *error);

/* Closes it; what is in the log is written back, unless the file is damaged. NULL is legal. */
void qa_spool_file_close(qa_spool_file *file);

/* Deletes a closed file, and what is kept beside it. */
void qa_spool_file_remove(const char *path);

/* Whether the path still names this file; and whether its log is there too. */
bool qa_spool_file_is_named(const qa_spool_file *file);
bool qa_spool_file_is_there(const qa_spool_file *file);

uint64_t qa_spool_file_wal_bytes(const qa_spool_file *file); /* size of its log on the disk */

/* Whether the file was written for the target; a failure counts as no. */
bool qa_spool_file_is_for(qa_spool_file *file, const qa_spool_target *target);

/* Brings the layout from `version` to that of the last of `steps`, each SQL that leads one version
 * on; all or nothing. Apart from the code's own list so that a test can go one further. */
qa_status qa_spool_file_migrate(qa_spool_file *file, uint64_t version, const char *const *steps,
                                size_t count, qa_error *error);

/* A value of the table `meta` as a copy, the caller's to free; NULL: none, or it cannot be read. */
char *qa_spool_file_meta(qa_spool_file *file, const char *key);

/* The prepared statement; NULL with `error` filled. Whoever steps it resets it. */
sqlite3_stmt *qa_spool_file_statement(qa_spool_file *file, qa_spool_statement which,
                                      qa_error *error);

/* Steps a statement that gives no rows and resets it whatever happens, because a statement that
 * failed and wasn't reset fails for ever. */
qa_status qa_spool_file_run(qa_spool_file *file, sqlite3_stmt *statement, qa_error *error);

/* The first column of a statement's only row. */
qa_status qa_spool_file_number(qa_spool_file *file, qa_spool_statement which, uint64_t *out,
                               qa_error *error);

/* What SQLite's last failure is to the caller; remembers damage. `verb`: "write", "read". */
qa_status qa_spool_file_fail(qa_spool_file *file, const char *verb, qa_error *error);

/* Writes the WAL back to the file; `truncate` makes it empty too, where no reader is in the way. */
qa_status qa_spool_file_checkpoint(qa_spool_file *file, bool truncate, qa_error *error);

/* Rebuilds the file without its free pages; for files that hold little, as that goes through
 * memory. */
qa_status qa_spool_file_shrink(qa_spool_file *file, qa_error *error);

/* Checks the whole structure: QA_OK, or QA_SPOOL with the first thing found. */
qa_status qa_spool_file_check(qa_spool_file *file, qa_error *error);

#endif
