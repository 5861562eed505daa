/* fault_vfs.c
 * SQLite's access to files with faults on demand: the n-th write or sync fails, or kills.
 * Does not know what is written.
 * SPDX-License-Identifier: MIT */
#include "support/fault_vfs.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "retry.h"

/* The real file's struct follows. */
typedef struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
} fault_file;

static sqlite3_vfs *real_vfs;
static atomic_int kind, remaining, calls, last_errno;
static atomic_uint per_mille, shaken;
static atomic_uint_fast64_t random_state;
static atomic_bool reads_broken;

void fault_vfs_set(fault_kind what, int after) {
    kind = FAULT_NONE;
    remaining = after;
    calls = 0;
    last_errno = 0;
    kind = (int)what;
}

int fault_vfs_calls(void) {
    return calls;
}

void fault_vfs_break_reads(bool broken) {
    reads_broken = broken;
}

void fault_vfs_shake(unsigned of_a_thousand, uint64_t seed) {
    random_state = seed;
    per_mille = of_a_thousand;
}

static uint64_t any(void) {
    uint64_t state = atomic_fetch_add(&random_state, 1) * UINT64_C(0x9e3779b97f4a7c15);
    return qa_random_next(&state);
}

/* What happens to this call. */
static fault_kind due(void) {
    calls++;
    if (kind != FAULT_NONE && --remaining <= 0)
        return (fault_kind)kind;
    uint64_t bits = per_mille > 0 ? any() : UINT64_MAX;
    if (bits % 1000 >= per_mille)
        return FAULT_NONE;
    shaken++;
    return (bits >> 32) % 2 == 0 ? FAULT_FULL : FAULT_IO;
}

unsigned fault_vfs_shaken(void) {
    return shaken;
}

static int failure(fault_kind what, int io_error) {
    last_errno = what == FAULT_FULL ? ENOSPC : what == FAULT_READ_ONLY ? EROFS : EIO;
    errno = last_errno;
    return what == FAULT_FULL ? SQLITE_FULL : io_error;
}

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((fault_file *)file)->real;
}

static int close_file(sqlite3_file *file) {
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int read_file(sqlite3_file *file, void *out, int size, sqlite3_int64 at) {
    if (reads_broken) {
        last_errno = EIO;
        return SQLITE_IOERR_READ;
    }
    return real_of(file)->pMethods->xRead(real_of(file), out, size, at);
}

/* What fails now and then, or kills, has done half of its work. */
static int write_file(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    fault_kind now = due();
    if (now == FAULT_KILL || (now != FAULT_NONE && kind == FAULT_NONE))
        (void)real_of(file)->pMethods->xWrite(real_of(file), bytes, size / 2, at);
    if (now == FAULT_KILL)
        (void)kill(getpid(), SIGKILL);
    return now != FAULT_NONE ? failure(now, SQLITE_IOERR_WRITE)
                             : real_of(file)->pMethods->xWrite(real_of(file), bytes, size, at);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size) {
    fault_kind now = due();
    if (now == FAULT_KILL)
        (void)kill(getpid(), SIGKILL);
    return now != FAULT_NONE && kind == FAULT_NONE
               ? failure(now, SQLITE_IOERR_TRUNCATE)
               : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int sync_file(sqlite3_file *file, int flags) {
    fault_kind now = due();
    if (now == FAULT_KILL)
        (void)kill(getpid(), SIGKILL);
    return now != FAULT_NONE ? failure(now, SQLITE_IOERR_FSYNC)
                             : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *out) {
    return real_of(file)->pMethods->xFileSize(real_of(file), out);
}

static int lock_file(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock_file(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int check_lock(sqlite3_file *file, int *out) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int control(sqlite3_file *file, int operation, void *argument) {
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out) {
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void shm_barrier(sqlite3_file *file) {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shm_unmap(sqlite3_file *file, int delete) {
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    (void)vfs;
    fault_file *self = (fault_file *)file;
    self->base.pMethods = NULL;
    self->real = (sqlite3_file *)(self + 1);
    if (kind == FAULT_READ_ONLY && (flags & SQLITE_OPEN_READWRITE) != 0) {
        last_errno = EROFS;
        return SQLITE_CANTOPEN;
    }
    int code = real_vfs->xOpen(real_vfs, name, self->real, flags, out);
    if (code == SQLITE_OK)
        self->base.pMethods = &methods;
    return code;
}

static int last_error(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    if (last_errno != 0)
        return last_errno;
    return real_vfs->xGetLastError(real_vfs, size, out);
}

void fault_vfs_install(void) {
    static sqlite3_vfs shim;
    if (real_vfs != NULL)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    shim = *real_vfs;
    shim.zName = "fault";
    shim.pNext = NULL;
    shim.szOsFile = (int)sizeof(fault_file) + real_vfs->szOsFile;
    shim.xOpen = open_file;
    shim.xGetLastError = last_error;
    (void)sqlite3_vfs_register(&shim, 1);
}
