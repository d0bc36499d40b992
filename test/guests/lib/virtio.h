/* A driver for virtio-mmio devices (virtio 1.2, 4.2): split rings, polled or by interrupt. */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "guest.h"

#define VIRTIO_BASE 0xd0000000u
#define VIRTIO_STRIDE 0x1000u
#define VIRTIO_MAGIC 0x74726976u

enum virtio_register {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_SIZE_MAX = 0x034,
    REG_QUEUE_SIZE = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100
};

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 64

#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)

#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4

/* The largest ring that this driver has memory for. */
#define RING_SIZE 256

struct descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
};
struct used_element {
    u32 id, length;
};
struct virtqueue {
    u64 base; /* of the device's window */
    u32 index;
    u16 size;
    u16 next_descriptor; /* allocated one after the other, round the ring */
    u16 seen;            /* used elements taken */
    struct descriptor descriptors[RING_SIZE] __attribute__((aligned(16)));
    struct {
        u16 flags, index, ring[RING_SIZE], used_event;
    } available __attribute__((aligned(2)));
    struct {
        u16 flags, index;
        struct used_element ring[RING_SIZE];
        u16 available_event;
    } used __attribute__((aligned(4)));
};

static inline u32 virtio_read(u64 base, u32 reg) {
    return *(volatile u32 *)(uptr)(base + reg);
}
static inline void virtio_write(u64 base, u32 reg, u32 value) {
    *(volatile u32 *)(uptr)(base + reg) = value;
}
static inline void virtio_write64(u64 base, u32 reg, u64 value) {
    virtio_write(base, reg, (u32)value);
    virtio_write(base, reg + 4, (u32)(value >> 32));
}

static inline u64 virtio_slot(u32 slot) {
    return VIRTIO_BASE + (u64)slot * VIRTIO_STRIDE;
}

/* The window of the first device of a type, or 0. */
static inline u64 virtio_find(u32 type) {
    for (u32 slot = 0; slot < 16; slot++) {
        u64 base = virtio_slot(slot);
        if (virtio_read(base, REG_MAGIC) != VIRTIO_MAGIC) return 0;
        if (virtio_read(base, REG_DEVICE_ID) == type) return base;
    }
    return 0;
}

static inline u64 virtio_features(u64 base) {
    virtio_write(base, REG_DEVICE_FEATURES_SEL, 0);
    u64 low = virtio_read(base, REG_DEVICE_FEATURES);
    virtio_write(base, REG_DEVICE_FEATURES_SEL, 1);
    return low | (u64)virtio_read(base, REG_DEVICE_FEATURES) << 32;
}

/* Reset, and negotiation up to FEATURES_OK; 0 when the device refuses the features. */
static inline int virtio_negotiate(u64 base, u64 features) {
    virtio_write(base, REG_STATUS, 0);
    while (virtio_read(base, REG_STATUS)) {
    }
    virtio_write(base, REG_STATUS, STATUS_ACKNOWLEDGE);
    virtio_write(base, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    for (u32 i = 0; i < 2; i++) {
        virtio_write(base, REG_DRIVER_FEATURES_SEL, i);
        virtio_write(base, REG_DRIVER_FEATURES, (u32)(features >> (32 * i)));
    }
    virtio_write(base, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return (virtio_read(base, REG_STATUS) & STATUS_FEATURES_OK) != 0;
}

/* Makes a queue ready with at most RING_SIZE entries; its memory is zeroed before. */
static inline void virtio_queue(struct virtqueue *queue, u64 base, u32 index) {
    u8 *bytes = (u8 *)queue;
    for (uptr i = 0; i < sizeof(*queue); i++) bytes[i] = 0;
    queue->base = base;
    queue->index = index;
    virtio_write(base, REG_QUEUE_SEL, index);
    u32 max = virtio_read(base, REG_QUEUE_SIZE_MAX);
    queue->size = (u16)(max < RING_SIZE ? max : RING_SIZE);
    virtio_write(base, REG_QUEUE_SIZE, queue->size);
    virtio_write64(base, REG_QUEUE_DESC, (u64)queue->descriptors);
    virtio_write64(base, REG_QUEUE_DRIVER, (u64)&queue->available);
    virtio_write64(base, REG_QUEUE_DEVICE, (u64)&queue->used);
    virtio_write(base, REG_QUEUE_READY, 1);
}

static inline void virtio_driver_ok(u64 base) {
    virtio_write(base, REG_STATUS, virtio_read(base, REG_STATUS) | STATUS_DRIVER_OK);
}

/* Puts one descriptor into the table and returns its index. */
static inline u16 virtio_descriptor(struct virtqueue *queue, const void *data, u32 length,
                                    u16 flags) {
    u16 at = queue->next_descriptor;
    queue->next_descriptor = (u16)((at + 1) % queue->size);
    queue->descriptors[at] = (struct descriptor){(u64)data, length, flags, queue->next_descriptor};
    return at;
}
/* Makes a chain available; the driver kicks when it has made all it wants. */
static inline void virtio_publish(struct virtqueue *queue, u16 head) {
    queue->available.ring[queue->available.index % queue->size] = head;
    __asm__ volatile("" ::: "memory");
    *(volatile u16 *)&queue->available.index = (u16)(queue->available.index + 1);
}
static inline void virtio_kick(struct virtqueue *queue) {
    virtio_write(queue->base, REG_QUEUE_NOTIFY, queue->index);
}
static inline int virtio_has_used(const struct virtqueue *queue) {
    return *(const volatile u16 *)&queue->used.index != queue->seen;
}
/* Waits for the next used element and takes it. */
static inline struct used_element virtio_wait(struct virtqueue *queue) {
    while (!virtio_has_used(queue)) __asm__ volatile("pause" ::: "memory");
    return queue->used.ring[queue->seen++ % queue->size];
}
#endif
