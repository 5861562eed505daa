/* lua_core.c
 * The module quickaudience.core: what needs no client, and the door to what does.
 * Does not know how events are delivered.
 * SPDX-License-Identifier: MIT */
#include "lua_core.h"

#include <dlfcn.h>
#include <string.h>

#include "event.h"
#include "lua_client.h"
#include "lua_event.h"
#include "lua_spool.h"
#include "lua_parting.h"
#include "nearest.h"
#include "sign.h"

#define ENCODER "quickaudience.encoder"

enum { NEAREST_CANDIDATES_MAX = 128 };

static int free_encoder(lua_State *L) {
    qa_lua_encoder_free(lua_touserdata(L, 1));
    return 0;
}

/* Encodes the event at 1 with the encoder that is the function's upvalue. */
static qa_status encode_argument(lua_State *L, qa_lua_encoder **out) {
    qa_lua_encoder *encoder = lua_touserdata(L, lua_upvalueindex(1));
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *path = luaL_optstring(L, 2, "event");
    qa_lua_encoder_clear(encoder);
    *out = encoder;
    return qa_lua_event(L, 1, encoder, NULL, path);
}

static int encode(lua_State *L) {
    qa_lua_encoder *encoder;
    if (encode_argument(L, &encoder) != QA_OK)
        return qa_lua_push_error(L, &encoder->error);
    lua_pushlstring(L, encoder->out.data, encoder->out.length);
    return 1;
}

static int validate(lua_State *L) {
    qa_lua_encoder *encoder;
    if (encode_argument(L, &encoder) != QA_OK)
        return qa_lua_push_error(L, &encoder->error);
    lua_pushboolean(L, 1);
    return 1;
}

/* The member `name` of the table at 1; raises when it is not a string. It stays on the stack. */
static const char *string_member(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "bad argument #1 (%s: expected a string, got %s)", name,
                   luaL_typename(L, -1));
    return lua_tostring(L, -1);
}

static qa_sign_encoding encoding_member(lua_State *L) {
    static const char *const names[] = {"form", "rfc3986", "none", NULL};
    lua_getfield(L, 1, "encoding");
    const char *name = lua_isnil(L, -1) ? "form" : lua_tostring(L, -1);
    for (int i = 0; name != NULL && names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0)
            return (qa_sign_encoding)i;
    }
    luaL_error(L, "bad argument #1 (encoding: expected 'form', 'rfc3986' or 'none')");
    return QA_SIGN_FORM;
}

/* Fills `params` from the table member `params`; its strings stay on the stack. */
static size_t params_member(lua_State *L, qa_sign_param *params) {
    size_t count = 0;
    lua_getfield(L, 1, "params");
    if (lua_isnil(L, -1))
        return 0;
    if (!lua_istable(L, -1))
        luaL_error(L, "bad argument #1 (params: expected a table of strings)");
    int table = lua_gettop(L);
    luaL_checkstack(L, QA_SIGN_PARAMS_MAX + 4, "too many params");
    for (lua_pushnil(L); lua_next(L, table) != 0; count++) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "bad argument #1 (params: expected only strings)");
        if (count == QA_SIGN_PARAMS_MAX)
            luaL_error(L, "bad argument #1 (params: more than %d)", QA_SIGN_PARAMS_MAX);
        params[count] = (qa_sign_param){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_insert(L, -2); /* the value stays below the key, so its text stays valid */
    }
    return count;
}

static void check_sign_keys(lua_State *L) {
    static const char *const known[] = {"app_id", "access_key", "access_secret",
                                        "timestamp", "params", "encoding"};
    enum { KNOWN = sizeof known / sizeof known[0] };
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        size_t length = 0, i = 0;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : "";
        while (i < KNOWN && strcmp(known[i], key) != 0)
            i++;
        if (i < KNOWN)
            continue;
        const char *meant = qa_nearest(key, length, known, KNOWN);
        if (meant != NULL)
            luaL_error(L, "bad argument #1 (%s: unknown key; did you mean '%s'?)", key, meant);
        luaL_error(L, "bad argument #1 (%s: unknown key)", key);
    }
}

