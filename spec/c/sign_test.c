/* sign_test.c
 * The signature against the published rules: vectors, encodings, order, and OpenSSL without MD5.
 * Does not know requests.
 * SPDX-License-Identifier: MIT */
#include "sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_MAX = 4096 };

static const qa_sign_input vector = {
    .credentials = {.app_id = "tttt", .access_key = "xxxx", .access_secret = "yyyy"},
    .timestamp = 1708235644862};

/* ---- the canonical text ---- */

static void assert_canonical(const qa_sign_input *input, const char *expected) {
    qa_buf text;
    qa_error error = {0};
    qa_buf_init(&text, TEXT_MAX);
    assert_int_equal(qa_sign_canonical(input, &text, &error), QA_OK);
    assert_string_equal(qa_buf_text(&text), expected);
    qa_buf_free(&text);
}

static void signs_the_vector(void **state) {
    (void)state;
    char signature[QA_SIGN_SIZE];
    qa_error error = {0};
    for (int encoding = QA_SIGN_FORM; encoding <= QA_SIGN_NONE; encoding++) {
        qa_sign_input input = vector;
        input.encoding = (qa_sign_encoding)encoding;
        assert_int_equal(qa_sign(&input, signature, &error), QA_OK);
        assert_string_equal(signature, "482898c9c725580c190c4df6b806f59e");
        assert_canonical(&input,
                         "accessKey=xxxx&accessSecret=***&appId=tttt&timestamp=1708235644862");
    }
}

/* Computed with the md5sum command over the canonical text. */
static void signs_what_needs_encoding(void **state) {
    (void)state;
    char signature[QA_SIGN_SIZE];
    qa_sign_input input = vector;
    input.credentials.access_secret = "a b+/~*\xC3\xBC";
    assert_int_equal(qa_sign(&input, signature, NULL), QA_OK);
    assert_string_equal(signature, "efa2e31c4dc8ec0fb99ca602454503f9");
    input.encoding = QA_SIGN_RFC3986;
    assert_int_equal(qa_sign(&input, signature, NULL), QA_OK);
    assert_string_equal(signature, "971786337933683b38b45de3a9cb617b");
    input.encoding = QA_SIGN_NONE;
    assert_int_equal(qa_sign(&input, signature, NULL), QA_OK);
    assert_string_equal(signature, "f9ff857fc6a9cb8cd44515c8f2734971");
}

static void encodes_each_byte_by_its_rule(void **state) {
    (void)state;
    qa_sign_input input = {
        .credentials = {.app_id = "azAZ09-._~*",
                        .access_key = " +/=&%\x01\x7F",
                        .access_secret = ""},
        .timestamp = -1};
    input.encoding = QA_SIGN_FORM;
    assert_canonical(&input, "accessKey=+%2B%2F%3D%26%25%01%7F&accessSecret=***"
                             "&appId=azAZ09-._%7E*&timestamp=-1");
    input.encoding = QA_SIGN_RFC3986;
    assert_canonical(&input, "accessKey=%20%2B%2F%3D%26%25%01%7F&accessSecret=***"
                             "&appId=azAZ09-._~%2A&timestamp=-1");
    input.encoding = QA_SIGN_NONE;
    assert_canonical(&input, "accessKey= +/=&%\x01\x7F&accessSecret=***"
                             "&appId=azAZ09-._~*&timestamp=-1");
    input.encoding = QA_SIGN_FORM;
    input.credentials.app_id = "\xE5\xAE\xA2\xF0\x9F\x98\x80\xFF";
    input.credentials.access_key = "";
    assert_canonical(&input, "accessKey=&accessSecret=***"
                             "&appId=%E5%AE%A2%F0%9F%98%80%FF&timestamp=-1");
}

static void sorts_by_the_bytes_of_names(void **state) {
    (void)state;
    const qa_sign_param params[] = {
        {"zeta", "1"}, {"\xC3\xA4", "2"}, {"Zeta", "3"}, {"access", "4"}, {"appIdx", "5"},
        {"", "6"}, {"a b", "7"}};
    qa_sign_input input = vector;
    input.params = params;
    input.param_count = sizeof params / sizeof params[0];
    assert_canonical(&input,
                     "=6&Zeta=3&a+b=7&access=4&accessKey=xxxx&accessSecret=***&appId=tttt"
                     "&appIdx=5&timestamp=1708235644862&zeta=1&%C3%A4=2");
}

static void takes_as_many_parameters_as_it_says(void **state) {
    (void)state;
    char names[QA_SIGN_PARAMS_MAX + 1][4];
    qa_sign_param params[QA_SIGN_PARAMS_MAX + 1];
    char signature[QA_SIGN_SIZE];
    qa_error error = {0};
    qa_sign_input input = vector;
    for (int i = 0; i <= QA_SIGN_PARAMS_MAX; i++) {
        names[i][0] = (char)('a' + i / 26);
        names[i][1] = (char)('a' + i % 26);
        names[i][2] = '\0';
        params[i] = (qa_sign_param){names[i], "v"};
    }
    input.params = params;
    input.param_count = QA_SIGN_PARAMS_MAX;
    assert_int_equal(qa_sign(&input, signature, &error), QA_OK);
    input.param_count++;
    assert_int_equal(qa_sign(&input, signature, &error), QA_CONFIG);
    assert_string_equal(error.message, "sign.params: more than 64");
    assert_string_equal(signature, "");
}

