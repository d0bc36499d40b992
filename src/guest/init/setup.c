/* File systems, kernel modules, host name and the loopback interface. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

static const struct {
    const char *type, *target, *options;
    unsigned long flags;
} mounts[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
    {"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
    {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

static const struct {
    const char *target, *path;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* Loads the modules that /.vexit/modules lists, one path a line, in that order. */
static void load_modules(void) {
    FILE *list = fopen("/.vexit/modules", "re");
    char path[512];

    if (!list) return;
    while (fgets(path, sizeof path, list)) {
        int fd;

        path[strcspn(path, "\n")] = '\0';
        if (path[0] == '\0') continue;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            complain("cannot load the module", path, errno);
        if (fd >= 0) close(fd);
    }
    fclose(list);
}

/* Mounts what is missing; a kernel without one of the file systems is not an error. */
void setup_system(void) {
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        if (strcmp(mounts[i].target, "/tmp") == 0 && root_keeps_tmp()) continue;
        mkdir(mounts[i].target, 0755);
        if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
                  mounts[i].options) < 0 &&
            errno != EBUSY && errno != ENODEV && errno != ENOENT)
            complain("cannot mount", mounts[i].target, errno);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i].target, links[i].path) < 0 && errno != EEXIST)
            complain("cannot link", links[i].path, errno);
    load_modules();
}

/* Sets the host name ("vexit" unless given) and brings the loopback interface up. */
void setup_host(const char *hostname) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd;

    if (!hostname) hostname = "vexit";
    if (sethostname(hostname, strlen(hostname)) < 0)
        complain("cannot set the host name", hostname, errno);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}
