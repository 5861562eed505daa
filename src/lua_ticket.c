/* lua_ticket.c
 * A direct send under way, as a Lua userdata.
 * Does not know who waits for it, or how.
 * SPDX-License-Identifier: MIT */
#include "lua_ticket.h"

#include "lua_class.h"

#define TICKET "quickaudience.ticket"

static const double US_PER_SECOND = 1e6;
static const double SECONDS_MAX = 1e9;

static qa_ticket **check(lua_State *L) {
    return qa_lua_class_check(L, 1, TICKET);
}

static void set_number(lua_State *L, const char *name, double value) {
    lua_pushnumber(L, (lua_Number)value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *value) {
    if (value[0] == '\0')
        return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* Durations in seconds; a stage that was not reached has none. */
static void set_duration(lua_State *L, const char *name, int64_t us) {
    if (us > 0)
        set_number(L, name, (double)us / US_PER_SECOND);
}

static void push_details(lua_State *L, const qa_send_result *result) {
    lua_newtable(L);
    set_text(L, "trace_id", result->trace_id);
    set_text(L, "service_code", result->service_code);
    if (result->http_status != 0) {
        lua_pushinteger(L, result->http_status);
        lua_setfield(L, -2, "http_status");
    }
    set_flag(L, "verified", result->verified);
    set_number(L, "clock_offset", (double)result->clock_offset_ms / 1000);
    set_duration(L, "dns", result->dns_us);
    set_duration(L, "connect", result->connect_us);
    set_duration(L, "tls", result->tls_us);
    set_duration(L, "total", result->total_us);
    if (result->status != QA_OK) {
        set_flag(L, "retriable", result->retriable);
        set_flag(L, "possibly_stored", result->possibly_stored);
    }
}

static int done(lua_State *L) {
    qa_ticket **ticket = check(L);
    lua_pushboolean(L, *ticket == NULL || qa_ticket_done(*ticket));
    return 1;
}

static int wait(lua_State *L) {
    qa_ticket **ticket = check(L);
    lua_Number seconds = luaL_checknumber(L, 2);
    if (!(seconds >= 0))
        seconds = 0;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    int64_t timeout_us = (int64_t)((double)seconds * US_PER_SECOND);
    lua_pushboolean(L, *ticket == NULL || qa_ticket_wait(*ticket, timeout_us));
    return 1;
}

static int result(lua_State *L) {
    qa_ticket **ticket = check(L);
    const qa_send_result *found = *ticket != NULL ? qa_ticket_result(*ticket) : NULL;
    if (found == NULL)
        return luaL_error(L, *ticket == NULL ? "the ticket was cancelled" : "not done yet");
    if (found->status == QA_OK) {
        push_details(L, found);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, found->message);
    lua_pushstring(L, qa_status_code(found->status));
    push_details(L, found);
    return 4;
}

static int cancel(lua_State *L) {
    qa_ticket **ticket = check(L);
    qa_ticket_free(*ticket);
    *ticket = NULL;
    return 0;
}

static const luaL_Reg metamethods[] = {{"__gc", cancel}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"done", done}, {"wait", wait}, {"result", result}, {"cancel", cancel}, {NULL, NULL}};

void qa_lua_open_ticket(lua_State *L) {
    qa_lua_class_new(L, TICKET, metamethods, methods);
    lua_pop(L, 2);
}

qa_ticket **qa_lua_ticket_push(lua_State *L) {
    qa_ticket **ticket = lua_newuserdata(L, sizeof *ticket);
    *ticket = NULL;
    luaL_getmetatable(L, TICKET);
    lua_setmetatable(L, -2);
    return ticket;
}
