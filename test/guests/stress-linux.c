/*
 * Operations on files in the directory of the argument: stress DIRECTORY SEED STEPS. What each step
 * did is printed, so that two file systems can be compared: the same seed gives the same steps. A
 * third of them are on names (make, link, move, remove, change, look); a third read and write one
 * file, by calls and by a shared mapping, against an image of it in memory; a third are those of a
 * tool for versions: a file with a temporary name, written, synchronized, moved over another, under
 * the lock of a third.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST 200000

static unsigned long long state;
static unsigned char image[LARGEST], other[LARGEST];
static size_t size;
static int file;

static unsigned below(unsigned limit) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(state >> 33) % limit;
}

static void say(const char *what, const char *name, long result) {
    printf("%s %s: %s\n", what, name, result < 0 ? strerrorname_np(errno) : "done");
}

/* A path of up to three names, of few. */
static const char *place(void) {
    static char paths[4][64];
    static int turn;
    char *path = paths[turn++ % 4];
    path[0] = 0;
    for (unsigned depth = below(3); depth > 0; depth--)
        sprintf(path + strlen(path), "d%u/", below(3));
    sprintf(path + strlen(path), below(3) ? "n%u" : "d%u", below(6));
    return path;
}

static void look(const char *name) {
    struct stat s;
    if (lstat(name, &s) < 0) {
        say("stat", name, -1);
        return;
    }
    /* The size of a directory is the file system's business. */
    printf("stat %s: %o %u %u:%u %lld\n", name, s.st_mode, (unsigned)s.st_nlink, s.st_uid, s.st_gid,
           S_ISDIR(s.st_mode) ? 0LL : (long long)s.st_size);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void list(const char *name) {
    struct dirent **entries;
    int count = scandir(name, &entries, NULL, by_name);
    say("list", name, count);
    for (int i = 0; i < count; i++) {
        printf(" %s/%d", entries[i]->d_name, entries[i]->d_type);
        free(entries[i]);
    }
    if (count >= 0) {
        printf("\n");
        free(entries);
    }
}

static void write_some(const char *name, int flags) {
    char bytes[3000];
    int fd = open(name, flags, 0600 | below(0100));
    say("open", name, fd);
    if (fd < 0) return;
    memset(bytes, 'a' + below(26), sizeof bytes);
    say("write", name, pwrite(fd, bytes, below(sizeof bytes), below(5000)));
    close(fd);
}

static void on_names(void) {
    const char *name = place(), *to = place();
    struct timespec times[2] = {{below(1u << 31), below(1000000000)},
                                {below(1u << 31), below(1000000000)}};
    char target[128];
    switch (below(14)) {
    case 0:
        say("mkdir", name, mkdir(name, 0700 | below(0100)));
        break;
    case 1:
        say("rmdir", name, rmdir(name));
        break;
    case 2:
        say("unlink", name, unlink(name));
        break;
    case 3:
        say("rename", name, rename(name, to));
        break;
    case 4:
        say("link", name, link(name, to));
        break;
    case 5:
        say("symlink", name, symlink(to, name));
        break;
    case 6:
        say("chmod", name, chmod(name, below(010000)));
        break;
    case 7:
        say("chown", name, lchown(name, below(5), below(5)));
        break;
    case 8:
        say("utimens", name, utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW));
        break;
    case 9:
        say("truncate", name, truncate(name, below(9000)));
        break;
    case 10:
        say("readlink", name, readlink(name, target, sizeof target));
        break;
    case 11:
        list(name);
        break;
    case 12:
        say("exchange", name, renameat2(AT_FDCWD, name, AT_FDCWD, to, RENAME_EXCHANGE));
        break;
    default:
        write_some(name, O_CREAT | O_WRONLY | (below(2) ? O_TRUNC : O_APPEND));
        break;
    }
    look(name);
    look(to);
}

static void grow(size_t end) {
    if (end > size) {
        memset(image + size, 0, end - size);
        size = end;
    }
}

static void wrong(const char *what, size_t at) {
    printf("%s: not what was written, at %zu of %zu\n", what, at, size);
    fflush(stdout);
    exit(1);
}

static void compare(const char *what, const unsigned char *bytes, size_t at, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != image[at + i]) wrong(what, at + i);
}

