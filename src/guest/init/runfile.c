/* /.vexit/run: records of `key\0value\0` that say what to run. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define RUN_FILE_MAX (1 << 20)

/* Reads the whole file into memory that stays; NULL if there is none. */
static char *slurp(const char *path, size_t *length) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    char *text = NULL;
    size_t have = 0;

    if (fd < 0) return NULL;
    if (fstat(fd, &info) == 0 && info.st_size <= RUN_FILE_MAX)
        text = malloc((size_t)info.st_size + 1);
    while (text && have < (size_t)info.st_size) {
        ssize_t n = read(fd, text + have, (size_t)info.st_size - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        have += (size_t)n;
    }
    if (text) text[have] = '\0';
    close(fd);
    *length = have;
    return text;
}

static bool parse_number(const char *text, unsigned long limit, unsigned long *number, char **end) {
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoul(text, end, 10);
    return errno == 0 && *number <= limit;
}

static unsigned short parse_size(const char *text) {
    unsigned long number = 0;
    char *end;

    return parse_number(text, 0xffff, &number, &end) && *end == '\0' ? (unsigned short)number : 0;
}

/* "uid" or "uid:gid"; the group is the user's number unless it is given. */
static bool parse_user(const char *text, struct run_request *request) {
    unsigned long uid, gid;
    char *end;

    if (!parse_number(text, 0xfffffffe, &uid, &end)) return false;
    gid = uid;
    if (*end == ':' && !parse_number(end + 1, 0xfffffffe, &gid, &end)) return false;
    request->uid = (uid_t)uid;
    request->gid = (gid_t)gid;
    request->has_user = true;
    return *end == '\0';
}

static void add_attachment(struct run_request *request, enum attach_kind kind, const char *text) {
    if (request->attach_count == ATTACHMENTS_MAX)
        complain("too many attachments:", text, 0);
    else
        request->attachments[request->attach_count++] = (struct attachment){kind, text};
}

static void apply(struct run_request *request, const char *key, char *value, size_t *args,
                  size_t *vars) {
    if (strcmp(key, "arg") == 0)
        request->argv[(*args)++] = value;
    else if (strcmp(key, "env") == 0)
        request->env[(*vars)++] = value;
    else if (strcmp(key, "cwd") == 0)
        request->cwd = value;
    else if (strcmp(key, "hostname") == 0)
        request->hostname = value;
    else if (strcmp(key, "channel") == 0)
        request->channel = value;
    else if (strcmp(key, "agent") == 0)
        request->agent = value;
    else if (strcmp(key, "tty") == 0)
        request->tty = strcmp(value, "1") == 0;
    else if (strcmp(key, "poweroff") == 0)
        request->stay = strcmp(value, "0") == 0;
    else if (strcmp(key, "rows") == 0)
        request->rows = parse_size(value);
    else if (strcmp(key, "cols") == 0)
        request->cols = parse_size(value);
    else if (strcmp(key, "interface") == 0)
        add_attachment(request, ATTACH_INTERFACE, value);
    else if (strcmp(key, "nameserver") == 0)
        add_attachment(request, ATTACH_NAMESERVER, value);
    else if (strcmp(key, "share") == 0)
        add_attachment(request, ATTACH_SHARE, value);
    else if (strcmp(key, "user") == 0) {
        if (!parse_user(value, request)) {
            /* Never run as root what was meant to run as somebody else. */
            complain("not a user (uid or uid:gid):", value, 0);
            request->invalid = EINVAL;
        }
    }
}

/* Fills `request`; without a file it asks for a shell. The file, which may hold secrets, goes. */
void read_run_file(const char *path, struct run_request *request) {
    size_t length = 0, records = 0, args = 0, vars = 0;
    char *text = slurp(path, &length);
    char *at = text, *end = text + length;

    for (size_t i = 0; i < length; i++) records += text[i] == '\0';
    records /= 2;
    request->argv = calloc(records + 1, sizeof *request->argv);
    request->env = calloc(records + 1, sizeof *request->env);
    if (!request->argv || !request->env) {
        complain("out of memory for", path, 0);
        power_off();
    }
    while (records-- > 0) {
        char *value = at + strlen(at) + 1;

        apply(request, at, value, &args, &vars);
        at = value + strlen(value) + 1;
        if (at >= end) break;
    }
    if (args == 0) request->argv = NULL;
    if (text) unlink(path);
}
