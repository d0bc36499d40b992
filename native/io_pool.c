// Rings served by threads of this process, for hosts that do not allow io_uring. It takes the
// opcodes the engine uses, with their fields where io_uring_enter(2) has them; what is said there
// about results, fixed files and iovecs that may be reused after submission is true here as well.
//
// Writes that the kernel makes one after the other anyway (vx_io_writes_wait) have a lane for each
// file: one thread makes all that have come, without a lock or a wake-up for each.
//
// The threads are not libuv's, whose pool is needed for files and DNS by the whole process. Nobody
// joins them: each has a reference to the ring, so one that is blocked in I/O delays nothing.
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "io_request.h"
#include "ring.h"

#define STACK_BYTES (256 * 1024)
#define NONE UINT32_MAX
// Writes of a lane in one go, before other requests have their turn.
#define LANE_BATCH 64
// Results of a lane wait that long for those behind them.
#define LANE_DELAY_NS 200000

// A file of the table. A request in flight keeps it open after it has been taken out.
struct file {
    int fd;
    uint32_t references;
    int serial;           // its writes have a lane
    int lane_open;        // one of them is in the queue or being made
    uint32_t first, last; // the others, in order
};

struct request {
    struct io_uring_sqe sqe;
    struct file *file;
    struct vx_io_segments segments;
    int in_lane;   // stands for its file's lane in the queue, or waits in it
    int waits;     // waits in it
    uint32_t next; // in the queue, in a lane or among the free ones
};

struct pool {
    struct vx_ring ring; // first
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct request *requests;
    uint32_t entries;
    uint32_t free, first, last;      // lists of requests: free ones, and the queue
    uint32_t queued, busy;           // waiting for a thread; accepted and not completed
    uint32_t threads, threads_limit; // running, and how many there may be
    uint32_t idle;
    int closed;
    uint32_t file_count;
    struct file **files;
    struct iovec *segments; // of all requests
    size_t segments_size;
};

static uint32_t *ring_word(struct vx_ring *ring, uint32_t offset) {
    return (uint32_t *)(ring->sq + offset);
}

static uint32_t load(struct vx_ring *ring, uint32_t offset) {
    return __atomic_load_n(ring_word(ring, offset), __ATOMIC_SEQ_CST);
}

static void store(struct vx_ring *ring, uint32_t offset, uint32_t value) {
    __atomic_store_n(ring_word(ring, offset), value, __ATOMIC_SEQ_CST);
}

// Called with the lock. Returns 1 when the eventfd has to be signalled: the consumer has taken all
// that came before. It looks at the tail again after every store of the head and after clearing
// IORING_CQ_EVENTFD_DISABLED, so one of the two sides sees the other.
static int complete(struct pool *pool, uint64_t user_data, int result) {
    struct vx_ring *ring = &pool->ring;
    const struct vx_ring_layout *at = &ring->layout;
    uint32_t tail = *ring_word(ring, at->cq_tail);
    struct io_uring_cqe *cqes = (struct io_uring_cqe *)(ring->cq + at->cq_cqes);
    cqes[tail & (at->cq_entries - 1)] =
        (struct io_uring_cqe){.user_data = user_data, .res = result};
    store(ring, at->cq_tail, tail + 1);
    return load(ring, at->cq_head) == tail &&
           !(load(ring, at->cq_flags) & IORING_CQ_EVENTFD_DISABLED);
}

static void signal_eventfd(struct pool *pool) {
    uint64_t one = 1;
    // EAGAIN is a full counter, which is as good as a signal.
    ssize_t written = write(pool->ring.eventfd, &one, sizeof(one));
    (void)written;
}

static void release_file(struct file *file) {
    if (!file || --file->references > 0) return;
    close(file->fd);
    free(file);
}

// Called with the lock: the end of a request.
static int finish(struct pool *pool, uint32_t slot, int result) {
    struct request *request = &pool->requests[slot];
    release_file(request->file);
    request->next = pool->free;
    pool->free = slot;
    pool->busy--;
    return complete(pool, request->sqe.user_data, result);
}

// Called with the lock.
static void enqueue(struct pool *pool, uint32_t slot) {
    if (pool->queued++ == 0)
        pool->first = slot;
    else
        pool->requests[pool->last].next = slot;
    pool->last = slot;
}