/* ---- refusals ---- */

static void refuses(const qa_sign_input *input, const char *message) {
    char signature[QA_SIGN_SIZE] = "left over";
    qa_error error = {0};
    qa_buf text;
    assert_int_equal(qa_sign(input, signature, &error), QA_CONFIG);
    assert_string_equal(error.message, message);
    assert_string_equal(signature, "");
    qa_buf_init(&text, TEXT_MAX);
    assert_int_equal(qa_sign_canonical(input, &text, NULL), QA_CONFIG);
    assert_int_equal(text.length, 0);
    qa_buf_free(&text);
}

static void refuses_what_is_missing_or_twice(void **state) {
    (void)state;
    qa_sign_input input = vector;
    qa_sign_param params[] = {{"a", "1"}, {"a", "2"}};
    input.param_count = 2;
    refuses(&input, "sign.params: missing");
    input.params = params;
    refuses(&input, "sign.params: 'a' stands twice");
    params[1].name = "timestamp";
    refuses(&input, "sign.params: 'timestamp' stands twice");
    params[1].name = "accessSecret";
    refuses(&input, "sign.params: 'accessSecret' stands twice");
    params[1] = (qa_sign_param){"b", NULL};
    refuses(&input, "sign.b: missing");
    params[1] = (qa_sign_param){NULL, "b"};
    refuses(&input, "sign.params: missing");
    input = vector;
    input.credentials.access_key = NULL;
    refuses(&input, "sign.accessKey: missing");
    input = vector;
    input.credentials.access_secret = NULL;
    char signature[QA_SIGN_SIZE];
    assert_int_equal(qa_sign(&input, signature, NULL), QA_CONFIG);
}

static void refuses_endless_values(void **state) {
    (void)state;
    enum { LENGTH = 1024 * 1024 };
    qa_sign_input input = vector;
    char *value = malloc(LENGTH + 1);
    assert_non_null(value);
    memset(value, 'a', LENGTH);
    value[LENGTH] = '\0';
    const qa_sign_param params[] = {{"a", value}};
    input.params = params;
    input.param_count = 1;
    refuses(&input, "sign.params: too long");
    free(value);
}

static void tells_when_the_text_does_not_fit(void **state) {
    (void)state;
    qa_error error = {0};
    qa_buf text;
    qa_buf_init(&text, 20);
    assert_int_equal(qa_sign_canonical(&vector, &text, &error), QA_QUEUE_FULL);
    assert_string_equal(error.message, "sign: no room for the text");
    qa_buf_free(&text);
}

/* ---- the query ---- */

static void writes_the_query_without_the_secret(void **state) {
    (void)state;
    qa_sign_input input = {
        .credentials = {.app_id = "a b&c", .access_key = "k+/~*", .access_secret = "s"},
        .timestamp = 1708235644862,
        .encoding = QA_SIGN_NONE};
    qa_buf query;
    qa_buf_init(&query, TEXT_MAX);
    qa_buf_put_char(&query, '?');
    qa_sign_query(&input, &query);
    assert_string_equal(qa_buf_text(&query),
                        "?appId=a%20b%26c&timestamp=1708235644862&accessKey=k%2B%2F~%2A");
    qa_buf_free(&query);
}

/* ---- OpenSSL ---- */

static void finds_md5_here(void **state) {
    (void)state;
    qa_error error = {0};
    assert_int_equal(qa_sign_available(&error), QA_OK);
    assert_int_equal(qa_sign_available(NULL), QA_OK);
    assert_string_equal(error.message, "");
}

/* As in FIPS mode: algorithms are asked for with `fips=yes`, which MD5 never has. */
static void says_so_when_openssl_refuses_md5(void **state) {
    (void)state;
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    static const char words[] = "sign: this OpenSSL refuses MD5, which the service's signature "
                                "needs (FIPS mode?)";
    char signature[QA_SIGN_SIZE] = "left over";
    qa_error error = {0};
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 1);
    unsigned long hosts_error = ERR_peek_last_error();
    assert_int_equal(EVP_default_properties_enable_fips(NULL, 1), 1);
    qa_status available = qa_sign_available(&error);
    qa_status status = qa_sign(&vector, signature, NULL);
    assert_int_equal(EVP_default_properties_enable_fips(NULL, 0), 1);
    assert_int_equal(available, QA_CONFIG);
    assert_string_equal(error.message, words);
    assert_false(error.retriable);
    assert_int_equal(status, QA_CONFIG);
    assert_string_equal(signature, "");
    assert_int_equal(ERR_get_error(), hosts_error);
    assert_int_equal(ERR_get_error(), 0);
    assert_int_equal(qa_sign_available(NULL), QA_OK);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_the_vector),
        cmocka_unit_test(signs_what_needs_encoding),
        cmocka_unit_test(encodes_each_byte_by_its_rule),
        cmocka_unit_test(sorts_by_the_bytes_of_names),
        cmocka_unit_test(takes_as_many_parameters_as_it_says),
        cmocka_unit_test(refuses_what_is_missing_or_twice),
        cmocka_unit_test(refuses_endless_values),
        cmocka_unit_test(tells_when_the_text_does_not_fit),
        cmocka_unit_test(writes_the_query_without_the_secret),
        cmocka_unit_test(finds_md5_here),
        cmocka_unit_test(says_so_when_openssl_refuses_md5),
    };
    return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
