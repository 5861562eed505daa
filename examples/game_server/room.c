/* room.c
 * A room of the game: one thread with a Lua state of its own, at 60 frames a second.
 * Does not know the game's rules (rules.lua) nor how events are reported (room.lua).
 * SPDX-License-Identifier: MIT */
#include "room.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000000L

static uint64_t now_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* clock(): seconds, for the budget within a frame. */
static int host_clock(lua_State *L)
{
    lua_pushnumber(L, (double)now_of(CLOCK_MONOTONIC) / SECOND);
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    if (!value) return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* Runs with what lua_pcall leaves: a broken script must not take the server with it. */
static bool call(room *self, lua_State *L, int arguments, int results)
{
    if (lua_pcall(L, arguments, results, 0) == 0) return true;
    fprintf(stderr, "room %d: %s\n", self->number, lua_tostring(L, -1));
    lua_pop(L, 1);
    return false;
}

/* Loads room.lua, which returns a function, and calls it: the room's functions stay in slot 1. */
static bool open_scripts(room *self, lua_State *L)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/room.lua", self->host->scripts);
    if (length < 0 || (size_t)length >= sizeof path) return false;
    if (luaL_loadfile(L, path) != 0) {
        fprintf(stderr, "room %d: %s\n", self->number, lua_tostring(L, -1));
        return false;
    }
    if (!call(self, L, 0, 1)) return false;
    lua_newtable(L);
    set_text(L, "scripts", self->host->scripts);
    set_text(L, "endpoint", self->host->endpoint);
    set_text(L, "spool", self->host->spool);
    set_text(L, "name", self->host->name);
    set_number(L, "save", self->host->save);
    set_number(L, "room", self->number);
    set_number(L, "events", self->host->events);
    lua_pushcfunction(L, host_clock);
    lua_setfield(L, -2, "clock");
    return call(self, L, 1, 1);
}

/* Calls one of the room's functions with a number. */
static bool run(room *self, lua_State *L, const char *name, double argument)
{
    lua_getfield(L, 1, name);
    lua_pushnumber(L, argument);
    return call(self, L, 1, 0);
}

/* The collector rests meanwhile: cleaning up after the rules is the frame's time. */
static void send_events(room *self, lua_State *L)
{
    lua_gc(L, LUA_GCSTOP, 0);
    uint64_t elapsed = now_of(CLOCK_MONOTONIC), used = now_of(CLOCK_THREAD_CPUTIME_ID);
    run(self, L, "send", self->host->budget / 1000);
    meter_add(&self->used, now_of(CLOCK_THREAD_CPUTIME_ID) - used);
    meter_add(&self->elapsed, now_of(CLOCK_MONOTONIC) - elapsed);
    lua_gc(L, LUA_GCRESTART, 0);
}

static void wait_until(uint64_t ns)
{
    struct timespec time = { (time_t)(ns / SECOND), (long)(ns % SECOND) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0) continue;
}

static void play(room *self, lua_State *L)
{
    const uint64_t frame = SECOND / FRAMES_PER_SECOND;
    uint64_t next = now_of(CLOCK_MONOTONIC);
    unsigned version = atomic_load(&self->host->version);
    const uint64_t pause = (uint64_t)(self->host->save * SECOND);
    uint64_t save = next + pause;
    while (!atomic_load(&self->host->stop)) {
        unsigned newest = atomic_load(&self->host->version);
        if (newest != version) {
            version = newest;
            run(self, L, "reload", 0);
        }
        run(self, L, "frame", 1.0 / FRAMES_PER_SECOND);
        send_events(self, L);
        if (pause > 0 && now_of(CLOCK_MONOTONIC) >= save) {
            run(self, L, "save", 0);
            save = now_of(CLOCK_MONOTONIC) + pause;
        }
        next += frame;
        /* Frames that were missed are not made up for. */
        if (now_of(CLOCK_MONOTONIC) > next + frame) next = now_of(CLOCK_MONOTONIC);
        wait_until(next);
    }
}

static double number_of(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Reports what is left, closes the client, and takes the room's counts. */
static bool finish(room *self, lua_State *L)
{
    lua_getfield(L, 1, "close");
    if (!call(self, L, 0, 1)) return false;
    self->accepted = number_of(L, "accepted");
    self->refused = number_of(L, "refused");
    self->delivered = number_of(L, "delivered");
    self->dead = number_of(L, "dead");
    self->dropped = number_of(L, "dropped");
    self->late = number_of(L, "late");
    self->kept = number_of(L, "kept");
    self->reloads = number_of(L, "reloads");
    return true;
}

static void *live(void *argument)
{
    room *self = argument;
    lua_State *L = luaL_newstate();
    if (!L) {
        self->failed = true;
        return NULL;
    }
    luaL_openlibs(L);
    self->failed = !open_scripts(self, L);
    if (!self->failed) {
        play(self, L);
        self->failed = !finish(self, L);
    }
    lua_close(L);
    return NULL;
}

bool room_start(room *self, server *host, int number)
{
    memset(self, 0, sizeof *self);
    self->host = host;
    self->number = number;
    return pthread_create(&self->thread, NULL, live, self) == 0;
}

void room_join(room *self)
{
    pthread_join(self->thread, NULL);
}
