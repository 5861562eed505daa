/* lua_spool.c
 * The spool's directory for Lua: what the command shows, checks and marks.
 * Does not know the command's words.
 * SPDX-License-Identifier: MIT */
#include "lua_spool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "lua_event.h"
#include "spool_view.h"

#define SCRATCH "quickaudience.spool_scratch"

/* Everything is copied here first and becomes tables once the file is closed again: Lua may jump
 * out for want of memory, which it must not do from inside a walk. */
enum { SCRATCH_MAX = 64 * 1024 * 1024 };

typedef enum kind { TEXT, NUMBER, BOOLEAN, END } kind;

/* A member of a table; a TEXT's bytes follow. END closes one table. */
typedef struct member {
    kind what;
    const char *key;
    size_t length;
    double number;
} member;

static void put_text(qa_buf *out, const char *key, const char *text, size_t length) {
    member head = {.what = TEXT, .key = key, .length = length};
    qa_buf_put(out, &head, sizeof head);
    qa_buf_put(out, text, length);
}

/* Leaves out what is empty. */
static void put_word(qa_buf *out, const char *key, const char *text) {
    if (text[0] != '\0')
        put_text(out, key, text, strlen(text));
}

static void put_number(qa_buf *out, const char *key, double number) {
    member head = {.what = NUMBER, .key = key, .number = number};
    qa_buf_put(out, &head, sizeof head);
}

static void put_boolean(qa_buf *out, const char *key, bool value) {
    member head = {.what = BOOLEAN, .key = key, .number = value};
    qa_buf_put(out, &head, sizeof head);
}

static bool put_end(qa_buf *out) {
    member head = {.what = END};
    qa_buf_put(out, &head, sizeof head);
    return out->status == QA_OK;
}

/* Sets the member of the table on top of the stack. */
static const char *push_member(lua_State *L, const member *head, const char *at) {
    if (head->what == TEXT) {
        lua_pushlstring(L, at, head->length);
        at += head->length;
    } else if (head->what == BOOLEAN) {
        lua_pushboolean(L, head->number != 0);
    } else if (head->number >= 0) {
        qa_lua_push_count(L, (uint64_t)head->number);
    } else {
        lua_pushnumber(L, head->number);
    }
    lua_setfield(L, -2, head->key);
    return at;
}

