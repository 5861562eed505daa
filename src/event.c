/* event.c
 * The event model: writes one event as wire JSON, field by field, and checks each on the way.
 * Does not know Lua, nor how events are grouped or sent.
 * SPDX-License-Identifier: MIT */
#include "event.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "nearest.h"

#define LITERAL(text) (text), sizeof(text) - 1

/* A time in ms below the first bound is a date before 1973 and more likely a time in seconds; above
 * the second (the year 5138) it is more likely one in microseconds. */
static const int64_t TIME_MIN = INT64_C(100000000000);
static const int64_t TIME_MAX = INT64_C(100000000000000);

typedef struct spelling {
    const char *name;
    unsigned char length;
    unsigned char field;
} spelling;

#define SPELLING(text, which) {text, sizeof(text) - 1, QA_FIELD_##which}

static const spelling SPELLINGS[] = {
    SPELLING("customer_id", CUSTOMER_ID),
    SPELLING("event_code", EVENT_CODE),
    SPELLING("event_time", EVENT_TIME),
    SPELLING("organization_id", ORGANIZATION_ID),
    SPELLING("workspace_id", WORKSPACE_ID),
    SPELLING("entity_id", ENTITY_ID),
    SPELLING("attributes", ATTRIBUTES),
    SPELLING("customer_ids", CUSTOMER_IDS),
    SPELLING("is_order", IS_ORDER),
    SPELLING("extra", EXTRA),
    SPELLING("customerId", CUSTOMER_ID),
    SPELLING("eventCode", EVENT_CODE),
    SPELLING("eventTime", EVENT_TIME),
    SPELLING("organizationId", ORGANIZATION_ID),
    SPELLING("workspaceId", WORKSPACE_ID),
    SPELLING("entityId", ENTITY_ID),
    SPELLING("extendAttributes", ATTRIBUTES),
    SPELLING("customerIdList", CUSTOMER_IDS),
    SPELLING("isOrder", IS_ORDER),
};

enum { SPELLING_COUNT = sizeof SPELLINGS / sizeof SPELLINGS[0], LUA_SPELLING_COUNT = 10 };

/* How each field begins on the wire. Every one opens with a comma: the first comma of an object is
 * turned into its brace at the end, so no field asks whether it is the first. All are copied at one
 * size, which the compiler turns into a few moves; what is too much is overwritten. */
enum { WIRE_MAX = 24 };

typedef struct wire_name {
    char text[WIRE_MAX];
    size_t length;
} wire_name;

#define WIRE_NAME(name) {",\"" name "\":", sizeof(",\"" name "\":") - 1}

static const wire_name WIRE[] = {
    [QA_FIELD_CUSTOMER_ID] = WIRE_NAME("customerId"),
    [QA_FIELD_EVENT_CODE] = WIRE_NAME("eventCode"),
    [QA_FIELD_EVENT_TIME] = WIRE_NAME("eventTime"),
    [QA_FIELD_ORGANIZATION_ID] = WIRE_NAME("organizationId"),
    [QA_FIELD_WORKSPACE_ID] = WIRE_NAME("workspaceId"),
    [QA_FIELD_ENTITY_ID] = WIRE_NAME("entityId"),
    [QA_FIELD_ATTRIBUTES] = WIRE_NAME("extendAttributes"),
    [QA_FIELD_CUSTOMER_IDS] = WIRE_NAME("customerIdList"),
    [QA_FIELD_IS_ORDER] = WIRE_NAME("isOrder"),
};

typedef struct common_attribute {
    const char *key; /* within its own allocation, before the JSON */
    size_t key_length;
    const char *json; /* `,"key":"value"` */
    size_t json_length;
} common_attribute;

struct qa_event_defaults {
    qa_buf organization; /* `,"organizationId":"…"`, or empty */
    qa_buf workspace;
    qa_buf attributes[QA_EVENT_COMMON_MAX]; /* what `common` points into */
    common_attribute common[QA_EVENT_COMMON_MAX];
    size_t common_count;
};

/* A perfect hash over SPELLINGS: each of them has a slot of its own (the test of this file walks all),
 * so a key costs one comparison. The factors were found by trying small ones. */
enum { SLOTS = 32, NONE = 255, SHORTEST = 5 };

static const unsigned char SPELLING_AT[SLOTS] = {
    NONE, 16, 11, 14, NONE, 13, 1, 4, 10, 3, 18, 8, 0, NONE, 12, NONE,
    17, NONE, 2, NONE, 7, 15, 6, NONE, NONE, 5, NONE, NONE, NONE, NONE, 9, NONE,
};

