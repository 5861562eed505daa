/* event.h
 * The event model: writes one event as wire JSON, field by field, and checks each on the way.
 * Does not know Lua, nor how events are grouped or sent.
 * SPDX-License-Identifier: MIT */
#ifndef QA_EVENT_H
#define QA_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

/* The members of ClientEventMessageModel (documented), and `extra` for what it does not list. */
typedef enum qa_field {
    QA_FIELD_CUSTOMER_ID,
    QA_FIELD_EVENT_CODE,
    QA_FIELD_EVENT_TIME,
    QA_FIELD_ORGANIZATION_ID,
    QA_FIELD_WORKSPACE_ID,
    QA_FIELD_ENTITY_ID,
    QA_FIELD_ATTRIBUTES,
    QA_FIELD_CUSTOMER_IDS,
    QA_FIELD_IS_ORDER,
    QA_FIELD_EXTRA,
    QA_FIELD_UNKNOWN
} qa_field;

enum {
    QA_EVENT_COMMON_MAX = 64,         /* common attributes of one client */
    QA_EVENT_PATH_MAX = 256,          /* bytes of a path in a message */
    QA_EVENT_SIZE_MAX = 64 * 1024 * 1024 /* bytes of one event, whatever the configuration */
};

/* The field that `name` spells, in Lua's spelling (customer_id) or the wire's (customerId). */
qa_field qa_event_field(const char *name, size_t length);

/* What a client adds to its events. Made once, then read by any thread. */
typedef struct qa_event_defaults qa_event_defaults;

/* Empty defaults; NULL when memory is short. `free` takes NULL. */
qa_event_defaults *qa_event_defaults_new(void);
void qa_event_defaults_free(qa_event_defaults *defaults);

/* Each copies what it is given. `field` is QA_FIELD_ORGANIZATION_ID or QA_FIELD_WORKSPACE_ID. */
qa_status qa_event_defaults_field(qa_event_defaults *defaults, qa_field field, const char *text,
                                  size_t length, qa_error *error);
qa_status qa_event_defaults_attribute(qa_event_defaults *defaults, const char *key,
                                      size_t key_length, const char *text, size_t length,
                                      qa_error *error);

/* One event under way. It lies on the caller's stack; begin, then the fields in any order, then
 * end. The first failure fills `error`, makes every further call a no-op that returns it, and `end`
 * takes the event out of the buffer again: an event is never half written. */
typedef struct qa_event {
    qa_buf *out;
    const qa_event_defaults *defaults; /* or NULL */
    qa_error *error;
    const char *path;       /* what messages call the event: "event", "events[3]" */
    size_t start;           /* where it begins in `out` */
    size_t list_start;      /* where the attributes or the ids begin */
    size_t replaced;        /* bytes that were not UTF-8 and became U+FFFD */
    uint64_t overridden;    /* common attributes that the event gives itself, by index */
    unsigned seen;          /* fields, by 1 << qa_field */
    qa_status status;
} qa_event;

void qa_event_begin(qa_event *event, qa_buf *out, const qa_event_defaults *defaults,
                    const char *path, qa_error *error);

/* customer_id, event_code, organization_id, workspace_id, entity_id: not empty.
 * `name` is the key as the caller's user spelled it, for messages. */
qa_status qa_event_text(qa_event *event, qa_field field, const char *name, const char *text,
                        size_t length);

/* ms since the epoch; what looks like seconds or microseconds is refused with words. */
qa_status qa_event_time(qa_event *event, const char *name, int64_t time_ms);

qa_status qa_event_is_order(qa_event *event, const char *name, bool is_order);

/* attributes: begin, any number of texts, end. A value that is not text is formatted by the caller.
 * The service's model is a map of string to string (documented). */
qa_status qa_event_attributes_begin(qa_event *event, const char *name);
qa_status qa_event_attribute(qa_event *event, const char *key, size_t key_length,
                             const char *text, size_t length);
qa_status qa_event_attributes_end(qa_event *event);

/* The same for a value of printable ASCII without quotes and backslashes: numbers and booleans. */
qa_status qa_event_attribute_plain(qa_event *event, const char *key, size_t key_length,
                                   const char *text, size_t length);

/* customer_ids: begin, any number of ids, end. `where` is the id's path below the event. */
qa_status qa_event_ids_begin(qa_event *event, const char *name);
qa_status qa_event_id(qa_event *event, const char *where, const char *type, size_t type_length,
                      const char *id, size_t length);
qa_status qa_event_ids_end(qa_event *event);

/* A further wire field; the caller appends its JSON value to event->out right after. */
qa_status qa_event_extra(qa_event *event, const char *key, size_t key_length);

/* Whether the event has the field already. */
static inline bool qa_event_has(const qa_event *event, qa_field field) {
    return (event->seen & 1u << field) != 0;
}

/* Fails the event: the message is the event's path, `where` (".price", "[2]", or ""), and the text. */
qa_status qa_event_fail(qa_event *event, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The failure of a key that names no field, with the nearest that does. */
qa_status qa_event_unknown(qa_event *event, const char *where, const char *name, size_t length);

/* Adds the defaults, checks that nothing required is missing and closes the event. */
qa_status qa_event_end(qa_event *event);

#endif
