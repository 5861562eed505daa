/* lua.c
 * A Lua interpreter to be compiled with a sanitizer, so that it watches the module it loads.
 * Does not know options but -e: it runs `lua [-e code]... [script [argument]...]`.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Sets the table `arg`: the script at 0, what stands before it below. */
static void set_arguments(lua_State *L, int argc, char **argv, int script) {
    lua_newtable(L);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

static lua_State *interrupted;

static void raise_interrupt(lua_State *L, lua_Debug *at) {
    (void)at;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted!");
}

/* As the real one does: the next instruction raises. */
static void on_interrupt(int signal_number) {
    (void)signal(signal_number, SIG_DFL);
    lua_sethook(interrupted, raise_interrupt,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static bool run(lua_State *L, int loaded) {
    if (loaded == 0 && lua_pcall(L, 0, 0, 0) == 0)
        return true;
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return false;
}

int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    if (L == NULL)
        return 2;
    luaL_openlibs(L);
    interrupted = L;
    (void)signal(SIGINT, on_interrupt);
    int script = 1;
    while (script + 1 < argc && strcmp(argv[script], "-e") == 0)
        script += 2;
    set_arguments(L, argc, argv, script);
    bool good = true;
    for (int i = 2; i < script && good; i += 2)
        good = run(L, luaL_loadstring(L, argv[i]));
    if (script < argc && good)
        good = run(L, luaL_loadfile(L, argv[script]));
    lua_close(L);
    return good ? 0 : 1;
}
