/* Starts the other processors, lets all of them count and answer an IPI, and prints their CPUID. */
#include "idt.h"

#define MAX_CPUS 32
#define ADDITIONS 300

extern u8 trampoline[], trampoline_end[];
extern u32 trampoline_page_map;

static volatile u32 online, counter, finished, ipis, done;
static volatile u32 seen[MAX_CPUS];
static u32 leaves[MAX_CPUS][6][4];

static __attribute__((interrupt)) void on_ipi(struct frame *frame) {
    (void)frame;
    __atomic_fetch_add(&ipis, 1, __ATOMIC_SEQ_CST);
    lapic_write(LAPIC_EOI, 0);
}

static void collect(u32 id) {
    cpuid(1, 0, leaves[id][0]);
    cpuid(0xb, 0, leaves[id][1]);
    cpuid(0xb, 1, leaves[id][2]);
    cpuid(0xb, 2, leaves[id][3]);
    cpuid(4, 3, leaves[id][4]);
    cpuid(0x8000001e, 0, leaves[id][5]);
}

static void count(void) {
    for (u32 i = 0; i < ADDITIONS; i++) __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

__attribute__((noreturn, used)) void ap_main(u32 id) {
    load_idt();
    lapic_write(LAPIC_SVR, 0x1ff);
    seen[id]++;
    collect(id);
    __atomic_fetch_add(&online, 1, __ATOMIC_SEQ_CST);
    count();
    for (;;) __asm__ volatile("sti; hlt" ::: "memory");
}

static void send(u32 to, u32 command) {
    lapic_write(LAPIC_ICR_HIGH, to << 24);
    lapic_write(LAPIC_ICR_LOW, command);
    while (lapic_read(LAPIC_ICR_LOW) & 0x1000) {
    }
}

static u32 parse(const char *text) {
    u32 value = 0;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (u32)(*text - '0');
    return value;
}

void main(const u8 *params) {
    const char *line = (const char *)(uptr) * (const u32 *)(params + 0x228);
    u32 cpus = 1;
    for (; *line; line++)
        if (same(line, "cpus=", 5)) cpus = parse(line + 5);
    set_gate(0x60, on_ipi);
    load_idt();
    u64 cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    trampoline_page_map = (u32)cr3;
    for (u32 i = 0; trampoline + i < trampoline_end; i++) ((u8 *)0x8000)[i] = trampoline[i];
    lapic_write(LAPIC_SVR, 0x1ff);
    collect(0);
    report("bsp", lapic_read(LAPIC_ID) >> 24);

    for (u32 id = 1; id < cpus; id++) {
        send(id, 0x4500);
        send(id, 0x4608);
        send(id, 0x4608);
    }
    while (online < cpus - 1) __asm__ volatile("pause");
    count();
    while (finished < cpus) __asm__ volatile("pause");
    report("counter", counter);

    /* One IPI to each, then one to all but self. */
    for (u32 id = 1; id < cpus; id++) send(id, 0x4060);
    while (ipis < cpus - 1) __asm__ volatile("pause");
    send(0, 0xc4060);
    while (ipis < 2 * (cpus - 1)) __asm__ volatile("pause");
    report("ipis", ipis);
    for (u32 id = 0; id < cpus; id++) {
        put("cpu=");
        put_hex(id);
        put_char(' ');
        put_hex(seen[id]);
        for (u32 leaf = 0; leaf < 6; leaf++) {
            for (u32 r = 0; r < 4; r++) {
                put_char(r == 0 ? ' ' : ',');
                put_hex(leaves[id][leaf][r]);
            }
        }
        put_char('\n');
    }
    done = 1;
}
