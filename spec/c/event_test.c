/* event_test.c
 * The event writer: what it writes is what Jansson reads, and a failed event leaves nothing behind.
 * Does not know Lua; how tables are walked is tested from there.
 * SPDX-License-Identifier: MIT */
#include "event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define TEXT(literal) (literal), sizeof(literal) - 1

static const int64_t NOON = 1708235644862;

typedef struct fixture {
    qa_buf out;
    qa_event_defaults *defaults;
    qa_error error;
    qa_event event;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    qa_buf_init(&f->out, 4096);
    f->defaults = qa_event_defaults_new();
    assert_non_null(f->defaults);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    qa_buf_free(&f->out);
    qa_event_defaults_free(f->defaults);
    free(f);
    return 0;
}

static void begin(fixture *f) {
    qa_event_begin(&f->event, &f->out, f->defaults, "event", &f->error);
}

/* An event with all that is required, still open. */
static void begin_complete(fixture *f) {
    begin(f);
    qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customer_id", TEXT("u-42"));
    qa_event_text(&f->event, QA_FIELD_EVENT_CODE, "event_code", TEXT("pay_order"));
    qa_event_time(&f->event, "event_time", NOON);
}

static json_t *end_and_read(fixture *f) {
    if (qa_event_end(&f->event) != QA_OK)
        fail_msg("%s", f->error.message);
    json_error_t error;
    json_t *read = json_loadb(f->out.data, f->out.length, JSON_REJECT_DUPLICATES, &error);
    if (read == NULL)
        fail_msg("%s in %.*s", error.text, (int)f->out.length, f->out.data);
    return read;
}

static void assert_reads(fixture *f, const char *expected) {
    json_t *read = end_and_read(f);
    json_t *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(read, wanted))
        fail_msg("%.*s", (int)f->out.length, f->out.data);
    json_decref(read);
    json_decref(wanted);
}

static void assert_fails(fixture *f, const char *message) {
    assert_int_equal(qa_event_end(&f->event), QA_INVALID_EVENT);
    assert_string_equal(f->error.message, message);
    assert_int_equal(f->error.status, QA_INVALID_EVENT);
    assert_false(f->error.retriable);
}

static void test_every_spelling_names_its_field(void **state) {
    (void)state;
    static const struct {
        const char *lua, *wire;
        qa_field field;
    } rows[] = {
        {"customer_id", "customerId", QA_FIELD_CUSTOMER_ID},
        {"event_code", "eventCode", QA_FIELD_EVENT_CODE},
        {"event_time", "eventTime", QA_FIELD_EVENT_TIME},
        {"organization_id", "organizationId", QA_FIELD_ORGANIZATION_ID},
        {"workspace_id", "workspaceId", QA_FIELD_WORKSPACE_ID},
        {"entity_id", "entityId", QA_FIELD_ENTITY_ID},
        {"attributes", "extendAttributes", QA_FIELD_ATTRIBUTES},
        {"customer_ids", "customerIdList", QA_FIELD_CUSTOMER_IDS},
        {"is_order", "isOrder", QA_FIELD_IS_ORDER},
        {"extra", "extra", QA_FIELD_EXTRA},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(qa_event_field(rows[i].lua, strlen(rows[i].lua)), rows[i].field);
        assert_int_equal(qa_event_field(rows[i].wire, strlen(rows[i].wire)), rows[i].field);
    }
    assert_int_equal(qa_event_field("", 0), QA_FIELD_UNKNOWN);
    assert_int_equal(qa_event_field(TEXT("customer_idx")), QA_FIELD_UNKNOWN);
}

static void test_a_full_event(void **state) {
    fixture *f = *state;
    begin_complete(f);
    qa_event_text(&f->event, QA_FIELD_ENTITY_ID, "entity_id", TEXT("car"));
    qa_event_is_order(&f->event, "is_order", true);
    qa_event_attributes_begin(&f->event, "attributes");
    qa_event_attribute(&f->event, TEXT("a\"b"), TEXT("c\\d"));
    qa_event_attribute_plain(&f->event, TEXT("n"), TEXT("12.5"));
    qa_event_attributes_end(&f->event);
    qa_event_ids_begin(&f->event, "customer_ids");
    qa_event_id(&f->event, "", TEXT("MOBILE"), TEXT("139****0000"));
    qa_event_id(&f->event, "", TEXT("oaid"), TEXT("x"));
    qa_event_ids_end(&f->event);
    qa_event_extra(&f->event, TEXT("comeFrom"));
    qa_buf_put_text(&f->out, "[1,null]");
    assert_reads(f, "{\"customerId\":\"u-42\",\"eventCode\":\"pay_order\",\"eventTime\":1708235644862,"
                    "\"entityId\":\"car\",\"isOrder\":\"1\","
                    "\"extendAttributes\":{\"a\\\"b\":\"c\\\\d\",\"n\":\"12.5\"},"
                    "\"customerIdList\":[{\"customerId\":\"139****0000\",\"idMapping\":\"MOBILE\"},"
                    "{\"customerId\":\"x\",\"idMapping\":\"oaid\"}],\"comeFrom\":[1,null]}");
}