static void check_sign_input(lua_State *L, qa_sign_input *input, qa_sign_param *params) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_sign_keys(L);
    *input = (qa_sign_input){.params = params};
    input->credentials.app_id = string_member(L, "app_id");
    input->credentials.access_key = string_member(L, "access_key");
    input->credentials.access_secret = string_member(L, "access_secret");
    input->encoding = encoding_member(L);
    lua_getfield(L, 1, "timestamp");
    if (lua_type(L, -1) != LUA_TNUMBER || !qa_lua_to_integer(L, -1, &input->timestamp))
        luaL_error(L, "bad argument #1 (timestamp: expected milliseconds since 1970)");
    input->param_count = params_member(L, params);
}

static int sign(lua_State *L) {
    qa_sign_input input;
    qa_sign_param params[QA_SIGN_PARAMS_MAX];
    char signature[QA_SIGN_SIZE];
    qa_error error;
    check_sign_input(L, &input, params);
    if (qa_sign(&input, signature, &error) != QA_OK)
        return qa_lua_push_error(L, &error);
    lua_pushstring(L, signature);
    return 1;
}

static int canonical(lua_State *L) {
    qa_sign_input input;
    qa_sign_param params[QA_SIGN_PARAMS_MAX];
    qa_lua_encoder *encoder = lua_touserdata(L, lua_upvalueindex(1));
    check_sign_input(L, &input, params);
    qa_lua_encoder_clear(encoder);
    if (qa_sign_canonical(&input, &encoder->out, &encoder->error) != QA_OK)
        return qa_lua_push_error(L, &encoder->error);
    lua_pushlstring(L, encoder->out.data, encoder->out.length);
    return 1;
}

static int md5_available(lua_State *L) {
    qa_error error;
    if (qa_sign_available(&error) != QA_OK)
        return qa_lua_push_error(L, &error);
    lua_pushboolean(L, 1);
    return 1;
}

static int nearest(lua_State *L) {
    const char *candidates[NEAREST_CANDIDATES_MAX];
    size_t length, count = 0;
    const char *word = luaL_checklstring(L, 1, &length);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checkstack(L, NEAREST_CANDIDATES_MAX + 2, "too many candidates");
    for (int i = 1; count < NEAREST_CANDIDATES_MAX; i++, count++) {
        lua_rawgeti(L, 2, i);
        if (lua_type(L, -1) != LUA_TSTRING)
            break;
        candidates[count] = lua_tostring(L, -1);
    }
    const char *found = qa_nearest(word, length, candidates, count);
    if (found != NULL)
        lua_pushstring(L, found);
    else
        lua_pushnil(L);
    return 1;
}

static int claim_process(lua_State *L) {
    lua_pushboolean(L, qa_lua_parting_claim(luaL_checkstring(L, 1)));
    return 1;
}

/* main_vm(seconds, certain): see lua_parting.h. */
static int main_vm(lua_State *L) {
    double seconds = (double)luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= 3600, 1, "expected seconds");
    qa_lua_parting_main(L, (int64_t)(seconds * 1e6), lua_toboolean(L, 2));
    return 0;
}

/* A background thread may outlive the last lua_close by an instant, and hosts unload modules then:
 * the code it runs must stay mapped. The Makefile links with nodelete; LuaRocks' builtin build
 * cannot, so the module also pins itself. */
static void pin_module(void) {
    Dl_info info;
    if (dladdr((const void *)(uintptr_t)&pin_module, &info) != 0 && info.dli_fname != NULL) {
        /* The handle is kept on purpose: it is what holds the module. */
        (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

static void push_encoder(lua_State *L) {
    qa_lua_encoder *encoder = lua_newuserdata(L, sizeof *encoder);
    qa_lua_encoder_init(encoder, QA_EVENT_SIZE_MAX);
    if (luaL_newmetatable(L, ENCODER)) {
        lua_pushcfunction(L, free_encoder);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

static const luaL_Reg functions[] = {
    {"encode", encode},       {"validate", validate},           {"sign", sign},
    {"canonical", canonical}, {"md5_available", md5_available}, {"nearest", nearest},
    {"claim_process", claim_process}, {"main_vm", main_vm},     {NULL, NULL},
};

int luaopen_quickaudience_core(lua_State *L) {
    pin_module();
    qa_lua_parting_open(L);
    lua_newtable(L);
    push_encoder(L);
    qa_lua_setfuncs(L, functions, 1);
    qa_lua_open_client(L);
    qa_lua_open_spool(L);
    return 1;
}
