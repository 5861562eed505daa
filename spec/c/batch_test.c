/* batch_test.c
 * Batches: formed from chunks, cut in halves, aged, and spelled out as pieces.
 * Does not know senders or answers.
 * SPDX-License-Identifier: MIT */
#include "batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE = 1000 };

/* A closed chunk of events "aN", "aN+1", …, opened at `opened_us`. */
static qa_chunk *add(qa_queue *queue, int from, int events, int64_t opened_us) {
    qa_chunk *chunk = qa_chunk_new(0);
    for (int i = 0; i < events; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "a%d", from + i);
        assert_true(qa_chunk_append(chunk, text, (size_t)length, 1));
    }
    chunk->opened_us = opened_us;
    qa_queue_add(queue, chunk);
    qa_queue_ready(queue, chunk);
    return chunk;
}

static qa_batch *take(qa_queue *queue, uint64_t max_events, uint64_t max_bytes) {
    bool no_memory;
    qa_batch *batch = qa_batch_take(queue, max_events, max_bytes, DEADLINE, &no_memory);
    assert_false(no_memory);
    return batch;
}

static void expect_list(const qa_batch *batch, const char *expected) {
    char text[4096] = "";
    qa_slice pieces[64];
    size_t count = qa_batch_piece_count(batch), length = 0;
    assert_true(count <= 64);
    qa_batch_pieces(batch, pieces);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + length, pieces[i].data, pieces[i].length);
        length += pieces[i].length;
    }
    text[length] = '\0';
    for (size_t i = 0; i < length; i++) /* one line is easier to compare */
        text[i] = text[i] == '\n' ? ' ' : text[i];
    assert_string_equal(text, expected);
    assert_int_equal(length, batch->bytes);
}

static void end_all(qa_queue *queue) {
    qa_queue_free(queue);
}

static void chunks_are_put_together_while_they_fit(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    assert_null(take(&queue, 10, 1000));
    add(&queue, 0, 3, 5);
    add(&queue, 3, 2, 7);
    add(&queue, 5, 1, 9);
    qa_batch *batch = take(&queue, 5, 1000);
    expect_list(batch, "[a0, a1, a2, a3, a4]");
    assert_int_equal(batch->events, 5);
    assert_int_equal(batch->expires_us, 5 + DEADLINE);
    qa_batch_free(batch);
    batch = take(&queue, 5, 1000);
    expect_list(batch, "[a5]");
    qa_batch_free(batch);
    end_all(&queue);
}

static void bytes_limit_it_brackets_included(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    add(&queue, 0, 2, 0); /* "a0,\na1": 6 */
    add(&queue, 2, 2, 0);
    qa_batch *batch = take(&queue, 10, 16);
    expect_list(batch, "[a0, a1, a2, a3]");
    qa_batch_free(batch);
    add(&queue, 0, 2, 0);
    add(&queue, 2, 2, 0);
    batch = take(&queue, 10, 15);
    expect_list(batch, "[a0, a1]");
    qa_batch_free(batch);
    end_all(&queue);
}

static void a_chunk_over_a_limit_is_used_up_piece_by_piece(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    qa_chunk *chunk = add(&queue, 0, 5, 0);
    qa_batch *batch = take(&queue, 2, 1000);
    expect_list(batch, "[a0, a1]");
    qa_batch_free(batch);
    batch = take(&queue, 10, 8);
    expect_list(batch, "[a2, a3]");
    qa_batch_free(batch);
    assert_int_equal(chunk->taken_events, 4);
    batch = take(&queue, 10, 1); /* one event goes, however small the limit */
    expect_list(batch, "[a4]");
    qa_batch_free(batch);
    assert_null(take(&queue, 10, 10));
    end_all(&queue);
}

