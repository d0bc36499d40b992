// Requests of the thread pool on their way: the queue, the lanes, and the completion ring.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io_pool.h"

void vx_pool_release_file(struct vx_pool_file *file) {
    if (!file || --file->references > 0) return;
    close(file->fd);
    free(file);
}

// A consumer that has taken all that came before has to be told. It looks at the tail again after
// every store of the head and after clearing IORING_CQ_EVENTFD_DISABLED, so one of the two sides
// sees the other.
int vx_pool_complete(struct vx_pool *pool, uint64_t user_data, int result) {
    struct vx_ring *ring = &pool->ring;
    const struct vx_ring_layout *at = &ring->layout;
    uint32_t tail = *vx_pool_word(ring, at->cq_tail);
    struct io_uring_cqe *cqes = (struct io_uring_cqe *)(ring->cq + at->cq_cqes);
    cqes[tail & (at->cq_entries - 1)] =
        (struct io_uring_cqe){.user_data = user_data, .res = result};
    vx_pool_store(ring, at->cq_tail, tail + 1);
    return vx_pool_load(ring, at->cq_head) == tail &&
           !(vx_pool_load(ring, at->cq_flags) & IORING_CQ_EVENTFD_DISABLED);
}

int vx_pool_finish(struct vx_pool *pool, uint32_t slot, int result) {
    struct vx_pool_request *request = &pool->requests[slot];
    vx_pool_release_file(request->file);
    request->next = pool->free;
    pool->free = slot;
    pool->busy--;
    return vx_pool_complete(pool, request->sqe.user_data, result);
}

void vx_pool_signal(struct vx_pool *pool) {
    uint64_t one = 1;
    // EAGAIN is a full counter, which is as good as a signal.
    ssize_t written = write(pool->ring.eventfd, &one, sizeof(one));
    (void)written;
}

void vx_pool_enqueue(struct vx_pool *pool, uint32_t slot) {
    if (pool->queued++ == 0)
        pool->first = slot;
    else
        pool->requests[pool->last].next = slot;
    pool->last = slot;
}

uint32_t vx_pool_dequeue(struct vx_pool *pool) {
    uint32_t slot = pool->first;
    pool->first = pool->requests[slot].next;
    pool->queued--;
    return slot;
}

static void lane_push(struct vx_pool *pool, struct vx_pool_file *file, uint32_t slot) {
    struct vx_pool_request *request = &pool->requests[slot];
    request->waits = 1;
    request->next = VX_POOL_NONE;
    if (file->first == VX_POOL_NONE)
        file->first = slot;
    else
        pool->requests[file->last].next = slot;
    file->last = slot;
}

void vx_pool_lane_enter(struct vx_pool *pool, uint32_t slot) {
    struct vx_pool_file *file = pool->requests[slot].file;
    pool->requests[slot].in_lane = 1;
    if (file->lane_open)
        lane_push(pool, file, slot);
    else
        vx_pool_enqueue(pool, slot);
    file->lane_open = 1;
}

uint32_t vx_pool_lane_pop(struct vx_pool *pool, struct vx_pool_file *file) {
    uint32_t slot = file->first;
    pool->requests[slot].waits = 0;
    file->first = pool->requests[slot].next;
    return slot;
}

void vx_pool_lane_leave(struct vx_pool *pool, struct vx_pool_file *file) {
    file->lane_open = file->first != VX_POOL_NONE;
    if (file->lane_open) vx_pool_enqueue(pool, vx_pool_lane_pop(pool, file));
}

int vx_pool_cancel(struct vx_pool *pool) {
    int signal = 0;
    while (pool->queued > 0) {
        uint32_t slot = vx_pool_dequeue(pool);
        struct vx_pool_request *request = &pool->requests[slot];
        if (request->in_lane) request->file->lane_open = 0;
        signal |= vx_pool_finish(pool, slot, -ECANCELED);
    }
    for (uint32_t slot = 0; slot < pool->entries; slot++) {
        struct vx_pool_request *request = &pool->requests[slot];
        if (!request->waits) continue;
        request->waits = 0;
        request->file->first = VX_POOL_NONE;
        signal |= vx_pool_finish(pool, slot, -ECANCELED);
    }
    return signal;
}
