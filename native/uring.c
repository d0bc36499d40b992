// Rings served by the kernel: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

struct uring {
    struct vx_ring ring; // first
    int fd;              // -1 when closed
};

// How long an abandoned ring is given for its last requests, in milliseconds.
#define ABANDONED_MS 100

static int enter(struct vx_ring *ring, uint32_t to_submit, uint32_t flags) {
    int fd = ((struct uring *)ring)->fd;
    long result = syscall(SYS_io_uring_enter, fd, to_submit, 0, flags, NULL, 0);
    return result < 0 ? -errno : (int)result;
}

static int do_register(struct vx_ring *ring, unsigned opcode, void *argument, unsigned count) {
    int fd = ((struct uring *)ring)->fd;
    return syscall(SYS_io_uring_register, fd, opcode, argument, count) < 0 ? -errno : 0;
}

static int set_file(struct vx_ring *ring, uint32_t slot, int fd) {
    struct io_uring_files_update update = {.offset = slot, .fds = (uint64_t)(uintptr_t)&fd};
    int file = ((struct uring *)ring)->fd;
    long done = syscall(SYS_io_uring_register, file, IORING_REGISTER_FILES_UPDATE, &update, 1);
    if (done < 0) return -errno;
    return done == 1 ? 0 : -EBADF;
}

static int supports(struct vx_ring *ring, uint32_t opcode) {
    size_t size = sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op);
    struct io_uring_probe *probe = calloc(1, size);
    if (!probe) return 0;
    int found = do_register(ring, IORING_REGISTER_PROBE, probe, 256) == 0 &&
                opcode <= probe->last_op && (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED);
    free(probe);
    return found;
}

static uint32_t word(const uint8_t *base, uint32_t offset) {
    return __atomic_load_n((const uint32_t *)(base + offset), __ATOMIC_ACQUIRE);
}

// Every SQE consumed gives one CQE, and both counters only grow.
static uint32_t in_flight(struct vx_ring *ring) {
    return word(ring->sq, ring->layout.sq_head) - word(ring->cq, ring->layout.cq_tail);
}

static int close_ring(struct vx_ring *ring) {
    struct uring *self = (struct uring *)ring;
    // Only a ring whose thread is ending without having closed it has requests in flight here. A
    // worker thread of the kernel could still write to memory that is unmapped, and used again.
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < ABANDONED_MS && in_flight(ring) != 0; i++) {
        enter(ring, 0, IORING_ENTER_GETEVENTS);
        if (in_flight(ring) != 0) nanosleep(&pause, NULL);
    }
    int idle = in_flight(ring) == 0;
    // The mappings keep the ring alive for a while; its files should not wait for that.
    (void)do_register(ring, IORING_UNREGISTER_FILES, NULL, 0);
    close(self->fd);
    self->fd = -1;
    // Otherwise the memory stays mapped for good: address space, the pages are their owner's.
    if (!idle) ring->memory_count = 0;
    return idle;
}

static void destroy(struct vx_ring *ring) {
    struct uring *self = (struct uring *)ring;
    if (self->fd >= 0) close(self->fd);
}

static const struct vx_ring_ops uring_ops = {enter, set_file, supports, close_ring, destroy};

static int map(int fd, off_t offset, size_t size, uint8_t **out) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (address == MAP_FAILED) return -errno;
    *out = address;
    return 0;
}

static int map_rings(struct uring *self, const struct io_uring_params *p) {
    struct vx_ring *ring = &self->ring;
    size_t sq_size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    size_t cq_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    int single = (p->features & IORING_FEAT_SINGLE_MMAP) != 0;
    ring->sq_size = single && cq_size > sq_size ? cq_size : sq_size;
    ring->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
    int error = map(self->fd, IORING_OFF_SQ_RING, ring->sq_size, &ring->sq);
    if (!error && !single) {
        error = map(self->fd, IORING_OFF_CQ_RING, cq_size, &ring->cq);
        if (!error) ring->cq_size = cq_size;
    }
    if (!error) error = map(self->fd, IORING_OFF_SQES, ring->sqes_size, &ring->sqes);
    if (!error && single) ring->cq = ring->sq;
    return error;
}

static int set_up(struct uring *self, uint32_t entries, uint32_t setup_flags, uint32_t files,
                  const char **failed) {
    struct vx_ring *ring = &self->ring;
    struct io_uring_params p = {.flags = setup_flags};
    *failed = "io_uring_setup";
    self->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
    if (self->fd < 0) return -errno;
    ring->layout = (struct vx_ring_layout){
        .sq_head = p.sq_off.head,
        .sq_tail = p.sq_off.tail,
        .sq_flags = p.sq_off.flags,
        .sq_array = p.sq_off.array,
        .sq_entries = p.sq_entries,
        .cq_head = p.cq_off.head,
        .cq_tail = p.cq_off.tail,
        .cq_flags = p.cq_off.flags,
        .cq_cqes = p.cq_off.cqes,
        .cq_entries = p.cq_entries,
        .flags = setup_flags,
        .features = p.features,
    };
    *failed = "mmap";
    int error = map_rings(self, &p);
    if (error) return error;
    *failed = "io_uring_register";
    error = do_register(ring, IORING_REGISTER_EVENTFD, &ring->eventfd, 1);
    if (error) return error;
    int *table = malloc(files * sizeof(*table));
    if (!table) return -ENOMEM;
    for (uint32_t i = 0; i < files; i++) table[i] = -1;
    error = do_register(ring, IORING_REGISTER_FILES, table, files);
    free(table);
    return error;
}

int vx_uring_open(uint32_t entries, uint32_t setup_flags, uint32_t files, size_t arena,
                  struct vx_ring **out, const char **failed) {
    struct uring *self = calloc(1, sizeof(*self));
    *failed = "calloc";
    if (!self) return -ENOMEM;
    self->fd = -1;
    int error = vx_ring_init(&self->ring, &uring_ops, arena, failed);
    if (!error) error = set_up(self, entries, setup_flags, files, failed);
    if (error) {
        vx_ring_release(&self->ring);
        return error;
    }
    *out = &self->ring;
    return 0;
}
