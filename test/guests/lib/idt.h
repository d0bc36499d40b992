/* An interrupt descriptor table for 64-bit guests, and the local APIC. */
#ifndef IDT_H
#define IDT_H
#include "guest.h"

struct gate {
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_middle;
    u32 offset_high, zero;
};
struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));
/* What the processor pushes; the handlers are compiled with the attribute "interrupt". */
struct frame {
    u64 rip, cs, rflags, rsp, ss;
};

static struct gate idt[256];

static inline void set_gate(u8 vector, const void *handler) {
    u64 at = (u64)handler;
    idt[vector] = (struct gate){(u16)at, 0x10, 0, 0x8e, (u16)(at >> 16), (u32)(at >> 32), 0};
}
static inline void load_idt(void) {
    struct table_pointer pointer = {sizeof(idt) - 1, (u64)idt};
    __asm__ volatile("lidt %0" ::"m"(pointer));
}

#define LAPIC 0xfee00000u
static inline u32 lapic_read(u32 reg) {
    return *(volatile u32 *)(uptr)(LAPIC + reg);
}
static inline void lapic_write(u32 reg, u32 value) {
    *(volatile u32 *)(uptr)(LAPIC + reg) = value;
}
#define LAPIC_ID 0x20
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_DIVIDE 0x3e0

static inline u64 read_msr(u32 index) {
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return ((u64)high << 32) | low;
}
static inline void write_msr(u32 index, u64 value) {
    __asm__ volatile("wrmsr" ::"a"((u32)value), "d"((u32)(value >> 32)), "c"(index));
}
#endif
