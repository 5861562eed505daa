/* lua_client.c
 * The client as a Lua userdata: report() and the raw calls that lua/quickaudience/client.lua uses.
 * Does not know when or how to wait; that is the Lua layer's.
 * SPDX-License-Identifier: MIT */
#include "lua_client.h"

#include "lua_batch.h"
#include "lua_class.h"
#include "lua_dead.h"
#include "lua_parting.h"
#include "lua_settings.h"
#include "lua_shape.h"
#include "lua_stats.h"
#include "lua_ticket.h"

#define CLIENT "quickaudience.client"


static const double US_PER_SECOND = 1e6;
static const double SECONDS_MAX = 1e9;

static qa_lua_client *check(lua_State *L) {
    return qa_lua_class_check(L, 1, CLIENT);
}

static qa_lua_client *check_open(lua_State *L) {
    qa_lua_client *self = check(L);
    if (self->closed)
        luaL_error(L, "the client is closed");
    return self;
}

static int push_true(lua_State *L) {
    lua_pushboolean(L, 1);
    return 1;
}

/* Seconds at `index`, none when it is nil: without limit (negative). */
static int64_t optional_timeout_us(lua_State *L, int index) {
    if (lua_isnoneornil(L, index))
        return -1;
    double seconds = (double)luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0, index, "expected seconds, 0 or more");
    return (int64_t)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * US_PER_SECOND);
}

void qa_lua_client_count_replaced(qa_lua_client *self, qa_lua_encoder *encoder) {
    if (encoder->replaced > 0)
        qa_client_count_replaced(self->client, encoder->replaced);
    encoder->replaced = 0;
}

static int report(lua_State *L) {
    qa_lua_client *self = check_open(L);
    qa_lua_encoder *encoder = &self->encoder;
    luaL_checktype(L, 2, LUA_TTABLE);
    qa_lua_encoder_clear(encoder);
    if (qa_lua_event(L, 2, encoder, self->defaults, "event") != QA_OK ||
        qa_client_report(self->client, encoder->out.data, encoder->out.length, 1,
                         &encoder->error) != QA_OK)
        return qa_lua_push_error(L, &encoder->error);
    qa_lua_client_count_replaced(self, encoder);
    return push_true(L);
}

static int reporter(lua_State *L) {
    return qa_lua_shape_push(L, check_open(L));
}

static int new_batch(lua_State *L) {
    qa_lua_batch_push(L, 1, check_open(L));
    return 1;
}

