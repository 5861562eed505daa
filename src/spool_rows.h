/* spool_rows.h
 * Chunks and dead letters in one database: written, read and counted.
 * Does not know who owns the file, nor how much room there is.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_ROWS_H
#define QA_SPOOL_ROWS_H

#include "spool_file.h"

/* What a file holds. */
typedef struct qa_spool_counts {
    uint64_t rows, events, bytes;
    uint64_t letters, letters_retry;
    int64_t oldest_ms; /* when the oldest row was accepted; 0: none. Only by qa_spool_rows_count */
} qa_spool_counts;

/* Counts by looking through the file. */
qa_status qa_spool_rows_count(qa_spool_file *file, qa_spool_counts *out, qa_error *error);

/* Counts the letters anew, and leaves the rest. */
qa_status qa_spool_rows_count_letters(qa_spool_file *file, qa_spool_counts *out, qa_error *error);

/* Takes the row of this id, if there is one, out of the counts; *found tells. */
qa_status qa_spool_rows_uncount(qa_spool_file *file, uint64_t id, qa_spool_counts *counts,
                                bool *found, qa_error *error);

/* All of the operations in one transaction, or none; keeps `counts` true. */
qa_status qa_spool_rows_commit(qa_spool_file *file, const qa_spool_op *ops, size_t count,
                               qa_spool_counts *counts, qa_error *error);

/* The same by hand: begin, apply, then end with how it went so far: commits, or rolls back. Only
 * when it returns QA_OK the counts are those of the file. */
qa_status qa_spool_rows_begin(qa_spool_file *file, qa_error *error);
qa_status qa_spool_rows_apply(qa_spool_file *file, const qa_spool_op *op, qa_spool_counts *counts,
                              qa_error *error);
qa_status qa_spool_rows_end(qa_spool_file *file, qa_status status, qa_error *error);

/* The walks of the contract. A row whose bytes are not those that were written is damage: it is
 * not shown, and the walk ends as a failure. */
qa_status qa_spool_rows_read(qa_spool_file *file, uint64_t after, size_t max_rows,
                             size_t max_bytes, qa_spool_visit_row *visit, void *context,
                             qa_error *error);
qa_status qa_spool_rows_letters(qa_spool_file *file, uint64_t after, size_t max, bool retry_only,
                                qa_spool_visit_letter *visit, void *context, qa_error *error);

/* Marks a letter to be sent again by the file's owner, or deletes it; *found tells whether it was
 * there. */
qa_status qa_spool_rows_mark(qa_spool_file *file, uint64_t id, bool *found, qa_error *error);
qa_status qa_spool_rows_drop(qa_spool_file *file, uint64_t id, bool *found, qa_error *error);

/* Shows in either direction the rows above `after` that are whole, until the file can't be read
 * any further; for a damaged file. How many rows were shown that are not whole: *skipped. */
qa_status qa_spool_rows_salvage(qa_spool_file *file, uint64_t after, bool down,
                                qa_spool_visit_row *visit, void *context, uint64_t *skipped,
                                qa_error *error);

/* Shows the attempts that were noted since a row was put, in `row`'s members id, attempts and
 * possibly_stored. */
qa_status qa_spool_rows_attempts(qa_spool_file *file, qa_spool_visit_row *visit, void *context,
                                 qa_error *error);

/* A checksum of a row's bytes: SQLite itself doesn't notice when some change on the disk. */
uint64_t qa_spool_rows_sum(const char *data, size_t length);

#endif
