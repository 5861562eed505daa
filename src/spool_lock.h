/* spool_lock.h
 * Ownership of a spool's file: a lock that dies with its owner, however that ends.
 * Does not know what is owned.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_LOCK_H
#define QA_SPOOL_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "status.h"

/* An open-file-description lock on a file of its own: SQLite's own locks are the process's, and
 * closing any descriptor of a database would drop them. Unlike those, this one excludes a second
 * spool of the same process too. A forked child would keep it alive, so a fork handler closes the
 * descriptor in the child; O_CLOEXEC does for exec. Network file systems are not supported. */
typedef struct qa_spool_lock qa_spool_lock;

/* Takes the lock `name` in the directory, making its file. *out is NULL with QA_OK when somebody
 * else has it, or when this process inherited it by fork (see qa_spool_lock_inherited). */
qa_status qa_spool_lock_take(const char *directory, const char *name, qa_spool_lock **out,
                             qa_error *error);

/* Removes the lock's file and lets go of the lock. NULL is legal. */
void qa_spool_lock_drop(qa_spool_lock *lock);

/* Whether the file was deleted or replaced, so that somebody else could take the lock too. */
bool qa_spool_lock_lost(const qa_spool_lock *lock);

/* Who has the lock: a pid; -1: somebody unknown; 0: nobody. Takes nothing. */
pid_t qa_spool_lock_owner(const char *directory, const char *name);

/* Whether a parent of this process had it at the fork. SQLite's memory of such a file came along
 * and is wrong in the child, which must not open it, even when the parent is gone. */
bool qa_spool_lock_inherited(const char *name);

/* Around everything that calls SQLite: a fork waits (for at most 0.2 s) until no thread is between
 * the two, so that the child doesn't inherit a lock inside SQLite that nobody will release. */
void qa_spool_lock_enter(void);
void qa_spool_lock_leave(void);

#endif
