/* dead.c
 * The dead letters that a client keeps in memory: refused events, each with the reason.
 * Does not know why the service refuses an event, nor how one is sent again.
 * SPDX-License-Identifier: MIT */
#include "dead.h"

#include <stdlib.h>
#include <string.h>

/* One allocation per letter: the texts lie behind the struct, whose pointers point at them. */
typedef struct entry {
    struct entry *next;
    size_t size; /* of the allocation */
    qa_dead_letter letter;
    char texts[];
} entry;

struct qa_dead {
    entry *oldest, *newest;
    size_t max_count, max_bytes;
    size_t count, bytes;
    uint64_t evicted;
};

qa_dead *qa_dead_new(size_t max_count, size_t max_bytes, qa_error *error) {
    qa_dead *dead = calloc(1, sizeof *dead);
    if (dead == NULL) {
        qa_error_no_memory(error, "dead letters");
        return NULL;
    }
    dead->max_count = max_count;
    dead->max_bytes = max_bytes;
    return dead;
}

static void let_oldest_go(qa_dead *dead) {
    entry *at = dead->oldest;
    dead->oldest = at->next;
    if (dead->oldest == NULL)
        dead->newest = NULL;
    dead->count--;
    dead->bytes -= at->size;
    free(at);
}

void qa_dead_free(qa_dead *dead) {
    if (dead == NULL)
        return;
    while (dead->oldest != NULL)
        let_oldest_go(dead);
    free(dead);
}

/* Copies `length` bytes and an end mark to `*at`, which moves behind them. */
static const char *keep(char **at, const char *bytes, size_t length) {
    char *copy = *at;
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    *at += length + 1;
    return copy;
}

static entry *copy_of(const qa_dead_letter *letter, size_t max_bytes) {
    size_t code = strlen(letter->service_code);
    size_t message = strlen(letter->message);
    size_t trace = strlen(letter->trace_id);
    size_t overhead = sizeof(entry) + code + message + trace + 4; /* four end marks */
    if (overhead > max_bytes || letter->length > max_bytes - overhead)
        return NULL;
    entry *copy = malloc(overhead + letter->length);
    if (copy == NULL)
        return NULL;
    char *at = copy->texts;
    copy->next = NULL;
    copy->size = overhead + letter->length;
    copy->letter = *letter;
    copy->letter.event = keep(&at, letter->event, letter->length);
    copy->letter.service_code = keep(&at, letter->service_code, code);
    copy->letter.message = keep(&at, letter->message, message);
    copy->letter.trace_id = keep(&at, letter->trace_id, trace);
    return copy;
}

void qa_dead_add(qa_dead *dead, const qa_dead_letter *letter) {
    entry *copy = dead->max_count > 0 ? copy_of(letter, dead->max_bytes) : NULL;
    if (copy == NULL) {
        dead->evicted++;
        return;
    }
    while (dead->count == dead->max_count || dead->bytes > dead->max_bytes - copy->size) {
        let_oldest_go(dead);
        dead->evicted++;
    }
    if (dead->newest != NULL)
        dead->newest->next = copy;
    else
        dead->oldest = copy;
    dead->newest = copy;
    dead->count++;
    dead->bytes += copy->size;
}

bool qa_dead_has(const qa_dead *dead, const qa_dead_letter *letter) {
    for (const entry *at = dead->oldest; at != NULL; at = at->next) {
        if (at->letter.wall_ms == letter->wall_ms && at->letter.length == letter->length &&
            memcmp(at->letter.event, letter->event, letter->length) == 0)
            return true;
    }
    return false;
}

size_t qa_dead_each(const qa_dead *dead, size_t max, qa_dead_visit *visit, void *context) {
    size_t visited = 0;
    for (const entry *at = dead->oldest; at != NULL && visited < max; at = at->next) {
        visited++;
        if (!visit(context, &at->letter))
            break;
    }
    return visited;
}

size_t qa_dead_count(const qa_dead *dead) {
    return dead->count;
}

size_t qa_dead_bytes(const qa_dead *dead) {
    return dead->bytes;
}

uint64_t qa_dead_evicted(const qa_dead *dead) {
    return dead->evicted;
}
