/* sandbox.h
 * The real sandbox as a child of the test: started on a free port, told to fail, asked, stopped.
 * Does not know what a test wants to see.
 * SPDX-License-Identifier: MIT */
#ifndef QA_SANDBOX_H
#define QA_SANDBOX_H

#include <stdint.h>

#define SANDBOX_PATH "/openapi/cloud/event/detail/receive"
#define SANDBOX_APP_ID "demo-app"
#define SANDBOX_ACCESS_KEY "demo-access-key"
#define SANDBOX_ACCESS_SECRET "demo-access-secret"

typedef struct sandbox sandbox;

/* Everything here fails the test when it can't be done. Tests run in the root of the tree. */

/* `port` 0: any free one. Returns when calls are taken. */
sandbox *sandbox_start(int port);

/* Returns when its last process has gone. NULL is legal. */
void sandbox_stop(sandbox *box);

int sandbox_port(const sandbox *box);

/* POSTs to its own paths, such as "/sandbox/faults". */
void sandbox_post(const sandbox *box, const char *path, const char *body);

/* A number of /sandbox/all by its path, such as "events.distinct". */
uint64_t sandbox_count(const sandbox *box, const char *path);

#endif
