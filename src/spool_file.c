/* spool_file.c
 * One SQLite database of a spool: opened, laid out, its statements and failures.
 * Does not know directories, owners, or what a caller wants with a row.
 * SPDX-License-Identifier: MIT */
#include "spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_directory.h"

#define QUOTE(text) #text
#define TEXT_OF(macro) QUOTE(macro)

enum {
    APPLICATION_ID = 0x71617370, /* "qasp": tells a spool from somebody else's database */
    BUSY_MS = 2000               /* the command's writes are over sooner */
};

/* Step n leads from version n to n + 1. The columns before `data` can be read without reading it.
 * Attempts stand apart because a change within `chunk` would write the whole chunk again. */
static const char *const layout[QA_SPOOL_SCHEMA] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY, events INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " accepted_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " possibly_stored INTEGER NOT NULL, sum INTEGER NOT NULL, data TEXT NOT NULL);"
    "CREATE TABLE attempt(id INTEGER PRIMARY KEY, attempts INTEGER NOT NULL,"
    " possibly_stored INTEGER NOT NULL);"
    "CREATE TABLE letter(id INTEGER PRIMARY KEY, retry INTEGER NOT NULL, code TEXT NOT NULL,"
    " service_code TEXT NOT NULL, message TEXT NOT NULL, trace_id TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, wall_ms INTEGER NOT NULL, event TEXT NOT NULL);",
};

#define ROW_COLUMNS "c.id, c.events, c.bytes, c.accepted_ms, c.deadline_ms, "
#define OWN_ATTEMPTS "c.attempts, c.possibly_stored, c.sum, c.data FROM chunk c "

