/* Answers: records of `key\0value\0` in one RESULT frame. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"

/* Adds a record; one that does not fit is left out. */
void result_add(struct result *result, const char *key, const char *format, ...) {
    size_t room = sizeof result->text - result->length, length = strlen(key) + 1;
    va_list values;
    int n;

    if (length >= room) return;
    memcpy(result->text + result->length, key, length);
    va_start(values, format);
    n = vsnprintf(result->text + result->length + length, room - length, format, values);
    va_end(values);
    if (n >= 0 && (size_t)n < room - length) result->length += length + (size_t)n + 1;
}

void result_send(struct wire *wire, const struct result *result) {
    wire_send(wire, GUEST_RESULT, result->text, result->length);
}