static void lane_push(struct pool *pool, struct file *file, uint32_t slot) {
    struct request *request = &pool->requests[slot];
    request->waits = 1;
    request->next = NONE;
    if (file->first == NONE)
        file->first = slot;
    else
        pool->requests[file->last].next = slot;
    file->last = slot;
}

static uint32_t lane_pop(struct pool *pool, struct file *file) {
    uint32_t slot = file->first;
    pool->requests[slot].waits = 0;
    file->first = pool->requests[slot].next;
    return slot;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int execute(struct pool *pool, uint32_t slot) {
    const struct request *request = &pool->requests[slot];
    return vx_io_execute(request->file->fd, &request->sqe, &request->segments);
}

// Called with the lock, which it gives up meanwhile.
static void signal_unlocked(struct pool *pool) {
    pthread_mutex_unlock(&pool->lock);
    signal_eventfd(pool);
    pthread_mutex_lock(&pool->lock);
}

// Called with the lock, which it gives up meanwhile: makes a write and those behind it in its lane.
static void serve_lane(struct pool *pool, uint32_t slot) {
    struct file *file = pool->requests[slot].file;
    uint32_t slots[LANE_BATCH] = {slot};
    int results[LANE_BATCH];
    uint32_t count = 1;
    while (count < LANE_BATCH && file->first != NONE) slots[count++] = lane_pop(pool, file);
    file->references++;
    uint32_t finished = 0;
    for (uint32_t done = 0; done < count;) {
        pthread_mutex_unlock(&pool->lock);
        uint64_t start = now_ns();
        do {
            results[done] = execute(pool, slots[done]);
            done++;
        } while (done < count && now_ns() - start < LANE_DELAY_NS);
        pthread_mutex_lock(&pool->lock);
        while (pool->closed && done < count) results[done++] = -ECANCELED;
        int signal = 0;
        for (; finished < done; finished++)
            signal |= finish(pool, slots[finished], results[finished]);
        if (signal) signal_unlocked(pool);
    }
    file->lane_open = file->first != NONE;
    if (file->lane_open) enqueue(pool, lane_pop(pool, file));
    release_file(file);
}

static void *serve(void *argument) {
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->queued == 0 && !pool->closed) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (pool->queued == 0) break;
        uint32_t slot = pool->first;
        pool->first = pool->requests[slot].next;
        pool->queued--;
        if (pool->requests[slot].in_lane) {
            serve_lane(pool, slot);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        int result = execute(pool, slot);
        pthread_mutex_lock(&pool->lock);
        if (finish(pool, slot, result)) signal_unlocked(pool);
    }
    pool->threads--;
    pthread_mutex_unlock(&pool->lock);
    vx_ring_release(&pool->ring);
    return NULL;
}

// Called with the lock.
static int start_thread(struct pool *pool) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return -error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    // Process signals belong to the threads of Node.js.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    vx_ring_acquire(&pool->ring);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, serve, pool);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (error) {
        vx_ring_release(&pool->ring);
        return -error;
    }
    pthread_setname_np(thread, "vexit-io");
    pool->threads++;
    return 0;
}

// Called with the lock: all that no thread has taken yet.
static int cancel_queued(struct pool *pool) {
    int signal = 0;
    for (; pool->queued > 0; pool->queued--) {
        uint32_t slot = pool->first;
        struct request *request = &pool->requests[slot];
        pool->first = request->next;
        if (request->in_lane) request->file->lane_open = 0;
        signal |= finish(pool, slot, -ECANCELED);
    }
    for (uint32_t slot = 0; slot < pool->entries; slot++) {
        struct request *request = &pool->requests[slot];
        if (!request->waits) continue;
        request->waits = 0;
        request->file->first = NONE;
        signal |= finish(pool, slot, -ECANCELED);
    }
    return signal;
}

