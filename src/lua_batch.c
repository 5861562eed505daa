/* lua_batch.c
 * A builder that gathers events, to send or report them together.
 * Does not know how they are delivered.
 * SPDX-License-Identifier: MIT */
#include "lua_batch.h"

#include "lua_class.h"

#define BATCH "quickaudience.batch"

typedef struct batch {
    qa_lua_client *owner; /* kept alive by the userdata's uservalue */
    qa_lua_encoder encoder;
    size_t count;
} batch;

static batch *check(lua_State *L) {
    return qa_lua_class_check(L, 1, BATCH);
}

static batch *check_open(lua_State *L) {
    batch *self = check(L);
    if (self->owner->closed)
        luaL_error(L, "the client is closed");
    return self;
}

static int add(lua_State *L) {
    batch *self = check_open(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    qa_buf *out = &self->encoder.out;
    size_t before = out->length;
    if (self->count > 0)
        qa_buf_put(out, ",\n", 2);
    qa_status status = qa_lua_event(L, 2, &self->encoder, self->owner->defaults, "event");
    if (status != QA_OK) {
        out->length = before;
        return qa_lua_push_error(L, &self->encoder.error);
    }
    qa_lua_client_count_replaced(self->owner, &self->encoder);
    self->count++;
    lua_pushboolean(L, 1);
    return 1;
}

static int length(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check(L)->count);
    return 1;
}

/* With the brackets around the list, so that it can be held against batch_bytes. */
static int bytes(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check(L)->encoder.out.length + 2);
    return 1;
}

static int clear(lua_State *L) {
    batch *self = check(L);
    qa_lua_encoder_clear(&self->encoder);
    self->count = 0;
    lua_settop(L, 1);
    return 1;
}

static int report(lua_State *L) {
    batch *self = check_open(L);
    qa_error error;
    if (self->count == 0) {
        qa_error_set(&error, QA_INVALID_EVENT, "batch: empty");
        return qa_lua_push_error(L, &error);
    }
    qa_buf *out = &self->encoder.out;
    if (qa_client_report(self->owner->client, out->data, out->length, self->count, &error) != QA_OK)
        return qa_lua_push_error(L, &error);
    clear(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* For `send`, which is client.lua's: waiting may mean to yield, and a C function must not be between. */
static int client(lua_State *L) {
    check(L);
    qa_lua_get_uservalue(L, 1);
    lua_getfield(L, -1, "client");
    return 1;
}

static int collect(lua_State *L) {
    batch *self = check(L);
    qa_lua_encoder_free(&self->encoder);
    return 0;
}

static const luaL_Reg metamethods[] = {{"__gc", collect}, {"__len", length}, {NULL, NULL}};

static const luaL_Reg methods[] = {{"add", add},       {"bytes", bytes}, {"clear", clear},
                                   {"report", report}, {"_client", client}, {NULL, NULL}};

void qa_lua_open_batch(lua_State *L) {
    qa_lua_class_new(L, BATCH, metamethods, methods);
    lua_remove(L, -2);
}

void qa_lua_batch_push(lua_State *L, int index, qa_lua_client *owner) {
    index = qa_lua_absindex(L, index);
    batch *self = lua_newuserdata(L, sizeof *self);
    *self = (batch){.owner = owner};
    qa_lua_encoder_init(&self->encoder, owner->queue_bytes);
    luaL_getmetatable(L, BATCH);
    lua_setmetatable(L, -2);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, index);
    lua_setfield(L, -2, "client");
    qa_lua_set_uservalue(L, -2);
}

const char *qa_lua_batch_events(lua_State *L, int index, const qa_lua_client *owner,
                                size_t *length_out, size_t *count) {
    batch *self = lua_touserdata(L, index);
    if (self == NULL || !lua_getmetatable(L, index))
        return NULL;
    luaL_getmetatable(L, BATCH);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!same || self->owner != owner)
        return NULL;
    *length_out = self->encoder.out.length;
    *count = self->count;
    return self->count > 0 ? self->encoder.out.data : "";
}