static const char *const texts[QA_SQL_STATEMENTS] = {
    [QA_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [QA_SQL_COMMIT] = "COMMIT",
    [QA_SQL_ROLLBACK] = "ROLLBACK",
    [QA_SQL_ROW_FIND] = "SELECT events, bytes FROM chunk WHERE id = ?1",
    [QA_SQL_ROW_PUT] = "INSERT OR REPLACE INTO chunk(id, events, bytes, accepted_ms, deadline_ms,"
                       " attempts, possibly_stored, sum, data)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [QA_SQL_ROW_DELETE] = "DELETE FROM chunk WHERE id = ?1",
    [QA_SQL_ROWS] = "SELECT " ROW_COLUMNS "coalesce(a.attempts, c.attempts),"
                    " coalesce(a.possibly_stored, c.possibly_stored), c.sum, c.data"
                    " FROM chunk c LEFT JOIN attempt a ON a.id = c.id"
                    " WHERE c.id > ?1 ORDER BY c.id LIMIT ?2",
    [QA_SQL_SALVAGE_UP] =
        "SELECT " ROW_COLUMNS OWN_ATTEMPTS "WHERE c.id > ?1 ORDER BY c.id",
    [QA_SQL_SALVAGE_DOWN] =
        "SELECT " ROW_COLUMNS OWN_ATTEMPTS "WHERE c.id > ?1 ORDER BY c.id DESC",
    [QA_SQL_ATTEMPTS] = "SELECT id, attempts, possibly_stored FROM attempt",
    [QA_SQL_ROW_COUNTS] = "SELECT count(*), total(events), total(bytes), min(accepted_ms)"
                          " FROM chunk",
    [QA_SQL_ATTEMPT_PUT] = "INSERT OR REPLACE INTO attempt(id, attempts, possibly_stored)"
                           " SELECT ?1, ?2, ?3 WHERE EXISTS(SELECT 1 FROM chunk WHERE id = ?1)",
    [QA_SQL_ATTEMPT_DELETE] = "DELETE FROM attempt WHERE id = ?1",
    [QA_SQL_LETTER_PUT] = "INSERT OR IGNORE INTO letter(id, retry, code, service_code, message,"
                          " trace_id, attempts, wall_ms, event)"
                          " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [QA_SQL_LETTER_DELETE] = "DELETE FROM letter WHERE id = ?1",
    [QA_SQL_LETTERS] = "SELECT id, retry, code, service_code, message, trace_id, attempts,"
                       " wall_ms, event FROM letter WHERE id > ?1 AND retry >= ?3"
                       " ORDER BY id LIMIT ?2",
    [QA_SQL_LETTER_COUNTS] = "SELECT count(*), total(retry) FROM letter",
    [QA_SQL_LETTER_MARK] = "UPDATE letter SET retry = 1 WHERE id = ?1",
    [QA_SQL_PAGE_COUNT] = "PRAGMA page_count",
    [QA_SQL_FREE_COUNT] = "PRAGMA freelist_count",
    [QA_SQL_DATA_VERSION] = "PRAGMA data_version",
};

/* ---- failures -------------------------------------------------------------------------------- */

static const char *reason_of(qa_spool_file *file, int code, int *system, char *words,
                             size_t size) {
    *system = sqlite3_system_errno(file->db);
    switch (code & 0xff) {
    case SQLITE_FULL:
        *system = ENOSPC;
        return "disk full";
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return qa_spool_words(*system != 0 ? *system : EIO, words, size);
    case SQLITE_READONLY:
        return "read-only";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return "locked by another program";
    case SQLITE_CORRUPT:
        return "damaged";
    case SQLITE_NOTADB:
        return "not a spool file";
    default:
        return sqlite3_errmsg(file->db);
    }
}

qa_status qa_spool_file_fail(qa_spool_file *file, const char *verb, qa_error *error) {
    char words[128];
    int system, code = sqlite3_extended_errcode(file->db);
    const char *reason = reason_of(file, code, &system, words, sizeof words);
    if ((code & 0xff) == SQLITE_NOMEM)
        return qa_error_no_memory(error, "spool");
    if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
        file->damaged = true;
    bool full = system == ENOSPC || system == EDQUOT;
    return qa_error_set(error, full ? QA_SPOOL_FULL : QA_SPOOL, "spool: cannot %s '%s': %s", verb,
                        file->path, reason);
}

/* ---- statements ------------------------------------------------------------------------------ */

sqlite3_stmt *qa_spool_file_statement(qa_spool_file *file, qa_spool_statement which,
                                      qa_error *error) {
    sqlite3_stmt **slot = &file->statements[which];
    if (*slot == NULL && sqlite3_prepare_v3(file->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                            slot, NULL) != SQLITE_OK)
        (void)qa_spool_file_fail(file, "open", error);
    return *slot;
}

qa_status qa_spool_file_run(qa_spool_file *file, sqlite3_stmt *statement, qa_error *error) {
    qa_status status = QA_OK;
    int code = sqlite3_step(statement);
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        status = qa_spool_file_fail(file, "write", error);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return status;
}

qa_status qa_spool_file_number(qa_spool_file *file, qa_spool_statement which, uint64_t *out,
                               qa_error *error) {
    sqlite3_stmt *statement = qa_spool_file_statement(file, which, error);
    if (statement == NULL)
        return QA_SPOOL;
    qa_status status = QA_OK;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        status = qa_spool_file_fail(file, "read", error);
    (void)sqlite3_reset(statement);
    return status;
}

static qa_status execute(qa_spool_file *file, const char *sql, const char *verb, qa_error *error) {
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return QA_OK;
    return qa_spool_file_fail(file, verb, error);
}

/* The first column of the first row of a statement that is used once; false: none. */
static bool ask(qa_spool_file *file, const char *sql, int64_t *number, char *text, size_t size) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return false;
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    if (found && number != NULL)
        *number = sqlite3_column_int64(statement, 0);
    if (found && text != NULL) {
        const unsigned char *value = sqlite3_column_text(statement, 0);
        (void)snprintf(text, size, "%s", value != NULL ? (const char *)value : "");
    }
    return sqlite3_finalize(statement) == SQLITE_OK && found;
}

