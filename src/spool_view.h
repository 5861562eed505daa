/* spool_view.h
 * A spool's directory for those who look: what lies there, whose it is, and its dead letters.
 * Does not own, deliver or remove anything; all works while the owners run.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SPOOL_VIEW_H
#define QA_SPOOL_VIEW_H

#include <sys/types.h>

#include "spool_rows.h"

/* One file as of now. Texts are "" where they can't be read. */
typedef struct qa_spool_view {
    const char *name; /* with its ending: "….db", "….db.corrupt" */
    pid_t owner;      /* who has it; -1: somebody unknown; 0: nobody */
    pid_t maker;      /* who made it */
    bool corrupt;     /* was set aside */
    uint64_t bytes;   /* on the disk, its log included */
    qa_spool_counts counts;
    const char *endpoint, *path, *organization_id, *access_id;
    qa_error error; /* status QA_OK, or why it can't be read */
} qa_spool_view;

/* Shows all files, oldest first; what can't be read is shown with its error. Never makes the
 * directory. The pointers hold during the call only. */
typedef bool qa_spool_visit_view(void *context, const qa_spool_view *view);
qa_status qa_spool_view_each(const char *directory, qa_spool_visit_view *visit, void *context,
                             qa_error *error);

/* As the functions of the contract, for the file of this name; QA_CONFIG: no such file. */
qa_status qa_spool_view_rows(const char *directory, const char *name, uint64_t after,
                             size_t max_rows, size_t max_bytes, qa_spool_visit_row *visit,
                             void *context, qa_error *error);
qa_status qa_spool_view_letters(const char *directory, const char *name, uint64_t after,
                                size_t max, qa_spool_visit_letter *visit, void *context,
                                qa_error *error);

/* Checks the file's structure and every row's bytes. */
qa_status qa_spool_view_verify(const char *directory, const char *name, qa_error *error);

/* Asks the owner, or whoever adopts the file, to send the letter again; or deletes it. *found tells
 * whether it was there. */
qa_status qa_spool_view_retry(const char *directory, const char *name, uint64_t id, bool *found,
                              qa_error *error);
qa_status qa_spool_view_drop(const char *directory, const char *name, uint64_t id, bool *found,
                             qa_error *error);

#endif
