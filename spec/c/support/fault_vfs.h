/* fault_vfs.h
 * SQLite's access to files with faults on demand: the n-th write or sync fails, or kills.
 * Does not know what is written.
 * SPDX-License-Identifier: MIT */
#ifndef QA_FAULT_VFS_H
#define QA_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_FULL,      /* ENOSPC */
    FAULT_IO,        /* EIO */
    FAULT_READ_ONLY, /* EROFS, when a file is opened as well */
    FAULT_KILL       /* SIGKILL to this process, after half of a write was done */
} fault_kind;

/* Becomes SQLite's default for the whole process; for files opened from then on. */
void fault_vfs_install(void);

/* From the `after`-th write, sync or truncation on (1: the next one) each of them fails, until
 * FAULT_NONE is set. */
void fault_vfs_set(fault_kind kind, int after);

/* Calls of them since fault_vfs_set. */
int fault_vfs_calls(void);

/* So many in a thousand of them fail from now on, with ENOSPC or EIO, after half of a write. */
void fault_vfs_shake(unsigned per_mille, uint64_t seed);
unsigned fault_vfs_shaken(void); /* that failed so far */

/* Reads fail with EIO instead. */
void fault_vfs_break_reads(bool broken);

#endif
