/* lua_client.h
 * The client as a Lua userdata: report() and the raw calls that lua/quickaudience/client.lua uses.
 * Does not know when or how to wait; that is the Lua layer's.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_CLIENT_H
#define QA_LUA_CLIENT_H

#include "lua_compat.h"

/* Adds `new` and `methods` to the module table on top of the stack. */
void qa_lua_open_client(lua_State *L);

#endif
