/* spool_receipts.h
 * Which rows of a database were acknowledged, noted before their deletion is committed.
 * Does not know SQLite, nor who acknowledges.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_RECEIPTS_H
#define QA_SPOOL_RECEIPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* A file beside the database, a table of ids in a fixed number of slots: writing one is one system
 * call that waits for no disk, and what it wrote outlives the process. Loss of power may take it;
 * then the row is sent again. An id whose row is gone says nothing, so nothing is ever erased. */
typedef struct qa_spool_receipts qa_spool_receipts;

enum { QA_SPOOL_RECEIPT_SLOTS = 4096 }; /* 32 KiB */

/* The receipts of the database at `path`, which is the caller's alone. Their file is made by the
 * first that is added. NULL with `error` filled: out of memory. */
qa_spool_receipts *qa_spool_receipts_open(const char *path, qa_error *error);

/* Removes the file where all are settled. NULL is legal. */
void qa_spool_receipts_close(qa_spool_receipts *receipts);

/* The row was acknowledged. False: not noted, because its slot waits for another row's deletion, or
 * because the file cannot be written. */
bool qa_spool_receipts_add(qa_spool_receipts *receipts, uint64_t id);

/* The row's deletion is committed: its slot may be used again. */
void qa_spool_receipts_settle(qa_spool_receipts *receipts, uint64_t id);

/* Copies what isn't settled to another table. */
void qa_spool_receipts_copy(const qa_spool_receipts *from, qa_spool_receipts *to);

bool qa_spool_receipts_none(const qa_spool_receipts *receipts);

/* The id in a slot, for slots from 0 up to QA_SPOOL_RECEIPT_SLOTS - 1; 0: none. */
uint64_t qa_spool_receipts_at(const qa_spool_receipts *receipts, uint32_t slot);

/* Reads the ids of the receipts at `path`, whoever owns them, into `out`, which has room for all
 * slots; how many they are. Those of rows that are gone are among them. */
uint32_t qa_spool_receipts_look(const char *path, uint64_t *out);

#endif
