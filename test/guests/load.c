/*
 * A load on the host: "do=work" prints a point after each piece of work, "do=spin" does nothing
 * else, and "do=flood" fills the console; the other processors, "cpus=N", spin. A piece of work is
 * as many steps as took about 5 ms at the begin.
 */
#include "idt.h"

extern u8 trampoline[], trampoline_end[];
extern u32 trampoline_page_map;

#define PIECE_MS 5

static void spin(u64 iterations) {
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(iterations));
}

__attribute__((noreturn, used)) void ap_main(u32 id) {
    (void)id;
    for (;;) spin(1000000);
}

static void send(u32 to, u32 command) {
    lapic_write(LAPIC_ICR_HIGH, to << 24);
    lapic_write(LAPIC_ICR_LOW, command);
    while (lapic_read(LAPIC_ICR_LOW) & 0x1000) {
    }
}

static void start(u32 cpus) {
    u64 cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    trampoline_page_map = (u32)cr3;
    for (u32 i = 0; trampoline + i < trampoline_end; i++) ((u8 *)0x8000)[i] = trampoline[i];
    lapic_write(LAPIC_SVR, 0x1ff);
    for (u32 id = 1; id < cpus; id++) {
        send(id, 0x4500);
        send(id, 0x4608);
        send(id, 0x4608);
    }
}

/* Steps of a piece: counted against channel 2 of the PIT, which runs at 1.193182 MHz. */
static u64 calibrate(void) {
    outb(0x61, (u8)((inb(0x61) & ~2u) | 1));
    for (u64 steps = 1000;; steps *= 2) {
        outb(0x43, 0xb0); /* channel 2, both bytes, mode 0: counts down once */
        outb(0x42, 0xff);
        outb(0x42, 0xff);
        spin(steps);
        outb(0x43, 0x80); /* latch */
        u32 left = inb(0x42);
        left |= (u32)inb(0x42) << 8;
        u32 ticks = 0xffff - left;
        if (ticks > 1193 * PIECE_MS / 2) return steps * (1193 * PIECE_MS) / ticks;
    }
}

void main(const u8 *params) {
    const char *line = (const char *)(uptr) * (const u32 *)(params + 0x228);
    char task = 0;
    u32 cpus = 1;
    for (; *line; line++) {
        if (same(line, "do=", 3)) task = line[3];
        if (same(line, "cpus=", 5)) cpus = (u32)(line[5] - '0');
    }
    start(cpus);
    if (task == 'w') {
        u64 piece = calibrate();
        for (;;) {
            spin(piece);
            put_char('.');
        }
    }
    put("ready\n");
    if (task == 'f') {
        static u8 block[4096];
        for (u32 i = 0; i < sizeof(block); i++) block[i] = (u8)('a' + i % 26);
        for (;;) {
            for (u32 at = 0; at < sizeof(block); at += 16) {
                while (!(inb(COM1_LSR) & LSR_THRE)) {
                }
                outsb(COM1, block + at, 16);
            }
        }
    }
    for (;;) spin(1000000);
}
