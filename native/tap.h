// TAP devices: queues of them, and moving frames between a queue and memory of this process.
#ifndef VEXIT_TAP_H
#define VEXIT_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

// Room for an interface name with its NUL (IFNAMSIZ).
#define VX_TAP_NAME 16
// Bytes of struct virtio_net_hdr with num_buffers.
#define VX_TAP_HEADER 12
// Distance of headers of one batch in memory.
#define VX_TAP_HEAD_STRIDE 32

// Opens a non-blocking queue of the TAP device `name`, which is made if it does not exist ("%d" in
// it becomes a number). `name` is replaced by the name the kernel gave. Frames have a
// virtio_net_hdr in front if `vnet_header`. Returns the descriptor or a negative errno; `*failed`
// names the call.
int vx_tap_open(char name[VX_TAP_NAME], bool multi_queue, bool vnet_header, const char **failed);

// Sets the bytes of virtio_net_hdr, 10 or 12. Returns 0 or a negative errno.
int vx_tap_set_vnet_header_size(int fd, int size);

// Says which offloads the reader of the queue takes: TUN_F_* bits. Returns 0 or a negative errno.
int vx_tap_set_offload(int fd, unsigned int offloads);

// Takes a queue of a device with several into use, or out of it. Returns 0 or a negative errno.
int vx_tap_set_queue(int fd, bool attached);

// Queues that a device made for several has open, in use or not; 0 for one that was made for one
// queue, or where the kernel does not say. A negative errno when it cannot be asked.
int vx_tap_queues(const char name[VX_TAP_NAME]);

// Brings the device of this name up, with this MTU unless it is 0. Returns 0 or a negative errno.
int vx_tap_bring_up(const char name[VX_TAP_NAME], int mtu, const char **failed);

// One frame of a batch that is written: `count` segments from `first` on, the first of them left
// for the header; 0 segments are passed over. `result` is 0 or a negative errno for a frame that
// was refused.
struct vx_tap_frame {
    uint32_t first, count;
    int32_t result;
};

// Writes frames until all are or the queue takes no more. Headers lie at `heads`, a stride apart.
// Returns how many were dealt with, or -EBADFD when the device is gone before the first.
int vx_tap_write(int fd, struct iovec *segments, struct vx_tap_frame *frames, uint32_t count,
                 uint8_t *heads);

// One buffer for frames that are read: `count` segments from `first` on, `bytes` in all.
struct vx_tap_buffer {
    uint32_t first, count, bytes;
};

// One frame that was read: its bytes with the header, and how many buffers it is in.
struct vx_tap_read_frame {
    uint32_t bytes, buffers;
};

struct vx_tap_read {
    const struct iovec *segments;
    const struct vx_tap_buffer *buffers;
    uint32_t buffer_count;
    // A frame may continue in the next buffer.
    bool mergeable;
    struct vx_tap_read_frame *frames;
    uint32_t frame_limit;
    // Memory of ours that short frames are read into, and copied to the buffers from: it stays in
    // the cache, and so both together take less time than it takes the kernel to fill buffers.
    uint8_t *frame;
    size_t frame_bytes;
    // Bytes of the frame before: the next one is expected to be like it.
    size_t expected;
};

// Reads frames one after the other, until there is none, the limit, buffers are used up, or a frame
// did not fit into what is left of them: that one is in no buffer, but in `frame`. With no buffers
// one frame at most is read. Returns how many, or a negative errno before the first.
int vx_tap_read(int fd, const struct vx_tap_read *batch);

#ifdef __cplusplus
}
#endif

#endif
