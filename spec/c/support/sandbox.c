/* sandbox.c
 * The real sandbox as a child of the test: started on a free port, told to fail, asked, stopped.
 * Does not know what a test wants to see.
 * SPDX-License-Identifier: MIT */
#include "support/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <jansson.h>

#include "support/process_look.h"

enum { START_MS = 20000, ANSWER_MAX = 16 * 1024, URL_MAX = 128 };

struct sandbox {
    pid_t child;
    int out; /* its standard output, which its last process keeps open */
    int port;
};

typedef struct answer {
    char text[ANSWER_MAX];
    size_t length;
} answer;

/* ---- the process ---- */

/* Whichever Lua there is: the sandbox's own checks are of no interest here. */
static _Noreturn void run(int out, int port) {
    static const char *const luas[] = {"lua5.4", "lua-5.4", "lua54", "lua", "luajit"};
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(out, STDOUT_FILENO);
    for (size_t i = 0; i < sizeof luas / sizeof luas[0]; i++)
        execlp(luas[i], luas[i], "-e",
               "package.path='lua/?.lua;lua/?/init.lua;'..package.path",
               "lua/quickaudience/bin/quickaudience", "sandbox", "--port", number, "--print-port",
               (char *)NULL);
    _exit(127);
}

static int read_port(int out) {
    char line[16];
    size_t length = 0;
    struct pollfd entry = {.fd = out, .events = POLLIN};
    while (length < sizeof line - 1 && poll(&entry, 1, START_MS) == 1) {
        if (read(out, line + length, 1) != 1)
            break;
        if (line[length++] == '\n') {
            line[length] = '\0';
            return atoi(line);
        }
    }
    return 0;
}

sandbox *sandbox_start(int port) {
    sandbox *box = calloc(1, sizeof *box);
    int ends[2];
    if (box == NULL || pipe2(ends, O_CLOEXEC) != 0)
        fail_msg("sandbox: no memory or no pipe");
    box->child = fork();
    if (box->child == 0)
        run(ends[1], port);
    close(ends[1]);
    box->out = ends[0];
    box->port = box->child > 0 ? read_port(box->out) : 0;
    if (box->port == 0)
        fail_msg("sandbox: did not start");
    return box;
}

void sandbox_stop(sandbox *box) {
    if (box == NULL)
        return;
    kill(box->child, SIGTERM);
    int status = process_wait(box->child);
    char rest[256];
    while (read(box->out, rest, sizeof rest) > 0)
        continue;
    close(box->out);
    free(box);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM) /* Lua handles no signals */
        fail_msg("sandbox: ended with wait status %d", status);
}

int sandbox_port(const sandbox *box) {
    return box->port;
}

/* ---- its own paths ---- */

static size_t keep(char *bytes, size_t one, size_t count, void *context) {
    answer *into = context;
    (void)one;
    if (into->length + count >= sizeof into->text)
        return 0;
    memcpy(into->text + into->length, bytes, count);
    into->length += count;
    into->text[into->length] = '\0';
    return count;
}

/* `body` NULL: a GET. */
static void call(const sandbox *box, const char *path, const char *body, answer *into) {
    char url[URL_MAX];
    long status = 0;
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", box->port, path);
    into->text[0] = '\0';
    into->length = 0;
    CURL *easy = curl_easy_init();
    assert_non_null(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, into);
    if (body != NULL)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (code != CURLE_OK || status != 200)
        fail_msg("sandbox: %s: %s, status %ld: %s", path, curl_easy_strerror(code), status,
                 into->text);
}

void sandbox_post(const sandbox *box, const char *path, const char *body) {
    answer got;
    call(box, path, body, &got);
}

uint64_t sandbox_count(const sandbox *box, const char *path) {
    answer got;
    call(box, "/sandbox/all", NULL, &got);
    json_t *all = json_loads(got.text, 0, NULL);
    const json_t *at = all;
    char name[32];
    for (const char *from = path; at != NULL && *from != '\0';) {
        size_t length = strcspn(from, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, from);
        at = json_object_get(at, name);
        from += from[length] == '.' ? length + 1 : length;
    }
    if (!json_is_number(at))
        fail_msg("sandbox: no number at %s of %s", path, got.text);
    uint64_t count = (uint64_t)json_number_value(at);
    json_decref(all);
    return count;
}
