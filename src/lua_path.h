/* lua_path.h
 * Where in a table a walk stands, told in words when something is wrong there.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_PATH_H
#define QA_LUA_PATH_H

#include <stddef.h>

#include "lua_compat.h"

/* One step down; it lies on the walker's C stack and points at the step above. */
typedef struct qa_lua_path {
    const struct qa_lua_path *above; /* NULL at the top */
    const void *table;               /* the table that is walked, to find cycles */
    const char *key;                 /* NULL: `number` is the key */
    size_t key_length;
    double number;
} qa_lua_path;

/* Makes the step's key that of the value at `index`, which must stay on the stack. */
static inline void qa_lua_path_key(qa_lua_path *path, lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TSTRING) {
        path->key = lua_tolstring(L, index, &path->key_length);
        return;
    }
    path->key = NULL;
    path->number = (double)lua_tonumber(L, index); /* 0 for what is no number either */
}

/* The path as Lua spells it: `.attributes.products[1]["a b"]`, cut to `size`; returns `out`. */
const char *qa_lua_path_text(const qa_lua_path *path, char *out, size_t size);

/* "a string", "a table", "nil": the type of the value at `index`, for "expected …, got …". */
const char *qa_lua_type_text(lua_State *L, int index);

#endif
