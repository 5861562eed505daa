/* lua_ticket.h
 * A direct send under way, as a Lua userdata.
 * Does not know who waits for it, or how.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_TICKET_H
#define QA_LUA_TICKET_H

#include "lua_compat.h"
#include "ticket.h"

/* Registers the class and leaves the stack as it was. */
void qa_lua_open_ticket(lua_State *L);

/* Pushes a userdata that holds no ticket yet, so that nothing can raise between the send and its
 * place; returns that place. */
qa_ticket **qa_lua_ticket_push(lua_State *L);

#endif
