#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

_Static_assert(VX_TAP_NAME == IFNAMSIZ, "room for an interface name");

int vx_tap_open(char name[VX_TAP_NAME], bool multi_queue, bool vnet_header, const char **failed) {
    *failed = "open /dev/net/tun";
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, name, VX_TAP_NAME);
    request.ifr_name[VX_TAP_NAME - 1] = 0;
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (multi_queue) request.ifr_flags |= IFF_MULTI_QUEUE;
    if (vnet_header) request.ifr_flags |= IFF_VNET_HDR;
    *failed = "TUNSETIFF";
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    memcpy(name, request.ifr_name, VX_TAP_NAME);
    return fd;
}

int vx_tap_set_vnet_header_size(int fd, int size) {
    return ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ? -errno : 0;
}

int vx_tap_set_offload(int fd, unsigned int offloads) {
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0 ? -errno : 0;
}
