// Rings served by threads of this process, for hosts that do not allow io_uring. It takes the
// opcodes the engine uses, with their fields where io_uring_enter(2) has them; what is said there
// about results, fixed files and iovecs that may be reused after submission is true here as well.
#include "io_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

// Takes an SQE into a request: 0, or the negative errno that is its result.
static int accept_request(struct vx_pool *pool, struct vx_pool_request *request,
                          const struct io_uring_sqe *sqe) {
    request->sqe = *sqe;
    request->file = NULL;
    request->in_lane = 0;
    if (!vx_io_served(sqe->opcode)) return -EINVAL;
    uint32_t slot = (uint32_t)sqe->fd;
    if (!(sqe->flags & IOSQE_FIXED_FILE) || slot >= pool->file_count || !pool->files[slot])
        return -EBADF;
    int error = vx_io_copy_segments(sqe, &request->segments);
    if (error) return error;
    request->file = pool->files[slot];
    request->file->references++;
    return 0;
}

// Called with the lock, which it gives up for a moment: one SQE. Returns 1 when the eventfd has to
// be signalled.
static int submit_one(struct vx_pool *pool, const struct io_uring_sqe *sqe) {
    if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
        int signal = vx_pool_cancel(pool);
        return vx_pool_complete(pool, sqe->user_data, 0) | signal;
    }
    uint32_t slot = pool->free;
    struct vx_pool_request *request = &pool->requests[slot];
    pool->free = request->next;
    pool->busy++;
    int error = accept_request(pool, request, sqe);
    if (error) return vx_pool_finish(pool, slot, error);
    struct vx_pool_file *file = request->file;
    // Stable writes are not made one after the other: those that wait together share a commit.
    if (file->serial && vx_io_is_write(sqe) && !(sqe->rw_flags & RWF_DSYNC)) {
        vx_pool_lane_enter(pool, slot);
        return 0;
    }
    int result = 0;
    pthread_mutex_unlock(&pool->lock);
    int done = vx_io_execute_cached(file->fd, sqe, &request->segments, &result);
    pthread_mutex_lock(&pool->lock);
    if (done) return vx_pool_finish(pool, slot, result);
    vx_pool_enqueue(pool, slot);
    return 0;
}

static int enter(struct vx_ring *ring, uint32_t to_submit, uint32_t flags) {
    (void)flags; // completions are in the ring as soon as they exist
    struct vx_pool *pool = (struct vx_pool *)ring;
    const struct vx_ring_layout *at = &ring->layout;
    const struct io_uring_sqe *sqes = (const struct io_uring_sqe *)ring->sqes;
    uint32_t mask = at->sq_entries - 1;
    int signal = 0;
    uint32_t taken = 0;
    pthread_mutex_lock(&pool->lock);
    uint32_t head = *vx_pool_word(ring, at->sq_head);
    uint32_t tail = vx_pool_load(ring, at->sq_tail);
    while (taken < to_submit && head != tail) {
        // A place in the completion ring for everything that is accepted.
        uint32_t waiting = *vx_pool_word(ring, at->cq_tail) - vx_pool_load(ring, at->cq_head);
        if (pool->free == VX_POOL_NONE || waiting + pool->busy >= at->cq_entries) break;
        uint32_t index = vx_pool_word(ring, at->sq_array)[head & mask] & mask;
        signal |= submit_one(pool, &sqes[index]);
        head++;
        taken++;
    }
    vx_pool_store(ring, at->sq_head, head);
    int error = vx_pool_wake(pool);
    // Without a single thread nothing would ever be served.
    if (error && pool->threads == 0) signal |= vx_pool_cancel(pool);
    pthread_mutex_unlock(&pool->lock);
    if (signal) vx_pool_signal(pool);
    return (int)taken;
}

