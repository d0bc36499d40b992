/* The operation "unpack": an archive into a directory. */
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
#include "tar.h"

/* Longest record of pax headers or long name. */
#define EXTRA_MAX 65536

/* Bytes of the archive as they come. */
struct source {
    struct wire *wire;
    struct frame frame; /* what is left of it */
    bool ended;
};

/* What the records before an entry say of it; empty where they say nothing. */
struct entry {
    char name[PATH_MAX], link[PATH_MAX];
    bool has_size;
    unsigned long long size;
    char type;
    mode_t mode;
    time_t mtime;
};

struct unpack {
    struct source source;
    struct entry entry;
    struct user user;
    int root;
    char extra[EXTRA_MAX + 1];
};

/* The next piece, at most `most` bytes; 0 at the end. */
static size_t take(struct source *source, const uint8_t **bytes, size_t most) {
    size_t n;

    while (!source->ended && source->frame.length == 0) {
        if (!wire_next(source->wire, &source->frame))
            source->ended = true;
        else if (source->frame.type != HOST_DATA)
            source->frame.length = 0;
        else if (source->frame.length == 0)
            source->ended = true;
    }
    if (source->ended) return 0;
    n = source->frame.length < most ? source->frame.length : most;
    *bytes = source->frame.payload;
    source->frame.payload += n;
    source->frame.length -= n;
    return n;
}

static bool take_all(struct source *source, void *to, size_t length) {
    uint8_t *at = to;

    while (length > 0) {
        const uint8_t *bytes;
        size_t n = take(source, &bytes, length);

        if (n == 0) return false;
        memcpy(at, bytes, n);
        at += n;
        length -= n;
    }
    return true;
}

static bool skip(struct source *source, unsigned long long length) {
    while (length > 0) {
        const uint8_t *bytes;
        size_t n = take(source, &bytes, length < PAYLOAD_MAX ? (size_t)length : PAYLOAD_MAX);

        if (n == 0) return false;
        length -= n;
    }
    return true;
}

static unsigned long long padding(unsigned long long length) {
    return (BLOCK - length % BLOCK) % BLOCK;
}

static unsigned long long number_of(const char *field, size_t size) {
    unsigned long long number = 0;

    if ((field[0] & 0x80) != 0) {
        for (size_t i = 1; i < size; i++) number = number << 8 | (uint8_t)field[i];
        return number;
    }
    for (size_t i = 0; i < size && field[i]; i++)
        if (field[i] >= '0' && field[i] <= '7') number = number << 3 | (unsigned)(field[i] - '0');
    return number;
}

