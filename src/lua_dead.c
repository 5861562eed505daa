/* lua_dead.c
 * Dead letters as a list of Lua tables.
 * Does not know where they are kept.
 * SPDX-License-Identifier: MIT */
#include "lua_dead.h"

#include <string.h>

/* One letter in the scratch buffer; the event and three zero-terminated texts follow. */
typedef struct header {
    size_t event_length;
    int64_t wall_ms;
    uint32_t attempts;
    qa_status code;
} header;

static void put_text(qa_buf *out, const char *text) {
    qa_buf_put(out, text, strlen(text) + 1);
}

static bool copy_letter(void *context, const qa_dead_letter *letter) {
    qa_buf *out = context;
    header head = {letter->length, letter->wall_ms, letter->attempts, letter->code};
    qa_buf_put(out, &head, sizeof head);
    qa_buf_put(out, letter->event, letter->length);
    put_text(out, letter->service_code);
    put_text(out, letter->message);
    put_text(out, letter->trace_id);
    return out->status == QA_OK;
}

/* Sets a text unless it is empty; returns what stands behind it. */
static const char *set_text(lua_State *L, const char *name, const char *text) {
    if (text[0] != '\0') {
        lua_pushstring(L, text);
        lua_setfield(L, -2, name);
    }
    return text + strlen(text) + 1;
}

static const char *push_letter(lua_State *L, const char *at) {
    header head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    lua_createtable(L, 0, 7);
    lua_pushlstring(L, at, head.event_length);
    lua_setfield(L, -2, "event");
    at = set_text(L, "service_code", at + head.event_length);
    at = set_text(L, "message", at);
    at = set_text(L, "trace_id", at);
    set_text(L, "code", qa_status_code(head.code));
    qa_lua_push_count(L, head.attempts);
    lua_setfield(L, -2, "attempts");
    qa_lua_push_count(L, (uint64_t)head.wall_ms);
    lua_setfield(L, -2, "time");
    return at;
}

qa_status qa_lua_push_dead(lua_State *L, qa_client *client, size_t max, qa_buf *scratch) {
    qa_buf_clear(scratch);
    (void)qa_client_dead(client, max, copy_letter, scratch);
    if (scratch->status != QA_OK)
        return scratch->status;
    lua_newtable(L);
    const char *at = scratch->data, *end = at + scratch->length;
    for (int i = 1; at < end; i++) {
        at = push_letter(L, at);
        lua_rawseti(L, -2, i);
    }
    return QA_OK;
}