static void test_empty_lists(void **state) {
    fixture *f = *state;
    begin_complete(f);
    qa_event_attributes_begin(&f->event, "attributes");
    qa_event_attributes_end(&f->event);
    qa_event_ids_begin(&f->event, "customer_ids");
    qa_event_ids_end(&f->event);
    assert_reads(f, "{\"customerId\":\"u-42\",\"eventCode\":\"pay_order\",\"eventTime\":1708235644862,"
                    "\"extendAttributes\":{},\"customerIdList\":[]}");
}

static void give_defaults(fixture *f) {
    qa_event_defaults_field(f->defaults, QA_FIELD_ORGANIZATION_ID, TEXT("org"), &f->error);
    qa_event_defaults_field(f->defaults, QA_FIELD_WORKSPACE_ID, TEXT("ws"), &f->error);
    qa_event_defaults_attribute(f->defaults, TEXT("host"), TEXT("web-1"), &f->error);
    qa_event_defaults_attribute(f->defaults, TEXT("build"), TEXT("7"), &f->error);
}

static void test_defaults_fill_what_the_event_leaves_out(void **state) {
    fixture *f = *state;
    give_defaults(f);
    begin_complete(f);
    assert_reads(f, "{\"customerId\":\"u-42\",\"eventCode\":\"pay_order\",\"eventTime\":1708235644862,"
                    "\"organizationId\":\"org\",\"workspaceId\":\"ws\","
                    "\"extendAttributes\":{\"host\":\"web-1\",\"build\":\"7\"}}");
}

static void test_the_event_s_own_win_over_defaults(void **state) {
    fixture *f = *state;
    give_defaults(f);
    begin_complete(f);
    qa_event_text(&f->event, QA_FIELD_ORGANIZATION_ID, "organization_id", TEXT("mine"));
    qa_event_attributes_begin(&f->event, "attributes");
    qa_event_attribute(&f->event, TEXT("build"), TEXT("8"));
    qa_event_attributes_end(&f->event);
    assert_reads(f, "{\"customerId\":\"u-42\",\"eventCode\":\"pay_order\",\"eventTime\":1708235644862,"
                    "\"organizationId\":\"mine\",\"workspaceId\":\"ws\","
                    "\"extendAttributes\":{\"host\":\"web-1\",\"build\":\"8\"}}");
}

static void test_too_many_common_attributes(void **state) {
    fixture *f = *state;
    char key[8] = "k00";
    for (int i = 0; i < QA_EVENT_COMMON_MAX; i++) {
        key[1] = (char)('0' + i / 10);
        key[2] = (char)('0' + i % 10);
        assert_int_equal(qa_event_defaults_attribute(f->defaults, key, 3, "v", 1, &f->error), QA_OK);
    }
    assert_int_equal(qa_event_defaults_attribute(f->defaults, "k99", 3, "v", 1, &f->error),
                     QA_CONFIG);
    begin_complete(f);
    json_t *read = end_and_read(f);
    assert_int_equal(json_object_size(json_object_get(read, "extendAttributes")),
                     QA_EVENT_COMMON_MAX);
    json_decref(read);
}

static void test_what_is_required(void **state) {
    fixture *f = *state;
    begin(f);
    qa_event_text(&f->event, QA_FIELD_EVENT_CODE, "event_code", TEXT("x"));
    assert_fails(f, "event.customer_id: missing; a string is required");
    begin(f);
    qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customer_id", TEXT("x"));
    assert_fails(f, "event.event_code: missing; a string is required");
    begin(f);
    qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customerId", TEXT(""));
    assert_fails(f, "event.customerId: empty");
}

static void test_a_field_in_both_spellings(void **state) {
    fixture *f = *state;
    begin_complete(f);
    qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customerId", TEXT("u-43"));
    assert_fails(f, "event.customerId: given twice, as customer_id in both its spellings");
}

static void assert_time_fails(fixture *f, int64_t time_ms, const char *message) {
    begin(f);
    qa_event_time(&f->event, "event_time", time_ms);
    assert_fails(f, message);
}

static void test_times_that_are_not_milliseconds(void **state) {
    fixture *f = *state;
    assert_time_fails(f, 1708235644,
                      "event.event_time: expected milliseconds since 1970, "
                      "1708235644 looks like seconds; multiply it by 1000");
    assert_time_fails(f, 1708235644862000,
                      "event.event_time: expected milliseconds since 1970, "
                      "1708235644862000 looks like microseconds or nanoseconds");
    assert_time_fails(f, -5,
                      "event.event_time: expected milliseconds since 1970, "
                      "-5 not a time after 1970");
    assert_time_fails(f, INT64_MIN,
                      "event.event_time: expected milliseconds since 1970, "
                      "-9223372036854775808 not a time after 1970");
}

