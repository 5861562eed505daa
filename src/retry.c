/* retry.c
 * What an answer means for the events of its request, and how long to wait before the next try.
 * Does not know queues, batches, clocks, or what was sent before.
 * SPDX-License-Identifier: MIT */
#include "retry.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a status other than 2xx means, and what the user can do about it. */
typedef struct meaning {
    qa_action action;
    qa_status code;
    const char *hint; /* appended to the message; "" when there is nothing to do */
} meaning;

static bool is_between(int status, int low, int high) {
    return status >= low && status <= high;
}

static meaning meaning_of(int status) {
    switch (status) {
    case 400:
    case 422: return (meaning){QA_ACTION_REJECT, QA_REJECTED, ""};
    case 401:
        return (meaning){QA_ACTION_PAUSE, QA_AUTH,
                         "; check app_id, access_key, access_secret and sign_encoding"};
    case 403:
        return (meaning){QA_ACTION_PAUSE, QA_AUTH,
                         "; check that these credentials may report events"};
    case 404:
    case 405: return (meaning){QA_ACTION_PAUSE, QA_HTTP, "; check endpoint and path"};
    case 407: return (meaning){QA_ACTION_PAUSE, QA_HTTP, "; check proxy"};
    case 413: return (meaning){QA_ACTION_HALVE, QA_HTTP, "; the request is too large for it"};
    case 408:
    case 425:
    case 429: return (meaning){QA_ACTION_RETRY, QA_HTTP, ""};
    default: break;
    }
    if (is_between(status, 300, 399))
        return (meaning){QA_ACTION_PAUSE, QA_HTTP,
                         "; redirects are not followed (another host would get the signature),"
                         " set endpoint to the final address"};
    if (is_between(status, 400, 499))
        return (meaning){QA_ACTION_PAUSE, QA_HTTP, ""};
    if (is_between(status, 500, 599))
        return (meaning){QA_ACTION_RETRY, QA_HTTP, ""};
    return (meaning){QA_ACTION_RETRY, QA_BAD_RESPONSE, "; that is no final HTTP status"};
}

static void start(qa_verdict *out, qa_action action, qa_status code) {
    memset(out, 0, sizeof *out);
    out->action = action;
    out->code = code;
    out->sent = true;
    out->retry_after_ms = -1;
}

static void say(qa_verdict *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Goes through qa_error_set, which cuts at a whole character. */
static void say(qa_verdict *out, const char *format, ...) {
    char text[2 * QA_ERROR_MAX]; /* the longest: a code, a description, a trace id and a hint */
    qa_error error;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0)
        return;
    qa_error_set(&error, out->code, "%s", text);
    memcpy(out->message, error.message, sizeof out->message);
}

/* `service answered 401: SIGN_ERROR: signature mismatch (trace abc)`, each part if there is one. */
static void say_answer(qa_verdict *out, const char *what, const qa_response *response,
                       const char *hint) {
    const char *code = response->code, *desc = response->desc, *trace = response->trace_id;
    say(out, "service answered %d%s%s%s%s%s%s%s%s%s", out->http_status, what,
        code[0] != '\0' ? ": " : "", code, desc[0] != '\0' ? ": " : "", desc,
        trace[0] != '\0' ? " (trace " : "", trace, trace[0] != '\0' ? ")" : "", hint);
}

static void keep_texts(qa_verdict *out, const qa_response *response) {
    memcpy(out->trace_id, response->trace_id, sizeof out->trace_id);
    memcpy(out->service_code, response->code, sizeof out->service_code);
}

static void keep_retry_after(qa_verdict *out, const qa_answer *answer) {
    if (out->action != QA_ACTION_RETRY || answer->retry_after_ms < 0)
        return;
    out->retry_after_ms = answer->retry_after_ms < QA_RETRY_AFTER_MAX_MS ? answer->retry_after_ms
                                                                         : QA_RETRY_AFTER_MAX_MS;
}

/* The body is worth reading whatever the status, but a proxy's page in HTML is no mistake. */
static void judge_status(const qa_answer *answer, qa_verdict *out) {
    meaning is = meaning_of(answer->http_status);
    start(out, is.action, is.code);
    out->http_status = answer->http_status;
    out->possibly_stored = is.action == QA_ACTION_RETRY && !is_between(out->http_status, 400, 499);
    keep_retry_after(out, answer);
    qa_response response = {0};
    if (answer->status != QA_OK ||
        qa_response_parse(answer->body, answer->body_length, &response, NULL) != QA_OK)
        memset(&response, 0, sizeof response);
    keep_texts(out, &response);
    say_answer(out, "", &response, is.hint);
}