static size_t slot(const char *name, size_t length) {
    unsigned last_but_one = (unsigned char)name[length - 2], fourth = (unsigned char)name[3];
    return (length * 4 + last_but_one * 12 + fourth) % SLOTS;
}

qa_field qa_event_field(const char *name, size_t length) {
    if (length < SHORTEST)
        return QA_FIELD_UNKNOWN;
    unsigned char index = SPELLING_AT[slot(name, length)];
    if (index == NONE || SPELLINGS[index].length != length ||
        memcmp(SPELLINGS[index].name, name, length) != 0)
        return QA_FIELD_UNKNOWN;
    return (qa_field)SPELLINGS[index].field;
}

static void put_wire(qa_buf *out, qa_field field) {
    char *at = qa_buf_reserve(out, WIRE_MAX);
    if (at == NULL)
        return;
    memcpy(at, WIRE[field].text, WIRE_MAX);
    qa_buf_commit(out, WIRE[field].length);
}

qa_event_defaults *qa_event_defaults_new(void) {
    qa_event_defaults *defaults = calloc(1, sizeof *defaults);
    if (defaults == NULL)
        return NULL;
    qa_buf_init(&defaults->organization, QA_EVENT_SIZE_MAX);
    qa_buf_init(&defaults->workspace, QA_EVENT_SIZE_MAX);
    for (size_t i = 0; i < QA_EVENT_COMMON_MAX; i++)
        qa_buf_init(&defaults->attributes[i], QA_EVENT_SIZE_MAX);
    return defaults;
}

void qa_event_defaults_free(qa_event_defaults *defaults) {
    if (defaults == NULL)
        return;
    qa_buf_free(&defaults->organization);
    qa_buf_free(&defaults->workspace);
    for (size_t i = 0; i < QA_EVENT_COMMON_MAX; i++)
        qa_buf_free(&defaults->attributes[i]);
    free(defaults);
}

qa_status qa_event_defaults_field(qa_event_defaults *defaults, qa_field field, const char *text,
                                  size_t length, qa_error *error) {
    bool workspace = field == QA_FIELD_WORKSPACE_ID;
    qa_buf *buf = workspace ? &defaults->workspace : &defaults->organization;
    qa_buf_clear(buf);
    put_wire(buf, field);
    qa_json_string(buf, text, length);
    return buf->status == QA_OK ? QA_OK : qa_error_no_memory(error, "config");
}

qa_status qa_event_defaults_attribute(qa_event_defaults *defaults, const char *key,
                                      size_t key_length, const char *text, size_t length,
                                      qa_error *error) {
    if (defaults->common_count == QA_EVENT_COMMON_MAX)
        return qa_error_set(error, QA_CONFIG, "config.attributes: more than %d", QA_EVENT_COMMON_MAX);
    size_t index = defaults->common_count;
    qa_buf *buf = &defaults->attributes[index];
    qa_buf_put(buf, key, key_length);
    qa_json_member(buf, key, key_length);
    qa_json_string(buf, text, length);
    if (buf->status != QA_OK)
        return qa_error_no_memory(error, "config");
    defaults->common[index] =
        (common_attribute){.key = buf->data,
                           .key_length = key_length,
                           .json = buf->data + key_length,
                           .json_length = buf->length - key_length};
    defaults->common_count++;
    return QA_OK;
}

void qa_event_begin(qa_event *event, qa_buf *out, const qa_event_defaults *defaults,
                    const char *path, qa_error *error) {
    *event = (qa_event){
        .out = out, .defaults = defaults, .error = error, .path = path, .start = out->length};
}

static const char *lua_name(qa_field field) {
    return SPELLINGS[field].name;
}

