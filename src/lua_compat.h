/* lua_compat.h
 * The one place that knows how Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT differ.
 * Does not know this module's own types.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_COMPAT_H
#define QA_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, index) lua_objlen((L), (index))
#define qa_lua_set_uservalue(L, index) ((void)lua_setfenv((L), (index)))
#define qa_lua_get_uservalue(L, index) lua_getfenv((L), (index))
#define qa_lua_setfuncs(L, functions, upvalues) qa_lua_setfuncs_51((L), (functions), (upvalues))

static inline int qa_lua_absindex(lua_State *L, int index) {
    return index > 0 || index <= LUA_REGISTRYINDEX ? index : lua_gettop(L) + index + 1;
}

/* As luaL_setfuncs of 5.2: each function gets copies of the upvalues on top of the stack. */
static inline void qa_lua_setfuncs_51(lua_State *L, const luaL_Reg *functions, int upvalues) {
    for (; functions->name != NULL; functions++) {
        for (int i = 0; i < upvalues; i++)
            lua_pushvalue(L, -upvalues);
        lua_pushcclosure(L, functions->func, upvalues);
        lua_setfield(L, -(upvalues + 2), functions->name);
    }
    lua_pop(L, upvalues);
}
#else
#define qa_lua_absindex(L, index) lua_absindex((L), (index))
#define qa_lua_setfuncs(L, functions, upvalues) luaL_setfuncs((L), (functions), (upvalues))
#define qa_lua_set_uservalue(L, index) ((void)lua_setuservalue((L), (index)))
#define qa_lua_get_uservalue(L, index) ((void)lua_getuservalue((L), (index)))
#endif

/* A count as an integer where Lua has them, so that it prints without ".0". */
static inline void qa_lua_push_count(lua_State *L, uint64_t count) {
#if LUA_VERSION_NUM >= 503
    lua_pushinteger(L, (lua_Integer)count);
#else
    lua_pushnumber(L, (lua_Number)count);
#endif
}

/* Whether the number at `index` is a whole one that fits, and which. Lua 5.3 and later keep 64-bit
 * integers apart; before, a whole number is a double without a fraction. */
static inline bool qa_lua_to_integer(lua_State *L, int index, int64_t *out) {
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        *out = (int64_t)lua_tointeger(L, index);
        return true;
    }
#endif
    lua_Number number = lua_tonumber(L, index);
    /* 2^63 itself does not fit; a NaN fails both comparisons. */
    if (!(number >= -9223372036854775808.0 && number < 9223372036854775808.0))
        return false;
    *out = (int64_t)number;
    return (lua_Number)*out == number;
}

#endif
