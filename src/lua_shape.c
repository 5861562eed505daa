/* lua_shape.c
 * A function that reports events whose members are known beforehand and whose values are arguments.
 * Does not know where the values come from.
 * SPDX-License-Identifier: MIT */
#include "lua_shape.h"

/* The function's upvalue 1. Upvalue 2 keeps the client, upvalue 3 the list with the names alive. */
typedef struct shape {
    qa_lua_client *client;
    size_t count;
    qa_lua_item items[];
} shape;

static int report(lua_State *L) {
    const shape *self = lua_touserdata(L, lua_upvalueindex(1));
    qa_lua_client *client = self->client;
    qa_lua_encoder *encoder = &client->encoder;
    if (client->closed)
        return luaL_error(L, "the client is closed");
    luaL_checkstack(L, (int)self->count, "too many values");
    lua_settop(L, (int)self->count);
    qa_lua_encoder_clear(encoder);
    if (qa_lua_event_items(L, self->items, self->count, encoder, client->defaults) != QA_OK ||
        qa_client_report(client->client, encoder->out.data, encoder->out.length, 1,
                         &encoder->error) != QA_OK)
        return qa_lua_push_error(L, &encoder->error);
    qa_lua_client_count_replaced(client, encoder);
    lua_pushboolean(L, 1);
    return 1;
}

/* The string at `place` of the entry on top of the stack, kept alive by the entry; NULL: none. */
static const char *text_at(lua_State *L, int place, size_t *length) {
    lua_rawgeti(L, -1, place);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, length) : NULL;
    lua_pop(L, 1);
    return text;
}

/* Whether the entry on top of the stack says what its argument is. */
static bool read_item(lua_State *L, qa_lua_item *item) {
    *item = (qa_lua_item){.field = QA_FIELD_UNKNOWN};
    if (!lua_istable(L, -1))
        return false;
    item->member = text_at(L, 1, &item->member_length);
    if (item->member != NULL)
        item->field = qa_event_field(item->member, item->member_length);
    item->name = text_at(L, 2, &item->name_length);
    bool named = item->field == QA_FIELD_ATTRIBUTES || item->field == QA_FIELD_CUSTOMER_IDS;
    bool known = item->field != QA_FIELD_UNKNOWN && item->field != QA_FIELD_EXTRA;
    return known && named == (item->name != NULL);
}

int qa_lua_shape_push(lua_State *L, qa_lua_client *client) {
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t count = lua_rawlen(L, 2);
    luaL_argcheck(L, count <= QA_LUA_SHAPE_MAX, 2, "too many values");
    shape *self = lua_newuserdata(L, sizeof *self + count * sizeof self->items[0]);
    *self = (shape){.client = client, .count = count};
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        luaL_argcheck(L, read_item(L, &self->items[i]), 2, "not a member of an event");
        lua_pop(L, 1);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, report, 3);
    return 1;
}
