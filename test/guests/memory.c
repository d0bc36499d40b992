/* RAM by the memory map: both ends of each part, also above 4 GiB, and what lies behind them. */
#include "guest.h"

struct entry {
    u64 address, size;
    u32 type;
} __attribute__((packed));

static u64 directories[8][512] __attribute__((aligned(4096)));

/* Identity maps the GiB at 4 to 11 with 2 MiB pages. */
static void map_high(void) {
    u64 cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    u64 *pointers = (u64 *)(*(u64 *)cr3 & ~4095ull);
    for (u64 gib = 0; gib < 8; gib++) {
        for (u64 i = 0; i < 512; i++) directories[gib][i] = ((gib + 4) << 30) + (i << 21) + 0x83;
        pointers[4 + gib] = (u64)directories[gib] + 3;
    }
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
}

void main(const u8 *params) {
    map_high();
    const struct entry *map = (const struct entry *)(params + 0x2d0);
    u32 count = params[0x1e8];
    for (u32 i = 0; i < count; i++) {
        if (map[i].type != 1 || map[i].address < 0x100000) continue;
        u64 start = map[i].address, end = start + map[i].size;
        if (start == 0x100000) start = 0x800000;
        put("ram=");
        put_hex(map[i].address);
        put_char(' ');
        put_hex(end);
        *(volatile u64 *)start = start * 3 + 1;
        *(volatile u64 *)(end - 8) = end * 5 + 1;
        put_char(' ');
        put_hex(*(volatile u64 *)start == start * 3 + 1 &&
                *(volatile u64 *)(end - 8) == end * 5 + 1);
        put_char(' ');
        put_hex(*(volatile u64 *)end);
        put_char('\n');
    }
    /* All written first, read again last: no two of them are the same memory. */
    for (u32 i = 0; i < count; i++) {
        if (map[i].type != 1 || map[i].address < 0x100000) continue;
        u64 start = map[i].address, end = start + map[i].size;
        if (start == 0x100000) start = 0x800000;
        report("kept", *(volatile u64 *)start == start * 3 + 1 &&
                           *(volatile u64 *)(end - 8) == end * 5 + 1);
    }
}
