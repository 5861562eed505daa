/* lua_dead.h
 * Dead letters as a list of Lua tables.
 * Does not know where they are kept.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_DEAD_H
#define QA_LUA_DEAD_H

#include "buf.h"
#include "client.h"
#include "lua_compat.h"

/* Pushes the oldest `max` dead letters. `scratch` holds them on the way, because they are shown
 * under a lock, and making Lua tables may raise. */
qa_status qa_lua_push_dead(lua_State *L, qa_client *client, size_t max, qa_buf *scratch);

#endif
