/* Ports of virtio-console, which the kernel knows by their names. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#ifndef PORT_DIRECTORY
#define PORT_DIRECTORY "/sys/class/virtio-ports"
#endif

/* The kernel hears of ports after it has started, and of their names and readiness later still. */
#define WAIT_STEPS 1000
#define WAIT_STEP_NS 10000000L

/* True when the port of this device ("vport0p1") has the name. */
static bool has_name(const char *device, const char *name) {
    char path[320], text[256];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, PORT_DIRECTORY "/%s/name", device);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, name) == 0;
}

static int find_port(const char *name) {
    DIR *ports = opendir(PORT_DIRECTORY);
    struct dirent *entry;
    char path[320];
    int fd = -1;

    if (!ports) return -1;
    while (fd < 0 && (entry = readdir(ports))) {
        if (entry->d_name[0] == '.' || !has_name(entry->d_name, name)) continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    }
    closedir(ports);
    return fd;
}

/* True when the host has the port open; until then reading it is an end of file. */
static bool host_listens(int fd) {
    struct pollfd state = {.fd = fd, .events = POLLOUT};

    return poll(&state, 1, 0) > 0 && !(state.revents & (POLLHUP | POLLERR));
}

/* Opens a port for reading and writing without blocking. -1 when there is none, after a while. */
int port_open(const char *name, bool wait) {
    const struct timespec step = {0, WAIT_STEP_NS};
    int fd = -1;

    for (int i = 0; i < (wait ? WAIT_STEPS : 1); i++) {
        if (i > 0) nanosleep(&step, NULL);
        if (fd < 0) fd = find_port(name);
        if (fd >= 0 && host_listens(fd)) return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}
