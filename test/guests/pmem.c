/*
 * Persistent memory as a driver without a file system uses it. Letters from COM1: a and b read
 * eight bytes at its beginning and 1 MiB behind that, B writes there, x switches off.
 */
#include "virtio.h"

#define TYPE_PMEM 27
#define BEHIND 0x100000

static u64 directory[512] __attribute__((aligned(4096)));

/* Identity maps the GiB that the region begins in with 2 MiB pages. */
static void map(u64 address) {
    u64 gib = address >> 30, cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    u64 *pointers = (u64 *)(*(u64 *)cr3 & ~4095ull);
    for (u64 i = 0; i < 512; i++) directory[i] = (gib << 30) + (i << 21) + 0x83;
    pointers[gib] = (u64)directory + 3;
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
}

static u8 receive(void) {
    while (!(inb(COM1_LSR) & LSR_DATA_READY)) {
    }
    return inb(COM1);
}

void main(void) {
    u64 base = virtio_find(TYPE_PMEM);
    u64 start = virtio_read(base, REG_CONFIG) | (u64)virtio_read(base, REG_CONFIG + 4) << 32;
    report("start", start);
    report("size", virtio_read(base, REG_CONFIG + 8));
    map(start);
    volatile u64 *words = (volatile u64 *)start;
    for (;;) {
        switch (receive()) {
        case 'a':
            report("a", words[0]);
            break;
        case 'b':
            report("b", words[BEHIND / 8]);
            break;
        case 'B':
            words[BEHIND / 8] = 0x1234;
            report("written", 1);
            break;
        case 'x':
            power_off();
        default:
            break;
        }
    }
}