qa_status qa_event_fail(qa_event *event, const char *where, const char *format, ...) {
    if (event->status != QA_OK)
        return event->status;
    char text[QA_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    event->status =
        qa_error_set(event->error, QA_INVALID_EVENT, "%s%s: %s", event->path, where, text);
    return event->status;
}

qa_status qa_event_unknown(qa_event *event, const char *where, const char *name, size_t length) {
    const char *names[SPELLING_COUNT];
    for (size_t i = 0; i < SPELLING_COUNT; i++)
        names[i] = SPELLINGS[i].name;
    const char *meant = qa_nearest(name, length, names, LUA_SPELLING_COUNT);
    if (meant == NULL)
        meant = qa_nearest(name, length, names, SPELLING_COUNT);
    if (meant == NULL)
        return qa_event_fail(event, where,
                             "unknown key; what describes the event goes into attributes, "
                             "a further wire field into extra");
    return qa_event_fail(event, where, "unknown key; did you mean '%s'?", meant);
}

/* Notes the field as given; a second spelling of the same one is an error. */
static bool take_field(qa_event *event, qa_field field, const char *name) {
    if (event->status != QA_OK)
        return false;
    unsigned bit = 1u << field;
    if ((event->seen & bit) == 0) {
        event->seen |= bit;
        return true;
    }
    char where[64];
    snprintf(where, sizeof where, ".%s", name);
    qa_event_fail(event, where, "given twice, as %s in both its spellings", lua_name(field));
    return false;
}

qa_status qa_event_text(qa_event *event, qa_field field, const char *name, const char *text,
                        size_t length) {
    if (!take_field(event, field, name))
        return event->status;
    if (length == 0) {
        char where[64];
        snprintf(where, sizeof where, ".%s", name);
        return qa_event_fail(event, where, "empty");
    }
    put_wire(event->out, field);
    event->replaced += qa_json_string(event->out, text, length);
    return QA_OK;
}

qa_status qa_event_time(qa_event *event, const char *name, int64_t time_ms) {
    if (!take_field(event, QA_FIELD_EVENT_TIME, name))
        return event->status;
    char digits[QA_JSON_NUMBER_MAX];
    size_t length = qa_json_format_int(digits, time_ms);
    if (time_ms < TIME_MIN || time_ms > TIME_MAX) {
        char where[64];
        snprintf(where, sizeof where, ".%s", name);
        const char *guess = time_ms <= 0         ? "not a time after 1970"
                            : time_ms < TIME_MIN ? "looks like seconds; multiply it by 1000"
                                                 : "looks like microseconds or nanoseconds";
        return qa_event_fail(event, where, "expected milliseconds since 1970, %.*s %s",
                             (int)length, digits, guess);
    }
    put_wire(event->out, QA_FIELD_EVENT_TIME);
    qa_buf_put(event->out, digits, length);
    return QA_OK;
}

qa_status qa_event_is_order(qa_event *event, const char *name, bool is_order) {
    if (!take_field(event, QA_FIELD_IS_ORDER, name))
        return event->status;
    put_wire(event->out, QA_FIELD_IS_ORDER);
    qa_buf_put(event->out, is_order ? "\"1\"" : "\"0\"", 3);
    return QA_OK;
}

/* Turns the comma that begins the list into its opening bracket, and closes it. */
static void close_list(qa_event *event, char open, char close) {
    qa_buf *out = event->out;
    if (out->length == event->list_start)
        qa_buf_put_char(out, open);
    qa_buf_put_char(out, close);
    if (out->status == QA_OK)
        out->data[event->list_start] = open;
}

qa_status qa_event_attributes_begin(qa_event *event, const char *name) {
    if (!take_field(event, QA_FIELD_ATTRIBUTES, name))
        return event->status;
    put_wire(event->out, QA_FIELD_ATTRIBUTES);
    event->list_start = event->out->length;
    return QA_OK;
}

static void mark_overridden(qa_event *event, const char *key, size_t length) {
    const qa_event_defaults *defaults = event->defaults;
    for (size_t i = 0; i < defaults->common_count; i++) {
        const common_attribute *common = &defaults->common[i];
        if (common->key_length == length && memcmp(common->key, key, length) == 0)
            event->overridden |= UINT64_C(1) << i;
    }
}

static void put_attribute_key(qa_event *event, const char *key, size_t length) {
    if (event->defaults != NULL && event->defaults->common_count > 0)
        mark_overridden(event, key, length);
    event->replaced += qa_json_member(event->out, key, length);
}

qa_status qa_event_attribute(qa_event *event, const char *key, size_t key_length,
                             const char *text, size_t length) {
    if (event->status != QA_OK)
        return event->status;
    put_attribute_key(event, key, key_length);
    event->replaced += qa_json_string(event->out, text, length);
    return QA_OK;
}

qa_status qa_event_attribute_plain(qa_event *event, const char *key, size_t key_length,
                                   const char *text, size_t length) {
    if (event->status != QA_OK)
        return event->status;
    put_attribute_key(event, key, key_length);
    char *at = qa_buf_reserve(event->out, length + 2);
    if (at == NULL)
        return QA_OK;
    at[0] = '"';
    memcpy(at + 1, text, length);
    at[length + 1] = '"';
    qa_buf_commit(event->out, length + 2);
    return QA_OK;
}

static void put_common_attributes(qa_event *event) {
    const qa_event_defaults *defaults = event->defaults;
    if (defaults == NULL)
        return;
    for (size_t i = 0; i < defaults->common_count; i++) {
        if ((event->overridden & UINT64_C(1) << i) == 0)
            qa_buf_put(event->out, defaults->common[i].json, defaults->common[i].json_length);
    }
}

qa_status qa_event_attributes_end(qa_event *event) {
    if (event->status != QA_OK)
        return event->status;
    put_common_attributes(event);
    close_list(event, '{', '}');
    return QA_OK;
}

qa_status qa_event_ids_begin(qa_event *event, const char *name) {
    if (!take_field(event, QA_FIELD_CUSTOMER_IDS, name))
        return event->status;
    put_wire(event->out, QA_FIELD_CUSTOMER_IDS);
    event->list_start = event->out->length;
    return QA_OK;
}

qa_status qa_event_id(qa_event *event, const char *where, const char *type, size_t type_length,
                      const char *id, size_t length) {
    if (event->status != QA_OK)
        return event->status;
    if (type_length == 0)
        return qa_event_fail(event, where, "the id type is empty");
    if (length == 0)
        return qa_event_fail(event, where, "the id is empty");
    qa_buf_put(event->out, LITERAL(",{\"customerId\":"));
    event->replaced += qa_json_string(event->out, id, length);
    qa_buf_put(event->out, LITERAL(",\"idMapping\":"));
    event->replaced += qa_json_string(event->out, type, type_length);
    qa_buf_put_char(event->out, '}');
    return QA_OK;
}

qa_status qa_event_ids_end(qa_event *event) {
    if (event->status == QA_OK)
        close_list(event, '[', ']');
    return event->status;
}

qa_status qa_event_extra(qa_event *event, const char *key, size_t key_length) {
    if (event->status != QA_OK)
        return event->status;
    for (size_t i = LUA_SPELLING_COUNT; i < SPELLING_COUNT; i++) {
        if (SPELLINGS[i].length == key_length && memcmp(SPELLINGS[i].name, key, key_length) == 0) {
            char where[64];
            snprintf(where, sizeof where, ".extra.%s", SPELLINGS[i].name);
            return qa_event_fail(event, where, "a field of the event itself; give it as '%s'",
                                 lua_name((qa_field)SPELLINGS[i].field));
        }
    }
    event->replaced += qa_json_member(event->out, key, key_length);
    return QA_OK;
}

static void check_required(qa_event *event) {
    static const qa_field required[] = {QA_FIELD_CUSTOMER_ID, QA_FIELD_EVENT_CODE};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!qa_event_has(event, required[i])) {
            char where[64];
            snprintf(where, sizeof where, ".%s", lua_name(required[i]));
            qa_event_fail(event, where, "missing; a string is required");
        }
    }
}

