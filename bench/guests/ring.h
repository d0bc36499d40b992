/*
 * A split virtqueue (virtio 1.2, section 2.7) of RING entries that a guest works on without
 * interrupts. Who includes this has included virtio-mmio.h and defined RING.
 */

struct ring {
    struct descriptor descriptors[RING] __attribute__((aligned(4096)));
    struct {
        volatile u16 flags, index;
        u16 ring[RING], used_event;
    } available __attribute__((aligned(4096)));
    struct {
        volatile u16 flags, index;
        struct {
            volatile u32 id, length;
        } ring[RING];
        volatile u16 available_event;
    } used __attribute__((aligned(4096)));
};

/* Offers the chains up to an index of the available ring, with a kick if the device asks for one.
 */
static void offer(u32 queue, struct ring *ring, u16 index) {
    ring->available.index = index;
    /* The index before the flags (2.7.13.4.1): a locked instruction is a fence. */
    __asm__ volatile("lock; addl $0, (%%esp)" ::: "memory");
    if (!(ring->used.flags & 1)) set(0x50, queue);
}