/* ---- layout ---------------------------------------------------------------------------------- */

qa_status qa_spool_file_migrate(qa_spool_file *file, uint64_t version, const char *const *steps,
                                size_t count, qa_error *error) {
    char done[128];
    if (version >= count)
        return QA_OK;
    (void)snprintf(done, sizeof done,
                   "PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT",
                   (int)APPLICATION_ID, count);
    qa_status status = execute(file, "BEGIN IMMEDIATE", "write", error);
    for (size_t i = (size_t)version; status == QA_OK && i < count; i++)
        status = execute(file, steps[i], "write", error);
    if (status == QA_OK)
        status = execute(file, done, "write", error);
    if (status != QA_OK && !sqlite3_get_autocommit(file->db))
        (void)execute(file, "ROLLBACK", "write", NULL);
    return status;
}

static qa_status put_meta(qa_spool_file *file, const char *key, const char *value,
                          qa_error *error) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(file->db, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)", -1, &statement,
                           NULL) != SQLITE_OK)
        return qa_spool_file_fail(file, "write", error);
    (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
    qa_status status = qa_spool_file_run(file, statement, error);
    (void)sqlite3_finalize(statement);
    return status;
}

static qa_status put_target(qa_spool_file *file, const qa_spool_target *target, qa_error *error) {
    qa_status status = execute(file, "BEGIN IMMEDIATE", "write", error);
    if (status == QA_OK)
        status = put_meta(file, "endpoint", target->endpoint, error);
    if (status == QA_OK)
        status = put_meta(file, "path", target->path, error);
    if (status == QA_OK)
        status = put_meta(file, "organization_id", target->organization_id, error);
    if (status == QA_OK)
        status = put_meta(file, "access_id", target->access_id, error);
    return status == QA_OK ? execute(file, "COMMIT", "write", error) : status;
}

/* A log exists from the first write on; the checks of qa_spool_file_is_there rely on it. */
static qa_status make_wal(qa_spool_file *file, qa_error *error) {
    return execute(file, "BEGIN IMMEDIATE; COMMIT", "write", error);
}

char *qa_spool_file_meta(qa_spool_file *file, const char *key) {
    sqlite3_stmt *statement;
    char *copy = NULL;
    if (sqlite3_prepare_v2(file->db, "SELECT value FROM meta WHERE key = ?1", -1, &statement,
                           NULL) != SQLITE_OK) {
        (void)qa_spool_file_fail(file, "read", NULL);
        return NULL;
    }
    (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const unsigned char *value = sqlite3_column_text(statement, 0);
        copy = value != NULL ? strdup((const char *)value) : NULL;
    } else if (code != SQLITE_DONE) {
        (void)qa_spool_file_fail(file, "read", NULL);
    }
    (void)sqlite3_finalize(statement);
    return copy;
}

static bool meta_equals(qa_spool_file *file, const char *key, const char *expected) {
    char *value = qa_spool_file_meta(file, key);
    bool equal = value != NULL && strcmp(value, expected) == 0;
    free(value);
    return equal;
}

