/* process_look.c
 * What a process holds: its threads and descriptors, counted from /proc; and children, waited for.
 * Does not know who they belong to.
 * SPDX-License-Identifier: MIT */
#include "support/process_look.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t count_entries(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL)
        abort();
    size_t entries = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        entries += entry->d_name[0] != '.';
    closedir(directory);
    return entries;
}

size_t process_threads(void) {
    return count_entries("/proc/self/task");
}

bool process_await_threads(size_t count) {
    for (int i = 0; i < 20000 && process_threads() != count; i++)
        usleep(1000);
    return process_threads() == count;
}

size_t process_descriptors(void) {
    return count_entries("/proc/self/fd") - 1; /* the one that looks */
}

size_t process_rss_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;
    if (file == NULL || fscanf(file, "%lu %lu", &size, &resident) != 2)
        abort();
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static bool read_field(const char *task, const char *thread, const char *field,
                       unsigned long long *out) {
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    bool named = false, found = false;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "Name:\t", 6) == 0)
            named = strcmp(line + 6, thread) == 0;
        if (named && strncmp(line, field, strlen(field)) == 0) {
            *out = strtoull(line + strlen(field) + 2, NULL, 16);
            found = true;
        }
    }
    fclose(file);
    return found;
}

unsigned long long process_thread_mask(const char *thread, const char *field) {
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL)
        abort();
    unsigned long long mask = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && read_field(entry->d_name, thread, field, &mask))
            break;
    }
    closedir(directory);
    return mask;
}

int process_thread_nice(const char *thread) {
    unsigned long long id = 0;
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL)
        abort();
    int nice = INT_MAX;
    const struct dirent *entry;
    while (nice == INT_MAX && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && read_field(entry->d_name, thread, "Pid", &id))
            nice = getpriority(PRIO_PROCESS, (id_t)strtoul(entry->d_name, NULL, 10));
    }
    closedir(directory);
    return nice;
}

int process_wait(pid_t child) {
    int status = 0;
    for (int i = 0; i < 20000; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        usleep(1000);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return status;
}
