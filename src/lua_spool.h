/* lua_spool.h
 * The spool's directory for Lua: what the command shows, checks and marks.
 * Does not know the command's words.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_SPOOL_H
#define QA_LUA_SPOOL_H

#include "lua_compat.h"

/* Adds the functions spool_files, spool_rows, spool_letters, spool_verify, spool_retry and
 * spool_drop to the table on top of the stack. All fail with nil, message, code. */
void qa_lua_open_spool(lua_State *L);

#endif
