/* spool_directory.c
 * The directory of a spool: made, checked, its files named and looked through.
 * Does not know what is inside a file, nor who owns it.
 * SPDX-License-Identifier: MIT */
#include "spool_directory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "qa-"

enum { PREFIX_SIZE = sizeof PREFIX - 1, PRIVATE_MODE = 0700 };

const char *qa_spool_words(int code, char *buffer, size_t size) {
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        return "disk full";
    case EROFS:
        return "read-only file system";
    case EIO:
        return "i/o error";
    default:
        break;
    }
    char *words = strerror_r(code, buffer, size);
    if (words != buffer)
        (void)snprintf(buffer, size, "%s", words);
    buffer[0] = (char)tolower((unsigned char)buffer[0]);
    return buffer;
}

/* Sets the error of a system call on a path. */
static qa_status fail(qa_error *error, const char *verb, const char *path, int code) {
    char words[128];
    bool full = code == ENOSPC || code == EDQUOT;
    return qa_error_set(error, full ? QA_SPOOL_FULL : QA_SPOOL, "spool: cannot %s '%s': %s", verb,
                        path, qa_spool_words(code, words, sizeof words));
}

bool qa_spool_directory_ends(const char *name, const char *ending) {
    size_t length = strlen(name), tail = strlen(ending);
    return length > tail && memcmp(name + length - tail, ending, tail) == 0;
}

static bool is_ours(const char *name) {
    return strncmp(name, PREFIX, PREFIX_SIZE) == 0 && strlen(name) < QA_SPOOL_NAME_MAX;
}

/* Whether nothing but a spool's files is in there. */
static bool holds_only_ours(const char *path) {
    DIR *open = opendir(path);
    if (open == NULL)
        return false;
    bool only = true;
    for (struct dirent *entry; only && (entry = readdir(open)) != NULL;) {
        const char *name = entry->d_name;
        only = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_ours(name);
    }
    (void)closedir(open);
    return only;
}

static qa_status check_directory(const char *path, qa_error *error) {
    struct stat found;
    if (stat(path, &found) != 0)
        return fail(error, "open", path, errno);
    if (!S_ISDIR(found.st_mode))
        return fail(error, "open", path, ENOTDIR);
    if (found.st_uid != geteuid())
        return qa_error_set(error, QA_SPOOL, "spool: '%s' belongs to another user (uid %u)", path,
                            (unsigned)found.st_uid);
    if ((found.st_mode & 077) == 0)
        return QA_OK;
    /* A directory that is somebody's for other ends is never changed. */
    if (holds_only_ours(path))
        return chmod(path, PRIVATE_MODE) == 0 ? QA_OK : fail(error, "chmod", path, errno);
    if ((found.st_mode & 022) != 0)
        return qa_error_set(error, QA_SPOOL,
                            "spool: other users may write to '%s' (mode %o); name a directory of "
                            "its own",
                            path, (unsigned)(found.st_mode & 07777));
    return QA_OK;
}

qa_status qa_spool_directory_open(const char *path, char **real, qa_error *error) {
    *real = NULL;
    if (mkdir(path, PRIVATE_MODE) != 0 && errno != EEXIST)
        return fail(error, "make", path, errno);
    qa_status status = check_directory(path, error);
    if (status != QA_OK)
        return status;
    /* Absolute, because a daemon may change its working directory later. */
    *real = realpath(path, NULL);
    return *real != NULL ? QA_OK : fail(error, "open", path, errno);
}

static uint64_t mix(uint64_t hash, const char *text) {
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xffu) * 0x100000001b3u; /* so that "a" "bc" differs from "ab" "c" */
}

/* FNV-1a. Only to skip others' files without opening them: the target itself stands in each. */
static uint64_t target_hash(const qa_spool_target *target) {
    uint64_t hash = 0xcbf29ce484222325u;
    hash = mix(hash, target->endpoint);
    hash = mix(hash, target->path);
    hash = mix(hash, target->organization_id);
    return mix(hash, target->access_id);
}

qa_status qa_spool_directory_name(const qa_spool_target *target, int64_t wall_ms,
                                  char out[QA_SPOOL_NAME_MAX], qa_error *error) {
    uint32_t chance;
    if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
        return qa_error_set(error, QA_SPOOL, "spool: no random number for a file's name");
    int length = snprintf(out, QA_SPOOL_NAME_MAX, PREFIX "%016" PRIx64 "-%012" PRIx64 "-%ld-%08x",
                          target_hash(target), (uint64_t)wall_ms & 0xffffffffffffu,
                          (long)getpid(), (unsigned)chance);
    if (length < 0 || length >= QA_SPOOL_NAME_MAX)
        return qa_error_set(error, QA_SPOOL, "spool: a file's name is too long");
    return QA_OK;
}