static void judge_unreadable(const qa_answer *answer, const char *why, qa_verdict *out) {
    start(out, QA_ACTION_RETRY, QA_BAD_RESPONSE);
    out->http_status = answer->http_status;
    out->possibly_stored = true;
    keep_retry_after(out, answer);
    say(out, "service answered %d, but not as documented: %s; the events may have been stored",
        out->http_status, why);
}

static qa_action action_by_rules(const char *code, const qa_error_code_rule *rules,
                                 size_t rule_count) {
    for (size_t i = 0; i < rule_count; i++) {
        if (strcmp(rules[i].code, code) == 0)
            return rules[i].action;
    }
    return QA_ACTION_REJECT;
}

static void judge_success_status(const qa_answer *answer, const qa_error_code_rule *rules,
                                 size_t rule_count, qa_verdict *out) {
    qa_response response;
    qa_error error;
    if (qa_response_parse(answer->body, answer->body_length, &response, &error) != QA_OK) {
        judge_unreadable(answer, error.message, out);
        return;
    }
    if (response.success)
        start(out, QA_ACTION_DELIVERED, QA_OK);
    else
        start(out, action_by_rules(response.code, rules, rule_count), QA_REJECTED);
    out->http_status = answer->http_status;
    keep_retry_after(out, answer);
    keep_texts(out, &response);
    if (!response.success)
        say_answer(out, " without success", &response, "");
}

/* No whole answer came. Only a peer that can't be trusted, or a configuration that can't work, is
 * something that waiting alone won't mend. */
static void judge_failure(const qa_answer *answer, qa_verdict *out) {
    bool lasting = answer->status == QA_TLS || answer->status == QA_CONFIG;
    start(out, lasting ? QA_ACTION_PAUSE : QA_ACTION_RETRY, answer->status);
    out->sent = answer->delivery != QA_DELIVERY_UNSENT;
    out->possibly_stored = out->sent;
    out->http_status = answer->http_status;
    keep_retry_after(out, answer);
    say(out, "%s", answer->message);
}

void qa_retry_judge(const qa_answer *answer, const qa_error_code_rule *rules, size_t rule_count,
                    qa_verdict *out) {
    bool unreadable = answer->status == QA_BAD_RESPONSE && answer->http_status > 0;
    if (answer->status != QA_OK && !unreadable)
        judge_failure(answer, out);
    else if (!is_between(answer->http_status, 200, 299))
        judge_status(answer, out);
    else if (unreadable)
        judge_unreadable(answer, answer->message, out);
    else
        judge_success_status(answer, rules, rule_count, out);
    out->resent = answer->resent;
    if (answer->resent > 0 && out->action != QA_ACTION_DELIVERED)
        out->possibly_stored = true; /* by the first time, which nobody answered */
}

void qa_retry_judge_unsent(const qa_error *error, qa_verdict *out) {
    qa_answer answer = {.status = error->status,
                        .delivery = QA_DELIVERY_UNSENT,
                        .retry_after_ms = -1};
    judge_failure(&answer, out);
    memcpy(out->message, error->message, sizeof out->message);
}

uint64_t qa_random_next(void *state) {
    uint64_t *counter = state;
    uint64_t bits = *counter += UINT64_C(0x9E3779B97F4A7C15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bits ^ (bits >> 31);
}

/* Doubling ends at the cap, so nothing overflows, however many failures there were. */
static uint64_t ceiling_of(int64_t base_us, int64_t max_us, uint32_t failures) {
    uint64_t ceiling = base_us > 0 ? (uint64_t)base_us : 0;
    uint64_t max = max_us > 0 ? (uint64_t)max_us : 0;
    for (uint32_t i = 1; i < failures && ceiling > 0 && ceiling < max; i++)
        ceiling *= 2; /* below 2^63 before, so below 2^64 after */
    return ceiling < max ? ceiling : max;
}

int64_t qa_retry_delay(int64_t base_us, int64_t max_us, uint32_t failures,
                       const qa_random *random) {
    if (failures == 0)
        return 0;
    uint64_t ceiling = ceiling_of(base_us, max_us, failures);
    /* The high half of the product spreads evenly, without a division. */
    unsigned __int128 product = (unsigned __int128)random->next(random->state) * (ceiling + 1);
    return (int64_t)(product >> 64);
}
