/* keeper.c
 * The sender's memory on disk: what is written when, what is read back, and what that means.
 * Does not know the disk (spool.h) nor the thread it runs on.
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keeper_state.h"

/* ---- making ---------------------------------------------------------------------------------- */

static qa_status init_lock(qa_keeper *keeper, qa_error *error) {
    pthread_condattr_t timing;
    if (pthread_condattr_init(&timing) != 0)
        return qa_error_no_memory(error, "client");
    bool ok = pthread_condattr_setclock(&timing, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&keeper->wake, &timing) == 0;
    if (ok && pthread_cond_init(&keeper->ended, &timing) != 0) {
        pthread_cond_destroy(&keeper->wake);
        ok = false;
    }
    pthread_condattr_destroy(&timing);
    return ok ? QA_OK : qa_error_no_memory(error, "client");
}

static const char *text_or_empty(const char *text) {
    return text != NULL ? text : "";
}

qa_keeper *qa_keeper_new(qa_client_config *config, const qa_spool_engine *engine, qa_lane *lane,
                         qa_error *error) {
    qa_keeper *keeper = calloc(1, sizeof *keeper);
    qa_spool_op *ops = calloc(QA_KEEPER_OPS_MAX, sizeof *ops);
    if (keeper == NULL || ops == NULL || init_lock(keeper, error) != QA_OK) {
        free(keeper);
        free(ops);
        qa_error_no_memory(error, "client");
        return NULL;
    }
    keeper->engine = engine;
    keeper->ops = ops;
    keeper->lane = lane;
    keeper->config = (qa_spool_config){
        .directory = config->spool,
        .target = {.endpoint = config->endpoint,
                   .path = config->path,
                   .organization_id = text_or_empty(config->organization_id),
                   .access_id = text_or_empty(config->access_id)},
        .sync = config->spool_sync,
        .max_bytes = config->spool_max_bytes,
    };
    keeper->interval_us = config->commit_interval_us;
    keeper->own.is_own = true;
    keeper->letters_end = &keeper->letters;
    keeper->look_at_us = QA_CLOCK_NEVER;
    keeper->retry_at_us = keeper->adopt_at_us = keeper->tend_at_us = INT64_MIN;
    return keeper;
}

static void free_chunks(qa_chunk *chunk, bool dead_only) {
    while (chunk != NULL) {
        qa_chunk *next = chunk->next_fresh;
        if (!dead_only || chunk->live == 0)
            qa_chunk_free(chunk);
        chunk = next;
    }
}

void qa_keeper_free(qa_keeper *keeper) {
    if (keeper == NULL)
        return;
    free_chunks(keeper->writing, true);
    free_chunks(keeper->own.gone, false);
    free_chunks(keeper->adopted.gone, false);
    free_chunks(keeper->dying, false);
    while (keeper->letters != NULL) {
        qa_keeper_letter *next = keeper->letters->next;
        free(keeper->letters);
        keeper->letters = next;
    }
    pthread_cond_destroy(&keeper->wake);
    pthread_cond_destroy(&keeper->ended);
    free(keeper->scratch);
    free(keeper->ops);
    free(keeper);
}

/* ---- what is to be written ------------------------------------------------------------------- */

static void push_fresh(qa_keeper *keeper, qa_chunk *chunk) {
    chunk->fresh = true;
    chunk->next_fresh = NULL;
    chunk->previous_fresh = keeper->last_fresh;
    if (keeper->last_fresh != NULL)
        keeper->last_fresh->next_fresh = chunk;
    else
        keeper->first_fresh = chunk;
    keeper->last_fresh = chunk;
}

/* Where it was before a commit failed. */
static void push_fresh_front(qa_keeper *keeper, qa_chunk *chunk) {
    chunk->fresh = true;
    chunk->previous_fresh = NULL;
    chunk->next_fresh = keeper->first_fresh;
    if (keeper->first_fresh != NULL)
        keeper->first_fresh->previous_fresh = chunk;
    else
        keeper->last_fresh = chunk;
    keeper->first_fresh = chunk;
}

void qa_keeper_unlist(qa_keeper *keeper, qa_chunk *chunk) {
    if (!chunk->fresh)
        return;
    if (chunk->previous_fresh != NULL)
        chunk->previous_fresh->next_fresh = chunk->next_fresh;
    else
        keeper->first_fresh = chunk->next_fresh;
    if (chunk->next_fresh != NULL)
        chunk->next_fresh->previous_fresh = chunk->previous_fresh;
    else
        keeper->last_fresh = chunk->previous_fresh;
    chunk->previous_fresh = chunk->next_fresh = NULL;
    chunk->fresh = false;
}

