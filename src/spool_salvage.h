/* spool_salvage.h
 * Carries what can be read of one database over into another, as one transaction.
 * Does not know why the first one is given up, nor what becomes of it.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_SALVAGE_H
#define QA_SPOOL_SALVAGE_H

#include "spool_rows.h"

/* Copies all whole rows and letters, under their ids, from a file that may be damaged, or deleted
 * while it is open. Fails only when `to` can't be written: then `to` is as it was. `counts` become
 * those of `to`, which must be empty. */
qa_status qa_spool_salvage(qa_spool_file *from, qa_spool_file *to, qa_spool_counts *counts,
                           qa_error *error);

#endif
