/* response.c
 * What the service's answer says: its JSON body parsed and checked.
 * Does not know HTTP, nor what is to be done about an answer.
 * SPDX-License-Identifier: MIT */
#include "response.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What stands in a message about what was found. */
static const char *kind_of(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "something unknown";
}

/* ASCII's control characters, and those of Latin-1 (U+0080 to U+009F), would confuse a log. */
static bool is_control(const unsigned char *at) {
    return at[0] < 0x20 || at[0] == 0x7F || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F);
}

static size_t character_length(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* `text` is zero-terminated UTF-8; only whole characters are taken, a blank for each control. */
static void copy_text(char *out, size_t size, const char *text) {
    size_t length = 0;
    size_t step = 0;
    for (const char *at = text; *at != '\0'; at += step) {
        bool control = is_control((const unsigned char *)at);
        step = character_length((unsigned char)*at);
        size_t room = control ? 1 : step;
        if (length + room >= size)
            break;
        if (control)
            out[length] = ' ';
        else
            memcpy(out + length, at, step);
        length += room;
    }
    out[length] = '\0';
}

static qa_status take_text(const json_t *root, const char *name, char *out, size_t size,
                           qa_error *error) {
    const json_t *value = json_object_get(root, name);
    if (value == NULL || json_is_null(value))
        return QA_OK;
    if (!json_is_string(value))
        return qa_error_set(error, QA_BAD_RESPONSE, "response.%s: expected a string, found %s",
                            name, kind_of(value));
    copy_text(out, size, json_string_value(value));
    return QA_OK;
}

static qa_status take_code(const json_t *root, qa_response *out, qa_error *error) {
    const json_t *value = json_object_get(root, "errorCode");
    if (!json_is_integer(value))
        return take_text(root, "errorCode", out->code, sizeof out->code, error);
    /* Documented as a string. A number is what other gateways send here, and its meaning is as
     * clear, so it is tolerated. */
    (void)snprintf(out->code, sizeof out->code, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return QA_OK;
}

static qa_status take_success(const json_t *root, bool *success, qa_error *error) {
    const json_t *value = json_object_get(root, "success");
    if (value == NULL)
        return qa_error_set(error, QA_BAD_RESPONSE, "response.success: missing");
    if (!json_is_boolean(value))
        return qa_error_set(error, QA_BAD_RESPONSE,
                            "response.success: expected a boolean, found %s", kind_of(value));
    *success = json_is_true(value);
    return QA_OK;
}

/* Documented as the text "true" or "false", shown as a boolean in the documents' example. */
static qa_status take_data(const json_t *root, bool *data, qa_error *error) {
    const json_t *value = json_object_get(root, "data");
    const char *text = json_string_value(value);
    *data = true;
    if (value == NULL || json_is_null(value) || json_is_true(value))
        return QA_OK;
    if (json_is_false(value) || (text != NULL && strcmp(text, "false") == 0)) {
        *data = false;
        return QA_OK;
    }
    if (text != NULL && strcmp(text, "true") == 0)
        return QA_OK;
    return qa_error_set(error, QA_BAD_RESPONSE, "response.data: expected true or false, found %s",
                        text != NULL ? "another string" : kind_of(value));
}

static qa_status take_members(const json_t *root, qa_response *out, qa_error *error) {
    bool success = false;
    bool data = true;
    if (!json_is_object(root))
        return qa_error_set(error, QA_BAD_RESPONSE, "response: expected an object, found %s",
                            kind_of(root));
    qa_status status = take_success(root, &success, error);
    if (status == QA_OK)
        status = take_data(root, &data, error);
    if (status == QA_OK)
        status = take_text(root, "traceId", out->trace_id, sizeof out->trace_id, error);
    if (status == QA_OK)
        status = take_code(root, out, error);
    if (status == QA_OK)
        status = take_text(root, "errorDesc", out->desc, sizeof out->desc, error);
    out->success = status == QA_OK && success && data;
    return status;
}

qa_status qa_response_parse(const char *body, size_t length, qa_response *out, qa_error *error) {
    json_error_t reason;
    char words[JSON_ERROR_TEXT_LENGTH];
    *out = (qa_response){0};
    if (length == 0)
        return qa_error_set(error, QA_BAD_RESPONSE, "response: empty");
    if (length > QA_RESPONSE_MAX)
        return qa_error_set(error, QA_BAD_RESPONSE, "response: over %d bytes", QA_RESPONSE_MAX);
    json_t *root = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
    if (root == NULL && json_error_code(&reason) == json_error_out_of_memory)
        return qa_error_no_memory(error, "response");
    if (root == NULL) {
        copy_text(words, sizeof words, reason.text);
        return qa_error_set(error, QA_BAD_RESPONSE, "response: not json: %s at line %d", words,
                            reason.line);
    }
    qa_status status = take_members(root, out, error);
    json_decref(root);
    if (status != QA_OK)
        *out = (qa_response){0};
    return status;
}
