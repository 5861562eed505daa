/* keeper_page.c
 * The keeper's way back: what leaves memory for the disk, and what is read from there.
 * Does not know when something is written (keeper_step.c).
 * SPDX-License-Identifier: MIT */
#include "keeper_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEEP_PARTS = 4, /* a quarter of memory holds the oldest chunks while others are on disk */
    PAGE_PARTS = 8, /* an eighth is read at a time */
    LETTERS_PAGE = 32
};

/* ---- out ------------------------------------------------------------------------------------- */

/* What is read back later costs more than what is not: a service that empties memory by itself is
 * given more of it. */
static bool is_full(const qa_sender *sender, int64_t now_us) {
    const qa_queue *queue = &sender->queue;
    uint64_t eighths = qa_keeper_is_served(sender, now_us) ? 7 : 4;
    return queue->events > queue->max_events / 8 * eighths ||
           queue->bytes > queue->max_bytes / 8 * eighths;
}

static bool has_room(const qa_queue *queue) {
    return queue->events < (queue->max_events + KEEP_PARTS - 1) / KEEP_PARTS &&
           queue->bytes < queue->max_bytes / KEEP_PARTS;
}

bool qa_keeper_wants_page(const qa_sender *sender) {
    const qa_keeper *keeper = sender->keeper;
    return (keeper->gap || keeper->adopted.left > 0) && has_room(&sender->queue);
}

/* Whether the row says all that there is to say about the chunk. */
static bool can_go(const qa_keeper *keeper, const qa_chunk *chunk) {
    return chunk->disk == QA_CHUNK_STORED && chunk->store == &keeper->own && !chunk->fresh &&
           chunk->taken_events == 0 && chunk->live == chunk->events;
}

static void evict_one(qa_sender *sender, qa_chunk *chunk) {
    qa_keeper *keeper = sender->keeper;
    qa_keeper_store *own = &keeper->own;
    qa_lane *lane = chunk->lane;
    if (own->left == 0 || chunk->row < own->next)
        own->next = chunk->row;
    own->left += chunk->live;
    own->chunks--;
    lane->pending -= chunk->live;
    keeper->lane->pending += chunk->live;
    (void)qa_queue_end(&sender->queue, chunk, chunk->live);
    qa_queue_recycle(&sender->queue, chunk);
    qa_sender_leave_lane(sender, lane);
}

/* What comes after the first quarter of memory waits behind the gap from now on. */
static void open_gap(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    qa_queue *queue = &sender->queue;
    uint64_t events = 0, bytes = 0;
    qa_chunk *last = NULL, *chunk = queue->first_ready;
    while (chunk != NULL && ((events < queue->max_events / KEEP_PARTS &&
                              bytes < queue->max_bytes / KEEP_PARTS) ||
                             chunk->store == &keeper->adopted)) {
        events += chunk->live;
        bytes += chunk->length;
        last = chunk;
        chunk = chunk->next_ready;
    }
    if (chunk == NULL || !can_go(keeper, chunk))
        return;
    keeper->gap = true;
    keeper->first_behind = chunk;
    keeper->last_behind = queue->last_ready;
    queue->last_ready = last;
    if (last != NULL)
        last->next_ready = NULL;
    else
        queue->first_ready = NULL;
}

void qa_keeper_evict(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    if (!keeper->gap && !keeper->finishing && is_full(sender, now_us))
        open_gap(sender);
    if (!keeper->gap)
        return;
    while (keeper->first_behind != NULL && can_go(keeper, keeper->first_behind)) {
        qa_chunk *chunk = keeper->first_behind;
        keeper->first_behind = chunk->next_ready;
        evict_one(sender, chunk);
    }
    if (keeper->first_behind == NULL)
        keeper->last_behind = NULL;
}

static void make_behind_ready(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    qa_chunk *next;
    for (qa_chunk *chunk = keeper->first_behind; chunk != NULL; chunk = next) {
        next = chunk->next_ready;
        qa_queue_ready(&sender->queue, chunk);
    }
    keeper->first_behind = keeper->last_behind = NULL;
}

void qa_keeper_close_gap(qa_sender *sender) {
    sender->keeper->gap = false;
    make_behind_ready(sender);
}

/* ---- back ------------------------------------------------------------------------------------ */

/* A page of rows, as chunks that aren't in the queue yet. */
typedef struct page {
    qa_chunk *first, **end; /* by next_ready */
    uint64_t events, max_events;
    bool no_memory;
} page;