/* The list of all tables in the buffer. */
static int push_list(lua_State *L, const qa_buf *buf) {
    const char *at = buf->data, *end = buf->data + buf->length;
    lua_newtable(L);
    for (int i = 1; at < end; i++) {
        member head;
        lua_newtable(L);
        for (;;) {
            memcpy(&head, at, sizeof head);
            at += sizeof head;
            if (head.what == END)
                break;
            at = push_member(L, &head, at);
        }
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static int free_scratch(lua_State *L) {
    qa_buf_free(lua_touserdata(L, 1));
    return 0;
}

/* A buffer that Lua's collector frees; stays on the stack. */
static qa_buf *push_scratch(lua_State *L) {
    qa_buf *buf = lua_newuserdata(L, sizeof *buf);
    qa_buf_init(buf, SCRATCH_MAX);
    if (luaL_newmetatable(L, SCRATCH)) {
        lua_pushcfunction(L, free_scratch);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return buf;
}

static int finish(lua_State *L, qa_buf *buf, qa_status status, qa_error *error) {
    if (status == QA_OK && buf->status != QA_OK)
        status = qa_error_no_memory(error, "spool");
    if (status != QA_OK)
        return qa_lua_push_error(L, error);
    push_list(L, buf);
    qa_buf_free(buf);
    return 1;
}

/* ---- walks ------------------------------------------------------------------------------------ */

static bool copy_view(void *context, const qa_spool_view *view) {
    qa_buf *out = context;
    put_word(out, "name", view->name);
    put_number(out, "owner", view->owner);
    put_number(out, "maker", view->maker);
    put_boolean(out, "corrupt", view->corrupt);
    put_number(out, "bytes", (double)view->bytes);
    put_number(out, "rows", (double)view->counts.rows);
    put_number(out, "events", (double)view->counts.events);
    put_number(out, "event_bytes", (double)view->counts.bytes);
    put_number(out, "dead", (double)view->counts.letters);
    put_number(out, "dead_retry", (double)view->counts.letters_retry);
    if (view->counts.oldest_ms > 0)
        put_number(out, "oldest", (double)view->counts.oldest_ms);
    put_word(out, "endpoint", view->endpoint);
    put_word(out, "path", view->path);
    put_word(out, "organization_id", view->organization_id);
    put_word(out, "access_id", view->access_id);
    if (view->error.status != QA_OK)
        put_word(out, "error", view->error.message);
    return put_end(out);
}

/* spool_files(directory) --> list */
static int spool_files(lua_State *L) {
    const char *directory = luaL_checkstring(L, 1);
    qa_buf *out = push_scratch(L);
    qa_error error;
    qa_status status = qa_spool_view_each(directory, copy_view, out, &error);
    return finish(L, out, status, &error);
}

static bool copy_row(void *context, const qa_spool_row *row) {
    qa_buf *out = context;
    put_number(out, "id", (double)row->id);
    put_number(out, "events", row->events);
    put_number(out, "attempts", row->attempts);
    put_boolean(out, "possibly_stored", row->possibly_stored);
    put_number(out, "accepted", (double)row->accepted_wall_ms);
    put_number(out, "deadline", (double)row->deadline_wall_ms);
    put_text(out, "data", row->data, row->length);
    return put_end(out);
}

/* spool_rows(directory, name, after, max_rows, max_bytes) --> list; some, or {} at the end */
static int spool_rows(lua_State *L) {
    const char *directory = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    lua_Number after = luaL_checknumber(L, 3), rows = luaL_checknumber(L, 4);
    lua_Number bytes = luaL_checknumber(L, 5);
    luaL_argcheck(L, after >= 0 && after < 9e15, 3, "out of range");
    luaL_argcheck(L, rows >= 1 && rows < 9e15, 4, "out of range");
    luaL_argcheck(L, bytes >= 0 && bytes < 9e15, 5, "out of range");
    qa_buf *out = push_scratch(L);
    qa_error error;
    qa_status status = qa_spool_view_rows(directory, name, (uint64_t)after, (size_t)rows,
                                          (size_t)bytes, copy_row, out, &error);
    return finish(L, out, status, &error);
}

static bool copy_letter(void *context, const qa_spool_letter *entry) {
    qa_buf *out = context;
    const qa_dead_letter *letter = &entry->letter;
    char id[17]; /* more bits than a number of Lua has */
    (void)snprintf(id, sizeof id, "%016" PRIx64, entry->id);
    put_word(out, "id", id);
    put_boolean(out, "retry", entry->retry);
    put_word(out, "code", qa_status_code(letter->code));
    put_word(out, "service_code", letter->service_code);
    put_word(out, "message", letter->message);
    put_word(out, "trace_id", letter->trace_id);
    put_number(out, "attempts", letter->attempts);
    put_number(out, "time", (double)letter->wall_ms);
    put_text(out, "event", letter->event, letter->length);
    return put_end(out);
}

/* A letter's id as 16 hex digits. */
static uint64_t check_id(lua_State *L, int index) {
    const char *text = luaL_checkstring(L, index);
    char *end;
    luaL_argcheck(L, strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16, index,
                  "expected 16 hex digits");
    return strtoull(text, &end, 16);
}

/* spool_letters(directory, name, after, max) --> list */
static int spool_letters(lua_State *L) {
    const char *directory = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    uint64_t after = lua_isnoneornil(L, 3) ? 0 : check_id(L, 3);
    lua_Number max = luaL_checknumber(L, 4);
    luaL_argcheck(L, max >= 1 && max < 9e15, 4, "out of range");
    qa_buf *out = push_scratch(L);
    qa_error error;
    qa_status status = qa_spool_view_letters(directory, name, after, (size_t)max, copy_letter,
                                             out, &error);
    return finish(L, out, status, &error);
}

/* ---- single steps ----------------------------------------------------------------------------- */

/* spool_verify(directory, name) --> true */
static int spool_verify(lua_State *L) {
    const char *directory = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    qa_error error;
    if (qa_spool_view_verify(directory, name, &error) != QA_OK)
        return qa_lua_push_error(L, &error);
    lua_pushboolean(L, 1);
    return 1;
}

typedef qa_status change(const char *directory, const char *name, uint64_t id, bool *found,
                         qa_error *error);

static int change_letter(lua_State *L, change *make) {
    const char *directory = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    uint64_t id = check_id(L, 3);
    qa_error error;
    bool found;
    if (make(directory, name, id, &found, &error) != QA_OK)
        return qa_lua_push_error(L, &error);
    lua_pushboolean(L, found);
    return 1;
}

/* spool_retry(directory, name, id) --> whether it was there */
static int spool_retry(lua_State *L) {
    return change_letter(L, qa_spool_view_retry);
}

/* spool_drop(directory, name, id) --> whether it was there */
static int spool_drop(lua_State *L) {
    return change_letter(L, qa_spool_view_drop);
}

void qa_lua_open_spool(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"spool_files", spool_files},   {"spool_rows", spool_rows},
        {"spool_letters", spool_letters}, {"spool_verify", spool_verify},
        {"spool_retry", spool_retry},   {"spool_drop", spool_drop},
        {NULL, NULL},
    };
    qa_lua_setfuncs(L, functions, 0);
}
