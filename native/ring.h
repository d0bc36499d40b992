// Submission and completion rings in memory, in the layout of <linux/io_uring.h>, and the two that
// serve them: the kernel (uring.c) and a pool of threads (io_pool.c). JavaScript fills and empties
// the rings; only entering, registering files and closing come here.
#ifndef VEXIT_RING_H
#define VEXIT_RING_H

#include <stddef.h>
#include <stdint.h>

#include "guest_memory.h"
#include "kvm_abi.h"

#ifdef __cplusplus
extern "C" {
#define VX_ATOMIC(type) type
#else
#define VX_ATOMIC(type) _Atomic type
#endif

#define VX_RING_MEMORIES 8

// Byte offsets of the words of the rings, as in struct io_uring_params, and what was set up.
struct vx_ring_layout {
    uint32_t sq_head, sq_tail, sq_flags, sq_array, sq_entries;
    uint32_t cq_head, cq_tail, cq_flags, cq_cqes, cq_entries;
    uint32_t flags;    // IORING_SETUP_*
    uint32_t features; // IORING_FEAT_*
};

struct vx_ring;

struct vx_ring_ops {
    // io_uring_enter that waits for nothing: SQEs consumed, or a negative errno.
    int (*enter)(struct vx_ring *ring, uint32_t to_submit, uint32_t flags);
    // Puts a file into the table of fixed files; fd -1 takes it out. 0 or a negative errno.
    int (*set_file)(struct vx_ring *ring, uint32_t slot, int fd);
    // 1 when the opcode is served.
    int (*supports)(struct vx_ring *ring, uint32_t opcode);
    // Accepts nothing any more. 1 when no request can touch memory from here on.
    int (*close)(struct vx_ring *ring);
    // Gives back what is not in struct vx_ring, after the last reference.
    void (*destroy)(struct vx_ring *ring);
};

struct vx_ring {
    const struct vx_ring_ops *ops;
    VX_ATOMIC(int) references;
    int eventfd; // signalled for completions
    uint8_t *sq, *cq, *sqes, *arena;
    size_t sq_size, cq_size, sqes_size, arena_size; // cq_size is 0 where cq lies in sq's mapping
    struct vx_ring_layout layout;
    struct vx_memory *memories[VX_RING_MEMORIES];
    uint32_t memory_count;
};

// An io_uring with an eventfd, an empty table of `files` fixed files and `arena` bytes for iovecs.
// Returns 0 or a negative errno; `*failed` names the system call.
int vx_uring_open(uint32_t entries, uint32_t setup_flags, uint32_t files, size_t arena,
                  struct vx_ring **out, const char **failed);

// The same rings, served by up to `threads` threads, which are started when they are needed.
int vx_io_pool_open(uint32_t entries, uint32_t threads, uint32_t files, size_t arena,
                    struct vx_ring **out, const char **failed);

// Keeps guest memory mapped until no request can touch it. 0 or a negative errno.
int vx_ring_hold(struct vx_ring *ring, uint32_t memory_id);

// Ends the work of the ring; its mappings stay until the last reference is given back.
void vx_ring_close(struct vx_ring *ring);

void vx_ring_acquire(struct vx_ring *ring);
void vx_ring_release(struct vx_ring *ring);

// For uring.c and io_pool.c: eventfd and arena. 0 or a negative errno.
int vx_ring_init(struct vx_ring *ring, const struct vx_ring_ops *ops, size_t arena,
                 const char **failed);

extern const struct vx_constant vx_ring_constants[];
extern const size_t vx_ring_constant_count;

#ifdef __cplusplus
}
#endif

#endif
