/* ledger.c
 * Counts what became of every accepted event and every request, so that the sums always agree.
 * Does not know events, locks, or why something ended as it did.
 * SPDX-License-Identifier: MIT */
#include "ledger.h"

const char *qa_drop_text(qa_drop reason) {
    switch (reason) {
    case QA_DROP_DEADLINE: return "deadline";
    case QA_DROP_CLOSED: return "closed";
    case QA_DROP_DAMAGED: return "damaged";
    }
    return "unknown";
}

const char *qa_state_text(qa_state state) {
    switch (state) {
    case QA_STATE_RUNNING: return "running";
    case QA_STATE_BACKING_OFF: return "backing_off";
    case QA_STATE_PAUSED: return "paused";
    case QA_STATE_CLOSING: return "closing";
    }
    return "unknown";
}

void qa_ledger_accept(qa_ledger *ledger, uint64_t events) {
    ledger->counts.accepted += events;
    ledger->counts.queued += events;
}

void qa_ledger_start(qa_ledger *ledger, uint64_t events) {
    ledger->counts.queued -= events;
    ledger->counts.in_flight += events;
}

void qa_ledger_put_back(qa_ledger *ledger, uint64_t events) {
    ledger->counts.in_flight -= events;
    ledger->counts.queued += events;
}

void qa_ledger_end(qa_ledger *ledger, uint64_t events, qa_end end) {
    qa_ledger_counts *counts = &ledger->counts;
    counts->queued -= events;
    switch (end) {
    case QA_END_DELIVERED: counts->delivered += events; break;
    case QA_END_DEAD: counts->dead += events; break;
    case QA_END_DEADLINE: counts->dropped[QA_DROP_DEADLINE] += events; break;
    case QA_END_CLOSED: counts->dropped[QA_DROP_CLOSED] += events; break;
    case QA_END_DAMAGED: counts->dropped[QA_DROP_DAMAGED] += events; break;
    }
}

void qa_ledger_spool(qa_ledger *ledger, uint64_t events) {
    ledger->counts.queued -= events;
    ledger->counts.spooled += events;
}

void qa_ledger_unspool(qa_ledger *ledger, uint64_t events) {
    ledger->counts.spooled -= events;
    ledger->counts.queued += events;
}

void qa_ledger_request(qa_ledger *ledger, qa_status code, uint64_t bytes_sent) {
    ledger->counts.requests++;
    ledger->counts.requests_by[code]++;
    ledger->counts.bytes_sent += bytes_sent;
}

uint64_t qa_ledger_pending(const qa_ledger *ledger) {
    const qa_ledger_counts *counts = &ledger->counts;
    return counts->queued + counts->spooled + counts->in_flight;
}

bool qa_ledger_balanced(const qa_ledger_counts *counts) {
    uint64_t ended = counts->delivered + counts->dead;
    for (int reason = 0; reason < QA_DROPS; reason++)
        ended += counts->dropped[reason];
    uint64_t requests = 0;
    for (int code = 0; code < QA_LEDGER_CODES; code++)
        requests += counts->requests_by[code];
    return counts->accepted == ended + counts->queued + counts->spooled + counts->in_flight &&
           counts->requests == requests;
}
