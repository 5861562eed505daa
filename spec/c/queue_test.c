/* queue_test.c
 * The queue: its bounds, its order, its marks.
 * Does not know senders.
 * SPDX-License-Identifier: MIT */
#include "queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static qa_chunk *add(qa_queue *queue, uint32_t events) {
    qa_chunk *chunk = qa_chunk_new(0);
    for (uint32_t i = 0; i < events; i++)
        assert_true(qa_chunk_append(chunk, "12345678", 8, 1));
    qa_queue_add(queue, chunk);
    return chunk;
}

static void it_refuses_at_either_bound_with_figures(void **state) {
    (void)state;
    qa_queue queue;
    qa_error error;
    qa_queue_init(&queue, 10, 100);
    assert_int_equal(qa_queue_admit(&queue, 10, 100, &error), QA_OK);
    assert_int_equal(qa_queue_admit(&queue, 11, 1, &error), QA_QUEUE_FULL);
    assert_string_equal(error.message,
                        "queue: full: 0 of 10 events wait, no room for 11 more");
    assert_int_equal(qa_queue_admit(&queue, 1, 101, &error), QA_QUEUE_FULL);
    assert_string_equal(error.message,
                        "queue: full: 0 of 100 bytes wait, no room for 101 more");
    add(&queue, 5);
    assert_int_equal(queue.bytes, 48);
    assert_int_equal(qa_queue_admit(&queue, 5, 52, &error), QA_OK);
    assert_int_equal(qa_queue_admit(&queue, 6, 52, &error), QA_QUEUE_FULL);
    assert_int_equal(qa_queue_admit(&queue, 5, 53, &error), QA_QUEUE_FULL);
    qa_queue_free(&queue);
    assert_int_equal(queue.events, 0);
}

static void bytes_are_held_until_the_last_event_of_a_chunk_has_ended(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 100, 1000);
    qa_chunk *chunk = add(&queue, 3);
    assert_false(qa_queue_end(&queue, chunk, 2));
    assert_int_equal(queue.events, 1);
    assert_int_equal(queue.bytes, 28);
    assert_true(qa_queue_end(&queue, chunk, 1));
    assert_int_equal(queue.events, 0);
    assert_int_equal(queue.bytes, 0);
    assert_null(queue.oldest);
    qa_chunk_free(chunk);
    qa_queue_free(&queue);
}

static void a_mark_is_passed_when_all_before_it_have_ended(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 100, 1000);
    assert_int_equal(qa_queue_mark(&queue), 0);
    assert_true(qa_queue_passed(&queue, 0));
    qa_chunk *chunks[3] = {add(&queue, 1), add(&queue, 2), add(&queue, 4)};
    uint64_t mark = qa_queue_mark(&queue);
    qa_chunk *later = add(&queue, 8);
    assert_int_equal(qa_queue_remaining(&queue, mark), 7);
    /* Not in their order: the one in the middle, then the outer ones. */
    static const int order[] = {1, 0, 2};
    static const uint32_t left[] = {5, 4, 0};
    for (int i = 0; i < 3; i++) {
        assert_false(qa_queue_passed(&queue, mark));
        assert_true(qa_queue_end(&queue, chunks[order[i]], chunks[order[i]]->live));
        qa_chunk_free(chunks[order[i]]);
        assert_int_equal(qa_queue_remaining(&queue, mark), left[i]);
    }
    assert_true(qa_queue_passed(&queue, mark));
    assert_ptr_equal(queue.oldest, later);
    assert_ptr_equal(queue.newest, later);
    qa_queue_free(&queue);
}

static void ready_chunks_leave_in_the_order_they_came(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 100, 1000);
    qa_chunk *first = add(&queue, 1), *second = add(&queue, 1);
    qa_queue_ready(&queue, second);
    qa_queue_ready(&queue, first);
    assert_ptr_equal(queue.first_ready, second);
    qa_queue_pop_ready(&queue);
    assert_ptr_equal(queue.first_ready, first);
    qa_queue_pop_ready(&queue);
    assert_null(queue.first_ready);
    qa_queue_ready(&queue, second);
    assert_ptr_equal(queue.first_ready, second);
    assert_ptr_equal(queue.last_ready, second);
    qa_queue_free(&queue);
}

static void a_few_chunks_are_kept_for_reuse(void **state) {
    (void)state;
    qa_queue queue;
    qa_queue_init(&queue, 100, 1000);
    qa_chunk *chunk = qa_queue_new_chunk(&queue, 5000);
    assert_true(chunk->capacity >= 5000);
    assert_true(qa_chunk_append(chunk, "12345678", 8, 1));
    qa_queue_add(&queue, chunk);
    assert_true(qa_queue_end(&queue, chunk, 1));
    qa_queue_recycle(&queue, chunk);
    assert_int_equal(queue.spare_count, 1);
    qa_chunk *larger = qa_queue_new_chunk(&queue, 5001);
    qa_chunk *far_smaller = qa_queue_new_chunk(&queue, 300);
    assert_ptr_not_equal(larger, chunk); /* too small for it */
    assert_true(far_smaller->capacity < 1000); /* too large to be wasted on it */
    qa_chunk *again = qa_queue_new_chunk(&queue, 4000);
    assert_ptr_equal(again, chunk);
    assert_int_equal(again->length + again->events + again->live, 0);
    assert_int_equal(queue.spare_count, 0);
    qa_chunk_free(larger);
    qa_chunk_free(far_smaller);
    qa_chunk_free(again);
    for (int i = 0; i < 100; i++)
        qa_queue_recycle(&queue, qa_chunk_new(1000));
    assert_true(queue.spare_count <= 8);
    size_t spares = queue.spare_count;
    qa_queue_free(&queue);
    qa_queue_recycle(&queue, qa_chunk_new(10 * 1000 * 1000)); /* too much to keep */
    assert_int_equal(queue.spare_count, 0);
    assert_true(spares > 0);
    qa_queue_free(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_refuses_at_either_bound_with_figures),
        cmocka_unit_test(bytes_are_held_until_the_last_event_of_a_chunk_has_ended),
        cmocka_unit_test(a_mark_is_passed_when_all_before_it_have_ended),
        cmocka_unit_test(a_few_chunks_are_kept_for_reuse),
        cmocka_unit_test(ready_chunks_leave_in_the_order_they_came),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