static int set_file(struct vx_ring *ring, uint32_t slot, int fd) {
    struct vx_pool *pool = (struct vx_pool *)ring;
    if (slot >= pool->file_count) return -EINVAL;
    struct vx_pool_file *file = NULL;
    if (fd >= 0) {
        // As with the kernel's table, the file is kept open whatever becomes of the caller's fd.
        file = calloc(1, sizeof(*file));
        if (!file) return -ENOMEM;
        file->references = 1;
        file->first = VX_POOL_NONE;
        file->serial = vx_io_writes_wait(fd);
        file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (file->fd < 0) {
            int error = errno;
            free(file);
            return -error;
        }
    }
    pthread_mutex_lock(&pool->lock);
    struct vx_pool_file *old = pool->files[slot];
    pool->files[slot] = file;
    vx_pool_release_file(old);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

static int supports(struct vx_ring *ring, uint32_t opcode) {
    (void)ring;
    return vx_io_served(opcode);
}

static int close_pool(struct vx_ring *ring) {
    struct vx_pool *pool = (struct vx_pool *)ring;
    pthread_mutex_lock(&pool->lock);
    pool->closed = 1;
    vx_pool_cancel(pool);
    for (uint32_t i = 0; i < pool->file_count; i++) {
        vx_pool_release_file(pool->files[i]);
        pool->files[i] = NULL;
    }
    int idle = pool->busy == 0;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    // A thread that is in the middle of a request releases the memory with the ring.
    return idle;
}

static void destroy(struct vx_ring *ring) {
    struct vx_pool *pool = (struct vx_pool *)ring;
    for (uint32_t i = 0; pool->files && i < pool->file_count; i++)
        vx_pool_release_file(pool->files[i]);
    if (pool->segments) munmap(pool->segments, pool->segments_size);
    free(pool->files);
    free(pool->requests);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
}

static const struct vx_ring_ops pool_ops = {enter, set_file, supports, close_pool, destroy};

static int map(size_t size, void *out) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) return -errno;
    *(void **)out = address;
    return 0;
}

static int set_up(struct vx_pool *pool, uint32_t entries, const char **failed) {
    struct vx_ring *ring = &pool->ring;
    // Words that different threads write are a cache line apart.
    ring->layout = (struct vx_ring_layout){
        .sq_head = 0,
        .sq_tail = 64,
        .sq_flags = 128,
        .cq_head = 192,
        .cq_tail = 256,
        .cq_flags = 320,
        .sq_array = 384,
        .sq_entries = entries,
        .cq_entries = 2 * entries,
        .cq_cqes = 384 + entries * (uint32_t)sizeof(uint32_t),
        .features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE,
    };
    ring->sq_size = ring->layout.cq_cqes + 2 * entries * sizeof(struct io_uring_cqe);
    ring->sqes_size = entries * sizeof(struct io_uring_sqe);
    pool->segments_size = (size_t)entries * VX_IO_SEGMENTS_MAX * sizeof(struct iovec);
    *failed = "mmap";
    int error = map(ring->sq_size, &ring->sq);
    if (!error) error = map(ring->sqes_size, &ring->sqes);
    if (!error) error = map(pool->segments_size, &pool->segments);
    if (error) return error;
    ring->cq = ring->sq;
    *failed = "calloc";
    pool->entries = entries;
    pool->files = calloc(pool->file_count, sizeof(*pool->files));
    pool->requests = calloc(entries, sizeof(*pool->requests));
    if (!pool->files || !pool->requests) return -ENOMEM;
    for (uint32_t i = 0; i < entries; i++) {
        pool->requests[i].segments.list = pool->segments + (size_t)i * VX_IO_SEGMENTS_MAX;
        pool->requests[i].next = i + 1 < entries ? i + 1 : VX_POOL_NONE;
    }
    return 0;
}

int vx_io_pool_open(uint32_t entries, uint32_t threads, uint32_t files, size_t arena,
                    struct vx_ring **out, const char **failed) {
    struct vx_pool *pool = calloc(1, sizeof(*pool));
    *failed = "calloc";
    if (!pool) return -ENOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->threads_limit = threads;
    pool->file_count = files;
    int error = vx_ring_init(&pool->ring, &pool_ops, arena, failed);
    if (!error) error = set_up(pool, entries, failed);
    if (error) {
        vx_ring_release(&pool->ring);
        return error;
    }
    *out = &pool->ring;
    return 0;
}