static void put_defaults(qa_event *event) {
    const qa_event_defaults *defaults = event->defaults;
    if (defaults == NULL)
        return;
    if (!qa_event_has(event, QA_FIELD_ORGANIZATION_ID))
        qa_buf_put(event->out, defaults->organization.data, defaults->organization.length);
    if (!qa_event_has(event, QA_FIELD_WORKSPACE_ID))
        qa_buf_put(event->out, defaults->workspace.data, defaults->workspace.length);
    if (!qa_event_has(event, QA_FIELD_ATTRIBUTES) && defaults->common_count > 0) {
        put_wire(event->out, QA_FIELD_ATTRIBUTES);
        event->list_start = event->out->length;
        qa_event_attributes_end(event);
    }
}

/* A buffer that failed has its reason in its status; the event's bound is the buffer's. */
static qa_status fail_for_buffer(qa_event *event) {
    if (event->out->status == QA_NO_MEMORY)
        return event->status = qa_error_no_memory(event->error, event->path);
    return qa_event_fail(event, "", "over %zu bytes", event->out->max);
}

qa_status qa_event_end(qa_event *event) {
    check_required(event);
    qa_buf *out = event->out;
    if (event->status == QA_OK) {
        put_defaults(event);
        qa_buf_put_char(out, '}');
        if (out->status != QA_OK)
            fail_for_buffer(event);
    }
    if (event->status != QA_OK) {
        out->length = event->start;
        out->status = QA_OK;
        return event->status;
    }
    out->data[event->start] = '{';
    return QA_OK;
}
