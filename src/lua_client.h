/* lua_client.h
 * The client as a Lua userdata: report() and the raw calls that lua/quickaudience/client.lua uses.
 * Does not know when or how to wait; that is the Lua layer's.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_CLIENT_H
#define QA_LUA_CLIENT_H

#include <stdbool.h>

#include "client.h"
#include "lua_compat.h"
#include "lua_event.h"

/* The memory of a client userdata. */
typedef struct qa_lua_client {
    qa_client *client;           /* NULL until it is made */
    qa_event_defaults *defaults; /* what its events get that they do not say themselves */
    qa_lua_encoder encoder;      /* for one call at a time */
    uint64_t batch_bytes, queue_bytes;
    bool closed;
} qa_lua_client;

/* Adds `new` and `methods` to the module table on top of the stack. */
void qa_lua_open_client(lua_State *L);

/* Tells the sender how many characters were replaced since the last call. */
void qa_lua_client_count_replaced(qa_lua_client *self, qa_lua_encoder *encoder);

#endif
