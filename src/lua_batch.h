/* lua_batch.h
 * A builder that gathers events, to send or report them together.
 * Does not know how they are delivered.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_BATCH_H
#define QA_LUA_BATCH_H

#include "lua_client.h"
#include "lua_compat.h"

/* Registers the class and pushes its methods, to which the Lua layer adds `send`. */
void qa_lua_open_batch(lua_State *L);

/* Pushes an empty builder for the client at `index`, which it keeps alive. */
void qa_lua_batch_push(lua_State *L, int index, qa_lua_client *owner);

/* The events of the builder at `index`, joined by ",\n"; NULL when it is no builder of `owner`'s. */
const char *qa_lua_batch_events(lua_State *L, int index, const qa_lua_client *owner,
                                size_t *length, size_t *count);

#endif
