/* lua_path.c
 * Where in a table a walk stands, told in words when something is wrong there.
 * Does not know events.
 * SPDX-License-Identifier: MIT */
#include "lua_path.h"

#include <stdio.h>

enum { KEY_SHOWN_MAX = 48 };

static bool is_word(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return length > 0 && length <= KEY_SHOWN_MAX;
}

/* A key that is not a name is quoted; what a terminal or a log could misread becomes '?'. */
static size_t put_quoted(char *out, size_t size, const char *key, size_t length) {
    char shown[KEY_SHOWN_MAX + 1];
    size_t count = length < KEY_SHOWN_MAX ? length : KEY_SHOWN_MAX;
    for (size_t i = 0; i < count; i++)
        shown[i] = key[i] >= 0x20 && key[i] < 0x7F && key[i] != '"' ? key[i] : '?';
    shown[count] = '\0';
    int written = snprintf(out, size, "[\"%s%s\"]", shown, count < length ? "..." : "");
    return written < 0 ? 0 : (size_t)written;
}

static size_t put_step(const qa_lua_path *path, char *out, size_t size) {
    int written;
    if (path->key == NULL)
        written = snprintf(out, size, "[%.14g]", path->number);
    else if (is_word(path->key, path->key_length))
        written = snprintf(out, size, ".%.*s", (int)path->key_length, path->key);
    else
        return put_quoted(out, size, path->key, path->key_length);
    return written < 0 ? 0 : (size_t)written;
}

static size_t put_path(const qa_lua_path *path, char *out, size_t size) {
    size_t length = path->above != NULL ? put_path(path->above, out, size) : 0;
    if (length + 1 < size)
        length += put_step(path, out + length, size - length);
    return length < size ? length : size - 1;
}

const char *qa_lua_path_text(const qa_lua_path *path, char *out, size_t size) {
    out[0] = '\0';
    put_path(path, out, size);
    return out;
}

const char *qa_lua_type_text(lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL: return "nil";
    case LUA_TBOOLEAN: return "a boolean";
    case LUA_TNUMBER: return "a number";
    case LUA_TSTRING: return "a string";
    case LUA_TTABLE: return "a table";
    case LUA_TFUNCTION: return "a function";
    case LUA_TLIGHTUSERDATA: return lua_touserdata(L, index) == NULL ? "null" : "a userdata";
    case LUA_TUSERDATA: return "a userdata";
    case LUA_TTHREAD: return "a coroutine";
    default: return "a cdata; use tonumber() or tostring()"; /* LuaJIT's FFI */
    }
}
