/* room.h
 * A room of the game: one thread with a Lua state of its own, at 60 frames a second.
 * Does not know the game's rules (rules.lua) nor how events are reported (room.lua).
 * SPDX-License-Identifier: MIT */
#ifndef ROOM_H
#define ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "meter.h"

#define FRAMES_PER_SECOND 60

/* What all rooms share. Only the two atomics change while rooms run. */
typedef struct server {
    const char *scripts;  /* the folder of room.lua and rules.lua */
    const char *endpoint; /* NULL: from the environment, else the local sandbox */
    const char *spool;    /* NULL: in memory only */
    const char *name;     /* an attribute of every event; NULL: none */
    int events;           /* of each room in each frame */
    double budget;        /* ms of each frame for reporting */
    double save;          /* seconds from one save to the next; 0: none */
    atomic_bool stop;
    atomic_uint version;  /* of the scripts: another number makes rooms load them again */
} server;

typedef struct room {
    server *host;
    int number;
    pthread_t thread;
    bool failed;
    /* What it did, to be read when the thread is joined. */
    meter elapsed;  /* time in the module for each frame, as the clock sees it */
    meter used;     /* the same in processor time: without what others took meanwhile */
    double accepted, refused, delivered, dead, dropped, late, kept, reloads;
} room;

/* Starts the thread; `self` has to stay where it is until room_join. False if there is none. */
bool room_start(room *self, server *host, int number);

/* Waits until the room has closed its client. */
void room_join(room *self);

#endif