static bool take_row(void *context, const qa_spool_row *row) {
    page *into = context;
    qa_chunk *chunk = qa_chunk_new(row->length);
    if (chunk == NULL || !qa_chunk_append(chunk, row->data, row->length, row->events)) {
        qa_chunk_free(chunk);
        into->no_memory = true;
        return false;
    }
    chunk->row = row->id;
    chunk->attempts = row->attempts;
    chunk->possibly_stored = row->possibly_stored;
    chunk->opened_wall_ms = row->accepted_wall_ms;
    chunk->opened_us = row->deadline_wall_ms; /* for now */
    chunk->started = true; /* its latency is that of an outage, not of this sender */
    *into->end = chunk;
    into->end = &chunk->next_ready;
    into->events += row->events;
    return into->events < into->max_events;
}

/* A clock of this process that agrees with the deadline that was written. */
static void set_clock(qa_sender *sender, qa_chunk *chunk, int64_t now_us) {
    int64_t wall_ms = sender->clock.wall_ms(sender->clock.state);
    int64_t left_ms = chunk->opened_us - wall_ms, most_ms = sender->config->delivery_deadline_us / 1000;
    if (left_ms > most_ms)
        left_ms = most_ms; /* clocks are set back at times */
    chunk->opened_us = now_us + left_ms * 1000 - sender->config->delivery_deadline_us;
}

static bool is_in_memory(const qa_sender *sender, uint64_t row) {
    const qa_keeper *keeper = sender->keeper;
    for (const qa_chunk *chunk = sender->queue.oldest; chunk != NULL && chunk->seq <= row;
         chunk = chunk->next) {
        if (chunk->seq == row)
            return true;
    }
    for (const qa_chunk *chunk = keeper->own.gone; chunk != NULL; chunk = chunk->next_fresh) {
        if (chunk->row == row)
            return true;
    }
    return false;
}

/* Adopted chunks go before own ones, in the order of their file. */
static void make_ready(qa_sender *sender, qa_chunk *chunk) {
    const qa_keeper *keeper = sender->keeper;
    qa_queue *queue = &sender->queue;
    qa_chunk *before = NULL, *next = queue->first_ready;
    if (chunk->store == &keeper->own) {
        qa_queue_ready(queue, chunk);
        return;
    }
    while (next != NULL && next->store == &keeper->adopted) {
        before = next;
        next = next->next_ready;
    }
    chunk->next_ready = next;
    if (before != NULL)
        before->next_ready = chunk;
    else
        queue->first_ready = chunk;
    if (next == NULL)
        queue->last_ready = chunk;
}

static void put_back(qa_sender *sender, qa_keeper_store *store, qa_chunk *chunk, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    if (store->is_own && is_in_memory(sender, chunk->row)) {
        qa_chunk_free(chunk);
        return;
    }
    set_clock(sender, chunk, now_us);
    chunk->store = store;
    chunk->disk = QA_CHUNK_STORED;
    chunk->lane = keeper->lane;
    keeper->lane->chunks++;
    store->chunks++;
    if (chunk->live > store->left) { /* more than was known: a damaged file was read anew */
        uint64_t more = chunk->live - store->left;
        keeper->lane->pending += more;
        qa_ledger_accept(&sender->ledger, more);
        qa_ledger_spool(&sender->ledger, more);
        store->left += more;
    }
    store->left -= chunk->live;
    if (store->is_own) {
        chunk->seq = chunk->row;
        qa_queue_put_back(&sender->queue, chunk);
    } else {
        qa_queue_add(&sender->queue, chunk);
    }
    make_ready(sender, chunk);
}

/* All that could be read was read: what is still missing can't be. */
static void lose_rest(qa_sender *sender, qa_keeper_store *store) {
    qa_report report = {.status = QA_REPORT_DROPPED, .code = QA_SPOOL};
    qa_error error;
    if (store->left == 0)
        return;
    qa_error_set(&error, QA_SPOOL, "spool: %" PRIu64 " events could not be read back",
                 store->left);
    memcpy(report.message, error.message, sizeof report.message);
    qa_sender_lose(sender, sender->keeper->lane, store->left, &report);
    store->left = 0;
}

/* Reads a page; whether the end was reached. */
static bool read_page(qa_sender *sender, qa_keeper_store *store, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
    page into = {.max_events = sender->queue.max_events / PAGE_PARTS + 1};
    into.end = &into.first;
    uint64_t after = store->next > 0 ? store->next - 1 : 0;
    size_t bytes = (size_t)(sender->queue.max_bytes / PAGE_PARTS) + 1;
    qa_sender_unlock(sender);
    qa_status status = keeper->engine->read(store->spool, after, SIZE_MAX / 2, bytes, take_row,
                                            &into, &error);
    qa_sender_lock(sender);
    bool any = into.first != NULL;
    for (qa_chunk *chunk = into.first, *next; chunk != NULL; chunk = next) {
        next = chunk->next_ready;
        chunk->next_ready = NULL;
        store->next = chunk->row + 1;
        put_back(sender, store, chunk, now_us);
    }
    if (status != QA_OK || (into.no_memory && !any))
        store->retry_at_us = qa_clock_add(now_us, RETRY_MAX_US);
    if (store->is_own)
        qa_keeper_read_gauges(sender);
    return status == QA_OK && !any && !into.no_memory;
}

