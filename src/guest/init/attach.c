/* What the host has attached: a network interface with a fixed address, shared directories. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* Devices that are there when the kernel starts come within milliseconds; slow hosts need more. */
#define WAIT_STEPS 500
#define WAIT_STEP_US 20000

static struct sockaddr_in address_of(uint32_t network_order) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = network_order};
}

/* An interface request about `name`, with an address. */
static struct ifreq about(const char *name, uint32_t address) {
    struct ifreq request = {0};
    struct sockaddr_in value = address_of(address);

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    memcpy(&request.ifr_addr, &value, sizeof value);
    return request;
}

/* Drivers look for their devices while the system is set up. */
static bool wait_for_interface(const char *name) {
    for (int i = 0; i < WAIT_STEPS && if_nametoindex(name) == 0; i++) usleep(WAIT_STEP_US);
    return if_nametoindex(name) != 0;
}

/* The interface gets its address and a route to everywhere. 0, or an errno. */
static int configure(const char *name, uint32_t address, uint32_t mask, uint32_t gateway) {
    struct ifreq request = about(name, address);
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    struct sockaddr_in any = address_of(INADDR_ANY), via = address_of(gateway);
    int error = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) return errno;
    memcpy(&route.rt_dst, &any, sizeof any);
    memcpy(&route.rt_genmask, &any, sizeof any);
    memcpy(&route.rt_gateway, &via, sizeof via);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0) error = errno;
    request = about(name, mask);
    if (!error && ioctl(fd, SIOCSIFNETMASK, &request) < 0) error = errno;
    request = about(name, 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!error && ioctl(fd, SIOCSIFFLAGS, &request) < 0) error = errno;
    if (!error && gateway != INADDR_ANY && ioctl(fd, SIOCADDRT, &route) < 0) error = errno;
    close(fd);
    return error;
}

/* "eth0 10.0.2.15/24 10.0.2.2": interface, address and gateway. */
static int attach_interface(const char *text) {
    char name[IF_NAMESIZE], address[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
    struct in_addr own, via;
    unsigned bits;

    if (sscanf(text, "%15s %15[0-9.]/%u %15s", name, address, &bits, gateway) != 4 || bits > 32 ||
        inet_pton(AF_INET, address, &own) != 1 || inet_pton(AF_INET, gateway, &via) != 1)
        return EINVAL;
    if (!wait_for_interface(name)) return ENODEV;
    return configure(name, own.s_addr, bits ? htonl(~0u << (32 - bits)) : 0, via.s_addr);
}

/* The name server, unless the root file system names its own. */
static void write_resolver(const char *nameserver) {
    FILE *file;

    mkdir("/etc", 0755);
    file = fopen("/etc/resolv.conf", "wxe");
    if (!file) return;
    fprintf(file, "nameserver %s\n", nameserver);
    fclose(file);
}

/* Makes a directory and those above it. */
static void make_path(char *path) {
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdir(path, 0755);
        *at = '/';
    }
    mkdir(path, 0755);
}

/* "TAG ro|rw /path": a virtio-fs tag where the user wants it. */
static int attach_share(const char *text) {
    char tag[37], mode[3];
    int at = 0, error = 0;
    char *path;

    if (sscanf(text, "%36s %2s %n", tag, mode, &at) != 2 || text[at] != '/') return EINVAL;
    path = strdup(text + at);
    if (!path) return ENOMEM;
    make_path(path);
    /* The driver may be looking for the device still. */
    for (int i = 0; i < WAIT_STEPS; i++, usleep(WAIT_STEP_US)) {
        unsigned long flags = strcmp(mode, "ro") == 0 ? MS_RDONLY : 0;

        error = mount(tag, path, "virtiofs", flags, NULL) < 0 ? errno : 0;
        if (error != EINVAL) break;
    }
    free(path);
    return error;
}

/* Attaches what the run file lists; what cannot be is said, and the rest goes on. */
void attach_all(const struct run_request *request) {
    for (size_t i = 0; i < request->attach_count; i++) {
        const struct attachment *item = &request->attachments[i];
        int error = 0;

        if (item->kind == ATTACH_INTERFACE)
            error = attach_interface(item->text);
        else if (item->kind == ATTACH_SHARE)
            error = attach_share(item->text);
        else
            write_resolver(item->text);
        if (error) complain("cannot attach", item->text, error);
    }
}
