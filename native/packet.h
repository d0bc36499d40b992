// Sockets that carry packets between processes of this host: AF_UNIX, SOCK_SEQPACKET. A connected
// pair keeps order, loses nothing while both ends live, and is bounded by its send buffer alone.
#ifndef VEXIT_PACKET_H
#define VEXIT_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

// Packets of one batch, iovecs for all of them, bytes of the header in front of each.
#define VX_BATCH_PACKETS 64
#define VX_BATCH_IOVECS 2048
#define VX_BATCH_HEADER 12
// Packets of one receive call.
#define VX_RECEIVE_PACKETS 32

// Where a packet is: pieces of memory, then a piece of the batch's own bytes.
struct vx_packet {
    uint32_t first_iovec;
    uint32_t iovec_count;
    uint32_t staged_at;
    uint32_t staged_length;
};

// Packets that are sent together, to one peer or to several. batch.ts has the same layout.
struct vx_packet_batch {
    uint8_t headers[VX_BATCH_PACKETS][VX_BATCH_HEADER];
    struct vx_packet packets[VX_BATCH_PACKETS];
    struct iovec iovecs[VX_BATCH_IOVECS];
    uint8_t staged[];
};

// Makes a socket at `path` that can be connected to. Returns the descriptor or a negative errno.
int vx_packet_listen(const char *path, int backlog, const char **failed);

// Takes a connection; -EAGAIN when there is none.
int vx_packet_accept(int fd);

// Connects to the socket at `path`. Its send buffer gets up to `send_buffer` bytes. -EAGAIN: the
// other side has too many connections waiting.
int vx_packet_connect(const char *path, int send_buffer, const char **failed);

// The user of the process at the other end, or a negative errno.
int64_t vx_packet_peer_user(int fd);

// Sends one packet: 0 or a negative errno.
int vx_packet_send(int fd, const void *bytes, size_t length);

// Sends packets of a batch by their numbers, until one does not fit: how many were sent, or a
// negative errno when none was. -EINVAL for numbers that lie outside the batch.
int vx_packet_send_batch(int fd, const struct vx_packet_batch *batch, size_t batch_length,
                         const uint32_t *numbers, size_t count);

// Copies a packet of a batch with its header: its length, or a negative errno when it does not fit.
int64_t vx_packet_copy(const struct vx_packet_batch *batch, size_t batch_length, uint32_t number,
                       uint8_t *target, size_t room);

// Receives up to `count` packets into slots of `slot` bytes. A length greater than a slot tells of
// a packet that was cut; one of 0 is the end of the connection. How many, or a negative errno.
int vx_packet_receive(int fd, uint8_t *slots, size_t slot, uint32_t *lengths, size_t count);

#ifdef __cplusplus
}
#endif

#endif
