/* spool_lock.c
 * Ownership of a spool's file: a lock that dies with its owner, however that ends.
 * Does not know what is owned.
 * SPDX-License-Identifier: MIT */
#include "spool_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "spool_directory.h"

struct qa_spool_lock {
    qa_spool_lock *next;
    int fd;
    bool inherited; /* from before a fork: stays listed for good */
    char *path;
    char name[QA_SPOOL_NAME_MAX];
};

enum { TRIES = 4, FORK_WAIT_NS = 200000000 };

/* Guards all below, and is held across a fork, so that the child finds it whole. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rested = PTHREAD_COND_INITIALIZER; /* nobody works any more */
static unsigned working;                                 /* threads inside SQLite */
static qa_spool_lock *held;                              /* all locks of this process */

/* ---- fork ------------------------------------------------------------------------------------ */

static void before_fork(void) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += FORK_WAIT_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_mutex_lock(&guard);
    while (working > 0 && pthread_cond_timedwait(&rested, &guard, &until) == 0)
        continue;
}

static void after_fork_in_parent(void) {
    (void)pthread_mutex_unlock(&guard);
}

static void after_fork_in_child(void) {
    for (qa_spool_lock *lock = held; lock != NULL; lock = lock->next) {
        if (lock->fd >= 0)
            (void)close(lock->fd);
        lock->fd = -1;
        lock->inherited = true;
    }
    working = 0; /* they don't exist here */
    (void)pthread_mutex_unlock(&guard);
}

static void install_handlers(void) {
    /* Without memory for it a child could keep a lock alive: bad, but no reason not to work. */
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void prepare(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install_handlers);
}

void qa_spool_lock_enter(void) {
    prepare();
    (void)pthread_mutex_lock(&guard);
    working++;
    (void)pthread_mutex_unlock(&guard);
}

void qa_spool_lock_leave(void) {
    (void)pthread_mutex_lock(&guard);
    if (--working == 0)
        (void)pthread_cond_broadcast(&rested);
    (void)pthread_mutex_unlock(&guard);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Takes it out and hands over its descriptor: a fork must not find one that is closed already. */
static void list_remove(qa_spool_lock *lock) {
    (void)pthread_mutex_lock(&guard);
    for (qa_spool_lock **at = &held; *at != NULL; at = &(*at)->next) {
        if (*at == lock) {
            *at = lock->next;
            break;
        }
    }
    if (lock->fd >= 0)
        (void)close(lock->fd);
    (void)pthread_mutex_unlock(&guard);
}

bool qa_spool_lock_inherited(const char *name) {
    bool found = false;
    (void)pthread_mutex_lock(&guard);
    for (qa_spool_lock *lock = held; lock != NULL && !found; lock = lock->next)
        found = lock->inherited && strcmp(lock->name, name) == 0;
    (void)pthread_mutex_unlock(&guard);
    return found;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static bool is_same_file(int fd, const char *path) {
    struct stat open, named;
    return fstat(fd, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

static bool set_lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

/* For those who look: who it is. Without room on the disk it stays unknown. */
static void write_owner(int fd) {
    char text[24];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (length > 0 && ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)length, 0);
}

static qa_status fail(qa_error *error, const char *path, int code) {
    char words[128];
    return qa_error_set(error, code == ENOSPC || code == EDQUOT ? QA_SPOOL_FULL : QA_SPOOL,
                        "spool: cannot lock '%s': %s", path,
                        qa_spool_words(code, words, sizeof words));
}

/* A descriptor that holds the lock, -1 when somebody else has it, -2 with errno set. Whoever is
 * done with a lock removes its file, so what was opened may be gone before it was locked. */
static int lock_path(const char *path) {
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -2;
        bool locked = set_lock(fd);
        int code = errno;
        if (locked && is_same_file(fd, path))
            return fd;
        (void)close(fd);
        if (!locked && code != EAGAIN && code != EACCES) {
            errno = code;
            return -2;
        }
        if (!locked)
            return -1;
    }
    return -1;
}

/* Opens and lists it in one go: a fork in between would leave the child with a descriptor that it
 * doesn't know. Returns errno. */
static int take(qa_spool_lock *lock) {
    (void)pthread_mutex_lock(&guard);
    lock->fd = lock_path(lock->path);
    int code = errno;
    if (lock->fd >= 0) {
        lock->next = held;
        held = lock;
    }
    (void)pthread_mutex_unlock(&guard);
    return code;
}

qa_status qa_spool_lock_take(const char *directory, const char *name, qa_spool_lock **out,
                             qa_error *error) {
    *out = NULL;
    prepare();
    if (qa_spool_lock_inherited(name))
        return QA_OK;
    qa_spool_lock *lock = calloc(1, sizeof *lock);
    char *path = qa_spool_directory_path(directory, name, QA_SPOOL_LOCK);
    if (lock == NULL || path == NULL) {
        free(lock);
        free(path);
        return qa_error_no_memory(error, "spool");
    }
    lock->path = path;
    (void)snprintf(lock->name, sizeof lock->name, "%s", name);
    int code = take(lock);
    if (lock->fd >= 0) {
        write_owner(lock->fd);
        *out = lock;
        return QA_OK;
    }
    qa_status status = lock->fd == -1 ? QA_OK : fail(error, path, code);
    free(lock);
    free(path);
    return status;
}

void qa_spool_lock_drop(qa_spool_lock *lock) {
    if (lock == NULL)
        return;
    /* Removed while still held: who opened it before finds out that it has lost its name. */
    if (is_same_file(lock->fd, lock->path))
        (void)unlink(lock->path);
    list_remove(lock);
    free(lock->path);
    free(lock);
}

bool qa_spool_lock_lost(const qa_spool_lock *lock) {
    return !is_same_file(lock->fd, lock->path);
}

static pid_t read_owner(int fd) {
    char text[24] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    long pid = length > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 0 ? (pid_t)pid : -1;
}

pid_t qa_spool_lock_owner(const char *directory, const char *name) {
    pid_t owner = 0;
    char *path = qa_spool_directory_path(directory, name, QA_SPOOL_LOCK);
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd >= 0) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK)
            owner = read_owner(fd);
        (void)close(fd);
    }
    free(path);
    return owner;
}
