/* response_test.c
 * Answers of the service, as documented, as seen, and as nobody should send them.
 * Does not know HTTP.
 * SPDX-License-Identifier: MIT */
#include "response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static qa_response parse(const char *body) {
    qa_response response;
    qa_error error = {0};
    memset(&response, 0xFF, sizeof response);
    assert_int_equal(qa_response_parse(body, strlen(body), &response, &error), QA_OK);
    assert_string_equal(error.message, "");
    return response;
}

static void refuses_bytes(const char *body, size_t length, const char *message) {
    qa_response response;
    qa_error error = {0};
    memset(&response, 0xFF, sizeof response);
    assert_int_equal(qa_response_parse(body, length, &response, &error), QA_BAD_RESPONSE);
    assert_int_equal(qa_response_parse(body, length, &response, NULL), QA_BAD_RESPONSE);
    if (message != NULL)
        assert_string_equal(error.message, message);
    assert_true(error.retriable);
    assert_false(response.success);
    assert_string_equal(response.trace_id, "");
    assert_string_equal(response.code, "");
    assert_string_equal(response.desc, "");
}

static void refuses(const char *body, const char *message) {
    refuses_bytes(body, strlen(body), message);
}

/* ---- what is accepted ---- */

static void reads_the_documented_answer(void **state) {
    (void)state;
    qa_response response = parse("{\"traceId\":\"0a1b\",\"errorCode\":null,\"errorDesc\":null,"
                                 "\"success\":true,\"data\":true}");
    assert_true(response.success);
    assert_string_equal(response.trace_id, "0a1b");
    assert_string_equal(response.code, "");
    assert_string_equal(response.desc, "");
    response = parse(" {\n\"success\":false,\"errorCode\":\"E1\","
                     "\"errorDesc\":\"no \\\"event\\\"\",\"traceId\":\"t\"}\r\n");
    assert_false(response.success);
    assert_string_equal(response.trace_id, "t");
    assert_string_equal(response.code, "E1");
    assert_string_equal(response.desc, "no \"event\"");
}

static void decides_by_success_and_data(void **state) {
    (void)state;
    assert_true(parse("{\"success\":true}").success);
    assert_true(parse("{\"success\":true,\"data\":null}").success);
    assert_true(parse("{\"success\":true,\"data\":\"true\"}").success);
    assert_false(parse("{\"success\":true,\"data\":false}").success);
    assert_false(parse("{\"success\":true,\"data\":\"false\"}").success);
    assert_false(parse("{\"success\":false,\"data\":true}").success);
    assert_false(parse("{\"success\":false,\"data\":\"true\"}").success);
}

static void ignores_members_it_does_not_know(void **state) {
    (void)state;
    assert_true(parse("{\"success\":true,\"httpStatus\":200,"
                      "\"more\":{\"success\":false}}").success);
}

static void takes_a_number_for_the_code(void **state) {
    (void)state;
    assert_string_equal(parse("{\"success\":false,\"errorCode\":40012}").code, "40012");
    assert_string_equal(parse("{\"success\":false,\"errorCode\":-9223372036854775808}").code,
                        "-9223372036854775808");
}

/* ---- texts ---- */

static void replaces_control_characters(void **state) {
    (void)state;
    qa_response response = parse("{\"success\":true,\"errorDesc\":"
                                 "\"a\\n\\u001b[1m\\u007f\\u0085\\u009f\\u00a0z\","
                                 "\"traceId\":\"\\t\"}");
    assert_string_equal(response.desc, "a  [1m   \xC2\xA0z");
    assert_string_equal(response.trace_id, " ");
}

/* With each offset the cut falls on another byte of a character. */
static void cuts_texts_at_a_whole_character(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t kind = 0; kind < 4; kind++) {
        for (int offset = 0; offset < 4; offset++) {
            char text[4 * QA_RESPONSE_DESC_MAX] = "";
            char body[sizeof text + 64];
            while (strlen(text) < 2 * QA_RESPONSE_DESC_MAX)
                strcat(text, characters[kind]);
            (void)snprintf(body, sizeof body, "{\"success\":true,\"errorDesc\":\"%.*s%s\"}", offset,
                           "aaa", text);
            qa_response response = parse(body);
            size_t room = QA_RESPONSE_DESC_MAX - 1 - (size_t)offset;
            size_t expected = (size_t)offset + room - room % strlen(characters[kind]);
            assert_int_equal(strlen(response.desc), expected);
            assert_memory_equal(response.desc + offset, text, expected - (size_t)offset);
        }
    }
}

static void keeps_texts_that_just_fit(void **state) {
    (void)state;
    char trace[QA_RESPONSE_TRACE_MAX + 1];
    char body[256];
    memset(trace, 't', sizeof trace - 1);
    trace[sizeof trace - 1] = '\0';
    (void)snprintf(body, sizeof body, "{\"success\":true,\"traceId\":\"%s\"}", trace + 1);
    assert_string_equal(parse(body).trace_id, trace + 1);
    (void)snprintf(body, sizeof body, "{\"success\":true,\"traceId\":\"%s\"}", trace);
    assert_string_equal(parse(body).trace_id, trace + 1);
}

/* ---- what is refused ---- */

