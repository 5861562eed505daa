/* lua_event.c
 * Walks an event table once and writes it as wire JSON.
 * Does not know clients or queues.
 * SPDX-License-Identifier: MIT */
#include "lua_event.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "lua_json.h"
#include "lua_path.h"

enum { MEMORY_KEPT_MAX = 1024 * 1024 };

/* One event under way, and where in it the walk stands. */
typedef struct walk {
    lua_State *L;
    qa_lua_encoder *encoder;
    qa_event event;
} walk;

void qa_lua_encoder_init(qa_lua_encoder *encoder, size_t max) {
    memset(encoder, 0, sizeof *encoder);
    qa_buf_init(&encoder->out, max);
    qa_buf_init(&encoder->nested, max);
}

void qa_lua_encoder_free(qa_lua_encoder *encoder) {
    qa_buf_free(&encoder->out);
    qa_buf_free(&encoder->nested);
}

static void clear(qa_buf *buf) {
    if (buf->capacity > MEMORY_KEPT_MAX)
        qa_buf_free(buf);
    else
        qa_buf_clear(buf);
}

void qa_lua_encoder_clear(qa_lua_encoder *encoder) {
    clear(&encoder->out);
    clear(&encoder->nested);
}

int qa_lua_push_error(lua_State *L, const qa_error *error) {
    lua_pushnil(L);
    lua_pushstring(L, error->message);
    lua_pushstring(L, qa_status_code(error->status));
    return 3;
}

static void fail_step(walk *w, const qa_lua_path *step, const char *what) {
    char where[QA_EVENT_PATH_MAX];
    qa_event_fail(&w->event, qa_lua_path_text(step, where, sizeof where), "%s", what);
}

static void fail_type(walk *w, const qa_lua_path *step, const char *expected, int index) {
    char where[QA_EVENT_PATH_MAX];
    qa_event_fail(&w->event, qa_lua_path_text(step, where, sizeof where), "expected %s, got %s",
                  expected, qa_lua_type_text(w->L, index));
}

static void write_text_field(walk *w, qa_field field, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) != LUA_TSTRING) {
        fail_type(w, step, "a string", index);
        return;
    }
    size_t length;
    const char *text = lua_tolstring(w->L, index, &length);
    qa_event_text(&w->event, field, step->key, text, length);
}

static void write_time(walk *w, const qa_lua_path *step, int index) {
    int64_t time_ms;
    if (lua_type(w->L, index) != LUA_TNUMBER)
        fail_type(w, step, "milliseconds since 1970 as a number", index);
    else if (!qa_lua_to_integer(w->L, index, &time_ms))
        fail_step(w, step, "expected milliseconds since 1970, not a whole number");
    else
        qa_event_time(&w->event, step->key, time_ms);
}

static void write_is_order(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) == LUA_TBOOLEAN) {
        qa_event_is_order(&w->event, step->key, lua_toboolean(w->L, index) != 0);
        return;
    }
    const char *text = lua_type(w->L, index) == LUA_TSTRING ? lua_tostring(w->L, index) : "";
    if (strcmp(text, "0") == 0 || strcmp(text, "1") == 0)
        qa_event_is_order(&w->event, step->key, text[0] == '1');
    else if (text[0] != '\0')
        fail_step(w, step, "expected a boolean, \"0\" or \"1\"");
    else
        fail_type(w, step, "a boolean, \"0\" or \"1\"", index);
}

/* The JSON text of a table, in the encoder's scratch buffer; NULL after a failure. */
static const qa_buf *nest(walk *w, const qa_lua_path *step, int index) {
    char where[QA_EVENT_PATH_MAX];
    qa_buf *nested = &w->encoder->nested;
    qa_buf_clear(nested);
    const char *wrong =
        qa_lua_json(w->L, index, nested, step, &w->event.replaced, where, sizeof where);
    if (wrong != NULL)
        qa_event_fail(&w->event, where, "%s", wrong);
    else if (nested->status == QA_NO_MEMORY)
        w->event.status = qa_error_no_memory(&w->encoder->error, w->event.path);
    else if (nested->status != QA_OK)
        qa_event_fail(&w->event, qa_lua_path_text(step, where, sizeof where),
                      "over %zu bytes as JSON", nested->max);
    return w->event.status == QA_OK ? nested : NULL;
}

