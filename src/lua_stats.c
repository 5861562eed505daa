/* lua_stats.c
 * The figures of a client as a Lua table.
 * Does not know where they come from.
 * SPDX-License-Identifier: MIT */
#include "lua_stats.h"

static const double PER_SECOND = 1e6;

static void set_count(lua_State *L, const char *name, uint64_t value) {
    qa_lua_push_count(L, value);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value) {
    lua_pushnumber(L, (lua_Number)value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *value) {
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_histogram(lua_State *L, const char *name, const qa_histogram_snapshot *values,
                          double unit) {
    lua_createtable(L, 0, 7);
    set_count(L, "count", values->count);
    set_number(L, "sum", values->sum / unit);
    set_number(L, "min", (double)values->min / unit);
    set_number(L, "mean", values->mean / unit);
    set_number(L, "p50", (double)values->p50 / unit);
    set_number(L, "p99", (double)values->p99 / unit);
    set_number(L, "max", (double)values->max / unit);
    lua_setfield(L, -2, name);
}

static void set_events(lua_State *L, const qa_ledger_counts *counts) {
    set_count(L, "accepted", counts->accepted);
    set_count(L, "delivered", counts->delivered);
    set_count(L, "dead", counts->dead);
    lua_createtable(L, 0, QA_DROPS);
    for (int reason = 0; reason < QA_DROPS; reason++)
        set_count(L, qa_drop_text((qa_drop)reason), counts->dropped[reason]);
    lua_setfield(L, -2, "dropped");
    lua_createtable(L, 0, 4);
    set_count(L, "queued", counts->queued);
    set_count(L, "spooled", counts->spooled);
    set_count(L, "in_flight", counts->in_flight);
    set_count(L, "total", counts->queued + counts->spooled + counts->in_flight);
    lua_setfield(L, -2, "pending");
}

static void set_requests(lua_State *L, const qa_stats *stats) {
    lua_newtable(L);
    set_count(L, "total", stats->counts.requests);
    set_count(L, "in_flight", stats->requests_in_flight);
    lua_newtable(L);
    for (int code = 0; code < QA_LEDGER_CODES; code++) {
        if (stats->counts.requests_by[code] > 0)
            set_count(L, qa_status_code((qa_status)code), stats->counts.requests_by[code]);
    }
    lua_setfield(L, -2, "by_outcome");
    lua_setfield(L, -2, "requests");
}

static void set_reports(lua_State *L, const qa_stats *stats) {
    lua_createtable(L, 0, 2);
    set_count(L, "made", stats->counts.reports);
    set_count(L, "waiting", stats->reports_waiting);
    lua_setfield(L, -2, "reports");
    lua_createtable(L, 0, 2);
    set_count(L, "kept", stats->dead_letters);
    set_count(L, "evicted", stats->dead_evicted);
    lua_setfield(L, -2, "dead_letters");
}

static void set_state(lua_State *L, const qa_stats *stats) {
    set_text(L, "state", qa_state_text(stats->state));
    if (stats->reason != QA_OK) {
        set_text(L, "reason", qa_status_code(stats->reason));
        set_text(L, "reason_message", stats->reason_message);
    }
}

static void set_spool(lua_State *L, const qa_stats *stats) {
    static const char *const states[] = {"ok", "full", "failed"};
    int state = stats->spool_status == QA_OK ? 0 : stats->spool_status == QA_SPOOL_FULL ? 1 : 2;
    lua_createtable(L, 0, 10);
    set_text(L, "state", states[state]);
    if (state != 0)
        set_text(L, "message", stats->spool_message);
    set_count(L, "files", stats->spool_files);
    set_count(L, "bytes", stats->spool_bytes);
    set_count(L, "corrupt_files", stats->spool_corrupt);
    if (stats->spool_corrupt > 0)
        set_text(L, "corrupt_name", stats->spool_corrupt_name);
    set_count(L, "commits", stats->spool_commits);
    set_number(L, "last_commit", (double)stats->spool_commit_us / PER_SECOND);
    set_count(L, "adopted", stats->spool_adopted);
    set_count(L, "on_disk_only", stats->spool_paged);
    lua_setfield(L, -2, "spool");
}

void qa_lua_push_stats(lua_State *L, const qa_stats *stats) {
    lua_createtable(L, 0, 20);
    set_state(L, stats);
    set_events(L, &stats->counts);
    set_requests(L, stats);
    set_reports(L, stats);
    if (stats->has_spool)
        set_spool(L, stats);
    set_count(L, "retries", stats->counts.retries);
    set_count(L, "bytes_sent", stats->counts.bytes_sent);
    set_count(L, "replaced", stats->counts.replaced_bytes);
    set_count(L, "queue_bytes", stats->queue_bytes);
    set_count(L, "clients", stats->clients);
    set_number(L, "oldest_age", (double)stats->oldest_age_us / PER_SECOND);
    set_number(L, "clock_offset", (double)stats->clock_offset_ms / 1000);
    set_histogram(L, "queue_latency", &stats->queue_latency, PER_SECOND);
    set_histogram(L, "round_trip", &stats->round_trip, PER_SECOND);
    set_histogram(L, "batch_size", &stats->batch_size, 1);
}