static void refuses_other_types(void **state) {
    (void)state;
    refuses("{}", "response.success: missing");
    refuses("{\"success\":null}", "response.success: expected a boolean, found null");
    refuses("{\"success\":\"true\"}", "response.success: expected a boolean, found a string");
    refuses("{\"success\":1}", "response.success: expected a boolean, found a number");
    refuses("{\"success\":1.5}", "response.success: expected a boolean, found a number");
    refuses("{\"success\":[]}", "response.success: expected a boolean, found an array");
    refuses("{\"success\":true,\"data\":{}}",
            "response.data: expected true or false, found an object");
    refuses("{\"success\":true,\"data\":0}",
            "response.data: expected true or false, found a number");
    refuses("{\"success\":true,\"data\":\"yes\"}",
            "response.data: expected true or false, found another string");
    refuses("{\"success\":true,\"traceId\":7}",
            "response.traceId: expected a string, found a number");
    refuses("{\"success\":true,\"traceId\":\"t\",\"errorCode\":\"E\",\"errorDesc\":false}",
            "response.errorDesc: expected a string, found a boolean");
    refuses("{\"success\":false,\"errorCode\":1.5}",
            "response.errorCode: expected a string, found a number");
}

static void refuses_what_is_no_object(void **state) {
    (void)state;
    refuses("[]", "response: expected an object, found an array");
    refuses("true", "response: expected an object, found a boolean");
    refuses("null", "response: expected an object, found null");
    refuses("\"{}\"", "response: expected an object, found a string");
    refuses("7", "response: expected an object, found a number");
}

static void refuses_what_is_no_json(void **state) {
    (void)state;
    refuses_bytes(NULL, 0, "response: empty");
    refuses_bytes("", 0, "response: empty");
    refuses("<html>\n", "response: not json: invalid token near '<' at line 1");
    refuses(" \n ", NULL);
    refuses("{\"success\":true", NULL);
    refuses("{\"success\":true}x", NULL);
    refuses("{\"success\":true}{\"success\":true}", NULL);
    refuses("{\"success\":true,}", NULL);
    refuses("{'success':true}", NULL);
    refuses("{\"success\":tru\n", NULL);
    refuses("{\"success\":true,\"a\":\"\xFF\"}", NULL);
    refuses("{\"success\":true,\"a\":\"\\ud800\"}", NULL);
    refuses("{\"success\":true,\"a\":1e999}", NULL);
    refuses("{\"success\":true,\"success\":true}",
            "response: not json: duplicate object key near '\"success\"' at line 1");
}

static void refuses_zero_bytes(void **state) {
    (void)state;
    refuses_bytes("{\"success\":true}\0", 17, NULL);
    refuses_bytes("\0{\"success\":true}", 17, NULL);
    refuses_bytes("{\"success\":true,\"traceId\":\"a\0b\"}", 32, NULL);
    refuses("{\"success\":true,\"traceId\":\"a\\u0000b\"}", NULL);
}

static void refuses_endless_nesting(void **state) {
    (void)state;
    enum { DEPTH = 100 * 1000 };
    char *body = malloc(DEPTH);
    assert_non_null(body);
    memset(body, '[', DEPTH);
    refuses_bytes(body, DEPTH, NULL);
    free(body);
}

/* The message shows a little of the body at most, and nothing that a log could stumble over. */
static void keeps_messages_short_and_clean(void **state) {
    (void)state;
    enum { LENGTH = 10000 };
    qa_response response;
    qa_error error = {0};
    char *body = malloc(LENGTH);
    assert_non_null(body);
    memset(body, 'x', LENGTH);
    assert_int_equal(qa_response_parse(body, LENGTH, &response, &error), QA_BAD_RESPONSE);
    assert_in_range(strlen(error.message), 20, 220);
    assert_int_equal(qa_response_parse("\x1B[31m", 5, &response, &error), QA_BAD_RESPONSE);
    for (const char *c = error.message; *c != '\0'; c++)
        assert_true((unsigned char)*c >= ' ');
    free(body);
}

static void parses_up_to_its_cap(void **state) {
    (void)state;
    static const char start[] = "{\"success\":true}";
    qa_response response;
    char *body = malloc(QA_RESPONSE_MAX + 1);
    assert_non_null(body);
    memset(body, ' ', QA_RESPONSE_MAX + 1);
    memcpy(body, start, sizeof start - 1);
    assert_int_equal(qa_response_parse(body, QA_RESPONSE_MAX, &response, NULL), QA_OK);
    assert_true(response.success);
    refuses_bytes(body, QA_RESPONSE_MAX + 1, "response: over 1048576 bytes");
    free(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_documented_answer),
        cmocka_unit_test(decides_by_success_and_data),
        cmocka_unit_test(ignores_members_it_does_not_know),
        cmocka_unit_test(takes_a_number_for_the_code),
        cmocka_unit_test(replaces_control_characters),
        cmocka_unit_test(cuts_texts_at_a_whole_character),
        cmocka_unit_test(keeps_texts_that_just_fit),
        cmocka_unit_test(refuses_other_types),
        cmocka_unit_test(refuses_what_is_no_object),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(refuses_zero_bytes),
        cmocka_unit_test(refuses_endless_nesting),
        cmocka_unit_test(keeps_messages_short_and_clean),
        cmocka_unit_test(parses_up_to_its_cap),
    };
    return cmocka_run_group_tests_name("response", tests, NULL, NULL);
}
