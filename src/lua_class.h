/* lua_class.h
 * Userdata with a metatable of their own, checked quickly and closed to tampering.
 * Does not know what the userdata hold.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_CLASS_H
#define QA_LUA_CLASS_H

#include "lua_compat.h"

/* Pushes a new class's metatable and its methods. Functions of both lists get the metatable as
 * their first upvalue, by which qa_lua_class_check knows its own. `name` is "quickaudience.…". */
void qa_lua_class_new(lua_State *L, const char *name, const luaL_Reg *metamethods,
                      const luaL_Reg *methods);

/* The memory of the userdata at `index`; raises when it is not one of the calling function's class.
 * A comparison of metatables: several times as fast as a look-up by name. */
void *qa_lua_class_check(lua_State *L, int index, const char *name);

#endif
