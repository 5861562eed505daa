/* config.c
 * What a client is told once: every knob of the delivery core, copied, compared and wiped.
 * Does not know defaults nor what is sensible; whoever fills it in has checked it.
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

static void wipe_text(const char *text) {
    char *owned = (char *)(uintptr_t)text;
    if (owned != NULL)
        qa_wipe(owned, strlen(owned));
    free(owned);
}

static void free_text(const char *text) {
    free((void *)(uintptr_t)text);
}

static void free_credentials(qa_credentials *credentials) {
    free_text(credentials->app_id);
    free_text(credentials->access_key);
    wipe_text(credentials->access_secret);
    *credentials = (qa_credentials){NULL, NULL, NULL};
}

/* Copies *field in place; NULL stays NULL. */
static bool own(const char **field) {
    if (*field == NULL)
        return true;
    *field = strdup(*field);
    return *field != NULL;
}

static bool own_credentials(qa_credentials *credentials) {
    bool app_id = own(&credentials->app_id);
    bool key = own(&credentials->access_key);
    bool secret = own(&credentials->access_secret);
    return app_id && key && secret;
}

static bool own_rules(qa_client_config *copy, const qa_client_config *config) {
    copy->error_codes = NULL;
    copy->error_code_count = 0;
    if (config->error_code_count == 0)
        return true;
    qa_error_code_rule *rules = calloc(config->error_code_count, sizeof *rules);
    if (rules == NULL)
        return false;
    copy->error_codes = rules;
    for (size_t i = 0; i < config->error_code_count; i++) {
        rules[i] = config->error_codes[i];
        copy->error_code_count++;
        if (!own(&rules[i].code))
            return false;
    }
    return true;
}

qa_client_config *qa_config_copy(const qa_client_config *config, qa_error *error) {
    qa_client_config *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        qa_error_no_memory(error, "config");
        return NULL;
    }
    *copy = *config;
    /* No short cut: a field that isn't copied would be freed although it is the caller's. */
    bool ok = own_credentials(&copy->credentials);
    ok = own(&copy->endpoint) && ok;
    ok = own(&copy->path) && ok;
    ok = own(&copy->organization_id) && ok;
    ok = own(&copy->access_id) && ok;
    ok = own(&copy->ca_file) && ok;
    ok = own(&copy->proxy) && ok;
    ok = own(&copy->user_agent) && ok;
    ok = own(&copy->spool) && ok;
    ok = own_rules(copy, config) && ok;
    if (ok)
        return copy;
    qa_config_free(copy);
    qa_error_no_memory(error, "config");
    return NULL;
}

void qa_config_free(qa_client_config *config) {
    if (config == NULL)
        return;
    free_credentials(&config->credentials);
    free_text(config->endpoint);
    free_text(config->path);
    free_text(config->organization_id);
    free_text(config->access_id);
    free_text(config->ca_file);
    wipe_text(config->proxy); /* may hold a password */
    free_text(config->user_agent);
    free_text(config->spool);
    for (size_t i = 0; i < config->error_code_count; i++)
        free_text(config->error_codes[i].code);
    free((void *)(uintptr_t)config->error_codes);
    free(config);
}

static bool same(const char *a, const char *b) {
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

static bool same_texts(const qa_client_config *a, const qa_client_config *b) {
    return same(a->endpoint, b->endpoint) && same(a->path, b->path) &&
           same(a->credentials.app_id, b->credentials.app_id) &&
           same(a->credentials.access_key, b->credentials.access_key) &&
           same(a->credentials.access_secret, b->credentials.access_secret) &&
           same(a->organization_id, b->organization_id) && same(a->access_id, b->access_id) &&
           same(a->ca_file, b->ca_file) && same(a->proxy, b->proxy) &&
           same(a->user_agent, b->user_agent) && same(a->spool, b->spool);
}

static bool same_numbers(const qa_client_config *a, const qa_client_config *b) {
    /* Compilers warn about doubles that are compared by ==. */
    bool same_rate = !(a->max_requests_per_second < b->max_requests_per_second) &&
                     !(a->max_requests_per_second > b->max_requests_per_second);
    return same_rate && a->sign_encoding == b->sign_encoding &&
           a->batch_events == b->batch_events && a->batch_bytes == b->batch_bytes &&
           a->queue_events == b->queue_events && a->queue_bytes == b->queue_bytes &&
           a->linger_us == b->linger_us && a->timeout_us == b->timeout_us &&
           a->connect_timeout_us == b->connect_timeout_us &&
           a->retry_base_us == b->retry_base_us && a->retry_max_us == b->retry_max_us &&
           a->delivery_deadline_us == b->delivery_deadline_us &&
           a->commit_interval_us == b->commit_interval_us && a->spool_sync == b->spool_sync &&
           a->spool_max_bytes == b->spool_max_bytes &&
           a->close_timeout_us == b->close_timeout_us && a->max_in_flight == b->max_in_flight;
}

bool qa_config_equal(const qa_client_config *a, const qa_client_config *b) {
    if (!same_texts(a, b) || !same_numbers(a, b) || a->error_code_count != b->error_code_count)
        return false;
    for (size_t i = 0; i < a->error_code_count; i++) {
        if (!same(a->error_codes[i].code, b->error_codes[i].code) ||
            a->error_codes[i].action != b->error_codes[i].action)
            return false;
    }
    return true;
}

qa_status qa_config_set_credentials(qa_client_config *copy, const qa_credentials *credentials,
                                    qa_error *error) {
    qa_credentials owned = *credentials;
    if (!own_credentials(&owned)) {
        free_credentials(&owned);
        return qa_error_no_memory(error, "config.credentials");
    }
    free_credentials(&copy->credentials);
    copy->credentials = owned;
    return QA_OK;
}
