/* keeper_commit.c
 * One transaction of the keeper: what goes into it, and what its end means for the chunks in it.
 * Does not know when a commit is due to begin (keeper_step.c).
 * SPDX-License-Identifier: MIT */
#include "keeper_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- a commit: collect ----------------------------------------------------------------------- */

/* What goes into the commit that is collected now. */
typedef struct harvest {
    int64_t until_us;      /* whatever falls due by then */
    bool pressed;          /* and what memory has no room for: */
    uint64_t spared, seen; /* all but the first so many events, which are sent before long */
} harvest;

/* What falls due soon may as well go along, if it is going to wait that long: the worse the service
 * does, the more of it will. */
static harvest plan(const qa_sender *sender, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    bool served = qa_keeper_is_served(sender, now_us);
    int64_t ahead = keeper->interval_us;
    if (sender->gate.state == QA_STATE_RUNNING)
        ahead = served ? ahead / 8 : ahead / 2;
    return (harvest){.until_us = qa_clock_add(now_us, ahead),
                     .pressed = qa_keeper_is_pressed(sender, now_us),
                     .spared = served && !keeper->gap ? sender->queue.max_events / 4 : 0};
}

static bool is_due(const qa_keeper *keeper, const harvest *wanted, const qa_chunk *chunk) {
    if (keeper->finishing || chunk->seq <= keeper->rush || chunk->letter != 0 || chunk->changed)
        return true;
    if (wanted->pressed && wanted->seen >= wanted->spared)
        return true;
    return qa_keeper_due_us(keeper, chunk->opened_us) <= wanted->until_us;
}

static bool is_gone_due(const qa_keeper *keeper, const qa_keeper_store *store, int64_t now_us) {
    return store->gone != NULL && (store->gone_due_us <= now_us || keeper->finishing);
}

bool qa_keeper_has_due(const qa_sender *sender, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    if (keeper->letters != NULL || is_gone_due(keeper, &keeper->own, now_us))
        return true;
    harvest wanted = plan(sender, now_us);
    wanted.until_us = now_us;
    for (const qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = chunk->next_fresh) {
        if (chunk->store == &keeper->adopted)
            continue;
        if (is_due(keeper, &wanted, chunk))
            return true;
        wanted.seen += chunk->live;
    }
    return false;
}

/* The deadline is that of memory: a row of others may have come with another one than ours. */
static void fill_row(const qa_sender *sender, const qa_chunk *chunk, qa_spool_row *row) {
    int64_t left_us = qa_clock_add(chunk->opened_us, sender->config->delivery_deadline_us) -
                      sender->clock.now_us(sender->clock.state);
    int64_t wall_ms = sender->clock.wall_ms(sender->clock.state);
    *row = (qa_spool_row){.id = chunk->row,
                          .data = chunk->data,
                          .length = chunk->length,
                          .events = chunk->events,
                          .attempts = chunk->attempts,
                          .possibly_stored = chunk->possibly_stored,
                          .accepted_wall_ms = chunk->opened_wall_ms,
                          .deadline_wall_ms = wall_ms + left_us / 1000};
}

/* Only what hasn't ended of it. Without memory for that, all of it. */
static void fill_remains(qa_keeper *keeper, const qa_chunk *chunk, qa_spool_row *row) {
    if (keeper->scratch_length + chunk->length > keeper->scratch_capacity)
        return;
    char *at = keeper->scratch + keeper->scratch_length;
    row->length = qa_chunk_remains(chunk, at, &row->events);
    row->data = at;
    keeper->scratch_length += row->length;
}

/* Room for the remains of what is in the list now; one allocation, so that no pointer moves. */
static void make_scratch(qa_keeper *keeper) {
    size_t needed = 0;
    for (const qa_chunk *chunk = keeper->first_fresh; chunk != NULL && needed < COMMIT_BYTES_MAX;
         chunk = chunk->next_fresh) {
        if (chunk->part_count > 0)
            needed += chunk->length;
    }
    keeper->scratch_length = 0;
    if (needed <= keeper->scratch_capacity)
        return;
    char *grown = realloc(keeper->scratch, needed);
    if (grown == NULL)
        return;
    keeper->scratch = grown;
    keeper->scratch_capacity = needed;
}