/* How long before the interval is over a commit begins. */
static int64_t due_us(const qa_keeper *keeper, int64_t opened_us) {
    int64_t reserve = 2 * keeper->commit_us;
    if (reserve < COMMIT_RESERVE_MIN_US)
        reserve = COMMIT_RESERVE_MIN_US;
    if (reserve > keeper->interval_us / 2)
        reserve = keeper->interval_us / 2;
    return qa_clock_add(opened_us, keeper->interval_us - reserve);
}

static bool is_over(const qa_queue *queue, unsigned parts) {
    return queue->events > queue->max_events / parts || queue->bytes > queue->max_bytes / parts;
}

void qa_keeper_closed(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    push_fresh(keeper, chunk);
    if (keeper->gap) {
        chunk->next_ready = NULL;
        if (keeper->last_behind != NULL)
            keeper->last_behind->next_ready = chunk;
        else
            keeper->first_behind = chunk;
        keeper->last_behind = chunk;
    } else {
        qa_queue_ready(&sender->queue, chunk);
    }
    /* Memory fills up faster than things fall due. */
    if (is_over(&sender->queue, 4) && keeper->look_at_us != INT64_MIN &&
        keeper->status == QA_OK)
        qa_keeper_wake(keeper);
}

void qa_keeper_changed(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    if (chunk->disk == QA_CHUNK_UNWRITTEN)
        return;
    chunk->changed = true;
    if (!chunk->pinned && !chunk->fresh && chunk->live > 0)
        push_fresh(keeper, chunk);
}

bool qa_keeper_ended(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    if (chunk->pinned)
        return true; /* it is in the list of those that are written */
    qa_keeper_unlist(keeper, chunk);
    if (chunk->disk == QA_CHUNK_UNWRITTEN && chunk->letter == 0)
        return false;
    if (chunk->store == NULL)
        chunk->store = &keeper->own;
    qa_chunk_clear(chunk);
    chunk->next_fresh = chunk->store->gone;
    chunk->store->gone = chunk;
    qa_keeper_wake(keeper);
    return true;
}

/* Texts behind it, zero-terminated, in the order of the members. */
void qa_keeper_bury(qa_sender *sender, const qa_dead_letter *letter) {
    qa_keeper *keeper = sender->keeper;
    size_t code = strlen(letter->service_code) + 1, message = strlen(letter->message) + 1,
           trace = strlen(letter->trace_id) + 1;
    qa_keeper_letter *kept = malloc(sizeof *kept + code + message + trace + letter->length);
    if (kept == NULL)
        return; /* it stays in memory, if there is any */
    char *at = (char *)(kept + 1);
    qa_dead_letter *copy = &kept->letter.letter;
    *kept = (qa_keeper_letter){.letter = {.letter = *letter}};
    copy->service_code = memcpy(at, letter->service_code, code);
    copy->message = memcpy(at + code, letter->message, message);
    copy->trace_id = memcpy(at + code + message, letter->trace_id, trace);
    copy->event = memcpy(at + code + message + trace, letter->event, letter->length);
    *keeper->letters_end = kept;
    keeper->letters_end = &kept->next;
    qa_keeper_wake(keeper);
}

qa_status qa_keeper_admit(const qa_keeper *keeper, qa_error *error) {
    if (keeper->status == QA_OK)
        return QA_OK;
    return qa_error_set(error, keeper->status, "%s", keeper->message);
}

/* ---- waking ---------------------------------------------------------------------------------- */

void qa_keeper_land(qa_keeper *keeper, const qa_batch *batch) {
    qa_keeper_store *store = NULL;
    for (size_t i = 0; i < batch->slice_count; i++) {
        const qa_chunk *chunk = batch->slices[i].chunk;
        if (chunk->disk != QA_CHUNK_UNWRITTEN && (store == NULL || chunk->store->is_own))
            store = chunk->store;
    }
    if (store != NULL && keeper->status == QA_OK)
        store->landing++;
}

uint32_t qa_keeper_landing(const qa_keeper *keeper) {
    return keeper->own.landing + keeper->own.landing_now + keeper->adopted.landing +
           keeper->adopted.landing_now;
}

void qa_keeper_wake(qa_keeper *keeper) {
    if (keeper->look_at_us == INT64_MIN)
        return; /* it looks anyway */
    keeper->look_at_us = INT64_MIN;
    pthread_cond_signal(&keeper->wake);
}

static const qa_chunk *first_own(const qa_keeper *keeper) {
    const qa_chunk *chunk = keeper->first_fresh;
    while (chunk != NULL && chunk->store == &keeper->adopted)
        chunk = chunk->next_fresh;
    return chunk;
}

