/* lua_core.h
 * The module quickaudience.core: what needs no client, and the door to what does.
 * Does not know how events are delivered.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_CORE_H
#define QA_LUA_CORE_H

#include "lua_compat.h"

/* The one symbol that the module exports. */
__attribute__((visibility("default"))) int luaopen_quickaudience_core(lua_State *L);

#endif
