/* fake_spool.h
 * A spool engine in memory: the test owns the disk, makes it fail, and looks at what lies there.
 * Does not know the keeper, nor what a row is kept for.
 * SPDX-License-Identifier: MIT */
#ifndef QA_FAKE_SPOOL_H
#define QA_FAKE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool.h"

typedef struct fake_row {
    qa_spool_row row; /* its data is the disk's, and zero-terminated */
    bool unreadable;  /* counted, but not shown; it goes when the file is closed */
} fake_row;

/* One spool file; what lies in it is in order. */
typedef struct fake_file {
    qa_spool base;
    struct fake_disk *disk;
    struct fake_file *next;
    fake_row *rows;
    size_t row_count;
    qa_spool_letter *letters; /* texts are the disk's, the event zero-terminated */
    size_t letter_count;
    uint64_t *receipts; /* ids whose rows are gone for whoever adopts the file */
    size_t receipt_count;
    bool opened; /* as one's own, not adopted */
    bool owned;  /* somebody has it open */
    bool gone;   /* it was empty when it was closed: no file is left */
    uint64_t commits, generation;
} fake_file;

/* What the last commit that succeeded was made of. */
typedef struct fake_commit {
    size_t puts, attempts, deletes, letter_puts, letter_deletes;
    uint64_t ids[1024]; /* of the rows that were put, in their order */
    const fake_file *file;
} fake_commit;

typedef struct fake_disk {
    char directory[64];     /* for a configuration: it names this disk */
    qa_spool_engine engine; /* without `receipt` where the test takes it away */
    fake_file *files;       /* the oldest first, those that are gone too */

    /* Calls to come that fail, with `failure`: QA_SPOOL or QA_SPOOL_FULL. */
    qa_status failure;
    unsigned fail_opens, fail_commits, fail_reads, fail_tends;
    bool full;             /* every commit that puts a row fails with QA_SPOOL_FULL */
    bool receipts_refused; /* too many deletions are due */

    /* Called in the middle of each commit, before anything of it is looked at. */
    void (*during)(void *context);
    void *context;

    uint64_t calls;          /* of all functions that may wait for the disk, but tend */
    uint64_t tries, commits; /* commits that were asked for, and done */
    uint64_t clears;
    fake_commit last;
    uint64_t next_letter;
    bool damaged; /* events were lost, or can't be read: it holds less than is believed */
} fake_disk;

void fake_disk_init(fake_disk *disk);
void fake_disk_free(fake_disk *disk);

/* Files that have no owner, as a process leaves them that was killed. */
fake_file *fake_disk_leave(fake_disk *disk);
void fake_disk_kill_owners(fake_disk *disk);

/* A row of the events {"n":first}, {"n":first+1}, …, accepted at `wall_ms`, with `left_ms` to its
 * deadline; the caller may change it further. */
fake_row *fake_file_add(fake_file *file, uint64_t id, uint64_t first, uint32_t events,
                        int64_t wall_ms, int64_t left_ms);
qa_spool_letter *fake_file_add_letter(fake_file *file, const char *event, bool retry);

/* A new file in the place of a damaged one, which took these rows along; SIZE_MAX: all of them. */
void fake_file_renew(fake_file *file, size_t lost);

/* The file that is open and was not adopted; NULL: none. */
fake_file *fake_disk_own(const fake_disk *disk);

/* Events in the rows of a file, or of all files; NULL: there is no such row. */
uint64_t fake_file_events(const fake_file *file);
uint64_t fake_disk_events(const fake_disk *disk);
const fake_row *fake_file_row(const fake_file *file, uint64_t id);
bool fake_file_has_receipt(const fake_file *file, uint64_t id);

#endif