/* The events of argument 2 (an event, a list of them, or a builder); NULL with the encoder's error. */
static const char *events_argument(lua_State *L, qa_lua_client *self, size_t *length,
                                   size_t *count) {
    if (lua_type(L, 2) == LUA_TUSERDATA) {
        const char *events = qa_lua_batch_events(L, 2, self, length, count);
        luaL_argcheck(L, events != NULL, 2, "expected a batch of this client");
        if (*count == 0)
            qa_error_set(&self->encoder.error, QA_INVALID_EVENT, "batch: empty");
        return *count > 0 ? events : NULL;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    qa_lua_encoder_clear(&self->encoder);
    if (qa_lua_event_list(L, 2, &self->encoder, self->defaults, count) != QA_OK)
        return NULL;
    *length = self->encoder.out.length;
    return self->encoder.out.data;
}

static int start(lua_State *L, qa_lua_client *self, const char *events, size_t length,
                 size_t count) {
    qa_ticket **ticket = qa_lua_ticket_push(L);
    qa_error *error = &self->encoder.error;
    if (qa_client_send_start(self->client, events, length, count, ticket, error) != QA_OK)
        return qa_lua_push_error(L, error);
    qa_lua_client_count_replaced(self, &self->encoder);
    return 1;
}

static int send_start(lua_State *L) {
    qa_lua_client *self = check_open(L);
    size_t length = 0, count = 0;
    const char *events = events_argument(L, self, &length, &count);
    if (events == NULL)
        return qa_lua_push_error(L, &self->encoder.error);
    return start(L, self, events, length, count);
}

static int check_start(lua_State *L) {
    return start(L, check_open(L), "", 0, 0);
}

static int take_report(lua_State *L) {
    qa_lua_client *self = check(L);
    qa_report found;
    if (qa_client_poll_one(self->client, &found) == 0)
        return 0;
    lua_createtable(L, 0, 7);
    lua_pushstring(L, qa_report_status_text(found.status));
    lua_setfield(L, -2, "status");
    qa_lua_push_count(L, found.events);
    lua_setfield(L, -2, "events");
    lua_pushboolean(L, found.possibly_stored);
    lua_setfield(L, -2, "possibly_stored");
    if (found.trace_id[0] != '\0') {
        lua_pushstring(L, found.trace_id);
        lua_setfield(L, -2, "trace_id");
    }
    if (found.code != QA_OK) {
        lua_pushstring(L, qa_status_code(found.code));
        lua_setfield(L, -2, "code");
        lua_pushstring(L, found.message);
        lua_setfield(L, -2, "message");
    }
    if (found.merged > 0) {
        qa_lua_push_count(L, found.merged);
        lua_setfield(L, -2, "merged");
    }
    return 1;
}

static int flush_begin(lua_State *L) {
    qa_lua_push_count(L, qa_client_flush_begin(check_open(L)->client));
    return 1;
}

static int flush_done(lua_State *L) {
    qa_lua_client *self = check(L);
    lua_pushboolean(L, qa_client_flush_done(self->client, (uint64_t)luaL_checknumber(L, 2)));
    return 1;
}

/* true, or nil, message, code and how many events are left. */
static int push_outcome(lua_State *L, qa_status status, const qa_error *error,
                        uint64_t remaining) {
    if (status == QA_OK)
        return push_true(L);
    qa_lua_push_error(L, error);
    qa_lua_push_count(L, remaining);
    return 4;
}

static int flush_wait(lua_State *L) {
    qa_lua_client *self = check_open(L);
    uint64_t mark = (uint64_t)luaL_checknumber(L, 2), remaining = 0;
    qa_error error;
    qa_status status = qa_client_flush_wait(self->client, mark, optional_timeout_us(L, 3),
                                            &remaining, &error);
    return push_outcome(L, status, &error, remaining);
}

static int disk_begin(lua_State *L) {
    qa_lua_client *self = check_open(L);
    if (!qa_client_keeps(self->client))
        return 0;
    qa_lua_push_count(L, qa_client_flush_to_disk_begin(self->client));
    return 1;
}

static int disk_done(lua_State *L) {
    qa_lua_client *self = check(L);
    uint64_t mark = (uint64_t)luaL_checknumber(L, 2);
    lua_pushboolean(L, qa_client_flush_to_disk_done(self->client, mark));
    return 1;
}

static int disk_wait(lua_State *L) {
    qa_lua_client *self = check_open(L);
    uint64_t mark = (uint64_t)luaL_checknumber(L, 2);
    qa_error error;
    if (qa_client_flush_to_disk_wait(self->client, mark, optional_timeout_us(L, 3), &error) ==
        QA_OK)
        return push_true(L);
    return qa_lua_push_error(L, &error);
}

static int close_client(lua_State *L) {
    qa_lua_client *self = check(L);
    int64_t timeout_us = optional_timeout_us(L, 2);
    uint64_t remaining = 0;
    qa_error error;
    if (self->closed)
        return push_true(L);
    self->closed = true;
    qa_status status = qa_client_close(self->client, timeout_us, &remaining, &error);
    return push_outcome(L, status, &error, remaining);
}

static int pending(lua_State *L) {
    qa_lua_push_count(L, qa_client_pending(check(L)->client));
    return 1;
}

static int is_closed(lua_State *L) {
    lua_pushboolean(L, check(L)->closed);
    return 1;
}

static int stats(lua_State *L) {
    qa_stats found;
    qa_client_stats(check(L)->client, &found);
    qa_lua_push_stats(L, &found);
    return 1;
}

static int dead(lua_State *L) {
    qa_lua_client *self = check_open(L);
    lua_Number max = luaL_optnumber(L, 2, 100);
    luaL_argcheck(L, max >= 0 && max <= 1e9, 2, "expected a count");
    if (qa_lua_push_dead(L, self->client, (size_t)max, &self->encoder.nested) != QA_OK)
        return luaL_error(L, "not enough memory");
    return 1;
}

static int fileno_method(lua_State *L) {
    qa_error error;
    int descriptor = qa_client_fileno(check_open(L)->client, &error);
    if (descriptor < 0)
        return qa_lua_push_error(L, &error);
    lua_pushinteger(L, descriptor);
    return 1;
}

static int set_credentials(lua_State *L) {
    qa_lua_client *self = check_open(L);
    qa_credentials credentials = {luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                                  luaL_checkstring(L, 4)};
    qa_error error;
    if (qa_client_set_credentials(self->client, &credentials, &error) != QA_OK)
        return qa_lua_push_error(L, &error);
    return push_true(L);
}

static int private_table(lua_State *L) {
    check(L);
    qa_lua_get_uservalue(L, 1);
    return 1;
}

/* The last chance of a host that never closes: it delivers for as long as the settings allow, while
 * the host goes on. Only the end of the last Lua waits for it. */
static int collect(lua_State *L) {
    qa_lua_client *self = check(L);
    if (self->client != NULL && !self->closed) {
        qa_lua_get_uservalue(L, 1);
        lua_getfield(L, -1, "close_timeout");
        double seconds = (double)lua_tonumber(L, -1);
        qa_lua_parting_add(self->client, (int64_t)(seconds * US_PER_SECOND));
        self->client = NULL;
    }
    qa_client_free(self->client);
    qa_event_defaults_free(self->defaults);
    qa_lua_encoder_free(&self->encoder);
    *self = (qa_lua_client){.closed = true};
    return 0;
}

/* `local client <close> = …`: the Lua layer's close, which also hands over delivery reports. */
static int close_variable(lua_State *L) {
    check(L);
    lua_settop(L, 1);
    lua_getfield(L, 1, "close");
    lua_insert(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

/* Names the endpoint and nothing that is secret. */
static int to_string(lua_State *L) {
    qa_lua_client *self = check(L);
    qa_lua_get_uservalue(L, 1);
    lua_getfield(L, -1, "endpoint");
    lua_pushfstring(L, "%s: %s%s", CLIENT, lua_tostring(L, -1), self->closed ? " (closed)" : "");
    return 1;
}

static const luaL_Reg metamethods[] = {{"__gc", collect},
                                       {"__close", close_variable},
                                       {"__tostring", to_string},
                                       {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"report", report},
    {"batch", new_batch},
    {"dead", dead},
    {"fileno", fileno_method},
    {"_reporter", reporter},
    {"_send_start", send_start},
    {"_check_start", check_start},
    {"_take_report", take_report},
    {"_flush_begin", flush_begin},
    {"_flush_done", flush_done},
    {"_flush_wait", flush_wait},
    {"_disk_begin", disk_begin},
    {"_disk_done", disk_done},
    {"_disk_wait", disk_wait},
    {"_close", close_client},
    {"_is_closed", is_closed},
    {"_pending", pending},
    {"_stats", stats},
    {"_set_credentials", set_credentials},
    {"_private", private_table},
    {NULL, NULL},
};

/* Encodes once what every event of the client gets. */
static qa_status read_defaults(lua_State *L, qa_lua_client *self) {
    static const struct {
        const char *name;
        qa_field field;
    } fields[] = {{"organization_id", QA_FIELD_ORGANIZATION_ID},
                  {"workspace_id", QA_FIELD_WORKSPACE_ID}};
    qa_status status = QA_OK;
    for (size_t i = 0; status == QA_OK && i < sizeof fields / sizeof fields[0]; i++) {
        size_t length;
        lua_getfield(L, 1, fields[i].name);
        const char *text = lua_tolstring(L, -1, &length);
        if (text != NULL)
            status = qa_event_defaults_field(self->defaults, fields[i].field, text, length,
                                             &self->encoder.error);
        lua_pop(L, 1);
    }
    lua_getfield(L, 1, "attributes");
    if (status == QA_OK && lua_istable(L, -1))
        status = qa_lua_common_attributes(L, lua_gettop(L), &self->encoder, self->defaults);
    lua_pop(L, 1);
    return status;
}

/* The userdata comes before what it owns, so that nothing is lost when something raises. */
static qa_lua_client *push_client(lua_State *L) {
    qa_lua_client *self = lua_newuserdata(L, sizeof *self);
    *self = (qa_lua_client){.closed = false};
    qa_lua_encoder_init(&self->encoder, QA_EVENT_SIZE_MAX);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setmetatable(L, -2);
    lua_createtable(L, 0, 4);
    lua_getfield(L, 1, "close_timeout");
    lua_setfield(L, -2, "close_timeout");
    lua_getfield(L, 1, "endpoint");
    lua_setfield(L, -2, "endpoint");
    qa_lua_set_uservalue(L, -2);
    return self;
}

static int new_client(lua_State *L) {
    qa_client_config config;
    qa_error_code_rule rules[QA_LUA_ERROR_CODES_MAX];
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    qa_lua_settings(L, 1, &config, rules);
    lua_getfield(L, 1, "on_delivery");
    bool wants_reports = !lua_isnil(L, -1);
    qa_lua_client *self = push_client(L);
    self->batch_bytes = config.batch_bytes;
    self->queue_bytes = config.queue_bytes;
    self->defaults = qa_event_defaults_new();
    qa_error *error = &self->encoder.error;
    if (self->defaults == NULL)
        qa_error_no_memory(error, "client");
    else if (read_defaults(L, self) == QA_OK &&
             qa_client_new(&config, wants_reports, &self->client, error) == QA_OK) {
        qa_lua_parting_sweep();
        return 1;
    }
    self->closed = true;
    return qa_lua_push_error(L, error);
}

void qa_lua_open_client(lua_State *L) {
    int module = lua_gettop(L);
    qa_lua_open_ticket(L);
    qa_lua_open_batch(L);
    lua_setfield(L, module, "batch_methods");
    qa_lua_class_new(L, CLIENT, metamethods, methods);
    lua_setfield(L, module, "methods");
    lua_pushcclosure(L, new_client, 1);
    lua_setfield(L, module, "new");
}