/* One chunk of the list into the commit. */
static void add_chunk(qa_sender *sender, qa_keeper *keeper, qa_chunk *chunk) {
    qa_spool_op *op = &keeper->ops[keeper->op_count++];
    qa_keeper_unlist(keeper, chunk);
    if (chunk->disk == QA_CHUNK_UNWRITTEN) {
        chunk->row = chunk->seq;
        chunk->store = &keeper->own;
        chunk->disk = QA_CHUNK_WRITING;
    }
    fill_row(sender, chunk, &op->row);
    op->verb = QA_SPOOL_PUT;
    if (chunk->part_count > 0)
        fill_remains(keeper, chunk, &op->row);
    else if (chunk->disk == QA_CHUNK_STORED)
        op->verb = QA_SPOOL_ATTEMPT;
    keeper->bytes += op->verb == QA_SPOOL_PUT ? op->row.length : 0;
    if (chunk->disk == QA_CHUNK_WRITING && chunk->letter != 0)
        keeper->ops[keeper->op_count++] =
            (qa_spool_op){.verb = QA_SPOOL_LETTER_DELETE, .letter = {.id = chunk->letter}};
    chunk->changed = false;
    chunk->pinned = true;
    chunk->next_fresh = NULL;
    *keeper->writing_end = chunk;
    keeper->writing_end = &chunk->next_fresh;
}

static void collect_chunks(qa_sender *sender, qa_keeper *keeper, int64_t now_us) {
    qa_chunk *next;
    harvest wanted = plan(sender, now_us);
    make_scratch(keeper);
    for (qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = next) {
        next = chunk->next_fresh;
        if (keeper->op_count + 2 > QA_KEEPER_OPS_MAX || keeper->bytes > COMMIT_BYTES_MAX)
            return;
        if (chunk->store != NULL && chunk->store != &keeper->own)
            continue; /* an adopted row: its own commit */
        if (is_due(keeper, &wanted, chunk))
            add_chunk(sender, keeper, chunk);
        wanted.seen += chunk->live;
    }
}

static void collect_gone(qa_keeper *keeper, qa_keeper_store *store) {
    while (store->gone != NULL && keeper->op_count + 2 <= QA_KEEPER_OPS_MAX) {
        qa_chunk *chunk = store->gone;
        store->gone = chunk->next_fresh;
        if (chunk->disk == QA_CHUNK_STORED || chunk->salvaged)
            keeper->ops[keeper->op_count++] =
                (qa_spool_op){.verb = QA_SPOOL_DELETE, .row = {.id = chunk->row}};
        if (chunk->letter != 0 && store->is_own)
            keeper->ops[keeper->op_count++] =
                (qa_spool_op){.verb = QA_SPOOL_LETTER_DELETE, .letter = {.id = chunk->letter}};
        chunk->next_fresh = keeper->dying;
        keeper->dying = chunk;
    }
    if (store->gone == NULL)
        store->gone_due_us = QA_CLOCK_NEVER;
}

static void collect_letters(qa_keeper *keeper) {
    keeper->letters_now = 0;
    for (const qa_keeper_letter *kept = keeper->letters;
         kept != NULL && keeper->op_count < QA_KEEPER_OPS_MAX; kept = kept->next) {
        keeper->ops[keeper->op_count++] =
            (qa_spool_op){.verb = QA_SPOOL_LETTER_PUT, .letter = kept->letter};
        keeper->letters_now++;
    }
}

static void begin_commit(qa_keeper *keeper) {
    keeper->op_count = 0;
    keeper->bytes = 0;
    keeper->writing = NULL;
    keeper->writing_end = &keeper->writing;
    keeper->dying = NULL;
    keeper->letters_now = 0;
}

static void free_places(qa_keeper *keeper, uint32_t *landing) {
    keeper->freed = keeper->freed || *landing > 0;
    *landing = 0;
}

/* All deletes of requests that were answered are in the commit. */
static void take_landing(qa_keeper_store *store) {
    if (store->gone != NULL)
        return;
    store->landing_now += store->landing;
    store->landing = 0;
}

/* What is due for the own spool; whether there is anything. */
static bool collect_own(qa_sender *sender, qa_keeper *keeper, int64_t now_us) {
    begin_commit(keeper);
    if (keeper->own.spool == NULL)
        return false;
    if (!qa_keeper_has_due(sender, now_us)) {
        free_places(keeper, &keeper->own.landing); /* there was nothing to delete after all */
        return false;
    }
    bool careful = keeper->status != QA_OK && !keeper->finishing && keeper->own.gone != NULL;
    collect_letters(keeper);
    collect_gone(keeper, &keeper->own);
    if (!careful) /* after a failure deletes go first: they may make the room that is needed */
        collect_chunks(sender, keeper, now_us);
    take_landing(&keeper->own);
    return keeper->op_count > 0;
}

/* ---- a commit: apply ------------------------------------------------------------------------- */

