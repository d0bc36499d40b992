/* Reads and writes of every width and alignment where there is nothing: ones, and no effect. */
#include "idt.h"

static u32 failures;
static void check(u64 address, u32 width, u64 value) {
    u64 ones = width == 8 ? ~0ull : (1ull << (8 * width)) - 1;
    if (value == ones) return;
    if (failures++ < 8) {
        put("wrong=");
        put_hex(address);
        put_char(' ');
        put_hex(width);
        put_char(' ');
        put_hex(value);
        put_char('\n');
    }
}
static void touch(u64 address) {
    check(address, 1, *(volatile u8 *)address);
    check(address, 2, *(volatile u16 *)address);
    check(address, 4, *(volatile u32 *)address);
    check(address, 8, *(volatile u64 *)address);
    *(volatile u8 *)address = 0x11;
    *(volatile u16 *)address = 0x2222;
    *(volatile u32 *)address = 0x33333333;
    *(volatile u64 *)address = 0x4444444444444444;
    check(address, 8, *(volatile u64 *)address);
}

static u8 buffer[64];

void main(void) {
    static const u32 bases[] = {0xc0000000, 0xc8000000, 0xcffffff0, 0xfd000ff8, 0xfefffff0};
    u32 count = 0;
    for (u32 i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
        for (u32 offset = 0; offset < 16; offset++, count++) touch(bases[i] + offset);
    report("touched", count);
    report("failures", failures);

    /* The end of RAM: an access that lies half in it. */
    volatile u8 *end = (volatile u8 *)0x1000000;
    end[-2] = 0x12;
    end[-1] = 0x34;
    report("straddle", *(volatile u32 *)(end - 2));
    *(volatile u32 *)(end - 2) = 0xaabbccdd;
    report("straddled", *(volatile u16 *)(end - 2));

    /* A string move out of nothing. */
    const void *from = (const void *)0xc8000100ull;
    void *to = buffer;
    uptr left = 32;
    __asm__ volatile("cld; rep movsb" : "+S"(from), "+D"(to), "+c"(left)::"memory");
    u32 ones = 0;
    for (u32 i = 0; i < sizeof(buffer); i++) ones += buffer[i] == 0xff;
    report("movs", ones);

    /* Odd widths at the in-kernel interrupt controllers must do nothing bad. */
    for (u32 reg = 0; reg < 0x400; reg += 0x10) {
        (void)*(volatile u8 *)(uptr)(LAPIC + reg);
        (void)*(volatile u16 *)(uptr)(LAPIC + reg + 2);
        (void)*(volatile u64 *)(uptr)(LAPIC + reg + 4);
    }
    for (u32 reg = 0; reg < 0x20; reg++) {
        (void)*(volatile u8 *)(uptr)(0xfec00000 + reg);
        (void)*(volatile u16 *)(uptr)(0xfec00000 + reg);
        (void)*(volatile u64 *)(uptr)(0xfec00000 + reg);
    }
    report("version", lapic_read(0x30) & 0xff);
}
