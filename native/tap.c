#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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

int vx_tap_set_queue(int fd, bool attached) {
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    request.ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    return ioctl(fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

int vx_tap_bring_up(const char name[VX_TAP_NAME], int mtu, const char **failed) {
    *failed = "socket";
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, name, VX_TAP_NAME);
    request.ifr_name[VX_TAP_NAME - 1] = 0;
    int result = 0;
    if (mtu != 0) {
        *failed = "SIOCSIFMTU";
        request.ifr_mtu = mtu;
        result = ioctl(fd, SIOCSIFMTU, &request);
    }
    if (result == 0) {
        *failed = "SIOCGIFFLAGS";
        result = ioctl(fd, SIOCGIFFLAGS, &request);
    }
    if (result == 0) {
        *failed = "SIOCSIFFLAGS";
        request.ifr_flags |= IFF_UP;
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    }
    int error = errno;
    close(fd);
    return result < 0 ? -error : 0;
}

int vx_tap_write(int fd, struct iovec *segments, struct vx_tap_frame *frames, uint32_t count,
                 uint8_t *heads) {
    for (uint32_t i = 0; i < count; i++) {
        struct vx_tap_frame *frame = &frames[i];
        if (frame->count == 0) continue;
        struct iovec *list = &segments[frame->first];
        list[0] = (struct iovec){heads + i * VX_TAP_HEAD_STRIDE, VX_TAP_HEADER};
        ssize_t written;
        do written = writev(fd, list, (int)frame->count);
        while (written < 0 && errno == EINTR);
        if (written < 0 && errno == EAGAIN) return (int)i;
        if (written < 0 && errno == EBADFD) return i == 0 ? -EBADFD : (int)i;
        frame->result = written < 0 ? -errno : 0;
    }
    return (int)count;
}

// Segments of one frame: its head, buffers from `next` on without the room of the head, the rest.
// Returns how many; `*end` is the first buffer that is not among them, `*room` the bytes before the
// rest.
static int gather(const struct vx_tap_read *read, uint32_t next, uint8_t *head,
                  struct iovec list[IOV_MAX], uint32_t *end, size_t *room) {
    int count = 0;
    size_t skip = VX_TAP_HEAD;
    size_t total = 0;
    list[count++] = (struct iovec){head, VX_TAP_HEAD};
    while (next < read->buffer_count && total < read->rest_bytes) {
        const struct vx_tap_buffer *buffer = &read->buffers[next];
        if (count + buffer->count + 1 > IOV_MAX) break;
        for (uint32_t i = 0; i < buffer->count; i++) {
            struct iovec segment = read->segments[buffer->first + i];
            size_t cut = skip < segment.iov_len ? skip : segment.iov_len;
            skip -= cut;
            segment.iov_base = (uint8_t *)segment.iov_base + cut;
            segment.iov_len -= cut;
            if (segment.iov_len > 0) list[count++] = segment;
        }
        total += buffer->bytes;
        next++;
        if (!read->mergeable) break;
    }
    *end = next;
    *room = total < VX_TAP_HEAD ? VX_TAP_HEAD : total;
    if (*room < read->rest_bytes)
        list[count++] = (struct iovec){read->rest + *room, read->rest_bytes - *room};
    return count;
}

int vx_tap_read(int fd, const struct vx_tap_read *read) {
    struct iovec list[IOV_MAX];
    uint32_t next = 0;
    uint32_t done = 0;
    bool fits = true;
    while (fits && done < read->frame_limit && (done == 0 || next < read->buffer_count)) {
        uint32_t end;
        size_t room;
        int count = gather(read, next, read->heads + done * VX_TAP_HEAD_STRIDE, list, &end, &room);
        ssize_t got;
        do got = readv(fd, list, count);
        while (got < 0 && errno == EINTR);
        if (got < 0) {
            if (errno == EAGAIN || done > 0) break;
            return -errno;
        }
        struct vx_tap_read_frame *frame = &read->frames[done++];
        uint32_t first = next;
        size_t left = (size_t)got;
        while (left > 0 && next < end) {
            uint32_t bytes = read->buffers[next++].bytes;
            left -= left < bytes ? left : bytes;
        }
        frame->bytes = (uint32_t)got;
        frame->buffers = next - first;
        fits = left == 0;
    }
    return (int)done;
}
