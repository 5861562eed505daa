/* lua_parting.c
 * Clients that were collected while their Lua goes on: they deliver in the background.
 * Does not know why a client was collected.
 * SPDX-License-Identifier: MIT */
#include "lua_parting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "clock.h"
#include "registry.h"

#define VM "quickaudience.vm"

enum { CLAIMS_MAX = 8, CLAIM_SIZE = 32 };

typedef struct parting {
    qa_client *client;
    int64_t until_us;
    struct parting *next;
} parting;

/* Guards all below; taken before a sender's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static parting *all;
static unsigned vms;
static char claims[CLAIMS_MAX][CLAIM_SIZE];
static pid_t claimed_by;
static bool main_known; /* also in a child */

typedef struct vm {
    int64_t main_timeout_us; /* -1: not the host's main VM */
} vm;

static const char vm_key = 0; /* its address */

static int64_t now_us(void) {
    return qa_clock_real.now_us(NULL);
}

/* Takes out those that are done, or all of them. */
static parting *take(bool everything) {
    parting *taken = NULL;
    int64_t now = now_us();
    pthread_mutex_lock(&lock);
    for (parting **at = &all; *at != NULL;) {
        parting *one = *at;
        if (everything || one->until_us <= now || qa_client_pending(one->client) == 0) {
            *at = one->next;
            one->next = taken;
            taken = one;
        } else {
            at = &one->next;
        }
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

/* Each gets what is left of its time; these times run together. */
static void end_all(parting *list) {
    while (list != NULL) {
        parting *next = list->next;
        int64_t left_us = list->until_us - now_us();
        (void)qa_client_close(list->client, left_us > 0 ? left_us : 0, NULL, NULL);
        qa_client_free(list->client);
        free(list);
        list = next;
    }
}

void qa_lua_parting_sweep(void) {
    end_all(take(false));
}

void qa_lua_parting_add(qa_client *client, int64_t timeout_us) {
    qa_lua_parting_sweep();
    parting *one = malloc(sizeof *one);
    if (one == NULL) {
        (void)qa_client_close(client, timeout_us, NULL, NULL);
        qa_client_free(client);
        return;
    }
    (void)qa_client_flush_begin(client); /* nothing more comes: do not linger */
    pthread_mutex_lock(&lock);
    *one = (parting){client, qa_clock_add(now_us(), timeout_us), all};
    all = one;
    pthread_mutex_unlock(&lock);
}

bool qa_lua_parting_claim(const char *name) {
    bool first = false;
    pthread_mutex_lock(&lock);
    if (claimed_by != getpid()) {
        memset(claims, 0, sizeof claims);
        claimed_by = getpid();
    }
    for (int i = 0; i < CLAIMS_MAX && strcmp(claims[i], name) != 0; i++) {
        if (claims[i][0] != '\0')
            continue;
        strncpy(claims[i], name, CLAIM_SIZE - 1);
        first = true;
        break;
    }
    pthread_mutex_unlock(&lock);
    return first;
}

static void push_vm_key(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
}

/* NULL where this VM is not counted yet. */
static vm *find_vm(lua_State *L) {
    push_vm_key(L);
    lua_rawget(L, LUA_REGISTRYINDEX);
    vm *self = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return self;
}

void qa_lua_parting_main(lua_State *L, int64_t timeout_us, bool certain) {
    vm *self = find_vm(L);
    if (self == NULL)
        return;
    pthread_mutex_lock(&lock);
    bool is_main = certain || !main_known || self->main_timeout_us >= 0;
    main_known = true;
    pthread_mutex_unlock(&lock);
    if (is_main && timeout_us > self->main_timeout_us)
        self->main_timeout_us = timeout_us;
}

/* Lua finalizes last what it made first, so all clients of this VM have come here before. */
static int end_vm(lua_State *L) {
    const vm *self = lua_touserdata(L, 1);
    pthread_mutex_lock(&lock);
    bool last = --vms == 0;
    pthread_mutex_unlock(&lock);
    if (self->main_timeout_us >= 0 && !last)
        qa_registry_flush(self->main_timeout_us);
    end_all(take(last || self->main_timeout_us >= 0));
    return 0;
}

void qa_lua_parting_open(lua_State *L) {
    if (find_vm(L) != NULL)
        return;
    push_vm_key(L);
    vm *self = lua_newuserdata(L, sizeof *self);
    self->main_timeout_us = -1;
    if (luaL_newmetatable(L, VM)) {
        lua_pushcfunction(L, end_vm);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    pthread_mutex_lock(&lock);
    vms++;
    pthread_mutex_unlock(&lock);
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}