/* When the next chunk is to be written. */
static int64_t next_due(const qa_sender *sender) {
    const qa_keeper *keeper = sender->keeper;
    int64_t at = QA_CLOCK_NEVER;
    const qa_chunk *first = first_own(keeper);
    if (first != NULL)
        at = due_us(keeper, first->opened_us);
    for (const qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->open != NULL)
            at = qa_clock_earlier(at, due_us(keeper, lane->open->opened_us));
    }
    return at;
}

void qa_keeper_look(qa_sender *sender) {
    if (next_due(sender) < sender->keeper->look_at_us)
        qa_keeper_wake(sender->keeper);
}

/* ---- questions of clients -------------------------------------------------------------------- */

bool qa_keeper_passed(const qa_keeper *keeper, uint64_t mark) {
    return keeper->own.left == 0 || keeper->own.next > mark;
}

uint64_t qa_keeper_remaining(const qa_keeper *keeper, uint64_t mark) {
    return qa_keeper_passed(keeper, mark) ? 0 : keeper->own.left;
}

void qa_keeper_rush(qa_sender *sender, uint64_t mark) {
    if (mark > sender->keeper->rush)
        sender->keeper->rush = mark;
    qa_keeper_wake(sender->keeper);
}

bool qa_keeper_safe(const qa_keeper *keeper, uint64_t mark) {
    for (const qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = chunk->next_fresh) {
        if (chunk->seq <= mark && chunk->disk != QA_CHUNK_STORED)
            return false;
    }
    for (const qa_chunk *chunk = keeper->writing; chunk != NULL; chunk = chunk->next_fresh) {
        if (chunk->seq <= mark && chunk->live > 0 && chunk->disk != QA_CHUNK_STORED)
            return false;
    }
    return true;
}

void qa_keeper_stats(const qa_keeper *keeper, qa_stats *out) {
    const qa_spool_gauges *gauges = &keeper->gauges;
    out->has_spool = true;
    out->spool_status = keeper->status;
    memcpy(out->spool_message, keeper->message, sizeof out->spool_message);
    out->spool_files = gauges->directory_files;
    out->spool_bytes = gauges->directory_bytes;
    out->spool_corrupt = gauges->corrupt_files;
    (void)snprintf(out->spool_corrupt_name, sizeof out->spool_corrupt_name, "%s",
                   gauges->corrupt_name);
    out->spool_commits = keeper->commits;
    out->spool_commit_us = keeper->last_commit_us;
    out->spool_adopted = keeper->adopted_events;
    out->spool_paged = keeper->own.left + keeper->adopted.left;
}

/* ---- a commit: collect ----------------------------------------------------------------------- */

/* With the commit that is collected now, as good as at its own time: the service is slow already. */
static bool is_due(const qa_sender *sender, const qa_chunk *chunk, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    if (keeper->finishing || chunk->seq <= keeper->rush || chunk->letter != 0 || chunk->changed)
        return true;
    if (is_over(&sender->queue, 4))
        return true;
    int64_t ahead = sender->gate.state == QA_STATE_RUNNING ? keeper->interval_us / 2
                                                           : keeper->interval_us;
    return due_us(keeper, chunk->opened_us) - ahead <= now_us;
}

/* Whether there is a reason to commit, beyond what goes along once there is one. */
static bool has_due(const qa_sender *sender, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    if (keeper->letters != NULL || keeper->own.gone != NULL)
        return true;
    const qa_chunk *first = first_own(keeper);
    if (first == NULL)
        return false;
    if (keeper->finishing || first->seq <= keeper->rush || is_over(&sender->queue, 4))
        return true;
    if (due_us(keeper, first->opened_us) <= now_us)
        return true;
    for (const qa_chunk *chunk = first; chunk != NULL; chunk = chunk->next_fresh) {
        if (chunk->letter != 0 || (chunk->changed && chunk->disk == QA_CHUNK_STORED))
            return true;
    }
    return false;
}

static void fill_row(const qa_sender *sender, const qa_chunk *chunk, qa_spool_row *row) {
    int64_t deadline_ms = sender->config->delivery_deadline_us / 1000;
    *row = (qa_spool_row){.id = chunk->row,
                          .data = chunk->data,
                          .length = chunk->length,
                          .events = chunk->events,
                          .attempts = chunk->attempts,
                          .possibly_stored = chunk->possibly_stored,
                          .accepted_wall_ms = chunk->opened_wall_ms,
                          .deadline_wall_ms = qa_clock_add(chunk->opened_wall_ms, deadline_ms)};
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
    make_scratch(keeper);
    for (qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = next) {
        next = chunk->next_fresh;
        if (keeper->op_count + 2 > QA_KEEPER_OPS_MAX || keeper->bytes > COMMIT_BYTES_MAX)
            return;
        if (chunk->store != NULL && chunk->store != &keeper->own)
            continue; /* an adopted row: its own commit */
        if (is_due(sender, chunk, now_us))
            add_chunk(sender, keeper, chunk);
    }
}

