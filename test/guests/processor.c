/*
 * What a processor and its interrupt controllers can be asked for that no kernel asks. A letter
 * after "do=" on the command line: m MSRs, i INIT and SIPI, I the same for ever, l interrupts, L
 * for ever, w a processor that writes on the guest's image while another one resets the machine.
 */
#include "idt.h"

#define IOAPIC_SELECT 0xfec00000u
#define IOAPIC_WINDOW 0xfec00010u
#define IOAPIC_PINS 24
#define LEVEL 0x8000u
#define MASKED 0x10000u
#define ABSENT_APIC 0x77u
#define COM1_IER (COM1 + 1)
#define ROUNDS 200
#define STORM 1000
#define IMAGE_WORDS 0x1000
#define IMAGE_WORD 0x5a5a1234u
#define CMD_LINE_PTR 0x228

extern u8 trampoline[], trampoline_end[];
extern u32 trampoline_page_map;

static volatile u32 faults, started, interrupts;
static volatile u32 acknowledge, limit;

/* Part of the file that is loaded: nothing but loading it again makes it what it was. */
static volatile u32 image[IMAGE_WORDS] = {[0 ... IMAGE_WORDS - 1] = IMAGE_WORD};
static volatile u32 *command_line_pointer;
static volatile u32 writes;

/* RDMSR and WRMSR have two bytes. */
static __attribute__((interrupt)) void on_fault(struct frame *frame, u64 error) {
    (void)error;
    faults++;
    frame->rip += 2;
}

static __attribute__((interrupt)) void on_line(struct frame *frame) {
    (void)frame;
    if (++interrupts == limit) outb(COM1_IER, 0);
    if (acknowledge) lapic_write(LAPIC_EOI, 0);
}

__attribute__((noreturn, used)) void ap_main(u32 id) {
    (void)id;
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    while (command_line_pointer) {
        *command_line_pointer = 0;
        for (u32 i = 0; i < IMAGE_WORDS; i++) image[i] = ~IMAGE_WORD;
        writes++;
    }
    for (;;) __asm__ volatile("cli; hlt" ::: "memory");
}

/* Reads; writes all ones to what cannot be read, and the value that is there to the rest. */
static u32 sweep(u32 first, u32 count) {
    u32 readable = 0;
    for (u32 i = 0; i < count; i++) {
        u32 before = faults;
        u64 value = read_msr(first + i);
        int there = faults == before;
        readable += (u32)there;
        write_msr(first + i, there ? value : ~0ull);
    }
    return readable;
}

static void model_specific(void) {
    static const u32 ranges[][2] = {
        {0, 0x1000}, {0x40000000, 0x120}, {0xc0000000, 0x120}, {0xc0010000, 0x220}};
    u32 readable = 0;
    set_gate(13, on_fault);
    for (u32 i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        readable += sweep(ranges[i][0], ranges[i][1]);
    sweep(0xffffff00, 0x100);
    report("readable", readable > 0);
    report("faults", faults > 0);
    /* KVM's own: areas of guest memory that it writes to. */
    for (u32 index = 0x4b564d00; index < 0x4b564d10; index++) write_msr(index, ~0ull);
    write_msr(0x11, ~0ull);
    write_msr(0x12, ~0ull);
    put("msrs done\n");
}

static void send(u32 to, u32 command) {
    lapic_write(LAPIC_ICR_HIGH, to << 24);
    lapic_write(LAPIC_ICR_LOW, command);
}

static void prepare_start(void) {
    u64 cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    trampoline_page_map = (u32)cr3;
    for (u32 i = 0; trampoline + i < trampoline_end; i++) ((u8 *)0x8000)[i] = trampoline[i];
    lapic_write(LAPIC_SVR, 0x1ff);
}

static void write_image_and_reset(u32 *pointer) {
    u32 intact = 0;
    for (u32 i = 0; i < IMAGE_WORDS; i++) intact += image[i] == IMAGE_WORD;
    report("image", intact);
    command_line_pointer = pointer;
    prepare_start();
    send(1, 0x4500);
    send(1, 0x4608);
    send(1, 0x4608);
    while (writes < 2) __asm__ volatile("pause");
    outb(0x64, 0xfe);
    for (;;) __asm__ volatile("cli; hlt" ::: "memory");
}

static void start_again_and_again(int for_ever) {
    prepare_start();
    put("storm\n");
    for (u32 i = 0; i < ROUNDS || for_ever; i++) {
        send(1, 0x4500);
        send(1, 0x4608);
        send(1, 0x4608);
    }
    u32 before = started;
    send(1, 0x4500);
    send(1, 0x4608);
    while (started == before) send(1, 0x4608);
    put("started\n");
}

static void ioapic_write(u32 reg, u32 value) {
    *(volatile u32 *)(uptr)IOAPIC_SELECT = reg;
    *(volatile u32 *)(uptr)IOAPIC_WINDOW = value;
}

static void route(u32 pin, u32 low, u32 to) {
    ioapic_write(0x10 + 2 * pin, MASKED);
    ioapic_write(0x11 + 2 * pin, to << 24);
    ioapic_write(0x10 + 2 * pin, low);
}

static void interrupt(int for_ever) {
    set_gate(0x50, on_line);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    lapic_write(LAPIC_SVR, 0x1ff);
    /* Vectors that are none, to all; every way of delivery to nobody. */
    for (u32 vector = 0; vector < 16; vector++) send(0, 0x84000 | vector);
    for (u32 mode = 0; mode < 8; mode++) send(ABSENT_APIC, 0x4050 | mode << 8);
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++) {
        for (u32 mode = 0; mode < 8; mode++) route(pin, LEVEL | mode << 8 | pin, ABSENT_APIC);
        route(pin, MASKED, 0);
    }
    /* The transmitter is empty and stays so: the line of COM1 is active all the time. */
    limit = 0;
    acknowledge = 0;
    outb(COM1 + 4, 0x0b);
    route(4, LEVEL | 0x50, 0);
    outb(COM1_IER, 2);
    __asm__ volatile("sti");
    for (u32 i = 0; i < 10000; i++) __asm__ volatile("pause");
    __asm__ volatile("cli");
    report("unacknowledged", interrupts);
    limit = for_ever ? 0 : interrupts + STORM;
    acknowledge = 1;
    put("storm\n");
    lapic_write(LAPIC_EOI, 0);
    __asm__ volatile("sti");
    while (for_ever || interrupts < limit) __asm__ volatile("pause");
    __asm__ volatile("cli");
    put("interrupts done\n");
}

void main(u8 *params) {
    u32 *pointer = (u32 *)(params + CMD_LINE_PTR);
    const char *line = (const char *)(uptr)*pointer;
    load_idt();
    for (; *line; line++) {
        if (!same(line, "do=", 3)) continue;
        switch (line[3]) {
        case 'm':
            model_specific();
            break;
        case 'i':
            start_again_and_again(0);
            break;
        case 'I':
            start_again_and_again(1);
            break;
        case 'l':
            interrupt(0);
            break;
        case 'L':
            interrupt(1);
            break;
        case 'w':
            write_image_and_reset(pointer);
            break;
        default:
            break;
        }
        break;
    }
    power_off();
}
