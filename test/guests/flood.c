/*
 * A guest that does too much of one thing, for ever: the letter after "do=" on the command line.
 *
 *   c  output through virtio-console in long chains
 *   s  output through COM1
 *   n  notifications of queues that are empty, and of queues that are not there
 *   r  resets and negotiations
 *   x  exits of the processor: ports, CPUID, MSRs
 *   b  chains that break the ring, and the reset that mends it
 *
 * It says "up" before that.
 */
#include "idt.h"
#include "virtio.h"

#define TYPE_CONSOLE 3
#define TYPE_RNG 4
#define TRANSMIT 1

/* Chains of 256 KiB, a ring full of them. */
#define PIECES 4
#define PIECE_BYTES 0x10000
#define CHAINS 32

static struct virtqueue queue;
static u8 bytes[PIECE_BYTES] __attribute__((aligned(4096)));

static u64 set_up(u32 type, u32 index) {
    u64 base = virtio_find(type);
    if (!base) {
        put("no such device\n");
        power_off();
    }
    virtio_negotiate(base, FEATURE_VERSION_1);
    virtio_queue(&queue, base, index);
    virtio_driver_ok(base);
    return base;
}

static void flood_console(void) {
    set_up(TYPE_CONSOLE, TRANSMIT);
    for (u32 i = 0; i < PIECE_BYTES; i++) bytes[i] = (u8)('a' + i % 26);
    for (u32 i = 0; i < CHAINS * PIECES; i++)
        queue.descriptors[i] = (struct descriptor){
            (u64)bytes, PIECE_BYTES, i % PIECES < PIECES - 1 ? DESC_NEXT : 0, (u16)(i + 1)};
    for (u32 i = 0; i < CHAINS; i++) virtio_publish(&queue, (u16)(i * PIECES));
    virtio_kick(&queue);
    for (;;) {
        virtio_publish(&queue, (u16)virtio_wait(&queue).id);
        virtio_kick(&queue);
    }
}
static void flood_serial(void) {
    for (u32 i = 0; i < 4096; i++) bytes[i] = (u8)('a' + i % 26);
    for (;;) {
        while (!(inb(COM1_LSR) & LSR_THRE)) {
        }
        outsb(COM1, bytes, 4096);
    }
}
static void flood_notifications(void) {
    u64 base = set_up(TYPE_RNG, 0);
    for (u32 i = 0;; i++) virtio_write(base, REG_QUEUE_NOTIFY, i % 64 ? 0 : i);
}
static void flood_resets(void) {
    for (;;) set_up(TYPE_RNG, 0);
}
static void flood_exits(void) {
    u32 out[4];
    for (;;) {
        inb(0x80);
        cpuid(1, 0, out);
        read_msr(0x10);
    }
}
static void flood_breakage(void) {
    for (;;) {
        u64 base = set_up(TYPE_RNG, 0);
        virtio_publish(&queue, virtio_descriptor(&queue, (void *)0xdead00000ull, 16, DESC_WRITE));
        virtio_kick(&queue);
        while (!(virtio_read(base, REG_STATUS) & STATUS_NEEDS_RESET)) __asm__ volatile("pause");
    }
}

void main(const u8 *boot_params) {
    char order = 0;
    for (const char *c = (const char *)(uptr)(*(const u32 *)(boot_params + 0x228)); *c; c++)
        if (c[0] == 'd' && c[1] == 'o' && c[2] == '=') order = c[3];
    put("up\n");
    switch (order) {
    case 'c':
        flood_console();
        break;
    case 's':
        flood_serial();
        break;
    case 'n':
        flood_notifications();
        break;
    case 'r':
        flood_resets();
        break;
    case 'x':
        flood_exits();
        break;
    case 'b':
        flood_breakage();
        break;
    }
}
