/* lua_settings.c
 * Reads the checked settings that config.lua hands down into the core's configuration.
 * Does not know defaults or ranges; those stand in lua/quickaudience/config.lua.
 * SPDX-License-Identifier: MIT */
#include "lua_settings.h"

#include <string.h>

static const double US_PER_SECOND = 1e6;

static void fail(lua_State *L, const char *name) {
    luaL_error(L, "settings.%s: not as config.lua hands it down", name);
}

/* The string stays alive through the table; NULL when it is nil. */
static const char *optional_text(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        fail(L, name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static const char *text(lua_State *L, int table, const char *name) {
    const char *found = optional_text(L, table, name);
    if (found == NULL)
        fail(L, name);
    return found;
}

static double number(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    double value = (double)lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !(value >= 0 && value < 9e15))
        fail(L, name);
    lua_pop(L, 1);
    return value;
}

static uint64_t count(lua_State *L, int table, const char *name) {
    return (uint64_t)number(L, table, name);
}

static int64_t duration_us(lua_State *L, int table, const char *name) {
    double seconds = number(L, table, name);
    if (seconds >= 9e15 / US_PER_SECOND)
        fail(L, name);
    return (int64_t)(seconds * US_PER_SECOND + 0.5);
}

/* Which of `names` the setting is. */
static int choice(lua_State *L, int table, const char *name, const char *const *names) {
    const char *given = text(L, table, name);
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], given) == 0)
            return i;
    }
    fail(L, name);
    return 0;
}

static qa_action error_code_action(lua_State *L, const char *name) {
    if (strcmp(name, "retry") == 0)
        return QA_ACTION_RETRY;
    if (strcmp(name, "reject") == 0)
        return QA_ACTION_REJECT;
    if (strcmp(name, "pause") == 0)
        return QA_ACTION_PAUSE;
    fail(L, "error_codes");
    return QA_ACTION_RETRY;
}

static void read_error_codes(lua_State *L, int table, qa_client_config *out,
                             qa_error_code_rule *rules) {
    lua_getfield(L, table, "error_codes");
    if (lua_istable(L, -1)) {
        int codes = lua_gettop(L);
        for (lua_pushnil(L); lua_next(L, codes) != 0; lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING ||
                out->error_code_count == QA_LUA_ERROR_CODES_MAX)
                fail(L, "error_codes");
            rules[out->error_code_count++] = (qa_error_code_rule){
                .code = lua_tostring(L, -2), .action = error_code_action(L, lua_tostring(L, -1))};
        }
    }
    lua_pop(L, 1);
    out->error_codes = rules;
}

static void read_texts(lua_State *L, int table, qa_client_config *out) {
    out->endpoint = text(L, table, "endpoint");
    out->path = text(L, table, "path");
    out->credentials.app_id = text(L, table, "app_id");
    out->credentials.access_key = text(L, table, "access_key");
    out->credentials.access_secret = text(L, table, "access_secret");
    out->organization_id = optional_text(L, table, "organization_id");
    out->access_id = text(L, table, "access_id");
    out->ca_file = optional_text(L, table, "ca_file");
    out->proxy = optional_text(L, table, "proxy");
    out->user_agent = optional_text(L, table, "user_agent");
    out->spool = optional_text(L, table, "spool");
}

static void read_numbers(lua_State *L, int table, qa_client_config *out) {
    out->batch_events = count(L, table, "batch_events");
    out->batch_bytes = count(L, table, "batch_bytes");
    out->queue_events = count(L, table, "queue_events");
    out->queue_bytes = count(L, table, "queue_bytes");
    out->max_in_flight = (uint32_t)count(L, table, "max_in_flight");
    out->linger_us = duration_us(L, table, "linger");
    out->timeout_us = duration_us(L, table, "timeout");
    out->connect_timeout_us = duration_us(L, table, "connect_timeout");
    out->retry_base_us = duration_us(L, table, "retry_base");
    out->retry_max_us = duration_us(L, table, "retry_max");
    out->delivery_deadline_us = duration_us(L, table, "delivery_deadline");
    out->commit_interval_us = duration_us(L, table, "commit_interval");
    out->close_timeout_us = duration_us(L, table, "close_timeout");
    out->spool_max_bytes = count(L, table, "spool_max_bytes");
    lua_getfield(L, table, "max_requests_per_second");
    bool limited = !lua_isnil(L, -1);
    lua_pop(L, 1);
    out->max_requests_per_second = limited ? number(L, table, "max_requests_per_second") : 0;
}

void qa_lua_settings(lua_State *L, int index, qa_client_config *out, qa_error_code_rule *rules) {
    static const char *const encodings[] = {"form", "rfc3986", "none", NULL};
    static const char *const syncs[] = {"full", "normal", NULL};
    memset(out, 0, sizeof *out);
    read_texts(L, index, out);
    read_numbers(L, index, out);
    out->sign_encoding = (qa_sign_encoding)choice(L, index, "sign_encoding", encodings);
    out->spool_sync = (qa_spool_sync)choice(L, index, "spool_sync", syncs);
    read_error_codes(L, index, out, rules);
}