/* The text of an attribute's value, in `digits`, the scratch buffer or Lua's own memory; NULL after a
 * failure. `*plain`: it holds nothing that JSON escapes. */
static const char *attribute_text(walk *w, const qa_lua_path *step, int index, char *digits,
                                  size_t *length, bool *plain) {
    *plain = true;
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING: *plain = false; return lua_tolstring(w->L, index, length);
    case LUA_TNUMBER: {
        const char *wrong = qa_lua_json_number(w->L, index, digits, length);
        if (wrong != NULL)
            fail_step(w, step, wrong);
        return wrong == NULL ? digits : NULL;
    }
    case LUA_TBOOLEAN:
        *length = lua_toboolean(w->L, index) ? 4 : 5;
        return *length == 4 ? "true" : "false";
    case LUA_TTABLE: {
        const qa_buf *nested = nest(w, step, index);
        *plain = false;
        *length = nested != NULL ? nested->length : 0;
        return nested != NULL ? nested->data : NULL;
    }
    default: fail_type(w, step, "a string, number, boolean or table", index); return NULL;
    }
}

static void write_attribute(walk *w, const qa_lua_path *step, int index) {
    char digits[QA_JSON_NUMBER_MAX];
    size_t length;
    bool plain;
    const char *text = attribute_text(w, step, index, digits, &length, &plain);
    if (text == NULL)
        return;
    if (plain)
        qa_event_attribute_plain(&w->event, step->key, step->key_length, text, length);
    else
        qa_event_attribute(&w->event, step->key, step->key_length, text, length);
}

/* Calls `visit` for each pair of the table at `index`, with the value on top of the stack, until
 * the event fails. Keys must be strings, or whole numbers where `numbered` is set. */
static void each_pair(walk *w, int index, const qa_lua_path *above, bool numbered,
                      void visit(walk *, const qa_lua_path *, int)) {
    lua_State *L = w->L;
    qa_lua_path step = {.above = above, .table = lua_topointer(L, index)};
    int value = lua_gettop(L) + 2;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        qa_lua_path_key(&step, L, -2);
        if (step.key == NULL && !(numbered && step.number >= 1))
            fail_step(w, above, "expected only strings as keys");
        else if (step.key != NULL && numbered)
            fail_step(w, &step, "expected a list, found a name as key");
        else
            visit(w, &step, value);
        if (w->event.status != QA_OK) {
            lua_pop(L, 2);
            return;
        }
        lua_pop(L, 1);
    }
}

static void write_attributes(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) != LUA_TTABLE) {
        fail_type(w, step, "a table", index);
        return;
    }
    if (qa_event_attributes_begin(&w->event, step->key) != QA_OK)
        return;
    each_pair(w, index, step, false, write_attribute);
    qa_event_attributes_end(&w->event);
}

/* An id whose type is the key of `step`, or of the step above when several are given for one type. */
static void write_id(walk *w, const qa_lua_path *step, int index) {
    const qa_lua_path *type = step->key != NULL ? step : step->above;
    if (lua_type(w->L, index) != LUA_TSTRING) {
        fail_type(w, step, step == type ? "a string or a list of strings" : "a string", index);
        return;
    }
    size_t length;
    const char *id = lua_tolstring(w->L, index, &length);
    char where[QA_EVENT_PATH_MAX];
    where[0] = '\0';
    if (length == 0 || type->key_length == 0)
        qa_lua_path_text(step, where, sizeof where);
    qa_event_id(&w->event, where, type->key, type->key_length, id, length);
}

static void write_typed_ids(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) == LUA_TTABLE)
        each_pair(w, index, step, true, write_id);
    else
        write_id(w, step, index);
}