void qa_keeper_fail(qa_keeper *keeper, const qa_error *error, int64_t now_us) {
    keeper->status = error->status == QA_SPOOL_FULL ? QA_SPOOL_FULL : QA_SPOOL;
    memcpy(keeper->message, error->message, sizeof keeper->message);
    keeper->backoff_us = keeper->backoff_us == 0 ? RETRY_FIRST_US : keeper->backoff_us * 2;
    if (keeper->backoff_us > RETRY_MAX_US)
        keeper->backoff_us = RETRY_MAX_US;
    keeper->retry_at_us = qa_clock_add(now_us, keeper->backoff_us);
    free_places(keeper, &keeper->own.landing);
    free_places(keeper, &keeper->own.landing_now);
}

void qa_keeper_well(qa_keeper *keeper) {
    keeper->status = QA_OK;
    keeper->message[0] = '\0';
    keeper->backoff_us = 0;
    keeper->retry_at_us = INT64_MIN;
}

static void free_dying(qa_keeper *keeper) {
    while (keeper->dying != NULL) {
        qa_chunk *chunk = keeper->dying;
        keeper->dying = chunk->next_fresh;
        if (chunk->letter != 0)
            keeper->retrying--;
        if (chunk->disk == QA_CHUNK_STORED)
            chunk->store->chunks--;
        qa_chunk_free(chunk);
    }
}

static void revive_dying(qa_keeper *keeper) {
    while (keeper->dying != NULL) {
        qa_chunk *chunk = keeper->dying;
        keeper->dying = chunk->next_fresh;
        chunk->next_fresh = chunk->store->gone;
        chunk->store->gone = chunk;
        chunk->store->gone_due_us = INT64_MIN;
    }
}

static void free_letters(qa_keeper *keeper) {
    for (; keeper->letters_now > 0; keeper->letters_now--) {
        qa_keeper_letter *kept = keeper->letters;
        keeper->letters = kept->next;
        free(kept);
    }
    if (keeper->letters == NULL)
        keeper->letters_end = &keeper->letters;
}

static void chunk_is_stored(qa_sender *sender, qa_chunk *chunk) {
    if (chunk->disk == QA_CHUNK_WRITING) {
        chunk->disk = QA_CHUNK_STORED;
        chunk->salvaged = false;
        chunk->store->chunks++;
        if (chunk->letter != 0)
            sender->keeper->retrying--;
        chunk->letter = 0;
        qa_ledger_spool(&sender->ledger, chunk->live - chunk->flying);
    }
    if (chunk->live == 0)
        (void)qa_keeper_ended(sender, chunk);
    else if (chunk->changed)
        qa_keeper_changed(sender, chunk);
}

static void chunk_is_not_stored(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    if (chunk->disk == QA_CHUNK_WRITING) {
        chunk->disk = QA_CHUNK_UNWRITTEN;
        chunk->store = NULL;
    } else {
        chunk->changed = true;
    }
    if (chunk->live > 0) {
        qa_keeper_push_front(keeper, chunk);
    } else if (!qa_keeper_ended(sender, chunk)) {
        qa_queue_recycle(&sender->queue, chunk);
    }
}

static void apply(qa_sender *sender, qa_keeper *keeper, bool done) {
    qa_chunk *next, *reversed = NULL;
    for (qa_chunk *chunk = keeper->writing; chunk != NULL && !done; chunk = next) {
        next = chunk->next_fresh; /* put back from the last to the first: the order stays */
        chunk->next_fresh = reversed;
        reversed = chunk;
    }
    qa_chunk *list = done ? keeper->writing : reversed;
    keeper->writing = NULL;
    for (qa_chunk *chunk = list; chunk != NULL; chunk = next) {
        next = chunk->next_fresh;
        chunk->next_fresh = NULL;
        chunk->pinned = false;
        if (done)
            chunk_is_stored(sender, chunk);
        else
            chunk_is_not_stored(sender, chunk);
    }
    if (!done) {
        revive_dying(keeper);
        return;
    }
    free_dying(keeper);
    free_letters(keeper);
}

/* Whatever memory holds of the own file is put there again: the file is a new one. */
static void store_again(qa_sender *sender, qa_keeper *keeper) {
    for (qa_chunk *chunk = sender->queue.oldest; chunk != NULL; chunk = chunk->next) {
        if (chunk->disk != QA_CHUNK_STORED || chunk->store != &keeper->own)
            continue;
        qa_keeper_unlist(keeper, chunk);
        chunk->disk = QA_CHUNK_UNWRITTEN;
        chunk->store = NULL;
        chunk->salvaged = true;
        keeper->own.chunks--;
        qa_ledger_unspool(&sender->ledger, chunk->live - chunk->flying);
        qa_keeper_push(keeper, chunk);
    }
}

