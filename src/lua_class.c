/* lua_class.c
 * Userdata with a metatable of their own, checked quickly and closed to tampering.
 * Does not know what the userdata hold.
 * SPDX-License-Identifier: MIT */
#include "lua_class.h"

static void set_functions(lua_State *L, const luaL_Reg *functions, int metatable) {
    lua_pushvalue(L, metatable);
    qa_lua_setfuncs(L, functions, 1);
}

void qa_lua_class_new(lua_State *L, const char *name, const luaL_Reg *metamethods,
                      const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    int metatable = lua_gettop(L);
    lua_pushstring(L, name);
    lua_setfield(L, metatable, "__name");
    /* Whoever got hold of the metatable could call __gc by hand. */
    lua_pushstring(L, name);
    lua_setfield(L, metatable, "__metatable");
    set_functions(L, metamethods, metatable);
    lua_newtable(L);
    set_functions(L, methods, metatable);
    lua_pushvalue(L, -1);
    lua_setfield(L, metatable, "__index");
}

void *qa_lua_class_check(lua_State *L, int index, const char *name) {
    void *memory = lua_touserdata(L, index);
    if (memory != NULL && lua_getmetatable(L, index)) {
        int same = lua_rawequal(L, -1, lua_upvalueindex(1));
        lua_pop(L, 1);
        if (same)
            return memory;
    }
    luaL_error(L, "bad argument #%d (expected a %s, got %s)", index, name, luaL_typename(L, index));
    return NULL;
}
