/* spool_bench.c
 * What the spool takes in, beside a bare loop of SQLite and a queue with a row per event.
 * Does not know clients or the network.
 * SPDX-License-Identifier: MIT
 *
 * spool_bench DIRECTORY [EVENTS]    on a real disk; default 300000 events of about 300 bytes.
 * Prints lines "name<tab>events per second". All three commit durably (synchronous = FULL), in
 * transactions of the same bytes:
 *   bare    chunks of 200 events inserted as blobs, one transaction for 4 of them, nothing else
 *   spool   the same through the spool's table of functions
 *   rows    one row per event, the same transactions, and each row deleted again later
 * and again with deletion ("delivered"): each transaction also deletes the chunks of five earlier. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "spool_sqlite.h"

enum { CHUNK_EVENTS = 200, CHUNKS = 4, EVENT_BYTES = 300, LAG = 5, TEXT_MAX = 64 * 1024 * 2 };

static char chunk[TEXT_MAX];
static size_t chunk_length;
static const char *directory;
static long transactions;

static void die(const char *what) {
    fprintf(stderr, "spool_bench: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void make_chunk(void) {
    for (int i = 0; i < CHUNK_EVENTS; i++) {
        size_t start = chunk_length;
        chunk_length += (size_t)snprintf(chunk + chunk_length, sizeof chunk - chunk_length,
                                         "%s{\"eventCode\":\"pay_order\",\"n\":%d,\"text\":\"",
                                         i > 0 ? ",\n" : "", i);
        while (chunk_length - start < EVENT_BYTES - 2)
            chunk[chunk_length++] = (char)('a' + rand() % 26);
        memcpy(chunk + chunk_length, "\"}", 2);
        chunk_length += 2;
    }
}

static void show(const char *name, double seconds) {
    printf("%s\t%.0f\n", name, (double)transactions * CHUNKS * CHUNK_EVENTS / seconds);
    (void)fflush(stdout);
}

/* ---- SQLite by hand ---- */

static sqlite3 *open_database(char *path, size_t size, const char *table) {
    sqlite3 *db;
    (void)snprintf(path, size, "%s/bench.db", directory);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL,
                     NULL) != SQLITE_OK ||
        sqlite3_exec(db, table, NULL, NULL, NULL) != SQLITE_OK)
        die("cannot open a database");
    return db;
}

static void close_database(sqlite3 *db, const char *path) {
    (void)sqlite3_close(db);
    (void)unlink(path);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        die("cannot prepare");
    return statement;
}

static void step(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE)
        die("cannot write");
    (void)sqlite3_reset(statement);
}

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die("cannot write");
}

static double bare(bool delivered) {
    char path[512];
    sqlite3 *db = open_database(path, sizeof path,
                                "CREATE TABLE chunk(id INTEGER PRIMARY KEY, data BLOB)");
    sqlite3_stmt *insert = prepare(db, "INSERT INTO chunk VALUES(?1, ?2)");
    sqlite3_stmt *delete = prepare(db, "DELETE FROM chunk WHERE id = ?1");
    double start = now();
    for (long i = 0, id = 0; i < transactions; i++) {
        run(db, "BEGIN");
        for (int j = 0; j < CHUNKS; j++) {
            (void)sqlite3_bind_int64(insert, 1, ++id);
            (void)sqlite3_bind_blob(insert, 2, chunk, (int)chunk_length, SQLITE_STATIC);
            step(insert);
            (void)sqlite3_bind_int64(delete, 1, id - (long)LAG * CHUNKS);
            if (delivered)
                step(delete);
        }
        run(db, "COMMIT");
    }
    double seconds = now() - start;
    (void)sqlite3_finalize(insert);
    (void)sqlite3_finalize(delete);
    close_database(db, path);
    return seconds;
}

static void put_events(sqlite3_stmt *insert) {
    for (const char *at = chunk, *end = chunk + chunk_length; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop != NULL ? stop + 1 : end;
        stop = stop != NULL ? stop - 1 : end;
        (void)sqlite3_bind_text(insert, 1, at, (int)(stop - at), SQLITE_STATIC);
        step(insert);
        at = next;
    }
}

static double rows(bool delivered) {
    char path[512];
    sqlite3 *db = open_database(path, sizeof path,
                                "CREATE TABLE event(id INTEGER PRIMARY KEY, data TEXT)");
    sqlite3_stmt *insert = prepare(db, "INSERT INTO event(data) VALUES(?1)");
    sqlite3_stmt *delete = prepare(db, "DELETE FROM event WHERE id = ?1");
    double start = now();
    for (long i = 0, gone = 0; i < transactions; i++) {
        run(db, "BEGIN");
        for (int j = 0; j < CHUNKS; j++)
            put_events(insert);
        for (long j = 0; delivered && i >= LAG && j < (long)CHUNKS * CHUNK_EVENTS; j++) {
            (void)sqlite3_bind_int64(delete, 1, ++gone);
            step(delete);
        }
        run(db, "COMMIT");
    }
    double seconds = now() - start;
    (void)sqlite3_finalize(insert);
    (void)sqlite3_finalize(delete);
    close_database(db, path);
    return seconds;
}

/* ---- the spool ---- */

static double spool(bool delivered) {
    char path[512];
    qa_error error;
    qa_spool *self;
    qa_spool_op ops[2 * CHUNKS];
    (void)snprintf(path, sizeof path, "%s/spool", directory);
    const qa_spool_config config = {.directory = path,
                                    .target = {"https://bench.example", "/", "o", "a"},
                                    .sync = QA_SPOOL_SYNC_FULL,
                                    .max_bytes = UINT64_C(1) << 40};
    if (qa_spool_sqlite.open(&config, &self, &error) != QA_OK)
        die(error.message);
    double start = now();
    uint64_t id = 0;
    for (long i = 0; i < transactions; i++) {
        size_t count = 0;
        for (int j = 0; j < CHUNKS; j++) {
            ops[count++] = (qa_spool_op){.verb = QA_SPOOL_PUT,
                                         .row = {.id = ++id,
                                                 .data = chunk,
                                                 .length = chunk_length,
                                                 .events = CHUNK_EVENTS,
                                                 .accepted_wall_ms = 1,
                                                 .deadline_wall_ms = 2}};
            if (delivered && id > (uint64_t)LAG * CHUNKS)
                ops[count++] = (qa_spool_op){.verb = QA_SPOOL_DELETE,
                                             .row = {.id = id - (uint64_t)LAG * CHUNKS}};
        }
        if (self->engine->commit(self, ops, count, &error) != QA_OK)
            die(error.message);
    }
    double seconds = now() - start;
    for (uint64_t gone = 1; gone <= id; gone++) {
        ops[0] = (qa_spool_op){.verb = QA_SPOOL_DELETE, .row = {.id = gone}};
        if (!delivered || gone > id - (uint64_t)LAG * CHUNKS)
            (void)self->engine->commit(self, ops, 1, NULL);
    }
    self->engine->close(self);
    (void)rmdir(path);
    return seconds;
}

int main(int count, char **arguments) {
    if (count < 2)
        die("name a directory");
    directory = arguments[1];
    long events = count > 2 ? strtol(arguments[2], NULL, 10) : 300000;
    transactions = events / CHUNK_EVENTS / CHUNKS + 1;
    make_chunk();
    show("bare", bare(false));
    show("spool", spool(false));
    show("rows", rows(false));
    show("bare delivered", bare(true));
    show("spool delivered", spool(true));
    show("rows delivered", rows(true));
    return 0;
}
