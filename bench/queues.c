/* queues.c
 * The spool's yardsticks: a bare loop of SQLite and a queue with a row per event; and its engine.
 * Does not know clients or the network.
 * SPDX-License-Identifier: MIT
 *
 * queues DIRECTORY LOOP CHUNK_FILE EVENTS LIMIT
 * CHUNK_FILE holds CHUNK_EVENTS events as the client joins them; they are written again and again,
 * durably (WAL, synchronous = FULL). Prints events, seconds by the wall, CPU seconds, transactions.
 *   bare   inserts chunks as blobs, LIMIT of them in a transaction, and does nothing else
 *   spool  the same through the spool's table of functions
 *   rows   a row per event; a transaction goes on for LIMIT seconds
 * and bare-delivered, …: all of it is deleted again, as late as an outage of LAG transactions. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "spool_sqlite.h"

enum { CHUNK_EVENTS = 200, CHUNKS_MAX = 500, LAG = 5, CHUNK_MAX = 1 << 20 };

/* A queue: how to open it, to commit one more transaction of it, and to take it away. */
typedef struct queue {
    const char *directory;
    char path[512];
    bool delivered;
    double limit;
    sqlite3 *db;
    sqlite3_stmt *insert, *drop;
    qa_spool *spool;
    int64_t put, dropped, marks[LAG]; /* ids; the last id of each of the latest transactions */
    long events, transactions;
} queue;

typedef struct loop {
    const char *name, *table;
    void (*commit)(queue *q);
} loop;

static char chunk[CHUNK_MAX];
static size_t chunk_length;

static void die(const char *what) {
    fprintf(stderr, "queues: %s\n", what);
    exit(1);
}

static double now(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void read_chunk(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        die("cannot read the events");
    chunk_length = fread(chunk, 1, sizeof chunk, file);
    (void)fclose(file);
    if (chunk_length == 0 || chunk_length == sizeof chunk)
        die("no events, or too many");
}

/* The id up to which all is to be deleted by the transaction that is made now. */
static int64_t delivered_id(queue *q) {
    int64_t *mark = &q->marks[q->transactions % LAG];
    int64_t id = q->delivered ? *mark : 0;
    *mark = q->put;
    return id;
}

/* ---- SQLite by hand ---- */

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    return statement;
}

static void step(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE)
        die("cannot write");
    (void)sqlite3_reset(statement);
}

static void open_database(queue *q, const char *table) {
    (void)snprintf(q->path, sizeof q->path, "%s/queue.db", q->directory);
    if (sqlite3_open(q->path, &q->db) != SQLITE_OK)
        die("cannot open a database");
    run(q->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    run(q->db, table);
    q->insert = prepare(q->db, "INSERT INTO item VALUES(?1, ?2)");
    q->drop = prepare(q->db, "DELETE FROM item WHERE id = ?1");
}

static void insert(queue *q, const char *bytes, size_t length) {
    (void)sqlite3_bind_int64(q->insert, 1, ++q->put);
    (void)sqlite3_bind_blob(q->insert, 2, bytes, (int)length, SQLITE_STATIC);
    step(q->insert);
}

static void drop_until(queue *q, int64_t last) {
    while (q->dropped < last) {
        (void)sqlite3_bind_int64(q->drop, 1, ++q->dropped);
        step(q->drop);
    }
}

static void commit_bare(queue *q) {
    run(q->db, "BEGIN");
    for (int i = 0; i < (int)q->limit; i++)
        insert(q, chunk, chunk_length);
    q->events += (long)q->limit * CHUNK_EVENTS;
    drop_until(q, delivered_id(q));
    run(q->db, "COMMIT");
}

static void insert_events(queue *q) {
    for (const char *at = chunk, *end = chunk + chunk_length; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        insert(q, at, (size_t)((newline != NULL ? newline - 1 : end) - at));
        at = next;
    }
    q->events += CHUNK_EVENTS;
}

static void commit_rows(queue *q) {
    double until = now(CLOCK_MONOTONIC) + q->limit;
    run(q->db, "BEGIN");
    do
        insert_events(q);
    while (now(CLOCK_MONOTONIC) < until);
    drop_until(q, delivered_id(q));
    run(q->db, "COMMIT");
}

/* ---- the spool ---- */

static void open_spool(queue *q) {
    qa_error error;
    (void)snprintf(q->path, sizeof q->path, "%s/spool", q->directory);
    const qa_spool_config config = {.directory = q->path,
                                    .target = {"https://bench.example", "/", "o", "a"},
                                    .sync = QA_SPOOL_SYNC_FULL,
                                    .max_bytes = UINT64_C(1) << 40};
    if (qa_spool_sqlite.open(&config, &q->spool, &error) != QA_OK)
        die(error.message);
}

static void commit_spool(queue *q) {
    static qa_spool_op ops[2 * CHUNKS_MAX];
    size_t count = 0;
    qa_error error;
    for (int i = 0; i < (int)q->limit; i++) {
        ops[count++] = (qa_spool_op){.verb = QA_SPOOL_PUT,
                                     .row = {.id = (uint64_t)++q->put,
                                             .data = chunk,
                                             .length = chunk_length,
                                             .events = CHUNK_EVENTS,
                                             .accepted_wall_ms = 1,
                                             .deadline_wall_ms = 2}};
    }
    q->events += (long)q->limit * CHUNK_EVENTS;
    for (int64_t last = delivered_id(q); q->dropped < last;)
        ops[count++] =
            (qa_spool_op){.verb = QA_SPOOL_DELETE, .row = {.id = (uint64_t)++q->dropped}};
    if (q->spool->engine->commit(q->spool, ops, count, &error) != QA_OK)
        die(error.message);
}

/* ---- all ---- */

static const loop loops[] = {
    {"bare", "CREATE TABLE item(id INTEGER PRIMARY KEY, data BLOB)", commit_bare},
    {"spool", NULL, commit_spool},
    {"rows", "CREATE TABLE item(id INTEGER PRIMARY KEY, data BLOB)", commit_rows},
};

static const loop *find(const char *name, bool *delivered) {
    size_t length = strcspn(name, "-");
    *delivered = strcmp(name + length, "-delivered") == 0;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (strlen(loops[i].name) == length && strncmp(loops[i].name, name, length) == 0)
            return &loops[i];
    }
    return NULL;
}

/* The directory is the caller's to remove, with all that is in it. */
static void let_go(queue *q) {
    (void)sqlite3_finalize(q->insert);
    (void)sqlite3_finalize(q->drop);
    (void)sqlite3_close(q->db);
    if (q->spool != NULL)
        q->spool->engine->close(q->spool);
}

int main(int count, char **arguments) {
    queue q = {.directory = count > 1 ? arguments[1] : NULL};
    const loop *which = count == 6 ? find(arguments[2], &q.delivered) : NULL;
    if (which == NULL)
        die("usage: queues DIRECTORY LOOP CHUNK_FILE EVENTS LIMIT");
    read_chunk(arguments[3]);
    long events = strtol(arguments[4], NULL, 10);
    q.limit = strtod(arguments[5], NULL);
    if (which->table == NULL && q.limit > CHUNKS_MAX)
        die("too many chunks for a transaction");
    if (which->table != NULL)
        open_database(&q, which->table);
    else
        open_spool(&q);
    double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (; q.events < events; q.transactions++)
        which->commit(&q);
    wall = now(CLOCK_MONOTONIC) - wall;
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    let_go(&q);
    printf("%ld %.6f %.6f %ld\n", q.events, wall, cpu, q.transactions);
    return 0;
}