/* The string member of a list's entry, in either of its spellings; pushes it. */
static const char *entry_member(walk *w, const qa_lua_path *entry, int index, const char *name,
                                const char *wire_name, size_t *length) {
    qa_lua_path member = {.above = entry, .key = name, .key_length = strlen(name)};
    lua_pushstring(w->L, name);
    lua_rawget(w->L, index);
    if (lua_isnil(w->L, -1)) {
        lua_pop(w->L, 1);
        lua_pushstring(w->L, wire_name);
        lua_rawget(w->L, index);
    }
    if (lua_type(w->L, -1) != LUA_TSTRING) {
        fail_type(w, &member, "a string", lua_gettop(w->L));
        return NULL;
    }
    return lua_tolstring(w->L, -1, length);
}

static void check_entry_key(walk *w, const qa_lua_path *step, int index) {
    static const char *const names[] = {"id", "type", "customerId", "idMapping"};
    (void)index;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == step->key_length &&
            memcmp(names[i], step->key, step->key_length) == 0)
            return;
    }
    fail_step(w, step, "unknown key; expected id and type");
}

static void write_listed_id(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) != LUA_TTABLE) {
        fail_type(w, step, "a table { id = ..., type = ... }", index);
        return;
    }
    each_pair(w, index, step, false, check_entry_key);
    if (w->event.status != QA_OK)
        return;
    size_t id_length = 0, type_length = 0;
    const char *id = entry_member(w, step, index, "id", "customerId", &id_length);
    if (id != NULL) {
        const char *type = entry_member(w, step, index, "type", "idMapping", &type_length);
        char where[QA_EVENT_PATH_MAX];
        if (type != NULL)
            qa_event_id(&w->event, qa_lua_path_text(step, where, sizeof where), type, type_length,
                        id, id_length);
    }
    lua_settop(w->L, index);
}

static void write_customer_ids(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) != LUA_TTABLE) {
        fail_type(w, step, "a table", index);
        return;
    }
    if (qa_event_ids_begin(&w->event, step->key) != QA_OK)
        return;
    lua_rawgeti(w->L, index, 1);
    bool listed = !lua_isnil(w->L, -1);
    lua_pop(w->L, 1);
    each_pair(w, index, step, listed, listed ? write_listed_id : write_typed_ids);
    qa_event_ids_end(&w->event);
}

static void write_extra_value(walk *w, const qa_lua_path *step, int index) {
    if (qa_event_extra(&w->event, step->key, step->key_length) != QA_OK)
        return;
    char where[QA_EVENT_PATH_MAX];
    const char *wrong = qa_lua_json(w->L, index, &w->encoder->out, step, &w->event.replaced, where,
                                    sizeof where);
    if (wrong != NULL)
        qa_event_fail(&w->event, where, "%s", wrong);
}

static void write_extra(walk *w, const qa_lua_path *step, int index) {
    if (lua_type(w->L, index) != LUA_TTABLE)
        fail_type(w, step, "a table", index);
    else
        each_pair(w, index, step, false, write_extra_value);
}

static void write_unknown(walk *w, const qa_lua_path *step) {
    char where[QA_EVENT_PATH_MAX];
    qa_event_unknown(&w->event, qa_lua_path_text(step, where, sizeof where), step->key,
                     step->key_length);
}

static void write_field(walk *w, const qa_lua_path *step, qa_field field, int index) {
    switch (field) {
    case QA_FIELD_CUSTOMER_ID:
    case QA_FIELD_EVENT_CODE:
    case QA_FIELD_ORGANIZATION_ID:
    case QA_FIELD_WORKSPACE_ID:
    case QA_FIELD_ENTITY_ID: write_text_field(w, field, step, index); return;
    case QA_FIELD_EVENT_TIME: write_time(w, step, index); return;
    case QA_FIELD_ATTRIBUTES: write_attributes(w, step, index); return;
    case QA_FIELD_CUSTOMER_IDS: write_customer_ids(w, step, index); return;
    case QA_FIELD_IS_ORDER: write_is_order(w, step, index); return;
    case QA_FIELD_EXTRA: write_extra(w, step, index); return;
    case QA_FIELD_UNKNOWN: write_unknown(w, step); return;
    }
}