/* What waits behind the gap can't be written, and leaves no room for what is in it: it goes first,
 * rather than that nothing does. */
static void overtake(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    bool idle = sender->queue.first_ready == NULL && sender->waiting.first == NULL &&
                sender->held.first == NULL && sender->in_flight == 0;
    if (keeper->gap && keeper->status != QA_OK && idle && !has_room(&sender->queue))
        make_behind_ready(sender);
}

static void page_own(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_keeper_store *own = &keeper->own;
    while (keeper->gap && has_room(&sender->queue) && own->retry_at_us <= now_us &&
           own->spool != NULL) {
        if (own->left > 0 && !read_page(sender, own, now_us))
            continue;
        lose_rest(sender, own);
        qa_keeper_close_gap(sender);
    }
}

/* ---- adopting -------------------------------------------------------------------------------- */

/* Letters of the adopted spool, copied: they are written to the own one first, and shown there. */
typedef struct letters {
    qa_spool_letter list[LETTERS_PAGE];
    char *texts[LETTERS_PAGE];
    size_t count;
} letters;

static bool take_letter(void *context, const qa_spool_letter *letter) {
    letters *into = context;
    const qa_dead_letter *from = &letter->letter;
    size_t code = strlen(from->service_code) + 1, message = strlen(from->message) + 1,
           trace = strlen(from->trace_id) + 1;
    char *at = malloc(code + message + trace + from->length);
    if (at == NULL)
        return false;
    qa_spool_letter *copy = &into->list[into->count];
    *copy = *letter;
    copy->letter.service_code = memcpy(at, from->service_code, code);
    copy->letter.message = memcpy(at + code, from->message, message);
    copy->letter.trace_id = memcpy(at + code + message, from->trace_id, trace);
    copy->letter.event = memcpy(at + code + message + trace, from->event, from->length);
    into->texts[into->count++] = at;
    return into->count < LETTERS_PAGE;
}

static void free_letters(letters *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list);
}

/* Without the lock. Whether they are in the own spool and out of the other. */
static bool write_letters(qa_keeper *keeper, const letters *list) {
    for (size_t i = 0; i < list->count; i++)
        keeper->ops[i] = (qa_spool_op){.verb = QA_SPOOL_LETTER_PUT, .letter = list->list[i]};
    if (keeper->engine->commit(keeper->own.spool, keeper->ops, list->count, NULL) != QA_OK)
        return false;
    for (size_t i = 0; i < list->count; i++)
        keeper->ops[i].verb = QA_SPOOL_LETTER_DELETE;
    return keeper->engine->commit(keeper->adopted.spool, keeper->ops, list->count, NULL) ==
           QA_OK;
}

/* False: not all of them could be moved. */
static bool move_letters(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    if (keeper->own.spool == NULL) {
        qa_spool_gauges gauges;
        keeper->engine->gauges(keeper->adopted.spool, &gauges);
        return gauges.letters == 0;
    }
    for (;;) {
        letters *list = calloc(1, sizeof *list);
        if (list == NULL)
            return false;
        qa_sender_unlock(sender);
        qa_status status = keeper->engine->letters(keeper->adopted.spool, 0, LETTERS_PAGE, false,
                                                   take_letter, list, NULL);
        bool moved = status == QA_OK && (list->count == 0 || write_letters(keeper, list));
        qa_sender_lock(sender);
        size_t count = list->count;
        for (size_t i = 0; moved && i < count; i++) { /* after a kill two files hold the same one */
            if (!qa_dead_has(sender->dead, &list->list[i].letter))
                qa_dead_add(sender->dead, &list->list[i].letter);
        }
        free_letters(list);
        if (!moved || count == 0)
            return moved;
    }
}

