/* lua_parting.h
 * Clients that were collected while their Lua goes on: they deliver in the background.
 * Does not know why a client was collected.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_PARTING_H
#define QA_LUA_PARTING_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "lua_compat.h"

/* Counts this Lua VM for as long as it lives; once in a VM, before anything that is to be collected
 * first. When the last VM of the process ends, it waits for the clients that are parting, each for
 * what is left of its time: a host as nginx's with lua_code_cache off has a VM for each request,
 * and the end of a request must not end what others use. */
void qa_lua_parting_open(lua_State *L);

/* Takes a client over: it is closed and freed once it has nothing left to deliver or `timeout_us`
 * has passed, at a later call of any function here. Never waits for the network. */
void qa_lua_parting_add(qa_client *client, int64_t timeout_us);

/* Closes and frees those that are done. */
void qa_lua_parting_sweep(void);

/* Says that this VM is the one in which its host begins and ends, as nginx's is that init_by_lua
 * runs in: its end gives every client of the process `timeout_us`, also of VMs that are never
 * closed (nginx forgets those that a timer holds when it ends on TERM). With lua_code_cache off
 * init_by_lua runs in each request's VM too, so only the first VM of the host is believed, and one
 * of which the caller is `certain`. The process id would not tell: a daemon's master is a child of
 * the process that made the first VM, as its workers are. */
void qa_lua_parting_main(lua_State *L, int64_t timeout_us, bool certain);

/* True for the first that claims `name` in this process; a child of fork is another process. Up to
 * 8 names. */
bool qa_lua_parting_claim(const char *name);

#endif