// Takes an SQE into a request: 0, or the negative errno that is its result.
static int accept_request(struct pool *pool, struct request *request,
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
static int submit_one(struct pool *pool, const struct io_uring_sqe *sqe) {
    if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
        int signal = cancel_queued(pool);
        return complete(pool, sqe->user_data, 0) | signal;
    }
    uint32_t slot = pool->free;
    struct request *request = &pool->requests[slot];
    pool->free = request->next;
    pool->busy++;
    int error = accept_request(pool, request, sqe);
    if (error) return finish(pool, slot, error);
    struct file *file = request->file;
    // Stable writes are not made one after the other: those that wait together share a commit.
    if (file->serial && vx_io_is_write(sqe) && !(sqe->rw_flags & RWF_DSYNC)) {
        request->in_lane = 1;
        if (file->lane_open)
            lane_push(pool, file, slot);
        else
            enqueue(pool, slot);
        file->lane_open = 1;
        return 0;
    }
    int result = 0;
    pthread_mutex_unlock(&pool->lock);
    int done = vx_io_execute_cached(file->fd, sqe, &request->segments, &result);
    pthread_mutex_lock(&pool->lock);
    if (done) return finish(pool, slot, result);
    enqueue(pool, slot);
    return 0;
}

static int enter(struct vx_ring *ring, uint32_t to_submit, uint32_t flags) {
    (void)flags; // completions are in the ring as soon as they exist
    struct pool *pool = (struct pool *)ring;
    const struct vx_ring_layout *at = &ring->layout;
    const struct io_uring_sqe *sqes = (const struct io_uring_sqe *)ring->sqes;
    uint32_t mask = at->sq_entries - 1;
    int signal = 0;
    uint32_t taken = 0;
    pthread_mutex_lock(&pool->lock);
    uint32_t head = *ring_word(ring, at->sq_head);
    uint32_t tail = load(ring, at->sq_tail);
    while (taken < to_submit && head != tail) {
        // A place in the completion ring for everything that is accepted.
        uint32_t waiting = *ring_word(ring, at->cq_tail) - load(ring, at->cq_head);
        if (pool->free == NONE || waiting + pool->busy >= at->cq_entries) break;
        uint32_t index = ring_word(ring, at->sq_array)[head & mask] & mask;
        signal |= submit_one(pool, &sqes[index]);
        head++;
        taken++;
    }
    store(ring, at->sq_head, head);
    int error = 0;
    for (uint32_t i = 0; i < pool->queued && i < pool->idle; i++) pthread_cond_signal(&pool->work);
    for (uint32_t i = pool->idle; i < pool->queued && pool->threads < pool->threads_limit; i++) {
        error = start_thread(pool);
        if (error) break;
    }
    // Without a single thread nothing would ever be served.
    if (error && pool->threads == 0) signal |= cancel_queued(pool);
    pthread_mutex_unlock(&pool->lock);
    if (signal) signal_eventfd(pool);
    return (int)taken;
}

static int set_file(struct vx_ring *ring, uint32_t slot, int fd) {
    struct pool *pool = (struct pool *)ring;
    if (slot >= pool->file_count) return -EINVAL;
    struct file *file = NULL;
    if (fd >= 0) {
        // As with the kernel's table, the file is kept open whatever becomes of the caller's fd.
        file = calloc(1, sizeof(*file));
        if (!file) return -ENOMEM;
        file->references = 1;
        file->first = NONE;
        file->serial = vx_io_writes_wait(fd);
        file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (file->fd < 0) {
            int error = errno;
            free(file);
            return -error;
        }
    }
    pthread_mutex_lock(&pool->lock);
    struct file *old = pool->files[slot];
    pool->files[slot] = file;
    release_file(old);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

static int supports(struct vx_ring *ring, uint32_t opcode) {
    (void)ring;
    return vx_io_served(opcode);
}

static int close_pool(struct vx_ring *ring) {
    struct pool *pool = (struct pool *)ring;
    pthread_mutex_lock(&pool->lock);
    pool->closed = 1;
    cancel_queued(pool);
    for (uint32_t i = 0; i < pool->file_count; i++) {
        release_file(pool->files[i]);
        pool->files[i] = NULL;
    }
    int idle = pool->busy == 0;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    // A thread that is in the middle of a request releases the memory with the ring.
    return idle;
}

static void destroy(struct vx_ring *ring) {
    struct pool *pool = (struct pool *)ring;
    for (uint32_t i = 0; pool->files && i < pool->file_count; i++) release_file(pool->files[i]);
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

static int set_up(struct pool *pool, uint32_t entries, const char **failed) {
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
        pool->requests[i].next = i + 1 < entries ? i + 1 : NONE;
    }
    return 0;
}

int vx_io_pool_open(uint32_t entries, uint32_t threads, uint32_t files, size_t arena,
                    struct vx_ring **out, const char **failed) {
    struct pool *pool = calloc(1, sizeof(*pool));
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