/* Begins the item's field if it is one with names, and returns it. */
static qa_field begin_named(walk *w, const qa_lua_item *item) {
    if (item->field == QA_FIELD_ATTRIBUTES)
        qa_event_attributes_begin(&w->event, item->member);
    else if (item->field == QA_FIELD_CUSTOMER_IDS)
        qa_event_ids_begin(&w->event, item->member);
    else
        return QA_FIELD_UNKNOWN;
    return item->field;
}

static void end_named(walk *w, qa_field field) {
    if (field == QA_FIELD_ATTRIBUTES)
        qa_event_attributes_end(&w->event);
    else if (field == QA_FIELD_CUSTOMER_IDS)
        qa_event_ids_end(&w->event);
}

/* The value at `index` as what the item says. Only a field with names stays open for the next. */
static void write_item(walk *w, const qa_lua_item *item, qa_field *open, int index) {
    int type = lua_type(w->L, index);
    size_t length = 0;
    const char *text = type == LUA_TSTRING ? lua_tolstring(w->L, index, &length) : NULL;
    if (type == LUA_TNIL || (text != NULL && length == 0))
        return;
    if (*open != item->field) {
        end_named(w, *open);
        *open = begin_named(w, item);
    }
    if (item->field == QA_FIELD_ATTRIBUTES && text != NULL) { /* as a rule */
        qa_event_attribute(&w->event, item->name, item->name_length, text, length);
        return;
    }
    qa_lua_path above = {.key = item->member, .key_length = item->member_length};
    qa_lua_path step = {.above = &above, .key = item->name, .key_length = item->name_length};
    if (item->field == QA_FIELD_ATTRIBUTES)
        write_attribute(w, &step, index);
    else if (item->field == QA_FIELD_CUSTOMER_IDS)
        write_typed_ids(w, &step, index);
    else
        write_field(w, &above, item->field, index);
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_list(lua_State *L, int index) {
    lua_rawgeti(L, index, 1);
    bool listed = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return listed;
}

static qa_status end_event(walk *w) {
    if (w->event.status == QA_OK && !qa_event_has(&w->event, QA_FIELD_EVENT_TIME))
        qa_event_time(&w->event, "event_time", now_ms());
    w->encoder->replaced += w->event.replaced;
    return qa_event_end(&w->event);
}

qa_status qa_lua_event(lua_State *L, int index, qa_lua_encoder *encoder,
                       const qa_event_defaults *defaults, const char *path) {
    walk w = {.L = L, .encoder = encoder};
    qa_event_begin(&w.event, &encoder->out, defaults, path, &encoder->error);
    if (!lua_checkstack(L, 16))
        return w.event.status = qa_error_no_memory(&encoder->error, path);
    qa_lua_path top = {.table = lua_topointer(L, index)};
    int value = lua_gettop(L) + 2;
    lua_pushnil(L);
    while (w.event.status == QA_OK && lua_next(L, index) != 0) {
        qa_lua_path_key(&top, L, -2);
        if (top.key != NULL)
            write_field(&w, &top, qa_event_field(top.key, top.key_length), value);
        else if (is_list(L, index))
            fail_step(&w, &top, "unknown key; expected one event, got a list");
        else
            fail_step(&w, &top, "unknown key; expected only strings as keys");
        lua_pop(L, 1);
    }
    if (w.event.status != QA_OK)
        lua_pop(L, 1);
    return end_event(&w);
}

qa_status qa_lua_event_items(lua_State *L, const qa_lua_item *items, size_t count,
                             qa_lua_encoder *encoder, const qa_event_defaults *defaults) {
    walk w = {.L = L, .encoder = encoder};
    qa_field open = QA_FIELD_UNKNOWN;
    qa_event_begin(&w.event, &encoder->out, defaults, "event", &encoder->error);
    if (!lua_checkstack(L, 16))
        return w.event.status = qa_error_no_memory(&encoder->error, "event");
    for (size_t i = 0; i < count && w.event.status == QA_OK; i++)
        write_item(&w, &items[i], &open, (int)i + 1);
    if (w.event.status == QA_OK)
        end_named(&w, open);
    return end_event(&w);
}

/* A list holds events under 1..length and nothing else. */
static qa_status check_list_keys(lua_State *L, int index, size_t length, qa_error *error) {
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        int64_t key;
        if (lua_type(L, -2) == LUA_TNUMBER && qa_lua_to_integer(L, -2, &key) && key >= 1 &&
            (uint64_t)key <= length)
            continue;
        qa_lua_path step = {.above = NULL};
        char where[QA_EVENT_PATH_MAX];
        qa_lua_path_key(&step, L, -2);
        qa_error_set(error, QA_INVALID_EVENT, "events%s: unknown key; expected a list of events",
                     qa_lua_path_text(&step, where, sizeof where));
        lua_pop(L, 2);
        return QA_INVALID_EVENT;
    }
    return QA_OK;
}