static void on_content(void) {
    size_t at = below(LARGEST - 70000), length = 1 + below(below(4) ? 5000 : 70000);
    char name[64];
    sprintf(name, "%zu+%zu", at, length);
    switch (below(8)) {
    case 0:
    case 1: {
        ssize_t n = pread(file, other, length, at);
        say("read", name, n);
        ssize_t rest = at < size ? (ssize_t)(size - at) : 0;
        if (n != (rest < (ssize_t)length ? rest : (ssize_t)length)) wrong("short read", at);
        compare("read", other, at, n);
        return;
    }
    case 2:
    case 3:
        for (size_t i = 0; i < length; i++) other[i] = below(256);
        say("write", name, pwrite(file, other, length, at));
        grow(at + length);
        memcpy(image + at, other, length);
        return;
    case 4:
        say("truncate", name, ftruncate(file, at));
        if (at > size) grow(at);
        size = at;
        return;
    case 5: {
        if (at + length > size) return;
        size_t page = at & ~4095UL, end = at + length;
        unsigned char *map =
            mmap(NULL, end - page, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)page);
        say("map", name, map == MAP_FAILED ? -1 : 0);
        if (map == MAP_FAILED) return;
        compare("map", map + (at - page), at, length);
        memset(map + (at - page), (int)(length & 0xff), length);
        memset(image + at, (int)(length & 0xff), length);
        munmap(map, end - page);
        return;
    }
    case 6:
        say("punch", name, fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length));
        if (at < size) memset(image + at, 0, at + length < size ? length : size - at);
        return;
    default:
        if (below(2)) {
            say("sync", name, fsync(file));
            return;
        }
        close(file);
        file = open("content", O_RDWR);
        say("open again", name, file);
    }
}

static void on_versions(void) {
    char lock[32], temporary[32], object[32], text[64];
    unsigned number = below(20);
    sprintf(lock, "v/ref%u.lock", number % 4);
    sprintf(temporary, "v/tmp_%u", number);
    sprintf(object, "v/%02x/%02x", number % 5, number);
    int fd = open(lock, O_CREAT | O_EXCL | O_WRONLY, 0666);
    say("lock", lock, fd);
    if (fd < 0) return;
    sprintf(text, "v/%02x", number % 5);
    say("mkdir", text, mkdir(text, 0777));
    int tmp = open(temporary, O_CREAT | O_EXCL | O_RDWR, 0444);
    say("tmp", temporary, tmp);
    memset(other, (int)number, sizeof other);
    say("write", temporary, write(tmp, other, below(20000)));
    say("fsync", temporary, fsync(tmp));
    close(tmp);
    if (link(temporary, object) < 0) {
        say("link", object, -1);
        say("rename", object, rename(temporary, object));
    } else {
        look(object);
        say("unlink", temporary, unlink(temporary));
    }
    look(object);
    int n = sprintf(text, "ref to %u\n", number);
    say("write", lock, write(fd, text, n));
    close(fd);
    /* Sometimes who holds the lock dies, and another finds it. */
    if (below(8) == 0) {
        fd = open(lock, O_CREAT | O_EXCL | O_WRONLY, 0666);
        say("lock again", lock, fd);
    }
    char ref[32];
    sprintf(ref, "v/ref%u", number % 4);
    say("rename", ref, rename(lock, ref));
    look(ref);
    list("v");
}

int main(int argc, char **argv) {
    if (argc != 4 || chdir(argv[1]) < 0) {
        printf("stress DIRECTORY SEED STEPS: %s\n", strerror(errno));
        return 2;
    }
    umask(022);
    state = strtoull(argv[2], NULL, 10);
    file = open("content", O_CREAT | O_RDWR, 0644);
    mkdir("v", 0755);
    for (int steps = atoi(argv[3]); steps > 0; steps--) {
        switch (below(3)) {
        case 0:
            on_names();
            break;
        case 1:
            on_content();
            break;
        default:
            on_versions();
        }
    }
    if (pread(file, other, sizeof other, 0) != (ssize_t)size) wrong("size", size);
    compare("end", other, 0, size);
    printf("end: %zu bytes\n", size);
    return 0;
}
