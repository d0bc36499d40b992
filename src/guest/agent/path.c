/* Paths. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "path.h"

/* The absolute path of a request; NULL, with the reason sent, when there is none. */
const char *request_path(struct wire *wire, const struct request *request) {
    const char *path = request_value(request, "path");

    if (path && *path == '/') return path;
    fail(wire, "not an absolute path:", path ? path : "none", EINVAL);
    return NULL;
}

/* Makes a directory and those above it. -1 and an errno on failure. */
int make_path(const char *path) {
    char *copy = strdup(path);
    int result;

    if (!copy) return -1;
    for (char *at = copy + 1; *copy && *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdir(copy, 0755);
        *at = '/';
    }
    result = mkdir(copy, 0755) < 0 && errno != EEXIST ? -1 : 0;
    free(copy);
    return result;
}
