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
    keeper->own.gone_due_us = keeper->adopted.gone_due_us = QA_CLOCK_NEVER;
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

void qa_keeper_push(qa_keeper *keeper, qa_chunk *chunk) {
    chunk->fresh = true;
    chunk->next_fresh = NULL;
    chunk->previous_fresh = keeper->last_fresh;
    if (keeper->last_fresh != NULL)
        keeper->last_fresh->next_fresh = chunk;
    else
        keeper->first_fresh = chunk;
    keeper->last_fresh = chunk;
}

void qa_keeper_push_front(qa_keeper *keeper, qa_chunk *chunk) {
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

int64_t qa_keeper_due_us(const qa_keeper *keeper, int64_t opened_us) {
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

bool qa_keeper_is_served(const qa_sender *sender, int64_t now_us) {
    return sender->gate.state == QA_STATE_RUNNING && sender->success_us != INT64_MIN &&
           now_us - sender->success_us <= sender->keeper->interval_us;
}

bool qa_keeper_is_pressed(const qa_sender *sender, int64_t now_us) {
    return is_over(&sender->queue, 4) && (is_over(&sender->queue, 2) || sender->keeper->gap ||
                                          !qa_keeper_is_served(sender, now_us));
}

void qa_keeper_closed(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    qa_keeper_push(keeper, chunk);
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
    if (is_over(&sender->queue, 4) && keeper->look_at_us != INT64_MIN &&
        keeper->status == QA_OK &&
        qa_keeper_is_pressed(sender, sender->clock.now_us(sender->clock.state)))
        qa_keeper_wake(keeper);
}

void qa_keeper_changed(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    if (chunk->disk == QA_CHUNK_UNWRITTEN)
        return;
    chunk->changed = true;
    if (!chunk->pinned && !chunk->fresh && chunk->live > 0)
        qa_keeper_push(keeper, chunk);
}

bool qa_keeper_ended(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    if (chunk->pinned)
        return true; /* it is in the list of those that are written */
    qa_keeper_unlist(keeper, chunk);
    if (chunk->disk == QA_CHUNK_UNWRITTEN && chunk->letter == 0 && !chunk->salvaged)
        return false;
    if (chunk->store == NULL)
        chunk->store = &keeper->own;
    qa_chunk_clear(chunk);
    qa_keeper_store *store = chunk->store;
    chunk->next_fresh = store->gone;
    store->gone = chunk;
    /* Where a receipt speaks for it, its deletion may go along with what is written next. */
    int64_t due = chunk->receipted && chunk->letter == 0
                      ? qa_clock_add(sender->clock.now_us(sender->clock.state), keeper->interval_us)
                      : INT64_MIN;
    store->gone_due_us = qa_clock_earlier(store->gone_due_us, due);
    if (store->gone_due_us < keeper->look_at_us || qa_keeper_wants_page(sender))
        qa_keeper_wake(keeper);
    return true;
}

/* Texts behind it, zero-terminated, in the order of the members. */
void qa_keeper_bury(qa_sender *sender, uint64_t seq, const qa_dead_letter *letter) {
    qa_keeper *keeper = sender->keeper;
    size_t code = strlen(letter->service_code) + 1, message = strlen(letter->message) + 1,
           trace = strlen(letter->trace_id) + 1;
    qa_keeper_letter *kept = malloc(sizeof *kept + code + message + trace + letter->length);
    if (kept == NULL)
        return; /* it stays in memory, if there is any */
    char *at = (char *)(kept + 1);
    qa_dead_letter *copy = &kept->letter.letter;
    *kept = (qa_keeper_letter){.seq = seq, .letter = {.letter = *letter}};
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

/* Where to note that all that is left of the chunk was acknowledged; NULL: it isn't all, it isn't
 * on disk, or the engine can't. */
static qa_spool *receipts_of(const qa_keeper *keeper, const qa_batch_slice *slice) {
    const qa_chunk *chunk = slice->chunk;
    if (keeper->engine->receipt == NULL || chunk->disk == QA_CHUNK_UNWRITTEN ||
        chunk->live != slice->events)
        return NULL;
    return chunk->store->spool;
}

void qa_keeper_acknowledge(qa_sender *sender, qa_batch *batch) {
    qa_keeper *keeper = sender->keeper;
    qa_sender_lock(sender);
    for (size_t i = 0; i < batch->slice_count; i++) {
        qa_chunk *chunk = batch->slices[i].chunk;
        qa_spool *spool = receipts_of(keeper, &batch->slices[i]);
        if (spool == NULL)
            continue;
        uint64_t row = chunk->row;
        qa_sender_unlock(sender); /* the spool stays: a chunk of it is under way */
        bool noted = keeper->engine->receipt(spool, row);
        qa_sender_lock(sender);
        chunk->receipted = noted;
    }
    qa_sender_unlock(sender);
}

void qa_keeper_land(qa_keeper *keeper, const qa_batch *batch) {
    qa_keeper_store *store = NULL;
    for (size_t i = 0; i < batch->slice_count; i++) {
        const qa_chunk *chunk = batch->slices[i].chunk;
        if (chunk->disk != QA_CHUNK_UNWRITTEN && !chunk->receipted &&
            (store == NULL || chunk->store->is_own))
            store = chunk->store;
    }
    if (store == NULL || keeper->status != QA_OK ||
        (!store->is_own && store->retry_at_us > 0))
        return;
    store->landing++;
    qa_keeper_wake(keeper); /* it waits for a change that nothing else may tell of */
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
const qa_chunk *qa_keeper_first_own(const qa_keeper *keeper) {
    const qa_chunk *chunk = keeper->first_fresh;
    while (chunk != NULL && chunk->store == &keeper->adopted)
        chunk = chunk->next_fresh;
    return chunk;
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
    for (const qa_keeper_letter *kept = keeper->letters; kept != NULL; kept = kept->next) {
        if (kept->seq <= mark)
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
