/* spool_sqlite.h
 * The spool on SQLite: one database per spool in a shared directory.
 * Does not know who reports events or delivers them.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_SQLITE_H
#define QA_SPOOL_SQLITE_H

#include "spool.h"

extern const qa_spool_engine qa_spool_sqlite;

#endif
