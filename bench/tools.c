/* tools.c
 * The Lua module bench_tools: clocks, memory and threads of this process, finer than Lua tells them.
 * Does not know quickaudience.
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

__attribute__((visibility("default"))) int luaopen_bench_tools(lua_State *L);

static int64_t read_ns(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int push_seconds(lua_State *L, clockid_t clock) {
    lua_pushnumber(L, (double)read_ns(clock) / 1e9);
    return 1;
}

static int wall(lua_State *L) {
    return push_seconds(L, CLOCK_MONOTONIC);
}

/* CPU time of the calling thread, so that neither other threads nor other processes count. */
static int thread_cpu(lua_State *L) {
    return push_seconds(L, CLOCK_THREAD_CPUTIME_ID);
}

static int process_cpu(lua_State *L) {
    return push_seconds(L, CLOCK_PROCESS_CPUTIME_ID);
}

static int pause_for(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
    return 0;
}

/* Bytes that malloc handed out and did not get back, its own headers included. */
static int heap(lua_State *L) {
    struct mallinfo2 info = mallinfo2();
    lua_pushnumber(L, (double)(info.uordblks + info.hblkhd));
    return 1;
}

static int resident(lua_State *L) {
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &size, &pages) != 2)
        pages = 0;
    if (file != NULL)
        (void)fclose(file);
    lua_pushnumber(L, (double)pages * (double)sysconf(_SC_PAGESIZE));
    return 1;
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Sleeps so that calls come in bursts of `burst`, one burst every `period` seconds. */
static void pace(size_t call, size_t burst, double period) {
    struct timespec time = {0, (long)(period * 1e9)};
    if (burst > 0 && call % burst == 0)
        nanosleep(&time, NULL);
}

/* latency(method, object, list, count, burst, period) -> p50, p99, p99.9, max in seconds, calls that
 * returned something false. Each call is timed on the wall, preemption included. A burst of 0: as
 * fast as it goes. */
static int latency(lua_State *L) {
    luaL_checktype(L, 3, LUA_TTABLE);
    size_t count = (size_t)luaL_checkinteger(L, 4);
    size_t burst = (size_t)luaL_checkinteger(L, 5);
    double period = (double)luaL_checknumber(L, 6);
    int in_list = 0;
    for (lua_rawgeti(L, 3, 1); !lua_isnil(L, -1); lua_rawgeti(L, 3, in_list + 1)) {
        lua_pop(L, 1);
        in_list++;
    }
    lua_settop(L, 4);
    int64_t *times = lua_newuserdata(L, count * sizeof *times);
    lua_Integer refused = 0;
    for (size_t i = 0; i < count; i++) {
        pace(i, burst, period);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_rawgeti(L, 3, (int)(i % (size_t)in_list) + 1);
        int64_t start = read_ns(CLOCK_MONOTONIC);
        lua_call(L, 2, 1);
        times[i] = read_ns(CLOCK_MONOTONIC) - start;
        refused += !lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    qsort(times, count, sizeof *times, compare);
    lua_pushnumber(L, (double)times[count / 2] / 1e9);
    lua_pushnumber(L, (double)times[count - count / 100 - 1] / 1e9);
    lua_pushnumber(L, (double)times[count - count / 1000 - 1] / 1e9);
    lua_pushnumber(L, (double)times[count - 1] / 1e9);
    lua_pushinteger(L, refused);
    return 5;
}

/* User and system time of a thread, in seconds, from the 14th and 15th field of its stat. */
static int read_times(const char *id, double *user, double *system) {
    char path[64];
    unsigned long user_ticks = 0, system_ticks = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", id);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    int found = fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                       &user_ticks, &system_ticks);
    (void)fclose(file);
    double per_second = (double)sysconf(_SC_CLK_TCK);
    *user = (double)user_ticks / per_second;
    *system = (double)system_ticks / per_second;
    return found == 2;
}

/* other_threads() -> user, system: CPU seconds of all threads but the first. */
static int other_threads(lua_State *L) {
    double all_user = 0, all_system = 0, user, system;
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid())
            continue;
        if (read_times(entry->d_name, &user, &system)) {
            all_user += user;
            all_system += system;
        }
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    lua_pushnumber(L, all_user);
    lua_pushnumber(L, all_system);
    return 2;
}

int luaopen_bench_tools(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"wall", wall},         {"thread_cpu", thread_cpu},       {"process_cpu", process_cpu},
        {"pause", pause_for},   {"heap", heap},                   {"resident", resident},
        {"latency", latency},   {"other_threads", other_threads}, {NULL, NULL},
    };
    lua_newtable(L);
    for (const luaL_Reg *at = functions; at->name != NULL; at++) {
        lua_pushcfunction(L, at->func);
        lua_setfield(L, -2, at->name);
    }
    return 1;
}
