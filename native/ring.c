#include "ring.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define VALUE(name)                                                                                \
    { #name, name }
// rings.ts has these as numbers of 32-bit words.
#define WORD_OF(type, field, number)                                                               \
    _Static_assert(offsetof(struct type, field) == 4 * (number), #type "." #field)
WORD_OF(io_uring_sqe, opcode, 0);
_Static_assert(offsetof(struct io_uring_sqe, flags) == 1, "io_uring_sqe.flags");
WORD_OF(io_uring_sqe, fd, 1);
WORD_OF(io_uring_sqe, off, 2);
WORD_OF(io_uring_sqe, addr, 4);
WORD_OF(io_uring_sqe, len, 6);
WORD_OF(io_uring_sqe, rw_flags, 7);
WORD_OF(io_uring_sqe, user_data, 8);
_Static_assert(sizeof(struct io_uring_sqe) == 64, "sizeof(struct io_uring_sqe)");
WORD_OF(io_uring_cqe, user_data, 0);
WORD_OF(io_uring_cqe, res, 2);
_Static_assert(sizeof(struct io_uring_cqe) == 16, "sizeof(struct io_uring_cqe)");
WORD_OF(iovec, iov_base, 0);
WORD_OF(iovec, iov_len, 2);
_Static_assert(sizeof(struct iovec) == 16, "sizeof(struct iovec)");

const struct vx_constant vx_ring_constants[] = {
    VALUE(IORING_OP_READV),
    VALUE(IORING_OP_WRITEV),
    VALUE(IORING_OP_READ),
    VALUE(IORING_OP_WRITE),
    VALUE(IORING_OP_FSYNC),
    VALUE(IORING_OP_FALLOCATE),
    VALUE(IORING_OP_ASYNC_CANCEL),
    VALUE(IORING_SETUP_COOP_TASKRUN),
    VALUE(IORING_SETUP_TASKRUN_FLAG),
    VALUE(IORING_SETUP_SINGLE_ISSUER),
    VALUE(IORING_SETUP_DEFER_TASKRUN),
    VALUE(IORING_FEAT_NODROP),
    VALUE(IORING_FEAT_SUBMIT_STABLE),
    VALUE(IORING_ENTER_GETEVENTS),
    VALUE(IORING_SQ_TASKRUN),
    VALUE(IORING_CQ_EVENTFD_DISABLED),
    VALUE(IORING_FSYNC_DATASYNC),
    VALUE(IORING_ASYNC_CANCEL_ALL),
    VALUE(IORING_ASYNC_CANCEL_ANY),
    VALUE(IOSQE_FIXED_FILE),
    VALUE(RWF_DSYNC),
};
const size_t vx_ring_constant_count = sizeof(vx_ring_constants) / sizeof(vx_ring_constants[0]);

int vx_ring_init(struct vx_ring *ring, const struct vx_ring_ops *ops, size_t arena,
                 const char **failed) {
    ring->ops = ops;
    atomic_init(&ring->references, 1);
    ring->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->eventfd < 0) {
        *failed = "eventfd";
        return -errno;
    }
    void *address = mmap(NULL, arena, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
        *failed = "mmap";
        return -errno;
    }
    ring->arena = address;
    ring->arena_size = arena;
    return 0;
}

int vx_ring_hold(struct vx_ring *ring, uint32_t memory_id) {
    if (ring->memory_count == VX_RING_MEMORIES) return -ENOSPC;
    struct vx_memory *memory = vx_memory_acquire(memory_id);
    if (!memory) return -EBADF;
    ring->memories[ring->memory_count++] = memory;
    return 0;
}

static void release_memories(struct vx_ring *ring) {
    while (ring->memory_count > 0) vx_memory_release(ring->memories[--ring->memory_count]);
}

void vx_ring_close(struct vx_ring *ring) {
    if (ring->ops->close(ring)) release_memories(ring);
    vx_ring_release(ring);
}

void vx_ring_acquire(struct vx_ring *ring) {
    atomic_fetch_add(&ring->references, 1);
}

void vx_ring_release(struct vx_ring *ring) {
    if (atomic_fetch_sub(&ring->references, 1) > 1) return;
    if (ring->ops->destroy) ring->ops->destroy(ring);
    release_memories(ring);
    if (ring->sqes) munmap(ring->sqes, ring->sqes_size);
    if (ring->cq_size) munmap(ring->cq, ring->cq_size);
    if (ring->sq) munmap(ring->sq, ring->sq_size);
    if (ring->arena) munmap(ring->arena, ring->arena_size);
    if (ring->eventfd >= 0) close(ring->eventfd);
    free(ring);
}