static void collect_gone(qa_keeper *keeper, qa_keeper_store *store) {
    while (store->gone != NULL && keeper->op_count + 2 <= QA_KEEPER_OPS_MAX) {
        qa_chunk *chunk = store->gone;
        store->gone = chunk->next_fresh;
        if (chunk->disk == QA_CHUNK_STORED)
            keeper->ops[keeper->op_count++] =
                (qa_spool_op){.verb = QA_SPOOL_DELETE, .row = {.id = chunk->row}};
        if (chunk->letter != 0 && store->is_own)
            keeper->ops[keeper->op_count++] =
                (qa_spool_op){.verb = QA_SPOOL_LETTER_DELETE, .letter = {.id = chunk->letter}};
        chunk->next_fresh = keeper->dying;
        keeper->dying = chunk;
    }
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
    if (!has_due(sender, now_us)) {
        keeper->own.landing = 0; /* there was nothing to delete after all */
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
    keeper->own.landing = keeper->own.landing_now = 0;
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
        push_fresh_front(keeper, chunk);
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
        keeper->own.chunks--;
        qa_ledger_unspool(&sender->ledger, chunk->live - chunk->flying);
        push_fresh(keeper, chunk);
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

/* One transaction on the own spool. With the lock held, which it gives up meanwhile. */
static bool commit_own(qa_sender *sender, int64_t *now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
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
        keeper->own.landing_now = 0;
        qa_keeper_well(keeper);
    } else {
        qa_keeper_fail(keeper, &error, *now_us);
    }
    qa_keeper_read_gauges(sender);
    qa_keeper_evict(sender);
    tell(sender);
    return status == QA_OK;
}

/* Deletes and changes of adopted rows. */
static void collect_adopted(qa_sender *sender, qa_keeper *keeper) {
    qa_chunk *next;
    begin_commit(keeper);
    collect_gone(keeper, &keeper->adopted);
    make_scratch(keeper);
    for (qa_chunk *chunk = keeper->first_fresh; chunk != NULL; chunk = next) {
        next = chunk->next_fresh;
        if (chunk->store == &keeper->adopted && keeper->op_count + 2 <= QA_KEEPER_OPS_MAX)
            add_chunk(sender, keeper, chunk);
    }
}

static bool commit_adopted(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
    if (keeper->adopted.spool == NULL || keeper->adopted.retry_at_us > now_us)
        return false;
    collect_adopted(sender, keeper);
    take_landing(&keeper->adopted);
    if (keeper->op_count == 0) {
        keeper->adopted.landing_now = 0;
        return false;
    }
    qa_sender_unlock(sender);
    qa_status status =
        keeper->engine->commit(keeper->adopted.spool, keeper->ops, keeper->op_count, &error);
    qa_sender_lock(sender);
    apply(sender, keeper, status == QA_OK);
    keeper->adopted.landing_now = 0;
    if (status != QA_OK)
        keeper->adopted.retry_at_us = qa_clock_add(now_us, RETRY_MAX_US);
    tell(sender);
    return status == QA_OK;
}

/* ---- the step -------------------------------------------------------------------------------- */

static void open_own(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_spool *spool = NULL;
    qa_error error = {.status = QA_OK};
    qa_sender_unlock(sender);
    qa_status status = keeper->engine->open(&keeper->config, &spool, &error);
    qa_sender_lock(sender);
    if (status != QA_OK) {
        qa_keeper_fail(keeper, &error, now_us);
        return;
    }
    keeper->own.spool = spool;
    qa_keeper_well(keeper);
    keeper->engine->gauges(spool, &keeper->gauges);
}

/* Nothing is to be written, so nothing can tell that there is room again: the next one tries. */
static void forgive(qa_keeper *keeper, int64_t now_us) {
    if (keeper->status != QA_OK && keeper->retry_at_us <= now_us && keeper->own.spool != NULL &&
        keeper->first_fresh == NULL && keeper->own.gone == NULL && keeper->letters == NULL)
        qa_keeper_well(keeper);
}

static void finish(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next)
        (void)qa_sender_close_chunk(sender, lane);
    if (keeper->own.spool == NULL)
        open_own(sender, now_us);
    while (commit_own(sender, &now_us))
        continue;
    keeper->adopted.retry_at_us = INT64_MIN;
    while (commit_adopted(sender, now_us))
        continue;
    qa_keeper_close_gap(sender);
    qa_spool *own = keeper->own.spool, *adopted = keeper->adopted.spool;
    keeper->own.spool = keeper->adopted.spool = NULL;
    qa_sender_unlock(sender);
    keeper->engine->close(own);
    keeper->engine->close(adopted);
    qa_sender_lock(sender);
    keeper->finished = true;
    pthread_cond_broadcast(&keeper->ended);
}