bool qa_spool_file_is_for(qa_spool_file *file, const qa_spool_target *target) {
    return meta_equals(file, "endpoint", target->endpoint) &&
           meta_equals(file, "path", target->path) &&
           meta_equals(file, "organization_id", target->organization_id) &&
           meta_equals(file, "access_id", target->access_id);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int remember_frames(void *context, sqlite3 *db, const char *name, int frames) {
    qa_spool_file *file = context;
    (void)db;
    (void)name;
    file->wal_frames = frames > 0 ? (uint64_t)frames : 0;
    return SQLITE_OK;
}

/* For every connection. Deleted events are not overwritten on the disk (secure_delete), which would
 * cost as much as writing them; the file is the owner's alone. No mmap: a truncated file would kill
 * the host with SIGBUS. */
static qa_status set_up(qa_spool_file *file, qa_spool_mode mode, qa_spool_sync sync,
                        qa_error *error) {
    (void)sqlite3_extended_result_codes(file->db, 1);
    (void)sqlite3_busy_timeout(file->db, BUSY_MS);
    if (mode == QA_SPOOL_LOOK)
        (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    else
        (void)sqlite3_wal_hook(file->db, remember_frames, file);
    qa_status status = execute(file,
                               "PRAGMA page_size = " TEXT_OF(QA_SPOOL_PAGE) ";"
                               "PRAGMA secure_delete = OFF;"
                               "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
                               "PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA journal_size_limit = " TEXT_OF(QA_SPOOL_WAL_BYTES),
                               "open", error);
    if (status != QA_OK)
        return status;
    return execute(file, sync == QA_SPOOL_SYNC_FULL ? "PRAGMA synchronous = FULL"
                                                    : "PRAGMA synchronous = NORMAL",
                   "open", error);
}

static qa_status set_wal(qa_spool_file *file, qa_error *error) {
    char mode[16] = "";
    if (!ask(file, "PRAGMA journal_mode = WAL", NULL, mode, sizeof mode))
        return qa_spool_file_fail(file, "open", error);
    if (strcmp(mode, "wal") != 0)
        return qa_error_set(error, QA_SPOOL, "spool: cannot open '%s': no shared memory there",
                            file->path);
    return QA_OK;
}

static qa_status check_version(qa_spool_file *file, qa_spool_mode mode, int64_t *version,
                               qa_error *error) {
    int64_t application = 0;
    if (!ask(file, "PRAGMA user_version", version, NULL, 0) ||
        !ask(file, "PRAGMA application_id", &application, NULL, 0))
        return qa_spool_file_fail(file, "open", error);
    if (*version == 0 && application == 0 && mode != QA_SPOOL_LOOK)
        return QA_OK; /* its maker was killed before the layout was committed */
    if (application != APPLICATION_ID || *version < 1)
        return qa_error_set(error, QA_SPOOL, "spool: cannot open '%s': not a spool file",
                            file->path);
    if (*version > QA_SPOOL_SCHEMA)
        return qa_error_set(error, QA_SPOOL,
                            "spool: cannot open '%s': written by a newer version (layout %lld, "
                            "known: %d)",
                            file->path, (long long)*version, (int)QA_SPOOL_SCHEMA);
    return QA_OK;
}

static qa_status lay_out(qa_spool_file *file, qa_spool_mode mode, const qa_spool_target *target,
                         qa_error *error) {
    int64_t version = 0;
    qa_status status = check_version(file, mode, &version, error);
    if (status != QA_OK || mode == QA_SPOOL_LOOK)
        return status;
    status = set_wal(file, error);
    if (status == QA_OK)
        status = qa_spool_file_migrate(file, (uint64_t)version, layout, QA_SPOOL_SCHEMA, error);
    if (status == QA_OK && mode == QA_SPOOL_CREATE)
        status = put_target(file, target, error);
    return status == QA_OK ? make_wal(file, error) : status;
}

/* SQLite would make it readable for all; what it makes itself later gets the same mode. */
static qa_status make_file(const char *path, qa_error *error) {
    char words[128];
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return QA_OK;
    }
    int code = errno;
    return qa_error_set(error, code == ENOSPC || code == EDQUOT ? QA_SPOOL_FULL : QA_SPOOL,
                        "spool: cannot make '%s': %s", path,
                        qa_spool_words(code, words, sizeof words));
}

static void remember_identity(qa_spool_file *file) {
    struct stat found;
    if (stat(file->path, &found) == 0) {
        file->device = (uint64_t)found.st_dev;
        file->inode = (uint64_t)found.st_ino;
    }
}

static qa_status connect(qa_spool_file *file, qa_spool_mode mode, qa_spool_sync sync,
                         const qa_spool_target *target, qa_error *error) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(file->path, &file->db, flags, NULL) != SQLITE_OK) {
        if (file->db == NULL)
            return qa_error_no_memory(error, "spool");
        return qa_spool_file_fail(file, "open", error);
    }
    remember_identity(file);
    qa_status status = set_up(file, mode, sync, error);
    return status == QA_OK ? lay_out(file, mode, target, error) : status;
}

