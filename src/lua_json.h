/* lua_json.h
 * Writes a Lua value of any depth as JSON text, straight from the table.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_JSON_H
#define QA_LUA_JSON_H

#include <stdbool.h>

#include "buf.h"
#include "lua_path.h"

enum { QA_LUA_JSON_DEPTH_MAX = 64 };

/* Appends the value at `index`. Tables with the keys 1..n become arrays, an empty one an object, as
 * lua-cjson does it; cjson.null becomes null; numbers keep every digit. Returns NULL, or what is
 * wrong as a static text, with `*culprit_text` (of `size` bytes) the path down to it from `path`.
 * Adds to `*replaced` what was not UTF-8. Raises nothing and runs no Lua code. */
const char *qa_lua_json(lua_State *L, int index, qa_buf *out, const qa_lua_path *path,
                        size_t *replaced, char *culprit_text, size_t size);

/* What is wrong with a number that JSON cannot hold, or NULL. */
const char *qa_lua_json_number(lua_State *L, int index, char *digits, size_t *length);

#endif
