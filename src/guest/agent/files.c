/* Operations on regular files: "stat", "get" and "put". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "path.h"

static const char *type_of(mode_t mode) {
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : "other";
}

static void send_stat(struct wire *wire, const struct stat *info) {
    struct result result = {0};

    result_add(&result, "type", "%s", type_of(info->st_mode));
    result_add(&result, "mode", "%u", info->st_mode & 07777);
    result_add(&result, "size", "%lld", (long long)info->st_size);
    result_add(&result, "mtime", "%lld.%09ld", (long long)info->st_mtim.tv_sec,
               info->st_mtim.tv_nsec);
    result_add(&result, "uid", "%u", info->st_uid);
    result_add(&result, "gid", "%u", info->st_gid);
    result_send(wire, &result);
}

/* What a path leads to; symbolic links are followed. */
void serve_stat(struct wire *wire, const struct request *request) {
    const char *path = request_path(wire, request);
    struct stat info;

    if (!path) return;
    if (stat(path, &info) < 0)
        fail(wire, "cannot find", path, errno);
    else
        send_stat(wire, &info);
}

/* A file's attributes and bytes, and an empty frame. */
void serve_get(struct wire *wire, const struct request *request) {
    static uint8_t bytes[PAYLOAD_MAX];
    const char *path = request_path(wire, request);
    struct stat info;
    ssize_t n;
    int fd;

    if (!path) return;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) < 0) {
        fail(wire, "cannot open", path, errno);
        return;
    }
    if (S_ISDIR(info.st_mode)) {
        fail(wire, "cannot read", path, EISDIR);
        return;
    }
    send_stat(wire, &info);
    while ((n = read(fd, bytes, sizeof bytes)) != 0 && !wire->gone) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            fail(wire, "cannot read", path, errno);
            return;
        }
        wire_send(wire, GUEST_STDOUT, bytes, (size_t)n);
    }
    wire_send(wire, GUEST_STDOUT, NULL, 0);
}

bool write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

/* Where a file is made: beside the one that it replaces, or the one itself if it is no regular
 * file. */
struct target {
    char path[PATH_MAX]; /* symbolic links resolved */
    char made[PATH_MAX + 16];
    bool direct;
    int fd;
};

static bool open_target(struct target *target, const char *path) {
    struct stat info;

    if (!realpath(path, target->path)) {
        if (errno != ENOENT || strlen(path) >= sizeof target->path) return false;
        strcpy(target->path, path);
    }
    target->direct = stat(target->path, &info) == 0 && !S_ISREG(info.st_mode);
    if (target->direct) {
        target->fd = open(target->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return target->fd >= 0;
    }
    snprintf(target->made, sizeof target->made, "%s.XXXXXX", target->path);
    target->fd = mkostemp(target->made, O_CLOEXEC);
    return target->fd >= 0;
}

/* Takes DATA up to an empty one into a file. False when the host has gone, or with errno set. */
static bool take_data(struct wire *wire, int fd) {
    struct frame frame;

    errno = 0;
    while (wire_next(wire, &frame)) {
        if (frame.type != HOST_DATA) continue;
        if (frame.length == 0) return true;
        if (!write_all(fd, frame.payload, frame.length)) return false;
    }
    errno = 0;
    return false;
}

static bool set_attributes(const struct target *target, const struct request *request,
                           const struct user *user) {
    unsigned long long mode = 0644, seconds, nanoseconds = 0;

    request_number(request, "mode", 07777, &mode);
    if (user->given && fchown(target->fd, user->uid, user->gid) < 0) return false;
    if (fchmod(target->fd, (mode_t)mode) < 0) return false;
    if (request_number(request, "mtime", 1ULL << 40, &seconds)) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

        request_number(request, "nanoseconds", 999999999, &nanoseconds);
        times[1] = (struct timespec){(time_t)seconds, (long)nanoseconds};
        if (futimens(target->fd, times) < 0) return false;
    }
    return true;
}

/* Makes or replaces a file, all of it or not at all. */
void serve_put(struct wire *wire, const struct request *request) {
    static struct target target;
    const char *path = request_path(wire, request);
    const char *owner = request_value(request, "user");
    struct result result = {0};
    struct user user;

    if (!path) return;
    if (!find_user(owner, &user)) {
        fail(wire, "no such user:", owner, EINVAL);
        return;
    }
    if (!open_target(&target, path)) {
        fail(wire, "cannot make", path, errno);
        return;
    }
    wire_send(wire, GUEST_STARTED, NULL, 0);
    wire_write(wire, true);
    if (take_data(wire, target.fd) && (target.direct || (set_attributes(&target, request, &user) &&
                                                         rename(target.made, target.path) == 0))) {
        result_send(wire, &result);
        return;
    }
    if (errno != 0) fail(wire, "cannot write", path, errno);
    if (!target.direct) unlink(target.made);
}
