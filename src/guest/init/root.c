/*
 * A root file system on a disk. Kernel parameters, named after the kernel's own:
 *   vexit.root=/dev/vda     what to mount; a name without a slash in front is not waited for
 *   vexit.rootfstype=ext4   default: each of the kernel's file systems for block devices
 *   vexit.rootflags=TEXT    options of the file system
 *   ro                      read-only
 *   init=/path              the disk's init, run when there is no command
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define RAMFS_MAGIC 0x858458f6
#define TMPFS_MAGIC 0x01021994
/* What the kernel was told. */
#ifndef COMMAND_LINE_FILE
#define COMMAND_LINE_FILE "/proc/cmdline"
#endif

#define AGENT "/.vexit/init"
#define NEW_ROOT "/.vexit/root"

/* Devices that are there when the kernel starts come within milliseconds; slow hosts need more. */
#define WAIT_STEPS 500
#define WAIT_STEP_NS 20000000L

/* True when the root file system is in memory, as an initramfs is. */
bool root_in_memory(void) {
    struct statfs info;

    if (statfs("/", &info) < 0) return false;
    return (unsigned long)info.f_type == RAMFS_MAGIC || (unsigned long)info.f_type == TMPFS_MAGIC;
}

/* True when /tmp can be where it is: on a disk that can be written. */
bool root_keeps_tmp(void) {
    struct statvfs info;

    return !root_in_memory() && statvfs("/", &info) == 0 && !(info.f_flag & ST_RDONLY);
}

/* Takes the next word off a command line; a quotation mark lets it hold blanks. */
static char *next_word(char **rest) {
    char *at = *rest + strspn(*rest, " \t\n"), *word = at, *to = at;
    bool quoted = false;

    if (*at == '\0') return NULL;
    for (; *at != '\0' && (quoted || !strchr(" \t\n", *at)); at++) {
        if (*at == '"')
            quoted = !quoted;
        else
            *to++ = *at;
    }
    *rest = *at == '\0' ? at : at + 1;
    *to = '\0';
    return word;
}

static bool take(const char *word, const char *name, const char **value) {
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0) return false;
    *value = word + length;
    return true;
}

/* Fills `root` with what the command line, which it changes and points into, says. */
void parse_root(char *line, struct root_request *root) {
    char *word;

    *root = (struct root_request){0};
    while ((word = next_word(&line))) {
        if (strcmp(word, "--") == 0) break; /* what follows is for init */
        if (take(word, "vexit.root=", &root->source)) continue;
        if (take(word, "vexit.rootfstype=", &root->type)) continue;
        if (take(word, "vexit.rootflags=", &root->options)) continue;
        if (take(word, "init=", &root->init)) continue;
        if (strcmp(word, "ro") == 0) root->read_only = true;
        if (strcmp(word, "rw") == 0) root->read_only = false;
    }
    if (root->source && root->source[0] == '\0') root->source = NULL;
    if (root->type && root->type[0] == '\0') root->type = NULL;
}

/* Reads the kernel's command line; what it holds stays in memory. */
void read_root(struct root_request *root) {
    static char line[4096];
    int fd = open(COMMAND_LINE_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);

    if (fd >= 0) close(fd);
    line[n > 0 ? n : 0] = '\0';
    parse_root(line, root);
}

static void wait_for(const char *device) {
    const struct timespec step = {0, WAIT_STEP_NS};

    for (int i = 0; i < WAIT_STEPS && access(device, F_OK) < 0; i++) nanosleep(&step, NULL);
}

/* Mounts by the first file system that knows the disk. 0, or an errno. */
static int mount_any(const struct root_request *root, unsigned long flags) {
    FILE *list = fopen("/proc/filesystems", "re");
    char line[64];
    int error = ENODEV;

    if (!list) return errno;
    while (fgets(line, sizeof line, list)) {
        if (line[0] != '\t') continue; /* "nodev" */
        line[strcspn(line, "\n")] = '\0';
        if (mount(root->source, NEW_ROOT, line + 1, flags, root->options) == 0) {
            error = 0;
            break;
        }
        error = errno;
        if (error != EINVAL && error != ENODEV) break;
    }
    fclose(list);
    return error;
}

static int mount_root(const struct root_request *root) {
    unsigned long flags = root->read_only ? MS_RDONLY : 0;

    if (root->source[0] == '/') wait_for(root->source);
    mkdir(NEW_ROOT, 0755);
    if (!root->type) return mount_any(root, flags);
    return mount(root->source, NEW_ROOT, root->type, flags, root->options) < 0 ? errno : 0;
}

/* Gives the memory of an initramfs back, without going into other file systems. */
static void remove_below(int directory, dev_t device) {
    DIR *list = fdopendir(directory);
    struct dirent *entry;
    struct stat info;

    if (!list) {
        close(directory);
        return;
    }
    while ((entry = readdir(list))) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (fstatat(dirfd(list), name, &info, AT_SYMLINK_NOFOLLOW) < 0 || info.st_dev != device)
            continue;
        if (S_ISDIR(info.st_mode)) {
            int below = openat(dirfd(list), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0) remove_below(below, device);
        }
        unlinkat(dirfd(list), name, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
    }
    closedir(list);
}

/* Takes what is mounted along; what the new root has no place for is unmounted. */
static void move_mounts(bool with_tmp) {
    static const char *const moved[] = {"/dev", "/proc", "/sys", "/run", "/tmp"};
    char target[64];

    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
        snprintf(target, sizeof target, NEW_ROOT "%s", moved[i]);
        mkdir(target, 0755);
        if ((strcmp(moved[i], "/tmp") == 0 && !with_tmp) ||
            mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
            umount2(moved[i], MNT_DETACH);
    }
}

/* Makes what is mounted at NEW_ROOT the root, as switch_root(8) does. 0, or an errno. */
static int switch_root(const struct root_request *root) {
    bool in_memory = root_in_memory();
    struct stat info;
    int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (old < 0 || fstat(old, &info) < 0) return errno;
    move_mounts(root->read_only);
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return errno; /* the end of this guest: nothing has to be closed */
    if (in_memory)
        remove_below(old, info.st_dev);
    else
        close(old);
    return 0;
}

/* The disk's own init, unless that is this program: then there is nothing to hand over to. */
static const char *own_init(const struct root_request *root) {
    const char *const inits[] = {root->init, "/sbin/init", "/etc/init", "/bin/init"};
    char *path;

    for (size_t i = 0; i < sizeof inits / sizeof inits[0]; i++) {
        if (!inits[i] || access(inits[i], X_OK) < 0) continue;
        path = realpath(inits[i], NULL);
        if (path && strcmp(path, AGENT) == 0) return NULL;
        return inits[i];
    }
    return NULL;
}

/*
 * Mounts and enters the root that the kernel's command line names, if it names one. Returns 0, or
 * the errno of what went wrong.
 */
int enter_root(const struct root_request *root) {
    int error;

    if (!root->source) return 0;
    error = mount_root(root);
    return error ? error : switch_root(root);
}

/* Becomes the init of the disk that enter_root entered; returns if the disk has none. */
void become_init(const struct root_request *root, char **argv, struct channel *channel) {
    const char *path = root->source ? own_init(root) : NULL;

    if (!path) return;
    /* The host may let input through; nobody listens on the channel from here on. */
    channel_send(channel, GUEST_READY, NULL, 0);
    channel_drain(channel);
    argv[0] = strdup(path);
    execv(path, argv);
    complain("cannot run", path, errno);
}
