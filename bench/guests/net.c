/*
 * A 32-bit kernel, by PVH, that sends or receives frames and does next to nothing itself: frames
 * and buffers are laid out before the clock starts, so that a batch costs the guest one store to
 * the available ring's index, at most one kick, and polling.
 *
 * Marks on the debug console (port 0xe9): a1 at the start and a2 at the end of BATCHES batches; ee
 * and the debug-exit port (0x501) when something is wrong.
 */
#include "virtio-mmio.h"

/* Bytes of a frame; longer than 1514 they are TCP for the host to cut. */
#ifndef FRAME
#define FRAME 1514
#endif
/* 1: from the host to the guest. */
#ifndef RECEIVE
#define RECEIVE 0
#endif
/* Ring entries of one batch; BATCH divides RING. */
#ifndef BATCH
#define BATCH 64
#endif
#ifndef BATCHES
#define BATCHES 1000
#endif
#ifndef WARMUP
#define WARMUP 100
#endif
#define RING 256
#define LONG (FRAME > 1514)
/* What a driver like Linux's takes: a page for a piece of a long frame, else a buffer for each. */
#define BUFFER (LONG ? 4096 : 1536)
#define HEADER 12
/* receiveq1 or transmitq1 (5.1.2). */
#define QUEUE (RECEIVE ? 0 : 1)

#define BUFFERS 0x1000000u
#define REGION 0x1200000u
#define SPACING (RECEIVE ? 4096 : (LONG ? 0x11000 : 2048))

#include "ring.h"

static struct ring queues[2];

static void set_up_queue(u32 index) {
    struct ring *queue = &queues[index];
    enable_queue(index, RING, queue->descriptors, &queue->available, &queue->used);
    queue->available.flags = 1;
    for (u32 i = 0; i < RING; i++) queue->available.ring[i] = (u16)i;
}

/* A frame to nobody: TCP over IPv4, the checksum left to do, from an address of the guest's. */
static void lay_out_frame(u8 *at) {
    static const u8 headers[54] = {0x02, 0,    0, 0, 0,  9, 0x52, 0x54, 0,    0,   0,  1, 0x08,
                                   0x00, 0x45, 0, 0, 0,  0, 0,    0x40, 0,    64,  6,  0, 0,
                                   10,   9,    0, 1, 10, 9, 0,    2,    4,    0,   5,  0, 0,
                                   0,    0,    1, 0, 0,  0, 1,    0x50, 0x10, 255, 255};
    u8 *frame = at + HEADER;
    for (u32 i = 0; i < sizeof(headers); i++) frame[i] = headers[i];
    u32 total = FRAME - 14;
    frame[16] = (u8)(total >> 8);
    frame[17] = (u8)total;
    if (LONG) {
        at[0] = 1;
        at[1] = 1;
        *(u16 *)(at + 2) = 54;
        *(u16 *)(at + 4) = 1460;
        *(u16 *)(at + 6) = 34;
        *(u16 *)(at + 8) = 16;
    }
}

static void set_up(void) {
    begin();
    /* CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF; VERSION_1. */
    set(0x24, 0);
    set(0x20, 1u | 1u << 1 | 1u << 7 | 1u << 11 | 1u << 15);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    if (!(get(0x70) & 8)) leave(0xee);
    set_up_queue(0);
    set_up_queue(1);
    /* A guest that has run for a while has used the memory around its buffers too. */
    for (u32 at = BUFFERS; at < BUFFERS + REGION; at += 4096) *(volatile u8 *)at = 0;
    for (u32 i = 0; i < RING; i++) {
        u8 *buffer = (u8 *)(BUFFERS + i * SPACING);
        if (!RECEIVE) lay_out_frame(buffer);
        queues[QUEUE].descriptors[i] =
            (struct descriptor){(u32)buffer, RECEIVE ? BUFFER : HEADER + FRAME, RECEIVE ? 2 : 0, 0};
    }
    set(0x70, 15);
}

/* Half of the ring is always with the device. */
static void run(u32 batches) {
    struct ring *queue = &queues[QUEUE];
    while (batches--) {
        u16 done = (u16)(queue->available.index - RING + BATCH);
        while ((u16)(queue->used.index - done) >= 0x8000) __asm__ volatile("pause");
        offer(QUEUE, queue, (u16)(queue->available.index + BATCH));
    }
}

void main(void) {
    find(1);
    set_up();
    offer(QUEUE, &queues[QUEUE], RING);
    run(WARMUP);
    outb(0xe9, 0xa1);
    run(BATCHES);
    leave(0xa2);
}
