/* lua_event.h
 * Walks an event table once and writes it as wire JSON.
 * Does not know clients or queues.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_EVENT_H
#define QA_LUA_EVENT_H

#include "buf.h"
#include "event.h"
#include "lua_compat.h"

/* What the walk needs besides the event; one for each client, or for each Lua state. */
typedef struct qa_lua_encoder {
    qa_buf out;        /* the events of one call, joined by ",\n" */
    qa_buf nested;     /* JSON text of an attribute that is a table */
    qa_error error;    /* of the last event that failed */
    uint64_t replaced; /* characters that became U+FFFD in the last call */
} qa_lua_encoder;

/* `max`: bytes of one call. */
void qa_lua_encoder_init(qa_lua_encoder *encoder, size_t max);
void qa_lua_encoder_free(qa_lua_encoder *encoder);

/* Forgets the events of the last call; keeps the memory unless a rare large call made it grow. */
void qa_lua_encoder_clear(qa_lua_encoder *encoder);

/* Appends the event at the absolute `index`, a table, to encoder->out; `path` is what messages call
 * it. Runs no Lua code, no metamethod, and raises nothing. */
qa_status qa_lua_event(lua_State *L, int index, qa_lua_encoder *encoder,
                       const qa_event_defaults *defaults, const char *path);

/* What one of several values is to an event. */
typedef struct qa_lua_item {
    qa_field field;     /* QA_FIELD_ATTRIBUTES, QA_FIELD_CUSTOMER_IDS: one member of it */
    const char *member; /* the field's name, for messages */
    const char *name;   /* of the attribute, or the id's type; NULL for other fields */
    size_t member_length, name_length;
} qa_lua_item;

/* Appends the event whose values stand at 1 and above, one for each item; nil and "" are not there.
 * Items of one field that have names stand together. */
qa_status qa_lua_event_items(lua_State *L, const qa_lua_item *items, size_t count,
                             qa_lua_encoder *encoder, const qa_event_defaults *defaults);

/* Appends all events of the list at `index`, or the one event that it is. `*count` is how many. */
qa_status qa_lua_event_list(lua_State *L, int index, qa_lua_encoder *encoder,
                            const qa_event_defaults *defaults, size_t *count);

/* Adds the common attributes of a client from the table at `index` to `defaults`. */
qa_status qa_lua_common_attributes(lua_State *L, int index, qa_lua_encoder *encoder,
                                   qa_event_defaults *defaults);

/* Pushes nil, the message and the code of encoder->error; returns 3. */
int qa_lua_push_error(lua_State *L, const qa_error *error);

#endif
