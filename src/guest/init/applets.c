/*
 * Links for busybox's applets. In the archive each would cost the kernel several times as much
 * as made here, and the shell, which has its applets built in, need not wait for them. Hard links,
 * as busybox itself would install: they share its inode, and half of the cost of a symbolic link
 * is making one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"

#define BUSYBOX "/bin/busybox"

/* Opens the directory of `path` unless it is the one of the line before. */
static int directory_of(const char *path, size_t length, char *open_path, int open_fd) {
    if (open_fd >= 0 && strncmp(open_path, path, length) == 0 && open_path[length] == '\0')
        return open_fd;
    if (open_fd >= 0) close(open_fd);
    memcpy(open_path, path, length);
    open_path[length] = '\0';
    return open(open_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Makes a link for every line ("usr/bin/env") of the list. */
static void make_links(FILE *list) {
    char line[128] = "/", directory[128];
    int busybox = open(BUSYBOX, O_PATH | O_CLOEXEC);
    int fd = -1;

    while (fgets(line + 1, sizeof line - 1, list)) {
        char *name;

        line[strcspn(line, "\n")] = '\0';
        name = strrchr(line, '/') + 1;
        fd = directory_of(line, (size_t)(name - line), directory, fd);
        if (linkat(busybox, "", fd, name, AT_EMPTY_PATH) < 0 && errno != EEXIST &&
            symlink(BUSYBOX, line) < 0 && errno != EEXIST)
            complain("cannot link", line, errno);
    }
    if (fd >= 0) close(fd);
    if (busybox >= 0) close(busybox);
}

/* Makes the links that /.vexit/applets lists: now, or when a shell has started. */
void link_applets(bool now) {
    FILE *list = fopen("/.vexit/applets", "re");

    if (!list) return;
    if (now) {
        make_links(list);
    } else if (fork() == 0) {
        setpriority(PRIO_PROCESS, 0, 19);
        sleep(1);
        make_links(list);
        _exit(0);
    }
    fclose(list);
}
