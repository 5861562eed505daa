/* nearest.c
 * Finds the known name that somebody probably meant.
 * Does not know what the names stand for.
 * SPDX-License-Identifier: MIT */
#include "nearest.h"

#include <stdint.h>

typedef struct folded {
    char text[QA_NEAREST_LENGTH_MAX];
    size_t length;
} folded;

/* Lower case without separators, so that customerId and customer_id are the same word. */
static folded fold(const char *word, size_t length) {
    folded out = {.length = 0};
    for (size_t i = 0; i < length; i++) {
        char letter = word[i];
        if (letter == '_' || letter == '-')
            continue;
        if (letter >= 'A' && letter <= 'Z')
            letter = (char)(letter - 'A' + 'a');
        out.text[out.length++] = letter;
    }
    return out;
}

static size_t min(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Optimal string alignment: three rows of the edit matrix are all that a swap looks back on. */
static size_t distance(const folded *a, const folded *b) {
    size_t rows[3][QA_NEAREST_LENGTH_MAX + 1];
    for (size_t j = 0; j <= b->length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a->length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b->length; j++) {
            size_t differs = a->text[i - 1] != b->text[j - 1];
            row[j] = min(min(above[j] + 1, row[j - 1] + 1), above[j - 1] + differs);
            if (i > 1 && j > 1 && a->text[i - 1] == b->text[j - 2] &&
                a->text[i - 2] == b->text[j - 1])
                row[j] = min(row[j], before[j - 2] + 1);
        }
    }
    return rows[a->length % 3][b->length];
}

const char *qa_nearest(const char *word, size_t length, const char *const *candidates,
                       size_t count) {
    if (length == 0 || length > QA_NEAREST_LENGTH_MAX)
        return NULL;
    folded wanted = fold(word, length);
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        while (candidates[i][size] != '\0' && size < QA_NEAREST_LENGTH_MAX)
            size++;
        folded candidate = fold(candidates[i], size);
        size_t edits = distance(&wanted, &candidate);
        if (edits < best_distance) {
            best_distance = edits;
            best = candidates[i];
        }
    }
    size_t tolerated = wanted.length < 3 ? 1 : (wanted.length + 2) / 3;
    return best_distance <= tolerated ? best : NULL;
}