qa_spool_file *qa_spool_file_open(const char *path, qa_spool_mode mode, qa_spool_sync sync,
                                  const qa_spool_target *target, bool *damaged, qa_error *error) {
    *damaged = false;
    if (mode == QA_SPOOL_CREATE && make_file(path, error) != QA_OK)
        return NULL;
    qa_spool_file *file = calloc(1, sizeof *file);
    if (file != NULL) {
        file->path = strdup(path);
        if (asprintf(&file->wal_path, "%s-wal", path) < 0)
            file->wal_path = NULL;
    }
    if (file == NULL || file->path == NULL || file->wal_path == NULL) {
        (void)qa_error_no_memory(error, "spool");
    } else if (connect(file, mode, sync, target, error) == QA_OK) {
        return file;
    } else {
        *damaged = file->damaged;
    }
    qa_spool_file_close(file);
    if (mode == QA_SPOOL_CREATE)
        qa_spool_file_remove(path);
    return NULL;
}

void qa_spool_file_close(qa_spool_file *file) {
    if (file == NULL)
        return;
    for (int i = 0; i < QA_SQL_STATEMENTS; i++)
        (void)sqlite3_finalize(file->statements[i]);
    if (file->damaged) /* it is evidence now */
        (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close_v2(file->db);
    free(file->path);
    free(file->wal_path);
    free(file);
}

void qa_spool_file_remove(const char *path) {
    static const char *const endings[] = {"", "-wal", "-shm", "-journal", QA_SPOOL_RECEIPTS};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *name;
        if (asprintf(&name, "%s%s", path, endings[i]) < 0)
            return;
        (void)unlink(name);
        free(name);
    }
}

bool qa_spool_file_is_named(const qa_spool_file *file) {
    struct stat found;
    return stat(file->path, &found) == 0 && (uint64_t)found.st_dev == file->device &&
           (uint64_t)found.st_ino == file->inode;
}

bool qa_spool_file_is_there(const qa_spool_file *file) {
    /* SQLite would go on with a log that was deleted, and nobody could read it afterwards. */
    return qa_spool_file_is_named(file) && access(file->wal_path, F_OK) == 0;
}

uint64_t qa_spool_file_wal_bytes(const qa_spool_file *file) {
    struct stat found;
    return stat(file->wal_path, &found) == 0 ? (uint64_t)found.st_size : 0;
}

/* ---- upkeep ---------------------------------------------------------------------------------- */

qa_status qa_spool_file_checkpoint(qa_spool_file *file, bool truncate, qa_error *error) {
    int frames = 0, written = -1;
    int code = sqlite3_wal_checkpoint_v2(
        file->db, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &frames,
        &written);
    if (code == SQLITE_OK && frames == written)
        file->wal_frames = 0; /* the next commit begins at the log's start again */
    if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return QA_OK; /* a reader is in the way: another time */
    return qa_spool_file_fail(file, "write", error);
}

qa_status qa_spool_file_shrink(qa_spool_file *file, qa_error *error) {
    qa_status status = execute(file, "VACUUM", "write", error);
    return status == QA_OK ? qa_spool_file_checkpoint(file, true, error) : status;
}

qa_status qa_spool_file_check(qa_spool_file *file, qa_error *error) {
    char found[128] = "";
    if (!ask(file, "PRAGMA integrity_check(1)", NULL, found, sizeof found))
        return qa_spool_file_fail(file, "read", error);
    if (strcmp(found, "ok") == 0)
        return QA_OK;
    for (char *at = found; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
    return qa_error_set(error, QA_SPOOL, "spool: '%s' is damaged: %s", file->path, found);
}