static qa_status append_to_list(lua_State *L, int index, qa_lua_encoder *encoder,
                                const qa_event_defaults *defaults, int position) {
    char path[32];
    snprintf(path, sizeof path, "events[%d]", position);
    if (lua_type(L, index) != LUA_TTABLE)
        return qa_error_set(&encoder->error, QA_INVALID_EVENT, "%s: expected a table, got %s", path,
                            qa_lua_type_text(L, index));
    if (position > 1)
        qa_buf_put(&encoder->out, ",\n", 2);
    return qa_lua_event(L, index, encoder, defaults, path);
}

qa_status qa_lua_event_list(lua_State *L, int index, qa_lua_encoder *encoder,
                            const qa_event_defaults *defaults, size_t *count) {
    lua_pushnil(L);
    if (lua_next(L, index) == 0)
        return qa_error_set(&encoder->error, QA_INVALID_EVENT, "events: the list is empty");
    lua_pop(L, 2);
    *count = 1;
    if (!is_list(L, index))
        return qa_lua_event(L, index, encoder, defaults, "event");
    size_t length = lua_rawlen(L, index);
    qa_status status = check_list_keys(L, index, length, &encoder->error);
    for (size_t i = 1; status == QA_OK && i <= length; i++) {
        lua_rawgeti(L, index, (int)i);
        status = append_to_list(L, lua_gettop(L), encoder, defaults, (int)i);
        lua_pop(L, 1);
    }
    *count = length;
    return status;
}

static void write_common(walk *w, const qa_lua_path *step, int index,
                         qa_event_defaults *defaults) {
    char digits[QA_JSON_NUMBER_MAX];
    size_t length;
    bool plain;
    const char *text = attribute_text(w, step, index, digits, &length, &plain);
    if (text != NULL)
        w->event.status = qa_event_defaults_attribute(defaults, step->key, step->key_length, text,
                                                      length, &w->encoder->error);
}

qa_status qa_lua_common_attributes(lua_State *L, int index, qa_lua_encoder *encoder,
                                   qa_event_defaults *defaults) {
    walk w = {.L = L, .encoder = encoder};
    qa_event_begin(&w.event, &encoder->out, NULL, "config", &encoder->error);
    qa_lua_path attributes = {
        .table = lua_topointer(L, index), .key = "attributes", .key_length = 10};
    qa_lua_path step = {.above = &attributes};
    lua_pushnil(L);
    while (w.event.status == QA_OK && lua_next(L, index) != 0) {
        qa_lua_path_key(&step, L, -2);
        if (step.key == NULL)
            fail_step(&w, &attributes, "expected only strings as keys");
        else
            write_common(&w, &step, lua_gettop(L), defaults);
        lua_pop(L, 1);
    }
    if (w.event.status != QA_OK) {
        lua_pop(L, 1);
        encoder->error.status = QA_CONFIG;
        encoder->error.retriable = false;
    }
    return w.event.status;
}
