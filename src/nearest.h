/* nearest.h
 * Finds the known name that somebody probably meant.
 * Does not know what the names stand for.
 * SPDX-License-Identifier: MIT */
#ifndef QA_NEAREST_H
#define QA_NEAREST_H

#include <stddef.h>

enum { QA_NEAREST_LENGTH_MAX = 48 }; /* longer words have no nearest name */

/* The candidate with the fewest edits (insert, delete, replace, swap of neighbours) from `word`,
 * with letter case, `_` and `-` not counted; NULL when more than a third of the word would have
 * to change. The result is one of `candidates`. */
const char *qa_nearest(const char *word, size_t length, const char *const *candidates,
                       size_t count);

#endif