static void a_batch_is_cut_in_the_middle(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    add(&queue, 0, 3, 0);
    add(&queue, 3, 2, 0);
    qa_batch *batch = take(&queue, 10, 1000);
    batch->attempts = 3;
    batch->possibly_stored = true;
    qa_batch *half = qa_batch_split(batch);
    expect_list(batch, "[a0, a1, a2]");
    expect_list(half, "[a3, a4]");
    assert_ptr_equal(batch->sibling, half);
    assert_ptr_equal(half->sibling, batch);
    assert_int_equal(half->attempts, 3);
    assert_true(half->possibly_stored);
    assert_int_equal(half->depth, 1);
    qa_batch *quarter = qa_batch_split(batch);
    expect_list(batch, "[a0, a1]");
    expect_list(quarter, "[a2]");
    assert_null(half->sibling); /* the other one has a sibling of its own now */
    assert_null(qa_batch_split(quarter));
    assert_int_equal(quarter->depth, 2);
    qa_batch_free(batch);
    assert_null(quarter->sibling);
    qa_batch_free(quarter);
    qa_batch_free(half);
    qa_batch_free(NULL);
    end_all(&queue);
}

static void every_size_can_be_cut_down_to_single_events(void **state) {
    (void)state;
    for (int events = 2; events <= 40; events++) {
        qa_queue queue;
        qa_queue_init(&queue, 1000, 100000);
        for (int at = 0, size = 1; at < events; at += size, size = size % 3 + 1)
            add(&queue, at, at + size > events ? events - at : size, 0);
        qa_batch_list list = {NULL, NULL, 0};
        qa_batch_list_push(&list, take(&queue, 1000, 100000));
        int expected = 0;
        while (list.first != NULL) {
            qa_batch *batch = list.first;
            qa_batch *half = qa_batch_split(batch);
            if (half != NULL) {
                qa_batch_list_after(&list, batch, half);
                continue;
            }
            char text[20];
            snprintf(text, sizeof text, "[a%d]", expected++);
            expect_list(batch, text);
            qa_batch_list_remove(&list, batch);
            qa_batch_free(batch);
        }
        assert_int_equal(expected, events);
        assert_int_equal(list.count, 0);
        end_all(&queue);
    }
}

static void count_expired(void *context, qa_batch *batch, const qa_batch_slice *slice) {
    (void)batch;
    *(uint32_t *)context += slice->events;
}

static void only_slices_that_are_too_old_are_taken_out(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    add(&queue, 0, 3, 10);
    add(&queue, 3, 2, 20);
    qa_batch *batch = take(&queue, 10, 1000);
    uint32_t expired = 0;
    assert_int_equal(qa_batch_expire(batch, 9 + DEADLINE, DEADLINE, count_expired, &expired), 0);
    assert_int_equal(qa_batch_expire(batch, 10 + DEADLINE, DEADLINE, count_expired, &expired), 3);
    assert_int_equal(expired, 3);
    expect_list(batch, "[a3, a4]");
    assert_int_equal(batch->expires_us, 20 + DEADLINE);
    assert_int_equal(qa_batch_expire(batch, 20 + DEADLINE, DEADLINE, count_expired, &expired), 2);
    assert_int_equal(batch->events, 0);
    qa_batch_free(batch);
    end_all(&queue);
}

static void a_list_keeps_batches_by_age(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 1000, 100000);
    qa_batch *batches[4];
    for (int i = 0; i < 4; i++) {
        add(&queue, i, 1, 0);
        batches[i] = take(&queue, 1, 1000);
    }
    static const int order[] = {2, 0, 3, 1};
    qa_batch_list list = {NULL, NULL, 0};
    for (int i = 0; i < 4; i++)
        qa_batch_list_insert(&list, batches[order[i]]);
    assert_int_equal(list.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(list.first, batches[i]);
        qa_batch_list_remove(&list, batches[i]);
        qa_batch_free(batches[i]);
    }
    assert_null(list.last);
    end_all(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_put_together_while_they_fit),
        cmocka_unit_test(bytes_limit_it_brackets_included),
        cmocka_unit_test(a_chunk_over_a_limit_is_used_up_piece_by_piece),
        cmocka_unit_test(a_batch_is_cut_in_the_middle),
        cmocka_unit_test(every_size_can_be_cut_down_to_single_events),
        cmocka_unit_test(only_slices_that_are_too_old_are_taken_out),
        cmocka_unit_test(a_list_keeps_batches_by_age),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