bool qa_spool_directory_matches(const char *name, const qa_spool_target *target) {
    char expected[PREFIX_SIZE + 18];
    (void)snprintf(expected, sizeof expected, PREFIX "%016" PRIx64 "-", target_hash(target));
    return strncmp(name, expected, strlen(expected)) == 0;
}

pid_t qa_spool_directory_pid(const char *name) {
    for (int dashes = 0; dashes < 3; dashes++) {
        name = strchr(name, '-');
        if (name == NULL)
            return 0;
        name++;
    }
    return (pid_t)strtol(name, NULL, 10);
}

char *qa_spool_directory_path(const char *directory, const char *name, const char *ending) {
    char *path;
    return asprintf(&path, "%s/%s%s", directory, name, ending) >= 0 ? path : NULL;
}

qa_status qa_spool_directory_each(const char *directory, qa_spool_directory_visit *visit,
                                  void *context, qa_error *error) {
    DIR *open = opendir(directory);
    if (open == NULL)
        return fail(error, "open", directory, errno);
    bool more = true;
    for (struct dirent *entry; more && (entry = readdir(open)) != NULL;) {
        struct stat found;
        if (!is_ours(entry->d_name))
            continue;
        /* Files come and go while others work: one that has gone is none. */
        if (fstatat(dirfd(open), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(found.st_mode))
            continue;
        more = visit(context, entry->d_name, (uint64_t)found.st_size);
    }
    (void)closedir(open);
    return QA_OK;
}

typedef struct listing {
    const char *ending;
    qa_spool_names *names;
    bool no_memory;
} listing;

static bool list_one(void *context, const char *name, uint64_t bytes) {
    listing *list = context;
    qa_spool_names *names = list->names;
    (void)bytes;
    if (!qa_spool_directory_ends(name, list->ending))
        return true;
    void *grown = realloc(names->list, (names->count + 1) * sizeof *names->list);
    if (grown == NULL) {
        list->no_memory = true;
        return false;
    }
    names->list = grown;
    char *slot = names->list[names->count++];
    size_t length = strlen(name) - strlen(list->ending);
    memcpy(slot, name, length);
    slot[length] = '\0';
    return true;
}

static int by_name(const void *left, const void *right) {
    return strcmp(left, right);
}

qa_status qa_spool_directory_list(const char *directory, const char *ending, qa_spool_names *out,
                                  qa_error *error) {
    *out = (qa_spool_names){0};
    listing list = {ending, out, false};
    qa_status status = qa_spool_directory_each(directory, list_one, &list, error);
    if (status == QA_OK && list.no_memory)
        status = qa_error_no_memory(error, "spool");
    if (status != QA_OK)
        qa_spool_names_free(out);
    else if (out->count > 1)
        qsort(out->list, out->count, sizeof *out->list, by_name);
    return status;
}

void qa_spool_names_free(qa_spool_names *names) {
    free(names->list);
    *names = (qa_spool_names){0};
}

typedef struct summing {
    const char *except;
    size_t except_length;
    qa_spool_usage *usage;
} summing;

static bool sum_one(void *context, const char *name, uint64_t bytes) {
    summing *sum = context;
    qa_spool_usage *usage = sum->usage;
    usage->bytes += bytes;
    if (sum->except == NULL || strncmp(name, sum->except, sum->except_length) != 0 ||
        name[sum->except_length] != '.')
        usage->others += bytes;
    if (qa_spool_directory_ends(name, QA_SPOOL_DB)) {
        usage->files++;
    } else if (qa_spool_directory_ends(name, QA_SPOOL_CORRUPT)) {
        usage->corrupt_files++;
        (void)snprintf(usage->corrupt_name, sizeof usage->corrupt_name, "%s", name);
    }
    return true;
}

qa_status qa_spool_directory_usage(const char *directory, const char *except, qa_spool_usage *out,
                                   qa_error *error) {
    *out = (qa_spool_usage){0};
    summing sum = {except, except != NULL ? strlen(except) : 0, out};
    return qa_spool_directory_each(directory, sum_one, &sum, error);
}

void qa_spool_directory_sync(const char *directory) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* where a file system can't, its entries are as durable as it makes them */
    (void)close(fd);
}