static void test_unknown_keys(void **state) {
    fixture *f = *state;
    begin(f);
    qa_event_unknown(&f->event, ".custmer_id", TEXT("custmer_id"));
    assert_fails(f, "event.custmer_id: unknown key; did you mean 'customer_id'?");
    begin(f);
    qa_event_unknown(&f->event, ".temperature", TEXT("temperature"));
    assert_fails(f, "event.temperature: unknown key; what describes the event goes into "
                    "attributes, a further wire field into extra");
}

static void test_extra_does_not_replace_a_field(void **state) {
    fixture *f = *state;
    begin_complete(f);
    qa_event_extra(&f->event, TEXT("customerId"));
    assert_fails(f, "event.extra.customerId: a field of the event itself; "
                    "give it as 'customer_id'");
}

static void test_ids_have_a_type_and_a_value(void **state) {
    fixture *f = *state;
    begin_complete(f);
    qa_event_ids_begin(&f->event, "customer_ids");
    qa_event_id(&f->event, ".customer_ids.MOBILE", TEXT("MOBILE"), TEXT(""));
    assert_fails(f, "event.customer_ids.MOBILE: the id is empty");
    begin_complete(f);
    qa_event_ids_begin(&f->event, "customer_ids");
    qa_event_id(&f->event, ".customer_ids[1]", TEXT(""), TEXT("x"));
    assert_fails(f, "event.customer_ids[1]: the id type is empty");
}

static void test_the_first_failure_stays(void **state) {
    fixture *f = *state;
    begin(f);
    qa_event_fail(&f->event, ".a", "first");
    qa_event_fail(&f->event, ".b", "second");
    assert_int_equal(qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customer_id", TEXT("u")),
                     QA_INVALID_EVENT);
    assert_fails(f, "event.a: first");
}

/* Whatever fails, and at every size of the buffer, what stood before is all that stands after. */
static void test_a_failed_event_leaves_nothing_behind(void **state) {
    fixture *f = *state;
    for (size_t max = 8; max < 200; max++) {
        qa_buf_free(&f->out);
        qa_buf_init(&f->out, max);
        qa_buf_put_text(&f->out, "before,\n");
        begin_complete(f);
        qa_event_attributes_begin(&f->event, "attributes");
        qa_event_attribute(&f->event, TEXT("key"), TEXT("a value of some length"));
        qa_event_attributes_end(&f->event);
        if (qa_event_end(&f->event) == QA_OK) {
            assert_in_range(max, 120, 199);
            assert_int_equal(f->out.data[f->out.length - 1], '}');
            continue;
        }
        assert_int_equal(f->out.length, 8);
        assert_memory_equal(f->out.data, "before,\n", 8);
        assert_int_equal(f->out.status, QA_OK);
        assert_non_null(strstr(f->error.message, "event: over "));
    }
}

static void test_broken_utf8_is_counted_wherever_it_stands(void **state) {
    fixture *f = *state;
    begin(f);
    qa_event_text(&f->event, QA_FIELD_CUSTOMER_ID, "customer_id", TEXT("u\xFF"));
    qa_event_text(&f->event, QA_FIELD_EVENT_CODE, "event_code", TEXT("x"));
    qa_event_time(&f->event, "event_time", NOON);
    qa_event_attributes_begin(&f->event, "attributes");
    qa_event_attribute(&f->event, TEXT("k\xFE"), TEXT("\xE4\xBD"));
    qa_event_attribute_plain(&f->event, TEXT("\x80"), TEXT("1"));
    qa_event_attributes_end(&f->event);
    qa_event_ids_begin(&f->event, "customer_ids");
    qa_event_id(&f->event, "", TEXT("\xFF"), TEXT("\xFF\xFF"));
    qa_event_ids_end(&f->event);
    json_decref(end_and_read(f));
    assert_int_equal(f->event.replaced, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_spelling_names_its_field),
        TEST(test_a_full_event),
        TEST(test_empty_lists),
        TEST(test_defaults_fill_what_the_event_leaves_out),
        TEST(test_the_event_s_own_win_over_defaults),
        TEST(test_too_many_common_attributes),
        TEST(test_what_is_required),
        TEST(test_a_field_in_both_spellings),
        TEST(test_times_that_are_not_milliseconds),
        TEST(test_unknown_keys),
        TEST(test_extra_does_not_replace_a_field),
        TEST(test_ids_have_a_type_and_a_value),
        TEST(test_the_first_failure_stays),
        TEST(test_a_failed_event_leaves_nothing_behind),
        TEST(test_broken_utf8_is_counted_wherever_it_stands),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
