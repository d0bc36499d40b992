/* Every port with every width, then string instructions. The console is set up after the writes. */
#include "guest.h"

/* Writes of ones here end the machine or stop its clock: they get zeroes only. */
static int dangerous(u32 port) {
    return port == 0x64 || port == 0x92 || port == 0x505 || port == 0x501 ||
           (port >= 0x600 && port < 0x60c) || port == 0xcf9;
}
static int touches_dangerous(u32 port, u32 width) {
    for (u32 i = 0; i < width; i++)
        if (dangerous(port + i)) return 1;
    return 0;
}

static u8 buffer[8192] __attribute__((aligned(4096)));

static u32 all_same(const u8 *bytes, u32 count, u8 value) {
    for (u32 i = 0; i < count; i++)
        if (bytes[i] != value) return 0;
    return 1;
}

/*
 * Where there are devices, and the end of the port space. An exit takes long on some hosts, so the
 * rest is swept with one width only, unless the command line says "all".
 */
static u32 all;
static int chosen(u32 port) {
    return all || port < 0x1000 || port >= 0xff00 || port % 251 == 0;
}

void main(const u8 *params) {
    all = same((const char *)(uptr) * (const u32 *)(params + 0x228), "all", 3);
    for (u32 port = 0; port < 0x10000; port++) {
        if (!chosen(port)) continue;
        u32 ones = port >= 0x3f8 && port < 0x400 ? 0 : 0xffffffff;
        outb((u16)port, dangerous(port) ? 0 : (u8)ones);
        outw((u16)port, touches_dangerous(port, 2) ? 0 : (u16)ones);
        outl((u16)port, touches_dangerous(port, 4) ? 0 : ones);
    }
    /* The UART: 8n1, no interrupts, not in loopback. */
    outb(COM1 + 3, 0x03);
    outb(COM1 + 1, 0);
    outb(COM1 + 4, 0x03);
    outb(COM1 + 2, 0x07);
    put("\nwrites done\n");

    /* Ports at which some width reads something else than ones: "port=first last". */
    for (u32 width = 1; width <= 4; width *= 2) {
        u32 first = 0, open = 0;
        for (u32 port = 0; port <= 0x10000; port++) {
            u32 answers = 0;
            if (port < 0x10000 && width == 1) answers = inb((u16)port) != 0xff;
            if (port < 0x10000 && width == 2 && chosen(port)) answers = inw((u16)port) != 0xffff;
            if (port < 0x10000 && width == 4 && chosen(port))
                answers = inl((u16)port) != 0xffffffff;
            if (answers && !open) first = port;
            if (!answers && open) {
                put_char('w');
                put_hex(width);
                put_char('=');
                put_hex(first);
                put_char('-');
                put_hex(port - 1);
                put_char('\n');
            }
            open = answers;
        }
    }

    /* REP OUTS and REP INS of every width, with counts from one to a page and across a page. */
    for (u32 i = 0; i < 4096; i++) buffer[i] = (u8)("0123456789abcdef"[i % 16]);
    outsb(DEBUG_CONSOLE, buffer, 0);
    outsb(DEBUG_CONSOLE, buffer, 1);
    outsb(DEBUG_CONSOLE, buffer, 4096);
    outsw(DEBUG_CONSOLE, buffer, 16);
    outsl(DEBUG_CONSOLE, buffer, 16);
    u32 ok = 1;
    for (u32 count = 1; count <= 4096; count *= 8) {
        for (u32 i = 0; i < sizeof(buffer); i++) buffer[i] = 0;
        insb(0x1234, buffer + 7, count);
        ok &= all_same(buffer, 7, 0) & all_same(buffer + 7, count, 0xff) & (buffer[7 + count] == 0);
    }
    report("insb", ok);
    for (u32 i = 0; i < sizeof(buffer); i++) buffer[i] = 0;
    insw(0x1234, buffer, 2048);
    ok = all_same(buffer, 4096, 0xff) & (buffer[4096] == 0);
    for (u32 i = 0; i < sizeof(buffer); i++) buffer[i] = 0;
    insl(0x1234, buffer + 2048, 1024);
    ok &= all_same(buffer, 2048, 0) & all_same(buffer + 2048, 4096, 0xff) & (buffer[6144] == 0);
    report("inswl", ok);
    insb(DEBUG_CONSOLE, buffer, 64);
    report("insb_e9", all_same(buffer, 64, 0xe9));
    report("edge", inw(0xffff) * 0x100000000ull + inl(0xfffd));
}