static void adopt(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_keeper_store *store = &keeper->adopted;
    qa_spool *spool = NULL;
    qa_spool_gauges gauges;
    qa_sender_unlock(sender);
    qa_status status = keeper->engine->adopt(&keeper->config, &spool, NULL);
    if (status == QA_OK && spool != NULL)
        keeper->engine->gauges(spool, &gauges);
    qa_sender_lock(sender);
    keeper->adopt_at_us = qa_clock_add(now_us, ADOPT_US);
    if (status != QA_OK || spool == NULL)
        return;
    *store = (qa_keeper_store){
        .spool = spool, .left = gauges.events, .gone_due_us = QA_CLOCK_NEVER};
    keeper->adopted_events += gauges.events;
    keeper->lane->pending += gauges.events;
    qa_ledger_accept(&sender->ledger, gauges.events);
    qa_ledger_spool(&sender->ledger, gauges.events);
    (void)move_letters(sender);
}

/* The file goes with its last row. */
static void release(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    if (!move_letters(sender)) {
        keeper->adopted.retry_at_us =
            qa_clock_add(sender->clock.now_us(sender->clock.state), RETRY_MAX_US);
        return;
    }
    qa_spool *spool = keeper->adopted.spool;
    keeper->adopted.spool = NULL;
    qa_sender_unlock(sender);
    keeper->engine->close(spool);
    qa_sender_lock(sender);
    keeper->adopt_at_us = INT64_MIN; /* there may be another one */
    qa_keeper_wake(keeper);
}

static void page_adopted(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_keeper_store *store = &keeper->adopted;
    if (store->spool == NULL && keeper->adopt_at_us <= now_us && has_room(&sender->queue))
        adopt(sender, now_us);
    if (store->spool == NULL) {
        if (keeper->adopt_at_us <= now_us)
            keeper->adopt_at_us = qa_clock_add(now_us, ADOPT_US);
        return;
    }
    keeper->adopt_at_us = QA_CLOCK_NEVER;
    bool ended = false;
    while (!ended && has_room(&sender->queue) && store->retry_at_us <= now_us)
        ended = read_page(sender, store, now_us);
    if (!ended || store->chunks > 0 || store->gone != NULL)
        return;
    lose_rest(sender, store);
    release(sender);
}

/* ---- dead letters to be sent again ----------------------------------------------------------- */

static void retry_one(qa_sender *sender, const qa_spool_letter *letter) {
    qa_keeper *keeper = sender->keeper;
    qa_chunk *chunk = qa_chunk_new(letter->letter.length);
    if (chunk == NULL)
        return;
    (void)qa_chunk_append(chunk, letter->letter.event, letter->letter.length, 1);
    chunk->letter = letter->id;
    chunk->opened_us = sender->clock.now_us(sender->clock.state);
    chunk->opened_wall_ms = sender->clock.wall_ms(sender->clock.state);
    chunk->lane = keeper->lane;
    keeper->lane->chunks++;
    keeper->lane->pending++;
    keeper->retrying++;
    qa_queue_add(&sender->queue, chunk);
    qa_ledger_accept(&sender->ledger, 1);
    qa_sender_chunk_closed(sender, chunk);
}

static void retry_letters(qa_sender *sender) {
    qa_keeper *keeper = sender->keeper;
    letters *list;
    if (keeper->gauges.letters_retry == 0 || keeper->retrying > 0 ||
        !has_room(&sender->queue) || (list = calloc(1, sizeof *list)) == NULL)
        return;
    qa_sender_unlock(sender);
    (void)keeper->engine->letters(keeper->own.spool, 0, LETTERS_PAGE, true, take_letter, list,
                                  NULL);
    qa_sender_lock(sender);
    for (size_t i = 0; i < list->count; i++)
        retry_one(sender, &list->list[i]);
    if (list->count > 0)
        qa_keeper_wake(keeper);
    free_letters(list);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void tend(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    qa_error error = {.status = QA_OK};
    keeper->tend_at_us = qa_clock_add(now_us, TEND_US);
    qa_sender_unlock(sender);
    qa_status status = keeper->engine->tend(keeper->own.spool, &error);
    qa_sender_lock(sender);
    if (status != QA_OK)
        qa_keeper_fail(keeper, &error, now_us);
    qa_keeper_read_gauges(sender);
}

void qa_keeper_page(qa_sender *sender, int64_t now_us) {
    qa_keeper *keeper = sender->keeper;
    if (keeper->own.spool == NULL) {
        keeper->tend_at_us = qa_clock_add(now_us, RETRY_FIRST_US);
        if (keeper->status == QA_SPOOL_FULL) /* what others left may be what fills the disk */
            page_adopted(sender, now_us);
        else
            keeper->adopt_at_us = keeper->tend_at_us;
        return;
    }
    page_adopted(sender, now_us);
    page_own(sender, now_us);
    overtake(sender);
    if (keeper->tend_at_us <= now_us) {
        tend(sender, now_us);
        retry_letters(sender);
    }
}
