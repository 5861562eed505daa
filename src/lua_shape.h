/* lua_shape.h
 * A function that reports events whose members are known beforehand and whose values are arguments.
 * Does not know where the values come from.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_SHAPE_H
#define QA_LUA_SHAPE_H

#include "lua_client.h"

enum { QA_LUA_SHAPE_MAX = 200 }; /* values of a shape: what a Lua call has room for */

/* Pushes the function for the client at 1 and the list at 2: of each argument the event's member
 * ("customer_id"), or the member and a name in it ("attributes", "path"; "customer_ids", "MOBILE"),
 * members that have names together. An argument that is nil or "" is not there. For a request's hook:
 * no table is filled, walked or looked up for an event. Raises for what is no such list; the list must
 * not change afterwards. */
int qa_lua_shape_push(lua_State *L, qa_lua_client *client);

#endif
