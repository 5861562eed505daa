/* config_test.c
 * Configurations: copied, compared field by field, and their secrets replaced.
 * Does not know defaults.
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const qa_error_code_rule rules[] = {{"E1", QA_ACTION_RETRY}, {"E2", QA_ACTION_PAUSE}};

static qa_client_config example(void) {
    return (qa_client_config){.endpoint = "https://host",
                              .path = "/path",
                              .credentials = {"app", "key", "secret"},
                              .organization_id = "org",
                              .access_id = "access",
                              .ca_file = "ca",
                              .proxy = "http://proxy",
                              .user_agent = "agent",
                              .sign_encoding = QA_SIGN_FORM,
                              .batch_events = 1,
                              .batch_bytes = 2,
                              .queue_events = 3,
                              .queue_bytes = 4,
                              .linger_us = 5,
                              .timeout_us = 6,
                              .connect_timeout_us = 7,
                              .retry_base_us = 8,
                              .retry_max_us = 9,
                              .delivery_deadline_us = 10,
                              .commit_interval_us = 11,
                              .close_timeout_us = 12,
                              .max_in_flight = 13,
                              .max_requests_per_second = 14.5,
                              .error_codes = rules,
                              .error_code_count = 2};
}

static void a_copy_is_equal_and_its_own(void **state) {
    (void)state;
    qa_client_config original = example();
    char endpoint[] = "https://host";
    original.endpoint = endpoint;
    qa_error error;
    qa_client_config *copy = qa_config_copy(&original, &error);
    assert_true(qa_config_equal(copy, &original));
    endpoint[8] = 'H';
    assert_string_equal(copy->endpoint, "https://host");
    assert_ptr_not_equal(copy->error_codes[0].code, rules[0].code);
    qa_config_free(copy);
    qa_config_free(NULL);
}

static void absent_texts_stay_absent(void **state) {
    (void)state;
    qa_client_config original = example();
    original.organization_id = original.ca_file = original.proxy = original.user_agent = NULL;
    original.error_codes = NULL;
    original.error_code_count = 0;
    qa_error error;
    qa_client_config *copy = qa_config_copy(&original, &error);
    assert_null(copy->proxy);
    assert_null(copy->error_codes);
    assert_true(qa_config_equal(copy, &original));
    qa_config_free(copy);
}

static void every_field_counts(void **state) {
    (void)state;
    qa_client_config a = example();
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        qa_client_config b = example();                                                            \
        assert_true(qa_config_equal(&a, &b));                                                      \
        change;                                                                                    \
        assert_false(qa_config_equal(&a, &b));                                                     \
        assert_false(qa_config_equal(&b, &a));                                                     \
    } while (0)
    DIFFERS(b.endpoint = "https://hosts");
    DIFFERS(b.path = "/other");
    DIFFERS(b.credentials.app_id = "");
    DIFFERS(b.credentials.access_key = "k");
    DIFFERS(b.credentials.access_secret = "s");
    DIFFERS(b.organization_id = NULL);
    DIFFERS(b.access_id = "a");
    DIFFERS(b.ca_file = NULL);
    DIFFERS(b.proxy = "http://other");
    DIFFERS(b.user_agent = "x");
    DIFFERS(b.sign_encoding = QA_SIGN_NONE);
    DIFFERS(b.batch_events++);
    DIFFERS(b.batch_bytes++);
    DIFFERS(b.queue_events++);
    DIFFERS(b.queue_bytes++);
    DIFFERS(b.linger_us++);
    DIFFERS(b.timeout_us++);
    DIFFERS(b.connect_timeout_us++);
    DIFFERS(b.retry_base_us++);
    DIFFERS(b.retry_max_us++);
    DIFFERS(b.delivery_deadline_us++);
    DIFFERS(b.commit_interval_us++);
    DIFFERS(b.close_timeout_us++);
    DIFFERS(b.max_in_flight++);
    DIFFERS(b.max_requests_per_second = 0);
    DIFFERS(b.error_code_count = 1);
    static const qa_error_code_rule code[] = {{"E3", QA_ACTION_RETRY}, {"E2", QA_ACTION_PAUSE}};
    static const qa_error_code_rule action[] = {{"E1", QA_ACTION_PAUSE}, {"E2", QA_ACTION_PAUSE}};
    DIFFERS(b.error_codes = code);
    DIFFERS(b.error_codes = action);
}

static void credentials_are_replaced_as_a_whole(void **state) {
    (void)state;
    qa_client_config original = example();
    qa_error error;
    qa_client_config *copy = qa_config_copy(&original, &error);
    qa_credentials fresh = {"app2", "key2", "secret2"};
    assert_int_equal(qa_config_set_credentials(copy, &fresh, &error), QA_OK);
    assert_string_equal(copy->credentials.app_id, "app2");
    assert_string_equal(copy->credentials.access_key, "key2");
    assert_string_equal(copy->credentials.access_secret, "secret2");
    assert_ptr_not_equal(copy->credentials.access_secret, fresh.access_secret);
    assert_false(qa_config_equal(copy, &original));
    qa_config_free(copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_equal_and_its_own),
        cmocka_unit_test(absent_texts_stay_absent),
        cmocka_unit_test(every_field_counts),
        cmocka_unit_test(credentials_are_replaced_as_a_whole),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
