/*
 * A guest that does as it is told: one letter, one action. First the letters after "do=" on the
 * command line, then what arrives on COM1.
 */
#include "idt.h"

#define UNMAPPED_MMIO 0xc8000000u

static volatile u64 counter;

static void spin(u64 iterations) {
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(iterations));
}

static __attribute__((noreturn)) void triple_fault(void) {
    struct table_pointer nothing = {0, 0};
    __asm__ volatile("lidt %0" ::"m"(nothing));
    *(volatile u8 *)0x200000000000 = 0;
    halt();
}

static void read_rtc(void) {
    static const u8 registers[] = {0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32, 0x0b};
    do {
        outb(0x70, 0x0a);
    } while (inb(0x71) & 0x80);
    put("rtc=");
    for (u32 i = 0; i < sizeof(registers); i++) {
        outb(0x70, registers[i]);
        put_hex(inb(0x71));
        put_char(i + 1 < sizeof(registers) ? ' ' : '\n');
    }
}

static void print_features(void) {
    static const u32 leaves[][2] = {{1, 0}, {7, 0}, {0xd, 1}, {0x80000001, 0}};
    for (u32 i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        u32 r[4];
        cpuid(leaves[i][0], leaves[i][1], r);
        put("cpuid=");
        put_hex(leaves[i][0]);
        for (u32 j = 0; j < 4; j++) {
            put_char(' ');
            put_hex(r[j]);
        }
        put_char('\n');
    }
}

/* The i-th byte of the flood; the host computes the same. */
static u8 pattern(u32 i) {
    return (u8)(((i * 2654435761u) >> 24) ^ i);
}

/* Blocks of 4 KiB through COM1 as a 16550 driver writes it: 16 bytes whenever the transmitter is
 * empty. */
static void flood_serial(u32 blocks) {
    static u8 block[4096];
    for (u32 i = 0; i < sizeof(block); i++) block[i] = pattern(i);
    outb(COM1 + 2, 0x07);
    for (u32 round = 0; round < blocks; round++) {
        block[0] = (u8)round;
        for (u32 at = 0; at < sizeof(block); at += 16) {
            while (!(inb(COM1_LSR) & LSR_THRE)) {
            }
            outsb(COM1, block + at, 16);
        }
    }
    put("flooded\n");
}

static void act(char command) {
    switch (command) {
    case 'e':
        put("echo\n");
        break;
    case 'p':
        power_off();
    case 'k':
        while (inb(0x64) & 2) {
        }
        outb(0x64, 0xfe);
        break;
    case 'c':
        outb(0xcf9, 0x06);
        break;
    case '9':
        outb(0x92, inb(0x92) | 1);
        break;
    case 'a':
        outb(0x505, 1);
        break;
    case 't':
        triple_fault();
    case 'd':
        outb(0x501, 7);
        put("no debug exit\n");
        break;
    case 'x':
        ((void (*)(void))UNMAPPED_MMIO)();
        break;
    case 's':
        put("spin\n");
        spin(1500000);
        put("spun\n");
        break;
    case 'S':
        put("spin\n");
        for (;;) counter++;
    case 'w': /* waits for the power button: PWRBTN_STS of the PM1 event registers (ACPI 4.8.3.1.1)
               */
        put("waiting\n");
        while (!(inw(0x600) & 0x100)) {
        }
        power_off();
    case 'h':
        put("hlt\n");
        halt();
    case 'i':
        put("pio\n");
        for (u32 i = 0; i < 30000; i++) inb(0x1234);
        put("pio done\n");
        break;
    case 'I':
        put("pio\n");
        for (;;) inb(0x1234);
    case 'm':
        put("mmio\n");
        for (u32 i = 0; i < 30000; i++) *(volatile u32 *)(uptr)UNMAPPED_MMIO;
        put("mmio done\n");
        break;
    case 'M':
        put("mmio\n");
        for (;;) *(volatile u32 *)(uptr)UNMAPPED_MMIO;
    case 'R': {
        static u8 page[4096];
        put("string\n");
        for (u32 i = 0; i < 3000; i++) insb(0x1234, page, sizeof(page));
        put("string done\n");
        break;
    }
    case 'f':
        flood_serial(256);
        break;
    case 'F':
        flood_serial(64);
        break;
    case 'o':
        for (u32 i = 0;; i++) put_char((char)('a' + i % 26));
    case 'g': {
        static u8 block[4096];
        for (;;) outsb(DEBUG_CONSOLE, block, sizeof(block));
    }
    case 'r':
        read_rtc();
        break;
    case 'u':
        print_features();
        break;
    case 'l':
        outsb(0x402, "firmware log\n", 13);
        outsb(DEBUG_CONSOLE, "debug console\n", 14);
        outb(0x80, 0x3c);
        report("post", inb(0x80));
        break;
    default:
        break;
    }
}

void main(const u8 *params) {
    const char *line = (const char *)(uptr) * (const u32 *)(params + 0x228);
    for (; *line; line++) {
        if (!same(line, "do=", 3)) continue;
        for (line += 3; *line && *line != ' '; line++) act(*line);
        break;
    }
    put("ready\n");
    for (;;) {
        while (!(inb(COM1_LSR) & LSR_DATA_READY)) {
        }
        u8 byte = inb(COM1);
        if (byte < ' ') {
            report("control", byte);
            continue;
        }
        act((char)byte);
    }
}
