/* fault_run.h
 * Streams of events through a client into a sandbox that fails at random, and the accounts after.
 * Does not know how many events are worth the time.
 * SPDX-License-Identifier: MIT */
#ifndef QA_FAULT_RUN_H
#define QA_FAULT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "support/sandbox.h"

/* One way to fail, that is turned on and off at random. */
typedef struct fault_kind {
    const char *name;
    const char *fault;     /* members of a fault but for `times`; NULL: none */
    const char *on, *off;  /* or rules; NULL: none */
    bool credentials;      /* or wrong credentials */
    uint64_t poison;       /* customers who are never accepted, evenly among the others */
    unsigned most;         /* how often it is turned on; 0: no limit */
    int64_t timeout_us;    /* of a request; 0: 20 s */
    bool answer_lost;      /* it stores events and loses the answer: they may come twice */
} fault_kind;

extern const fault_kind fault_kinds[];
extern const size_t fault_kind_count;

/* NULL: there is none of that name. */
const fault_kind *fault_kind_named(const char *name);

/* The seed of all that is random; $SEED, or the time. */
uint64_t fault_seed(void);

/* Quick to retry, batches of 200; `endpoint` is the caller's. */
qa_client_config fault_config(const sandbox *box, char *endpoint, size_t size);

/* Writes event number `n`, a string; its length. */
size_t fault_event(char *out, size_t size, uint64_t n);

/* For cmocka: one sandbox that all tests of a group share. */
int fault_group_start(void **state);
int fault_group_stop(void **state);

/* Two threads report the events, another one samples the ledger all along. Fails the test unless
 * each arrived and was accounted for once. */
void fault_run(const fault_kind *kind, uint64_t events);

/* One poisoned event at `position` of a batch of 200: requests until all is settled. */
uint64_t fault_poison_requests(size_t position);

/* 200 events with wrong credentials, then with the right ones. */
void fault_run_wrong_credentials(void);

/* 200 events that are stored, but the client is closed before it ever learns that. */
void fault_run_never_confirmed(void);

#endif
