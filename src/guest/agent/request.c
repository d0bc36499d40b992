/* What the host asks for: records of `key\0value\0`, in REQUEST frames up to an empty one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define REQUEST_MAX (1 << 20)

static bool append(struct request *request, const struct frame *frame) {
    size_t length = request->length + frame->length;
    char *text;

    if (length > REQUEST_MAX) return false;
    text = realloc(request->text, length + 1);
    if (!text) return false;
    memcpy(text + request->length, frame->payload, frame->length);
    text[length] = '\0';
    request->text = text;
    request->length = length;
    return true;
}

/* Reads a request to its end. False, with the reason sent, when there is none. */
bool request_read(struct wire *wire, struct request *request) {
    struct frame frame;

    while (wire_next(wire, &frame)) {
        if (frame.type == HOST_HELLO && frame.length >= 1 && frame.payload[0] == AGENT_VERSION)
            continue;
        if (frame.type == HOST_HELLO) {
            fail(wire, "the host speaks another version of the protocol", NULL, EPROTO);
            return false;
        }
        if (frame.type != HOST_REQUEST || (frame.length > 0 && !append(request, &frame))) {
            fail(wire, "not a request, or one that is too long", NULL, EPROTO);
            return false;
        }
        if (frame.length == 0) return request->text != NULL;
    }
    return false;
}

/* The record behind `at`, or the first one; false at the end. */
static bool next_record(const struct request *request, char **at, char **key, char **value) {
    char *end = request->text + request->length;
    char *next = *at ? *at : request->text;
    size_t key_length = strnlen(next, (size_t)(end - next));

    if (next + key_length >= end) return false;
    *key = next;
    *value = next + key_length + 1;
    *at = *value + strnlen(*value, (size_t)(end - *value)) + 1;
    if (*at > end) *at = end;
    return true;
}

/* The value of a key; NULL if it is not there. */
const char *request_value(const struct request *request, const char *key) {
    char *at = NULL, *name, *value;

    while (next_record(request, &at, &name, &value))
        if (strcmp(name, key) == 0) return value;
    return NULL;
}

/* All values of a key, and a NULL; NULL without memory. */
char **request_values(const struct request *request, const char *key) {
    char *at = NULL, *name, *value, **values;
    size_t count = 0;

    while (next_record(request, &at, &name, &value)) count += strcmp(name, key) == 0;
    values = calloc(count + 1, sizeof *values);
    if (!values) return NULL;
    at = NULL;
    count = 0;
    while (next_record(request, &at, &name, &value))
        if (strcmp(name, key) == 0) values[count++] = value;
    return values;
}

/* A decimal number up to `limit`; false if it is none or not there. */
bool request_number(const struct request *request, const char *key, unsigned long long limit,
                    unsigned long long *number) {
    const char *text = request_value(request, key);
    char *end;

    if (!text || *text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *number <= limit;
}