/* A path of the archive; false with errno set for one that is too long. */
static bool copy_path(char *to, const char *from) {
    size_t length = strlen(from) + 1;

    if (length > PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(to, from, length);
    return true;
}

/* "LENGTH KEY=VALUE\n", repeated. */
static bool take_pax(struct entry *entry, char *text, size_t length) {
    while (length > 0) {
        char *key, *value;
        unsigned long size = strtoul(text, &key, 10);

        if (size < 4 || size > length || *key != ' ' || text[size - 1] != '\n') break;
        text[size - 1] = '\0';
        key++;
        value = strchr(key, '=');
        if (value) {
            *value++ = '\0';
            if (strcmp(key, "path") == 0 && !copy_path(entry->name, value)) return false;
            if (strcmp(key, "linkpath") == 0 && !copy_path(entry->link, value)) return false;
            if (strcmp(key, "size") == 0) {
                entry->size = strtoull(value, NULL, 10);
                entry->has_size = true;
            }
        }
        text += size;
        length -= size;
    }
    return true;
}

/* A record about the next entry. */
static bool take_extra(struct unpack *unpack, char type, unsigned long long size) {
    struct entry *entry = &unpack->entry;

    if (size > EXTRA_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!take_all(&unpack->source, unpack->extra, (size_t)size)) return false;
    unpack->extra[size] = '\0';
    if (type == TAR_PAX) return take_pax(entry, unpack->extra, (size_t)size);
    return copy_path(type == TAR_LONG_NAME ? entry->name : entry->link, unpack->extra);
}

static void take_names(struct entry *entry, const struct tar_header *header) {
    if (*entry->name == '\0') {
        bool ustar = memcmp(header->magic, "ustar\0", 6) == 0 && header->prefix[0] != '\0';

        snprintf(entry->name, sizeof entry->name, "%.*s%s%.*s", ustar ? 155 : 0, header->prefix,
                 ustar ? "/" : "", 100, header->name);
    }
    if (*entry->link == '\0') snprintf(entry->link, sizeof entry->link, "%.*s", 100, header->link);
}

/* Takes "/", "./" and what ends a name off. False for one that leads out of the directory. */
static bool clean(char *name) {
    char *from = name, *to = name;

    while (*from) {
        size_t length = strcspn(from, "/");

        if (length == 2 && from[0] == '.' && from[1] == '.') {
            errno = EINVAL;
            return false;
        }
        if (length > 0 && !(length == 1 && from[0] == '.')) {
            if (to != name) *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
        while (*from == '/') from++;
    }
    *to = '\0';
    return true;
}

/* Directories of an entry that the archive does not name. */
static void make_parents(int root, char *name) {
    for (char *at = name; *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdirat(root, name, 0755);
        *at = '/';
    }
}

static bool give(const struct unpack *unpack, const char *name) {
    const struct user *user = &unpack->user;

    return !user->given ||
           fchownat(unpack->root, name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool unpack_directory(struct unpack *unpack) {
    struct entry *entry = &unpack->entry;
    struct stat info;

    if (*entry->name == '\0') return true;
    if (mkdirat(unpack->root, entry->name, 0700) < 0) {
        if (errno != EEXIST || fstatat(unpack->root, entry->name, &info, 0) < 0) return false;
        if (S_ISDIR(info.st_mode)) return true; /* it stays what it is */
        errno = ENOTDIR;
        return false;
    }
    return give(unpack, entry->name) && fchmodat(unpack->root, entry->name, entry->mode, 0) == 0;
}

static bool unpack_file(struct unpack *unpack) {
    struct entry *entry = &unpack->entry;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = entry->mtime}};
    unsigned long long left = entry->size;
    bool good;
    int fd;

    unlinkat(unpack->root, entry->name, 0);
    fd = openat(unpack->root, entry->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0) return false;
    good = true;
    while (good && left > 0) {
        const uint8_t *bytes;
        size_t n = take(&unpack->source, &bytes, left < PAYLOAD_MAX ? (size_t)left : PAYLOAD_MAX);

        good = n > 0 && write_all(fd, bytes, n);
        left -= n;
    }
    good = good && give(unpack, entry->name) && fchmod(fd, entry->mode) == 0 &&
           futimens(fd, times) == 0;
    close(fd);
    return good;
}

static bool unpack_link(struct unpack *unpack) {
    struct entry *entry = &unpack->entry;

    unlinkat(unpack->root, entry->name, 0);
    if (entry->type == TAR_LINK)
        return symlinkat(entry->link, unpack->root, entry->name) == 0 && give(unpack, entry->name);
    return clean(entry->link) &&
           linkat(unpack->root, entry->link, unpack->root, entry->name, 0) == 0;
}

static void start_entry(struct entry *entry, const struct tar_header *header) {
    take_names(entry, header);
    entry->type = header->type;
    entry->mode = (mode_t)(number_of(header->mode, sizeof header->mode) & 07777);
    entry->mtime = (time_t)number_of(header->mtime, sizeof header->mtime);
    if (!entry->has_size) entry->size = number_of(header->size, sizeof header->size);
}

static bool unpack_entry(struct unpack *unpack) {
    struct entry *entry = &unpack->entry;
    unsigned long long size = entry->size;

    if (!clean(entry->name)) return false;
    make_parents(unpack->root, entry->name);
    switch (entry->type) {
    case TAR_DIRECTORY:
        return unpack_directory(unpack);
    case TAR_LINK:
    case TAR_HARD_LINK:
        return unpack_link(unpack);
    case TAR_FILE:
    case TAR_CONTIGUOUS:
    case '\0':
        return unpack_file(unpack) && skip(&unpack->source, padding(size));
    default: /* devices, pipes and what later formats add */
        return skip(&unpack->source, size + padding(size));
    }
}

/* True at the end of the archive; false with errno set, or 0 when it is cut off. */
static bool unpack_all(struct unpack *unpack) {
    struct tar_header header;

    for (;;) {
        errno = 0;
        if (!take_all(&unpack->source, &header, sizeof header)) return false;
        if (header.name[0] == '\0') return true;
        if (tar_checksum(&header) != number_of(header.checksum, sizeof header.checksum)) {
            errno = EILSEQ;
            return false;
        }
        if (header.type == TAR_PAX || header.type == TAR_LONG_NAME ||
            header.type == TAR_LONG_LINK) {
            unsigned long long size = number_of(header.size, sizeof header.size);

            if (!take_extra(unpack, header.type, size)) return false;
            if (!skip(&unpack->source, padding(size))) return false;
            continue;
        }
        start_entry(&unpack->entry, &header);
        if (!unpack_entry(unpack)) return false;
        memset(&unpack->entry, 0, sizeof unpack->entry);
    }
}

/* Unpacks DATA, up to an empty one, into a directory that is made if it is not there. */
void serve_unpack(struct wire *wire, const struct request *request) {
    static struct unpack unpack;
    const char *path = request_path(wire, request);
    const char *owner = request_value(request, "user");
    struct result result = {0};

    if (!path) return;
    unpack.source.wire = wire;
    if (!find_user(owner, &unpack.user)) {
        fail(wire, "no such user:", owner, EINVAL);
        return;
    }
    if (make_path(path) < 0 || (unpack.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        fail(wire, "cannot make", path, errno);
        return;
    }
    wire_send(wire, GUEST_STARTED, NULL, 0);
    wire_write(wire, true);
    if (unpack_all(&unpack)) {
        while (!unpack.source.ended) skip(&unpack.source, BLOCK);
        result_send(wire, &result);
    } else {
        const char *name = unpack.entry.name;

        fail(wire, errno ? "cannot unpack" : "the archive ends early:", *name ? name : path,
             errno ? errno : EPIPE);
    }
}
