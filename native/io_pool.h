// The pool of threads from within: its requests (io_pool_queue.c), the threads that make them
// (io_pool_threads.c), and the ring that JavaScript sees (io_pool.c). The functions are called with
// the pool's lock, unless they say otherwise.
//
// Writes that the kernel makes one after the other anyway (vx_io_writes_wait) have a lane for each
// file: one thread makes all that have come, without a lock or a wake-up for each.
#ifndef VEXIT_IO_POOL_H
#define VEXIT_IO_POOL_H

#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/uio.h>

#include "io_request.h"
#include "ring.h"

#define VX_POOL_NONE UINT32_MAX

// A file of the table. A request in flight keeps it open after it has been taken out.
struct vx_pool_file {
    int fd;
    uint32_t references;
    int serial;           // its writes have a lane
    int lane_open;        // one of them is in the queue or being made
    uint32_t first, last; // the others, in order
};

struct vx_pool_request {
    struct io_uring_sqe sqe;
    struct vx_pool_file *file;
    struct vx_io_segments segments;
    int in_lane;   // stands for its file's lane in the queue, or waits in it
    int waits;     // waits in it
    uint32_t next; // in the queue, in a lane or among the free ones
};

struct vx_pool {
    struct vx_ring ring; // first
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct vx_pool_request *requests;
    uint32_t entries;
    uint32_t free, first, last;      // lists of requests: free ones, and the queue
    uint32_t queued, busy;           // waiting for a thread; accepted and not completed
    uint32_t threads, threads_limit; // running, and how many there may be
    uint32_t idle;
    int closed;
    uint32_t file_count;
    struct vx_pool_file **files;
    struct iovec *segments; // of all requests
    size_t segments_size;
};

// Words of the rings, by their offsets in struct vx_ring_layout. Needs no lock.
static inline uint32_t *vx_pool_word(struct vx_ring *ring, uint32_t offset) {
    return (uint32_t *)(ring->sq + offset);
}

static inline uint32_t vx_pool_load(struct vx_ring *ring, uint32_t offset) {
    return __atomic_load_n(vx_pool_word(ring, offset), __ATOMIC_SEQ_CST);
}

static inline void vx_pool_store(struct vx_ring *ring, uint32_t offset, uint32_t value) {
    __atomic_store_n(vx_pool_word(ring, offset), value, __ATOMIC_SEQ_CST);
}

// Gives a reference back; the file is closed with the last.
void vx_pool_release_file(struct vx_pool_file *file);

// Puts a result into the completion ring. Returns 1 when the eventfd has to be signalled.
int vx_pool_complete(struct vx_pool *pool, uint64_t user_data, int result);

// The end of a request: gives its slot back and completes it. Returns what vx_pool_complete does.
int vx_pool_finish(struct vx_pool *pool, uint32_t slot, int result);

// Signals the eventfd. Needs no lock, and better has none: whoever wakes up wants it.
void vx_pool_signal(struct vx_pool *pool);

// The queue that the threads serve: adds a request; takes the first one, if pool->queued says that
// there is one.
void vx_pool_enqueue(struct vx_pool *pool, uint32_t slot);
uint32_t vx_pool_dequeue(struct vx_pool *pool);

// Puts a write into the lane of its file: the first one stands for the lane in the queue, the
// others wait behind it.
void vx_pool_lane_enter(struct vx_pool *pool, uint32_t slot);
// Takes the first of those that wait, if file->first says that there is one.
uint32_t vx_pool_lane_pop(struct vx_pool *pool, struct vx_pool_file *file);
// A thread has made what it took out of a lane: the next one that waits stands in the queue for it.
void vx_pool_lane_leave(struct vx_pool *pool, struct vx_pool_file *file);

// Ends all that no thread has taken yet with -ECANCELED. Returns 1 when the eventfd has to be
// signalled.
int vx_pool_cancel(struct vx_pool *pool);

// Wakes threads for what is queued, and starts those that are missing. 0 or a negative errno: a
// thread could not be started.
int vx_pool_wake(struct vx_pool *pool);

#endif
