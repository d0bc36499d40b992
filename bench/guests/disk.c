/*
 * A 32-bit kernel, by PVH, that keeps a virtio-blk device busy and does next to nothing itself:
 * all requests are laid out before the clock starts, one indirect table each, so that a round of
 * DEPTH requests costs the guest one store to the available ring's index, one kick, and polling.
 *
 * Marks on the debug console (port 0xe9), the bytes that no message holds: a1 at the start and a2
 * at the end of ROUNDS rounds; ee and the debug-exit port (0x501) when something is wrong.
 */
#include "virtio-mmio.h"

#ifndef DEPTH
#define DEPTH 32
#endif
#ifndef BLOCK
#define BLOCK 4096
#endif
#ifndef ROUNDS
#define ROUNDS 1000
#endif
#ifndef WARMUP
#define WARMUP 200
#endif
/* 0 reads, 1 writes. */
#ifndef WRITE
#define WRITE 0
#endif
/* 1: one block after the other; 0: blocks all over the disk. */
#ifndef SEQUENTIAL
#define SEQUENTIAL 0
#endif
/* Entries of the ring; requests go round it, so DEPTH divides it. */
#define RING 128

#define BUFFERS 0x1000000u

struct request {
    struct descriptor table[3] __attribute__((aligned(16)));
    struct {
        u32 type, reserved;
        u64 sector;
    } header;
    u8 status;
};

#include "ring.h"

static struct ring ring;
static struct request requests[RING];

static void set_up(void) {
    begin();
    /* INDIRECT_DESC, VERSION_1 and, where it is offered, FLUSH: without it every write would have
       to be stable. Without EVENT_IDX, so that the flag below keeps interrupts off. */
    set(0x14, 0);
    u32 flush = get(0x10) & 1u << 9;
    set(0x24, 0);
    set(0x20, 1u << 28 | flush);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    if (!(get(0x70) & 8)) leave(0xee);
    enable_queue(0, RING, ring.descriptors, &ring.available, &ring.used);
    ring.available.flags = 1;
    u32 blocks = (u32)(*(volatile u64 *)(base + 0x100) / (BLOCK / 512));
    u32 random = 12345;
    /* Memory that a guest uses has pages of its own; an untouched one may be a zero page for all.
     */
    for (u32 at = 0; at < DEPTH * BLOCK; at += 4096) *(volatile u32 *)(BUFFERS + at) = at | 1;
    for (u32 i = 0; i < RING; i++) {
        struct request *request = &requests[i];
        random = random * 1664525 + 1013904223;
        u32 block = SEQUENTIAL ? i % blocks : (random >> 4) % blocks;
        request->header.type = WRITE;
        request->header.sector = (u64)block * (BLOCK / 512);
        request->status = 0xff;
        request->table[0] = (struct descriptor){(u32)&request->header, 16, 1, 1};
        request->table[1] =
            (struct descriptor){BUFFERS + (i % DEPTH) * BLOCK, BLOCK, WRITE ? 1 : 3, 2};
        request->table[2] = (struct descriptor){(u32)&request->status, 1, 2, 0};
        ring.descriptors[i] =
            (struct descriptor){(u32)request->table, sizeof(request->table), 4, 0};
        ring.available.ring[i] = (u16)i;
    }
    set(0x70, 15);
}

static void run(u32 rounds) {
    while (rounds--) {
        u16 next = (u16)(ring.available.index + DEPTH);
        offer(0, &ring, next);
        while (ring.used.index != next) __asm__ volatile("pause");
    }
}

void main(void) {
    find(2);
    set_up();
    run(WARMUP);
    outb(0xe9, 0xa1);
    run(ROUNDS);
    for (u32 i = 0; i < RING; i++)
        if (requests[i].status) leave(0xee);
    leave(0xa2);
}
