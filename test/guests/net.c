/* A driver for virtio-net that sends back what it is sent, with the addresses exchanged, and lines
 * about its link. A frame whose first byte behind the Ethernet header is 'q' ends it. */
#include "virtio.h"

#define TYPE_NET 1
#define CONFIG_STATUS 6
#define FEATURE_MAC (1ull << 5)
#define FEATURE_MRG_RXBUF (1ull << 15)
#define FEATURE_STATUS (1ull << 16)
#define HEADER 12
#define ETHERNET 14
#define BUFFER 2048
#define BUFFERS 64

static struct virtqueue rx, tx;
static u8 buffers[BUFFERS][BUFFER] __attribute__((aligned(4096)));
static u8 sent[BUFFER] __attribute__((aligned(4096)));

static void post(u16 index) {
    virtio_publish(&rx, virtio_descriptor(&rx, buffers[index], BUFFER, DESC_WRITE));
}

static void copy(u8 *to, const u8 *from, u32 length) {
    __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(length)::"memory");
}

static u32 link_status(u64 base) {
    return *(volatile u16 *)(uptr)(base + REG_CONFIG + CONFIG_STATUS);
}

void main(void) {
    u64 base = virtio_find(TYPE_NET);
    if (!base || !virtio_negotiate(base, FEATURE_VERSION_1 | FEATURE_EVENT_IDX | FEATURE_MAC |
                                             FEATURE_MRG_RXBUF | FEATURE_STATUS)) {
        put("no device\n");
        power_off();
    }
    virtio_queue(&rx, base, 0);
    virtio_queue(&tx, base, 1);
    virtio_driver_ok(base);
    for (u16 i = 0; i < BUFFERS; i++) post(i);
    virtio_kick(&rx);
    u32 link = 2;
    u32 count = 0;
    for (;;) {
        /* Exits are slow: the link is looked at when nothing else is to be done for a while. */
        for (u32 i = 0; i < 20000 && !virtio_has_used(&rx); i++) __asm__ volatile("pause");
        if (!virtio_has_used(&rx)) {
            u32 now = link_status(base);
            if (now != link) report("link", now);
            link = now;
            continue;
        }
        struct used_element used = virtio_wait(&rx);
        u8 *frame = (u8 *)(uptr)rx.descriptors[used.id].address;
        u8 command = frame[HEADER + ETHERNET];
        for (u32 i = 0; i < HEADER; i++) sent[i] = 0;
        copy(sent + HEADER, frame + HEADER + 6, 6);
        copy(sent + HEADER + 6, frame + HEADER, 6);
        copy(sent + HEADER + 12, frame + HEADER + 12, used.length - HEADER - 12);
        virtio_publish(&tx, virtio_descriptor(&tx, sent, used.length, 0));
        virtio_kick(&tx);
        virtio_wait(&tx);
        count++;
        if (command == 'q') break;
        post((u16)((frame - buffers[0]) / BUFFER));
        virtio_kick(&rx);
    }
    report("count", count);
    power_off();
}