void qa_keeper_read_gauges(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    uint64_t before = keeper->gauges.generation;
    keeper->engine->gauges(keeper->own.spool, &keeper->gauges);
    if (keeper->gauges.generation != before)
        store_again(sender, keeper);
}

static void tell(qa_sender *sender) {
    if (sender->waiters > 0)
        pthread_cond_broadcast(&sender->changed);
}

/* Whether nothing in the store is worth keeping, though its rows couldn't be deleted. */
static bool is_spent(const qa_keeper *keeper, const qa_keeper_store *store) {
    qa_spool_gauges gauges;
    uint64_t gone = 0, rows = 0;
    if (store->left > 0 || store->gone == NULL)
        return false;
    keeper->engine->gauges(store->spool, &gauges);
    for (const qa_chunk *chunk = store->gone; chunk != NULL; chunk = chunk->next_fresh) {
        gone += chunk->disk == QA_CHUNK_STORED;
        rows += chunk->disk == QA_CHUNK_STORED || chunk->salvaged;
    }
    /* A new file may have taken rows along whose chunks live and are to be put there again. */
    return gone == store->chunks && gauges.rows <= rows && gauges.letters == 0;
}

/* On a full disk a deletion needs room too. Once all of a file has ended, it can go as a whole. */
static bool make_room(qa_sender *sender, qa_keeper_store *store) {
    qa_keeper *keeper = sender->keeper;
    if (!is_spent(keeper, store))
        return false;
    qa_sender_unlock(sender);
    bool cleared = keeper->engine->clear(store->spool, NULL) == QA_OK;
    qa_sender_lock(sender);
    keeper->dying = store->gone;
    store->gone = NULL;
    store->gone_due_us = QA_CLOCK_NEVER;
    free_dying(keeper);
    return cleared;
}

bool qa_keeper_commit_own(qa_sender *sender, int64_t *now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
    bool cleared = false;
    if (!collect_own(sender, keeper, *now_us))
        return false;
    qa_sender_unlock(sender);
    qa_status status =
        keeper->engine->commit(keeper->own.spool, keeper->ops, keeper->op_count, &error);
    qa_sender_lock(sender);
    int64_t took = sender->clock.now_us(sender->clock.state) - *now_us;
    *now_us += took;
    keeper->last_commit_us = took;
    keeper->commit_us += (took - keeper->commit_us) / 4;
    apply(sender, keeper, status == QA_OK);
    if (status == QA_OK) {
        keeper->commits++;
        free_places(keeper, &keeper->own.landing_now);
        qa_keeper_well(keeper);
    } else {
        qa_keeper_fail(keeper, &error, *now_us);
        cleared = status == QA_SPOOL_FULL && make_room(sender, &keeper->own);
        if (cleared)
            qa_keeper_well(keeper);
    }
    qa_keeper_read_gauges(sender);
    qa_keeper_evict(sender, *now_us);
    tell(sender);
    return status == QA_OK || cleared;
}

/* Deletes and changes of adopted rows. */
static void collect_adopted(qa_sender *sender, qa_keeper *keeper, int64_t now_us) {
    qa_chunk *next;
    begin_commit(keeper);
    if (is_gone_due(keeper, &keeper->adopted, now_us))
        collect_gone(keeper, &keeper->adopted);
    make_scratch(keeper);
    for (qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = next) {
        next = chunk->next_fresh;
        if (chunk->store == &keeper->adopted && keeper->op_count + 2 <= QA_KEEPER_OPS_MAX)
            add_chunk(sender, keeper, chunk);
    }
}

bool qa_keeper_commit_adopted(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
    if (keeper->adopted.spool == NULL || keeper->adopted.retry_at_us > now_us)
        return false;
    collect_adopted(sender, keeper, now_us);
    take_landing(&keeper->adopted);
    if (keeper->op_count == 0) {
        free_places(keeper, &keeper->adopted.landing_now);
        return false;
    }
    qa_sender_unlock(sender);
    qa_status status =
        keeper->engine->commit(keeper->adopted.spool, keeper->ops, keeper->op_count, &error);
    qa_sender_lock(sender);
    apply(sender, keeper, status == QA_OK);
    free_places(keeper, &keeper->adopted.landing_now);
    if (status != QA_OK)
        free_places(keeper, &keeper->adopted.landing);
    if (status == QA_SPOOL_FULL)
        (void)make_room(sender, &keeper->adopted);
    keeper->adopted.retry_at_us =
        status == QA_OK ? INT64_MIN : qa_clock_add(now_us, RETRY_MAX_US);
    tell(sender);
    return status == QA_OK;
}
