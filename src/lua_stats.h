/* lua_stats.h
 * The figures of a client as a Lua table.
 * Does not know where they come from.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_STATS_H
#define QA_LUA_STATS_H

#include "ledger.h"
#include "lua_compat.h"

/* Pushes the table that docs/reference.md describes; durations in seconds. */
void qa_lua_push_stats(lua_State *L, const qa_stats *stats);

#endif
