/* spool_salvage.c
 * Carries what can be read of one database over into another, as one transaction.
 * Does not know why the first one is given up, nor what becomes of it.
 * SPDX-License-Identifier: MIT */
#include "spool_salvage.h"

/* A copy under way. */
typedef struct carrying {
    qa_spool_file *to;
    qa_spool_counts *counts;
    qa_error *error;
    qa_status status; /* of writing */
    uint64_t last;    /* id of the row copied last */
} carrying;

static bool carry(carrying *copy, const qa_spool_op *op) {
    copy->status = qa_spool_rows_apply(copy->to, op, copy->counts, copy->error);
    return copy->status == QA_OK;
}

static bool carry_row(void *context, const qa_spool_row *row) {
    carrying *copy = context;
    qa_spool_op op = {.verb = QA_SPOOL_PUT, .row = *row};
    copy->last = row->id;
    return carry(copy, &op);
}

static bool carry_attempt(void *context, const qa_spool_row *row) {
    qa_spool_op op = {.verb = QA_SPOOL_ATTEMPT, .row = *row};
    return carry(context, &op);
}

static bool carry_letter(void *context, const qa_spool_letter *letter) {
    qa_spool_op op = {.verb = QA_SPOOL_LETTER_PUT, .letter = *letter};
    return carry(context, &op);
}

/* Upwards; at a place that can't be read it leaps, twice as far each time, until it finds rows
 * again or nothing is left. Returns where the first gap began; UINT64_MAX: there was none. */
static uint64_t carry_upwards(qa_spool_file *from, carrying *copy) {
    uint64_t gap = UINT64_MAX, after = 0, leap = 1, skipped = 0;
    for (;;) {
        copy->last = after;
        qa_status read =
            qa_spool_rows_salvage(from, after, false, carry_row, copy, &skipped, NULL);
        if (copy->status != QA_OK || read == QA_OK)
            return gap;
        if (gap == UINT64_MAX)
            gap = copy->last;
        leap = copy->last > after ? 1 : leap * 2;
        if (leap > INT64_MAX - copy->last)
            return gap;
        after = copy->last + leap;
    }
}

static void carry_all(qa_spool_file *from, carrying *copy) {
    uint64_t skipped = 0;
    uint64_t gap = carry_upwards(from, copy);
    /* What was leapt over, from its other end; rows that are there become the same again. */
    if (copy->status == QA_OK && gap != UINT64_MAX)
        (void)qa_spool_rows_salvage(from, gap, true, carry_row, copy, &skipped, NULL);
    if (copy->status == QA_OK)
        (void)qa_spool_rows_attempts(from, carry_attempt, copy, NULL);
    if (copy->status == QA_OK)
        (void)qa_spool_rows_letters(from, 0, SIZE_MAX, false, carry_letter, copy, NULL);
}

qa_status qa_spool_salvage(qa_spool_file *from, qa_spool_file *to, qa_spool_counts *counts,
                           qa_error *error) {
    qa_spool_counts next = {0};
    carrying copy = {.to = to, .counts = &next, .error = error};
    qa_status status = qa_spool_rows_begin(to, error);
    if (status != QA_OK)
        return status;
    carry_all(from, &copy);
    status = qa_spool_rows_end(to, copy.status, error);
    if (status == QA_OK)
        *counts = next;
    return status;
}
