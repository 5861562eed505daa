/* collector.h
 * A loopback service that notes which numbered events arrived, how often, and fails on demand.
 * Does not know signatures, nor who posts.
 * SPDX-License-Identifier: MIT */
#ifndef QA_COLLECTOR_H
#define QA_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

/* How it answers; all zero bytes: it takes everything. Chances are per mille of the requests. */
typedef struct collector_manners {
    unsigned refuse;    /* 503, nothing is stored */
    unsigned hang_up;   /* the connection is closed, nothing is stored */
    unsigned forget;    /* 500 after all was stored */
    uint64_t away_from; /* 503 for whatever holds an event from this number on; 0: none */
    uint64_t poison;    /* rejects whatever holds this event; 0: none */
} collector_manners;

typedef struct collector collector;

/* A thread that serves on a free port of 127.0.0.1. Knows the events 1 to `events`. */
collector *collector_start(uint64_t events, uint64_t seed);
void collector_stop(collector *self);

int collector_port(const collector *self);
void collector_behave(collector *self, const collector_manners *manners);

/* Forgets what arrived, and takes everything again. */
void collector_reset(collector *self);

/* Writes event number `n`, as it must arrive; its length, about half a KiB. */
enum { COLLECTOR_EVENT_MAX = 640 };
size_t collector_event(char *out, size_t size, uint64_t n);

/* Of the events 1 to `last`, and of all: a snapshot. */
typedef struct collector_sums {
    uint64_t missing, first_missing; /* never arrived; 0: none */
    uint64_t repeated;               /* arrivals beyond the first */
    uint64_t most;                   /* arrivals of one event */
    uint64_t distinct, requests;
    uint64_t strange;                /* of no known number, or not as they were made */
} collector_sums;
collector_sums collector_look(collector *self, uint64_t last);

#endif
