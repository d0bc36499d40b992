/* PIT through the PIC, local APIC timer, COM1 through the IOAPIC; the processor halts between. */
#include "idt.h"

#define HANDLER static __attribute__((interrupt)) void

static volatile u32 pit_ticks, timer_ticks, serial_interrupts;
static volatile u32 received, wrong_identification;
static volatile u8 line[1024];

HANDLER on_pit(struct frame *frame) {
    (void)frame;
    pit_ticks++;
    outb(0x20, 0x20);
}
HANDLER on_timer(struct frame *frame) {
    (void)frame;
    timer_ticks++;
    lapic_write(LAPIC_EOI, 0);
}
HANDLER on_serial(struct frame *frame) {
    (void)frame;
    serial_interrupts++;
    for (u8 iir; !((iir = inb(COM1 + 2)) & 1);) {
        if ((iir & 0x0f) != 0x04 && (iir & 0x0f) != 0x0c) wrong_identification = iir;
        while (inb(COM1_LSR) & LSR_DATA_READY) line[received++ % sizeof(line)] = inb(COM1);
    }
    lapic_write(LAPIC_EOI, 0);
}

static void sleep_until(volatile u32 *count, u32 value) {
    while (*count < value) __asm__ volatile("sti; hlt; cli" ::: "memory");
}

static void ioapic_write(u32 reg, u32 value) {
    *(volatile u32 *)0xfec00000ull = reg;
    *(volatile u32 *)0xfec00010ull = value;
}

void main(void) {
    set_gate(0x20, on_pit);
    set_gate(0x40, on_timer);
    set_gate(0x50, on_serial);
    load_idt();

    /* PIC: vectors 0x20 and 0x28, only IRQ0 open. PIT channel 0: mode 2, 100 Hz. */
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0x20);
    outb(0xa1, 0x28);
    outb(0x21, 0x04);
    outb(0xa1, 0x02);
    outb(0x21, 0x01);
    outb(0xa1, 0x01);
    outb(0x21, 0xfe);
    outb(0xa1, 0xff);
    outb(0x43, 0x34);
    outb(0x40, 0x9c);
    outb(0x40, 0x2e);
    sleep_until(&pit_ticks, 5);
    outb(0x21, 0xff);
    report("pit", pit_ticks >= 5);

    lapic_write(LAPIC_SVR, 0x1ff);
    lapic_write(LAPIC_TIMER_DIVIDE, 0x0b);
    lapic_write(LAPIC_LVT_TIMER, 0x40);
    lapic_write(LAPIC_TIMER_INITIAL, 5000000);
    sleep_until(&timer_ticks, 1);
    report("oneshot", timer_ticks);
    lapic_write(LAPIC_LVT_TIMER, 0x20040);
    lapic_write(LAPIC_TIMER_INITIAL, 20000000);
    sleep_until(&timer_ticks, 4);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    report("periodic", timer_ticks >= 4);

    /* GSI 4: vector 0x50, edge, to APIC 0. */
    ioapic_write(0x10 + 2 * 4 + 1, 0);
    ioapic_write(0x10 + 2 * 4, 0x50);
    outb(COM1 + 2, 0x07);
    outb(COM1 + 4, 0x0b);
    outb(COM1 + 1, 0x01);
    put("echo ready\n");
    for (u32 seen = 0;;) {
        sleep_until(&received, seen + 1);
        for (; seen < received; seen++) {
            u8 byte = line[seen % sizeof(line)];
            if (byte == '.') {
                put("\n");
                report("received", received);
                report("interrupts", serial_interrupts > 0);
                report("wrong", wrong_identification);
                power_off();
            }
            put_char((char)(byte >= 'a' && byte <= 'z' ? byte - 32 : byte));
        }
    }
}
