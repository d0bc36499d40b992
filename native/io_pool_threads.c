// The threads of the pool. They are not libuv's, whose pool is needed for files and DNS by the
// whole process. Nobody joins them: each has a reference to the ring, so one that is blocked in I/O
// delays nothing.
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "io_pool.h"

#define STACK_BYTES (256 * 1024)
// Writes of a lane in one go, before other requests have their turn.
#define LANE_BATCH 64
// Results of a lane wait that long for those behind them.
#define LANE_DELAY_NS 200000

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int execute(struct vx_pool *pool, uint32_t slot) {
    const struct vx_pool_request *request = &pool->requests[slot];
    return vx_io_execute(request->file->fd, &request->sqe, &request->segments);
}

// Called with the lock, which it gives up meanwhile.
static void signal_unlocked(struct vx_pool *pool) {
    pthread_mutex_unlock(&pool->lock);
    vx_pool_signal(pool);
    pthread_mutex_lock(&pool->lock);
}

// Called with the lock, which it gives up meanwhile: makes a write and those behind it in its lane.
static void serve_lane(struct vx_pool *pool, uint32_t slot) {
    struct vx_pool_file *file = pool->requests[slot].file;
    uint32_t slots[LANE_BATCH] = {slot};
    int results[LANE_BATCH];
    uint32_t count = 1;
    while (count < LANE_BATCH && file->first != VX_POOL_NONE)
        slots[count++] = vx_pool_lane_pop(pool, file);
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
            signal |= vx_pool_finish(pool, slots[finished], results[finished]);
        if (signal) signal_unlocked(pool);
    }
    vx_pool_lane_leave(pool, file);
    vx_pool_release_file(file);
}

static void *serve(void *argument) {
    struct vx_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->queued == 0 && !pool->closed) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (pool->queued == 0) break;
        uint32_t slot = vx_pool_dequeue(pool);
        if (pool->requests[slot].in_lane) {
            serve_lane(pool, slot);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        int result = execute(pool, slot);
        pthread_mutex_lock(&pool->lock);
        if (vx_pool_finish(pool, slot, result)) signal_unlocked(pool);
    }
    pool->threads--;
    pthread_mutex_unlock(&pool->lock);
    vx_ring_release(&pool->ring);
    return NULL;
}

// Called with the lock.
static int start_thread(struct vx_pool *pool) {
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

int vx_pool_wake(struct vx_pool *pool) {
    for (uint32_t i = 0; i < pool->queued && i < pool->idle; i++) pthread_cond_signal(&pool->work);
    for (uint32_t i = pool->idle; i < pool->queued && pool->threads < pool->threads_limit; i++) {
        int error = start_thread(pool);
        if (error) return error;
    }
    return 0;
}
