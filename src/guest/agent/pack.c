/* The operation "pack": what is below a directory, as an archive. */
#define _GNU_SOURCE
#include <dirent.h>
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
#include "tar.h"

/* Directories in each other: each has a descriptor open. */
#define DEPTH_MAX 200

struct pack {
    struct wire *wire;
    unsigned long long skipped; /* sockets, devices and the like */
    const char *problem;        /* what could not be read, with errno `error` */
    int error;
    size_t length;
    char path[PATH_MAX]; /* of the entry, from the directory on */
    uint8_t buffer[PAYLOAD_MAX];
};

static void flush(struct pack *pack) {
    if (pack->length > 0) wire_send(pack->wire, GUEST_STDOUT, pack->buffer, pack->length);
    pack->length = 0;
}

static void put(struct pack *pack, const void *bytes, size_t length) {
    const uint8_t *at = bytes;

    while (length > 0) {
        size_t room = sizeof pack->buffer - pack->length, n = length < room ? length : room;

        memcpy(pack->buffer + pack->length, at, n);
        pack->length += n;
        at += n;
        length -= n;
        if (pack->length == sizeof pack->buffer) flush(pack);
    }
}

/* Zeros up to the end of a block. */
static void pad(struct pack *pack, unsigned long long length) {
    static const uint8_t zeros[BLOCK];

    if (length % BLOCK != 0) put(pack, zeros, BLOCK - length % BLOCK);
}

/* Octal digits; GNU's binary form for what they cannot hold. */
static void set_number(char *field, size_t size, unsigned long long number) {
    if (number >> (3 * (size - 1)) == 0) {
        snprintf(field, size, "%0*llo", (int)size - 1, number);
        return;
    }
    for (size_t i = size; i-- > 0; number >>= 8) field[i] = (char)number;
    field[0] = (char)0x80;
}

static void put_header(struct pack *pack, struct tar_header *header) {
    memcpy(header->magic, "ustar", 6);
    memcpy(header->version, "00", 2);
    snprintf(header->checksum, sizeof header->checksum, "%06o", tar_checksum(header));
    header->checksum[7] = ' ';
    put(pack, header, sizeof *header);
}

/* A name too long for its field comes before, as the content of an entry. */
static void put_long(struct pack *pack, enum tar_type type, const char *text) {
    struct tar_header header = {.name = "././@LongLink", .type = (char)type};
    size_t length = strlen(text) + 1;

    set_number(header.mode, sizeof header.mode, 0);
    set_number(header.size, sizeof header.size, length);
    set_number(header.mtime, sizeof header.mtime, 0);
    put_header(pack, &header);
    put(pack, text, length);
    pad(pack, length);
}

static void put_entry(struct pack *pack, const struct stat *info, enum tar_type type,
                      const char *link) {
    struct tar_header header = {.type = (char)type};
    char name[PATH_MAX + 1];
    unsigned long long size = type == TAR_FILE ? (unsigned long long)info->st_size : 0;

    snprintf(name, sizeof name, "%s%s", pack->path, type == TAR_DIRECTORY ? "/" : "");
    if (strlen(name) > sizeof header.name) put_long(pack, TAR_LONG_NAME, name);
    if (strlen(link) > sizeof header.link) put_long(pack, TAR_LONG_LINK, link);
    memcpy(header.name, name, strnlen(name, sizeof header.name));
    memcpy(header.link, link, strnlen(link, sizeof header.link));
    set_number(header.mode, sizeof header.mode, info->st_mode & 07777);
    set_number(header.uid, sizeof header.uid, info->st_uid);
    set_number(header.gid, sizeof header.gid, info->st_gid);
    set_number(header.size, sizeof header.size, size);
    set_number(header.mtime, sizeof header.mtime,
               info->st_mtime < 0 ? 0 : (unsigned long long)info->st_mtime);
    put_header(pack, &header);
}

static bool give_up(struct pack *pack, const char *problem) {
    pack->error = errno;
    pack->problem = problem;
    return false;
}

/* A file has the length that its header says, whatever happens to it meanwhile. */
static bool pack_file(struct pack *pack, int fd) {
    static uint8_t bytes[PAYLOAD_MAX];
    struct stat info;
    unsigned long long left;

    if (fstat(fd, &info) < 0) return give_up(pack, "cannot read");
    put_entry(pack, &info, TAR_FILE, "");
    for (left = (unsigned long long)info.st_size; left > 0 && !pack->wire->gone;) {
        size_t want = left < sizeof bytes ? (size_t)left : sizeof bytes;
        ssize_t n = read(fd, bytes, want);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return give_up(pack, "cannot read");
        if (n == 0) {
            memset(bytes, 0, want);
            n = (ssize_t)want;
        }
        put(pack, bytes, (size_t)n);
        left -= (unsigned long long)n;
    }
    pad(pack, (unsigned long long)info.st_size);
    return true;
}

static bool pack_directory(struct pack *pack, int fd, int depth);

static bool pack_entry(struct pack *pack, int parent, const char *name, int depth) {
    struct stat info;
    char link[PATH_MAX];
    ssize_t n;
    int fd;
    bool good;

    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || give_up(pack, "cannot find"); /* gone meanwhile */
    if (S_ISLNK(info.st_mode)) {
        n = readlinkat(parent, name, link, sizeof link - 1);
        if (n < 0) return give_up(pack, "cannot read");
        link[n] = '\0';
        put_entry(pack, &info, TAR_LINK, link);
        return true;
    }
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        pack->skipped++;
        return true;
    }
    /* O_NONBLOCK: it may have become a pipe. */
    fd = openat(parent, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return give_up(pack, "cannot open");
    if (S_ISREG(info.st_mode)) {
        good = pack_file(pack, fd);
        close(fd);
        return good;
    }
    put_entry(pack, &info, TAR_DIRECTORY, "");
    return pack_directory(pack, fd, depth + 1);
}

/* Everything in a directory, whose descriptor is closed. */
static bool pack_directory(struct pack *pack, int fd, int depth) {
    size_t length = strlen(pack->path);
    DIR *directory = fdopendir(fd);
    struct dirent *entry;
    bool good = directory != NULL && depth < DEPTH_MAX;

    if (!good) {
        if (directory) errno = ELOOP;
        give_up(pack, "cannot read");
    }
    while (good && !pack->wire->gone && (entry = readdir(directory))) {
        const char *name = entry->d_name;
        int n;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        n = snprintf(pack->path + length, sizeof pack->path - length, "%s%s", length ? "/" : "",
                     name);
        if (n < 0 || (size_t)n >= sizeof pack->path - length) {
            errno = ENAMETOOLONG;
            good = give_up(pack, "cannot pack");
        } else {
            good = pack_entry(pack, fd, name, depth);
        }
        if (good) pack->path[length] = '\0';
    }
    if (directory)
        closedir(directory);
    else
        close(fd);
    return good;
}

/* Sends the archive as a file is sent, and how many entries it leaves out. */
void serve_pack(struct wire *wire, const struct request *request) {
    static struct pack pack;
    static const uint8_t end[2 * BLOCK];
    const char *path = request_path(wire, request);
    struct result result = {0};
    int fd;

    if (!path) return;
    pack.wire = wire;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fail(wire, "cannot open", path, errno);
    } else if (!pack_directory(&pack, fd, 0)) {
        fail(wire, pack.problem, pack.path, pack.error);
    } else {
        put(&pack, end, sizeof end);
        flush(&pack);
        wire_send(wire, GUEST_STDOUT, NULL, 0);
        result_add(&result, "skipped", "%llu", pack.skipped);
        result_send(wire, &result);
    }
}
