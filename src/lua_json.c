/* lua_json.c
 * Writes a Lua value of any depth as JSON text, straight from the table.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#include "lua_json.h"

#include <math.h>

#include "json.h"

/* Holes make an array mostly nulls; past this they are more likely a mistake (lua-cjson's rule). */
enum { SPARSE_SAFE = 10, SPARSE_RATIO = 2 };

typedef struct writer {
    lua_State *L;
    qa_buf *out;
    size_t *replaced;
    char *culprit;
    size_t culprit_size;
} writer;

static const char *write_value(writer *w, int index, const qa_lua_path *path, int depth);

static const char *fail_at(writer *w, const qa_lua_path *path, const char *what) {
    qa_lua_path_text(path, w->culprit, w->culprit_size);
    return what;
}

const char *qa_lua_json_number(lua_State *L, int index, char *digits, size_t *length) {
    int64_t whole;
    if (qa_lua_to_integer(L, index, &whole)) {
        *length = qa_json_format_int(digits, whole);
        return NULL;
    }
    double number = (double)lua_tonumber(L, index);
    if (!isfinite(number))
        return "not a finite number";
    *length = qa_json_format_double(digits, number);
    return NULL;
}

static const char *write_number(writer *w, int index, const qa_lua_path *path) {
    char *at = qa_buf_reserve(w->out, QA_JSON_NUMBER_MAX);
    if (at == NULL)
        return NULL; /* the buffer's status says it */
    size_t length;
    const char *wrong = qa_lua_json_number(w->L, index, at, &length);
    if (wrong != NULL)
        return fail_at(w, path, wrong);
    qa_buf_commit(w->out, length);
    return NULL;
}

typedef struct shape {
    bool is_array;
    lua_Integer last; /* the highest index of an array */
} shape;

/* An array has keys that are whole numbers from 1 up, and nothing else. */
static const char *measure(writer *w, int index, const qa_lua_path *path, shape *out) {
    lua_Integer last = 0, count = 0;
    bool names = false;
    for (lua_pushnil(w->L); lua_next(w->L, index) != 0; lua_pop(w->L, 1)) {
        int64_t key;
        if (lua_type(w->L, -2) == LUA_TNUMBER && qa_lua_to_integer(w->L, -2, &key) && key >= 1) {
            count++;
            last = key > last ? (lua_Integer)key : last;
        } else if (lua_type(w->L, -2) == LUA_TSTRING || lua_type(w->L, -2) == LUA_TNUMBER) {
            names = true;
        } else {
            lua_pop(w->L, 2);
            return fail_at(w, path, "a key is neither a string nor a number");
        }
    }
    out->is_array = count > 0 && !names;
    out->last = last;
    if (out->is_array && last > SPARSE_SAFE && last / SPARSE_RATIO > count)
        return fail_at(w, path, "an array with more holes than values");
    return NULL;
}

static const char *write_array(writer *w, int index, lua_Integer last, qa_lua_path *step,
                               int depth) {
    qa_buf_put_char(w->out, '[');
    for (lua_Integer i = 1; i <= last; i++) {
        if (i > 1)
            qa_buf_put_char(w->out, ',');
        lua_rawgeti(w->L, index, (int)i);
        step->key = NULL;
        step->number = (double)i;
        const char *wrong = write_value(w, lua_gettop(w->L), step, depth);
        lua_pop(w->L, 1);
        if (wrong != NULL || w->out->status != QA_OK)
            return wrong;
    }
    qa_buf_put_char(w->out, ']');
    return NULL;
}

static const char *write_key(writer *w, const qa_lua_path *step) {
    if (step->key != NULL) {
        *w->replaced += qa_json_string(w->out, step->key, step->key_length);
        return NULL;
    }
    if (!isfinite(step->number))
        return fail_at(w, step, "a key is not a finite number");
    char digits[QA_JSON_NUMBER_MAX];
    *w->replaced += qa_json_string(w->out, digits, qa_json_format_double(digits, step->number));
    return NULL;
}

static const char *write_object(writer *w, int index, qa_lua_path *step, int depth) {
    const char *wrong = NULL;
    bool first = true;
    qa_buf_put_char(w->out, '{');
    for (lua_pushnil(w->L); lua_next(w->L, index) != 0; lua_pop(w->L, 1)) {
        if (!first)
            qa_buf_put_char(w->out, ',');
        first = false;
        qa_lua_path_key(step, w->L, -2);
        wrong = write_key(w, step);
        qa_buf_put_char(w->out, ':');
        if (wrong == NULL)
            wrong = write_value(w, lua_gettop(w->L), step, depth);
        if (wrong != NULL || w->out->status != QA_OK) {
            lua_pop(w->L, 2);
            return wrong;
        }
    }
    qa_buf_put_char(w->out, '}');
    return NULL;
}

static const char *write_table(writer *w, int index, const qa_lua_path *path, int depth) {
    const void *table = lua_topointer(w->L, index);
    for (const qa_lua_path *step = path; step != NULL; step = step->above) {
        if (step->table == table)
            return fail_at(w, path, "a cycle: this table contains itself");
    }
    if (depth >= QA_LUA_JSON_DEPTH_MAX || !lua_checkstack(w->L, 4))
        return fail_at(w, path, "nested too deep");
    shape measured;
    const char *wrong = measure(w, index, path, &measured);
    if (wrong != NULL)
        return wrong;
    qa_lua_path step = {.above = path, .table = table};
    return measured.is_array ? write_array(w, index, measured.last, &step, depth + 1)
                             : write_object(w, index, &step, depth + 1);
}

static const char *write_value(writer *w, int index, const qa_lua_path *path, int depth) {
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(w->L, index, &length);
        *w->replaced += qa_json_string(w->out, text, length);
        return NULL;
    }
    case LUA_TNUMBER: return write_number(w, index, path);
    case LUA_TBOOLEAN:
        qa_buf_put_text(w->out, lua_toboolean(w->L, index) ? "true" : "false");
        return NULL;
    case LUA_TNIL: /* a hole of an array */
        qa_buf_put_text(w->out, "null");
        return NULL;
    case LUA_TTABLE: return write_table(w, index, path, depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(w->L, index) == NULL) { /* cjson.null */
            qa_buf_put_text(w->out, "null");
            return NULL;
        }
        return fail_at(w, path, "a userdata cannot be sent");
    case LUA_TFUNCTION: return fail_at(w, path, "a function cannot be sent");
    case LUA_TTHREAD: return fail_at(w, path, "a coroutine cannot be sent");
    case LUA_TUSERDATA: return fail_at(w, path, "a userdata cannot be sent");
    default: return fail_at(w, path, "a cdata cannot be sent; use tonumber() or tostring()");
    }
}

const char *qa_lua_json(lua_State *L, int index, qa_buf *out, const qa_lua_path *path,
                        size_t *replaced, char *culprit_text, size_t size) {
    writer w = {L, out, replaced, culprit_text, size};
    return write_value(&w, qa_lua_absindex(L, index), path, 0);
}
