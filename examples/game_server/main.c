/* main.c
 * A small game server: rooms in threads, signals, and at the end an account of every event.
 * Does not know Lua; room.c does.
 * SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "room.h"

#define MOST_ROOMS 64

static const char USAGE[] =
    "usage: game_server [--rooms N] [--events N] [--seconds N] [--budget MS] [--scripts DIR]\n"
    "                   [--endpoint URL] [--spool DIR] [--save SECONDS] [--name TEXT]\n"
    "  --rooms     threads, each with a Lua state of its own (2)\n"
    "  --events    events of all rooms together in each frame (200)\n"
    "  --seconds   how long to run; 0: until INT or TERM (0)\n"
    "  --budget    ms of a frame that reporting may take; the rest waits a frame (0.25)\n"
    "  --scripts   folder of room.lua and rules.lua (examples/game_server)\n"
    "  --endpoint  of the service (QUICKAUDIENCE_ENDPOINT, or the sandbox)\n"
    "  --spool     folder where events are safe from a kill; the next start delivers them\n"
    "  --save      with a spool: every so often wait until all is on disk, and say how many (0)\n"
    "  --name      an attribute `server` of every event\n"
    "HUP loads the rules again, without a player noticing.\n";

typedef struct options {
    server host;
    int rooms;
    double seconds;
} options;

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && *end == '\0' && value >= least && value <= most) return value;
    fprintf(stderr, "game_server: %s: must be a number from %g to %g\n", text, least, most);
    exit(2);
}

static void read_options(options *self, int count, char **words)
{
    static const struct option known[] = {
        { "rooms", 1, NULL, 'r' }, { "events", 1, NULL, 'e' }, { "seconds", 1, NULL, 's' },
        { "budget", 1, NULL, 'b' }, { "scripts", 1, NULL, 'd' }, { "endpoint", 1, NULL, 'u' },
        { "spool", 1, NULL, 'p' }, { "save", 1, NULL, 'v' }, { "name", 1, NULL, 'n' },
        { NULL, 0, NULL, 0 },
    };
    int letter;
    while ((letter = getopt_long(count, words, "", known, NULL)) != -1) {
        switch (letter) {
        case 'r': self->rooms = (int)number(optarg, 1, MOST_ROOMS); break;
        case 'e': self->host.events = (int)number(optarg, 0, 100000); break;
        case 's': self->seconds = number(optarg, 0, 1e9); break;
        case 'b': self->host.budget = number(optarg, 0.001, 1000); break;
        case 'd': self->host.scripts = optarg; break;
        case 'u': self->host.endpoint = optarg; break;
        case 'p': self->host.spool = optarg; break;
        case 'v': self->host.save = number(optarg, 0, 1e6); break;
        case 'n': self->host.name = optarg; break;
        default:
            fputs(USAGE, stderr);
            exit(2);
        }
    }
}

/* Waits for what ends the server; on HUP rooms load their rules again. The threads have all these
 * signals blocked, so nothing of the library is ever interrupted by them. */
static void serve(options *self, const sigset_t *signals)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + self->seconds;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        double left = end - (double)now.tv_sec - (double)now.tv_nsec / 1e9;
        if (self->seconds <= 0) left = 3600;
        else if (left <= 0) return;
        struct timespec patience = { (time_t)left, (long)((left - (double)(time_t)left) * 1e9) };
        int caught = sigtimedwait(signals, NULL, &patience);
        if (caught == SIGHUP) atomic_fetch_add(&self->host.version, 1);
        else if (caught > 0) return;
    }
}

static void print_times(const char *name, const meter *times)
{
    printf("%s per frame: p50 %.3f, p99 %.3f, p99.9 %.3f, most %.3f ms (%llu frames)\n", name,
           meter_quantile(times, 0.5), meter_quantile(times, 0.99), meter_quantile(times, 0.999),
           (double)times->most / 1e6, (unsigned long long)times->count);
}

/* True when every event is accounted for, and delivered or safe on disk. */
static bool print_account(const room *rooms, int count)
{
    static room all;
    for (int i = 0; i < count; i++) {
        const room *one = &rooms[i];
        meter_merge(&all.elapsed, &one->elapsed);
        meter_merge(&all.used, &one->used);
        all.accepted += one->accepted;
        all.refused += one->refused;
        all.delivered += one->delivered;
        all.dead += one->dead;
        all.dropped += one->dropped;
        all.late += one->late;
        all.kept += one->kept;
        all.reloads += one->reloads;
        all.failed |= one->failed;
    }
    print_times("time reporting took", &all.elapsed);
    print_times("processor time of it", &all.used);
    printf("events that waited a frame for the budget: %.0f; rules loaded again: %.0f\n",
           all.late, all.reloads);
    printf("accepted %.0f = delivered %.0f + dead %.0f + dropped %.0f + kept %.0f; refused %.0f\n",
           all.accepted, all.delivered, all.dead, all.dropped, all.kept, all.refused);
    return !all.failed && all.accepted == all.delivered + all.kept && all.refused == 0;
}

int main(int count, char **words)
{
    static options self = { .host = { .scripts = "examples/game_server", .events = 200,
                                      .budget = 0.25 }, .rooms = 2 };
    static room rooms[MOST_ROOMS];
    sigset_t signals;
    read_options(&self, count, words);
    if (self.host.save > 0 && !self.host.spool) {
        fputs("game_server: --save: needs a --spool to save to\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was said stays said if the process is killed */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before there are threads: they inherit it */

    self.host.events = (self.host.events + self.rooms - 1) / self.rooms;
    int running = 0;
    while (running < self.rooms && room_start(&rooms[running], &self.host, running + 1)) running++;
    if (running == self.rooms) {
        printf("playing in %d rooms\n", running);
        serve(&self, &signals);
    }
    atomic_store(&self.host.stop, true);
    for (int i = 0; i < running; i++) room_join(&rooms[i]);
    return print_account(rooms, running) && running == self.rooms ? 0 : 1;
}
