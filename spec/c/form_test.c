/* form_test.c
 * The multipart form of a request's body, byte for byte.
 * Does not know HTTP.
 * SPDX-License-Identifier: MIT */
#include "form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define CAP 4096

static const qa_slice pieces[] = {{"[", 1}, {"", 0}, {"{},\n", 4}, {NULL, 0}, {"{}]", 3}};

static void puts_both_fields(void **state) {
    (void)state;
    char expected[CAP];
    qa_buf out;
    int length = snprintf(expected, sizeof expected,
                          "--%s\r\nContent-Disposition: form-data; name=\"accessId\"\r\n\r\n"
                          "org-1\r\n"
                          "--%s\r\nContent-Disposition: form-data; "
                          "name=\"eventMessageModelListJson\"\r\n\r\n[{},\n{}]\r\n--%s--\r\n",
                          QA_FORM_BOUNDARY, QA_FORM_BOUNDARY, QA_FORM_BOUNDARY);
    qa_buf_init(&out, CAP);
    assert_int_equal(qa_form_put(&out, "org-1", pieces, 5, NULL), QA_OK);
    assert_int_equal(out.length, length);
    assert_memory_equal(out.data, expected, out.length);
    qa_buf_free(&out);
}

static void an_empty_list_is_an_empty_field(void **state) {
    (void)state;
    static const char end[] = "\r\n\r\n\r\n--" QA_FORM_BOUNDARY "--\r\n";
    qa_buf out;
    qa_buf_init(&out, CAP);
    assert_int_equal(qa_form_put(&out, "", NULL, 0, NULL), QA_OK);
    assert_memory_equal(out.data + out.length - (sizeof end - 1), end, sizeof end - 1);
    qa_buf_free(&out);
}

/* Else it could end its field and start another. */
static void an_access_id_has_one_line(void **state) {
    (void)state;
    static const char *const ids[] = {"a\r", "\nb", "a\r\n--" QA_FORM_BOUNDARY "--"};
    qa_buf out;
    qa_buf_init(&out, CAP);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        qa_error error;
        assert_int_equal(qa_form_put(&out, ids[i], pieces, 5, &error), QA_CONFIG);
        assert_string_equal(error.message, "request.access_id: has more than one line");
        assert_int_equal(out.length, 0);
    }
    qa_buf_free(&out);
}

/* The second sum would wrap round to a small one. */
static void too_much_is_refused(void **state) {
    (void)state;
    static const qa_slice huge[] = {{"", SIZE_MAX}, {"", SIZE_MAX}};
    for (size_t count = 1; count <= 2; count++) {
        qa_error error;
        qa_buf out;
        qa_buf_init(&out, CAP);
        assert_int_equal(qa_form_put(&out, "org-1", huge, count, &error), QA_CONFIG);
        assert_string_equal(error.message, "request.pieces: over 4096 bytes");
        assert_int_equal(out.length, 0);
        qa_buf_free(&out);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(puts_both_fields),
        TEST(an_empty_list_is_an_empty_field),
        TEST(an_access_id_has_one_line),
        TEST(too_much_is_refused),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
