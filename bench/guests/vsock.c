/*
 * A 32-bit kernel, by PVH, that connects to PORT of the host by virtio-vsock and sends packets of
 * 64 KiB, as far as there is credit, or takes what comes and gives credit. Packets are laid out
 * beforehand.
 *
 * Marks on the debug console (port 0xe9): a1 after WARMUP bytes and a2 after BYTES more; ee and the
 * debug-exit port (0x501) when something is wrong.
 */
#include "virtio-mmio.h"

/* 1: from the host to the guest. */
#ifndef RECEIVE
#define RECEIVE 0
#endif
#ifndef BYTES
#define BYTES 100000000u
#endif
#ifndef WARMUP
#define WARMUP 10000000u
#endif
#define PORT 52
#define RING 128
#define PAYLOAD 65536
#define SPACING 0x11000
#define RECEIVED 0x1000000u
#define SENT 0x2400000u
/* Packets that are offered at once, and bytes after which credit is given. */
#define BURST 16
#define CREDIT (RING / 2 * PAYLOAD)
#define UPDATE (CREDIT / 8)

/* struct virtio_vsock_hdr (virtio 1.2, section 5.10.6). */
struct packet {
    u64 from_cid, to_cid;
    u32 from_port, to_port, length;
    u16 type, operation;
    u32 flags, credit, forwarded;
} __attribute__((packed));
enum { REQUEST = 1, RESPONSE = 2, RESET = 3, SHUTDOWN = 4, DATA = 5, CREDIT_UPDATE = 6 };
#define HEADER ((u32)sizeof(struct packet))

#include "ring.h"

static struct ring rx, tx, events;
static u16 seen;
static u32 sent, received, peer_credit, peer_forwarded;

static struct packet *tx_packet(u32 slot) {
    return (struct packet *)(SENT + slot % RING * SPACING);
}

static void set_up_queue(u32 index, u32 size, struct ring *ring, u32 buffers, u32 flags) {
    for (u32 i = 0; i < size; i++) {
        /* Memory that a guest uses has pages of its own. */
        for (u32 at = 0; buffers && at < SPACING; at += 4096)
            *(u8 *)(buffers + i * SPACING + at) = 0;
        ring->descriptors[i] =
            (struct descriptor){buffers + i * SPACING, HEADER + PAYLOAD, (u16)flags, 0};
        ring->available.ring[i] = (u16)i;
    }
    enable_queue(index, size, ring->descriptors, &ring->available, &ring->used);
    ring->available.flags = 1;
}

static void set_up(void) {
    begin();
    set(0x24, 0);
    set(0x20, 0);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    if (!(get(0x70) & 8)) leave(0xee);
    set_up_queue(0, RING, &rx, RECEIVED, 2);
    set_up_queue(1, RING, &tx, SENT, 0);
    set_up_queue(2, 16, &events, 0, 2);
    for (u32 i = 0; i < RING; i++)
        *tx_packet(i) = (struct packet){get(0x100), 2, 1025, PORT, PAYLOAD, 1, DATA, 0, CREDIT, 0};
    set(0x70, 15);
    offer(0, &rx, RING);
}

/* Looks at the last of the packets that have come, and gives their buffers back. */
static u32 poll(void) {
    u32 packets = (u16)(rx.used.index - seen);
    if (packets == 0) return 0;
    for (u32 i = 0; i < packets; i++)
        received += rx.used.ring[(u16)(seen + i) % RING].length - HEADER;
    seen = (u16)(seen + packets);
    u32 id = rx.used.ring[(u16)(seen - 1) % RING].id;
    const struct packet *packet = (struct packet *)(RECEIVED + id * SPACING);
    if (packet->operation == RESET || packet->operation == SHUTDOWN) leave(0xee);
    peer_credit = packet->credit;
    peer_forwarded = packet->forwarded;
    offer(0, &rx, (u16)(seen + RING));
    return packets;
}

/* A packet without payload, in a slot that is a data packet again afterwards. */
static void send_header(u16 operation) {
    u16 index = tx.available.index;
    struct packet *packet = tx_packet(index);
    packet->operation = operation;
    packet->length = 0;
    packet->forwarded = received;
    tx.descriptors[index % RING].length = HEADER;
    offer(1, &tx, (u16)(index + 1));
    while (tx.used.index != tx.available.index) __asm__ volatile("pause");
    packet->operation = DATA;
    packet->length = PAYLOAD;
    tx.descriptors[index % RING].length = HEADER + PAYLOAD;
}

/* Bytes to send are counted when they have been taken. */
static void send_bytes(u32 bytes) {
    u32 end = peer_forwarded + bytes;
    while ((int)(end - peer_forwarded) > 0) {
        poll();
        u16 index = tx.available.index, first = index;
        while ((u16)(index - first) < BURST && (u16)(index - tx.used.index) < RING &&
               (int)(peer_credit - (sent - peer_forwarded)) >= PAYLOAD) {
            sent += PAYLOAD;
            index++;
        }
        if (index != first) offer(1, &tx, index);
    }
}

static void receive_bytes(u32 bytes) {
    static u32 told;
    for (u32 first = received; received - first < bytes;) {
        poll();
        if (received - told < UPDATE) continue;
        send_header(CREDIT_UPDATE);
        told = received;
    }
}

void main(void) {
    find(19);
    set_up();
    send_header(REQUEST);
    while (poll() == 0) __asm__ volatile("pause");
    if (RECEIVE)
        receive_bytes(WARMUP);
    else
        send_bytes(WARMUP);
    outb(0xe9, 0xa1);
    if (RECEIVE)
        receive_bytes(BYTES);
    else
        send_bytes(BYTES);
    leave(0xa2);
}
