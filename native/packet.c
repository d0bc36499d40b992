#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// batch.ts counts in 32-bit words.
_Static_assert(sizeof(struct vx_packet) == 16, "sizeof(struct vx_packet)");
_Static_assert(offsetof(struct vx_packet_batch, packets) == 768, "vx_packet_batch.packets");
_Static_assert(offsetof(struct vx_packet_batch, iovecs) == 1792, "vx_packet_batch.iovecs");
_Static_assert(offsetof(struct vx_packet_batch, staged) == 34560, "vx_packet_batch.staged");

// Header and staged bytes around a packet's pieces.
#define EXTRA_IOVECS 2

static int open_socket(const char *path, struct sockaddr_un *address, const char **failed) {
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    *failed = "socket";
    if (strlen(path) >= sizeof(address->sun_path)) return -ENAMETOOLONG;
    strcpy(address->sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int vx_packet_listen(const char *path, int backlog, const char **failed) {
    struct sockaddr_un address;
    int fd = open_socket(path, &address, failed);
    if (fd < 0) return fd;
    *failed = "bind";
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        *failed = "listen";
        if (listen(fd, backlog) == 0) return fd;
    }
    int error = errno;
    close(fd);
    return -error;
}

int vx_packet_accept(int fd) {
    int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return connection < 0 ? -errno : connection;
}

int vx_packet_connect(const char *path, int send_buffer, const char **failed) {
    struct sockaddr_un address;
    int fd = open_socket(path, &address, failed);
    if (fd < 0) return fd;
    // The kernel gives what net.core.wmem_max allows.
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
    *failed = "connect";
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

int64_t vx_packet_peer_user(int fd) {
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    return credentials.uid;
}

int vx_packet_send(int fd, const void *bytes, size_t length) {
    return send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

// Pieces of a packet as iovecs: how many, or a negative errno.
static int pieces(const struct vx_packet_batch *batch, size_t batch_length, uint32_t number,
                  struct iovec *target) {
    if (batch_length < sizeof(*batch) || number >= VX_BATCH_PACKETS) return -EINVAL;
    const struct vx_packet *packet = &batch->packets[number];
    if (packet->first_iovec > VX_BATCH_IOVECS ||
        packet->iovec_count > VX_BATCH_IOVECS - packet->first_iovec)
        return -EINVAL;
    size_t staged = batch_length - sizeof(*batch);
    if (packet->staged_at > staged || packet->staged_length > staged - packet->staged_at)
        return -EINVAL;
    int count = 0;
    target[count++] = (struct iovec){(void *)batch->headers[number], VX_BATCH_HEADER};
    memcpy(&target[count], &batch->iovecs[packet->first_iovec],
           packet->iovec_count * sizeof(struct iovec));
    count += (int)packet->iovec_count;
    if (packet->staged_length > 0)
        target[count++] =
            (struct iovec){(void *)&batch->staged[packet->staged_at], packet->staged_length};
    return count;
}

int vx_packet_send_batch(int fd, const struct vx_packet_batch *batch, size_t batch_length,
                         const uint32_t *numbers, size_t count) {
    struct iovec iovecs[VX_BATCH_IOVECS + VX_BATCH_PACKETS * EXTRA_IOVECS];
    struct mmsghdr messages[VX_BATCH_PACKETS];
    const size_t room = sizeof(iovecs) / sizeof(iovecs[0]);
    size_t used = 0;
    if (count > VX_BATCH_PACKETS) return -EINVAL;
    memset(messages, 0, count * sizeof(messages[0]));
    for (size_t i = 0; i < count; i++) {
        // Numbers may repeat, so that the pieces of all of them can be more than there is room for.
        if (numbers[i] >= VX_BATCH_PACKETS ||
            batch->packets[numbers[i]].iovec_count + EXTRA_IOVECS > room - used)
            return -EINVAL;
        int parts = pieces(batch, batch_length, numbers[i], &iovecs[used]);
        if (parts < 0) return parts;
        messages[i].msg_hdr.msg_iov = &iovecs[used];
        messages[i].msg_hdr.msg_iovlen = (size_t)parts;
        used += (size_t)parts;
    }
    int sent = sendmmsg(fd, messages, (unsigned int)count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int64_t vx_packet_copy(const struct vx_packet_batch *batch, size_t batch_length, uint32_t number,
                       uint8_t *target, size_t room) {
    struct iovec iovecs[VX_BATCH_IOVECS + EXTRA_IOVECS];
    int count = pieces(batch, batch_length, number, iovecs);
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        if (iovecs[i].iov_len > room - length) return -EMSGSIZE;
        memcpy(target + length, iovecs[i].iov_base, iovecs[i].iov_len);
        length += iovecs[i].iov_len;
    }
    return count < 0 ? count : (int64_t)length;
}

int vx_packet_receive(int fd, uint8_t *slots, size_t slot, uint32_t *lengths, size_t count) {
    struct iovec iovecs[VX_RECEIVE_PACKETS];
    struct mmsghdr messages[VX_RECEIVE_PACKETS];
    if (count > VX_RECEIVE_PACKETS) return -EINVAL;
    memset(messages, 0, count * sizeof(messages[0]));
    for (size_t i = 0; i < count; i++) {
        iovecs[i] = (struct iovec){slots + i * slot, slot};
        messages[i].msg_hdr.msg_iov = &iovecs[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    // With MSG_TRUNC the length is that of the packet, whatever fits (recv(2)).
    int received = recvmmsg(fd, messages, (unsigned int)count, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (received < 0) return -errno;
    for (int i = 0; i < received; i++) lengths[i] = messages[i].msg_len;
    return received;
}