static void close_due_chunks(qa_sender *sender, int64_t now_us) {
    for (qa_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->open != NULL && due_us(sender->keeper, lane->open->opened_us) <= now_us)
            (void)qa_sender_close_chunk(sender, lane);
    }
}

static void work(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    close_due_chunks(sender, now_us);
    if (keeper->own.spool == NULL && keeper->retry_at_us <= now_us)
        open_own(sender, now_us);
    if (keeper->retry_at_us <= now_us)
        (void)commit_own(sender, &now_us);
    forgive(keeper, now_us);
    (void)commit_adopted(sender, now_us);
    qa_keeper_page(sender, now_us);
}

static int64_t next_look(const qa_sender *sender, int64_t now_us) {
    const qa_keeper *keeper = sender->keeper;
    int64_t at = next_due(sender);
    if (keeper->letters != NULL || keeper->own.gone != NULL ||
        (is_over(&sender->queue, 4) && first_own(keeper) != NULL))
        at = now_us;
    if (at < keeper->retry_at_us || keeper->status != QA_OK)
        at = keeper->retry_at_us;
    if (keeper->adopted.gone != NULL ||
        (keeper->first_fresh != NULL && keeper->first_fresh->store == &keeper->adopted))
        at = qa_clock_earlier(at, keeper->adopted.retry_at_us);
    if (keeper->gap && keeper->own.retry_at_us > now_us)
        at = qa_clock_earlier(at, keeper->own.retry_at_us);
    at = qa_clock_earlier(at, keeper->adopt_at_us);
    return qa_clock_earlier(at, keeper->tend_at_us);
}

bool qa_keeper_step(qa_sender *sender, int64_t *wait_us) {
    qa_keeper *keeper = sender->keeper;
    qa_sender_lock(sender);
    int64_t now = sender->clock.now_us(sender->clock.state);
    keeper->look_at_us = now; /* whoever wants more than this step does says so from now on */
    uint32_t landing = qa_keeper_landing(keeper);
    bool finishing = keeper->finishing;
    if (finishing)
        finish(sender, now);
    else
        work(sender, now);
    bool needed = sender->hungry && sender->queue.first_ready != NULL;
    if (needed)
        sender->hungry = false;
    needed = needed || (landing > 0 && qa_keeper_landing(keeper) < landing);
    now = sender->clock.now_us(sender->clock.state);
    int64_t at = next_look(sender, now);
    if (keeper->look_at_us == INT64_MIN || keeper->finishing)
        at = now;
    else
        keeper->look_at_us = at;
    *wait_us = at > now ? at - now : 0;
    if (needed && !sender->stopping) /* while it isn't, the transport is there */
        qa_sender_wake(sender);
    qa_sender_unlock(sender);
    return !finishing;
}

static void wait_on(pthread_cond_t *condition, qa_sender *sender, int64_t until_us) {
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_cond_timedwait(condition, &sender->mutex, &until);
}

void qa_keeper_wait(qa_sender *sender, int64_t wait_us) {
    qa_keeper *keeper = sender->keeper;
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), wait_us);
    qa_sender_lock(sender);
    /* Between the step and here somebody may have asked for another one. */
    if (keeper->look_at_us != INT64_MIN && !keeper->finishing && wait_us > 0)
        wait_on(&keeper->wake, sender, until);
    qa_sender_unlock(sender);
}

void qa_keeper_finish(qa_sender *sender) {
    qa_sender_lock(sender);
    sender->keeper->finishing = true;
    pthread_cond_signal(&sender->keeper->wake);
    qa_sender_unlock(sender);
}

bool qa_keeper_wait_finished(qa_sender *sender, int64_t limit_us) {
    int64_t until = qa_clock_add(qa_clock_real.now_us(NULL), limit_us);
    qa_sender_lock(sender);
    while (!sender->keeper->finished && qa_clock_real.now_us(NULL) < until)
        wait_on(&sender->keeper->ended, sender, until);
    bool finished = sender->keeper->finished;
    qa_sender_unlock(sender);
    return finished;
}
