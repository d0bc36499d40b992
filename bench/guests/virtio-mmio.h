/*
 * A driver's half of virtio-mmio (virtio 1.2, section 4.2) for bare-metal 32-bit guests in the
 * windows of vexit and of QEMU's microvm, the marks that the benchmarks read, and the entry by PVH,
 * which calls main.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define MAGIC 0x74726976u

struct descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
};

static u32 base;

static void outb(u16 port, u8 value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static u32 get(u32 reg) {
    return *(volatile u32 *)(base + reg);
}
static void set(u32 reg, u32 value) {
    *(volatile u32 *)(base + reg) = value;
}

/* Marks the end on the debug console (port 0xe9) and ends the VM by the debug-exit port (0x501). */
static void leave(u8 mark) {
    outb(0xe9, mark);
    /* Time for the reader of the mark to look at this process before it ends. */
    for (u32 i = 0; i < 5000; i++) outb(0x2f0, 0);
    outb(0x501, mark == 0xa2 ? 0 : 1);
    for (;;) __asm__ volatile("hlt");
}

/* Finds the first device of a type (virtio 1.2, section 5). */
static void find(u32 type) {
    static const struct {
        u32 start, stride, count;
    } machines[] = {{0xd0000000, 0x1000, 16}, {0xfeb00000, 0x200, 32}};
    for (u32 m = 0; m < 2; m++)
        for (u32 i = 0; i < machines[m].count; i++) {
            base = machines[m].start + i * machines[m].stride;
            if (get(0) == MAGIC && get(8) == type) return;
        }
    leave(0xee);
}

/* Section 3.1.1, steps 1 to 3: reset, ACKNOWLEDGE, DRIVER. */
static void begin(void) {
    set(0x70, 0);
    while (get(0x70)) {
    }
    set(0x70, 1);
    set(0x70, 3);
}

static void enable_queue(u32 index, u32 size, void *descriptors, void *available,
                         volatile void *used) {
    set(0x30, index);
    if (get(0x34) < size) leave(0xee);
    set(0x38, size);
    set(0x80, (u32)descriptors);
    set(0x90, (u32)available);
    set(0xa0, (u32)used);
    set(0x44, 1);
}

__asm__(".section .note.pvh, \"a\", @note\n"
        ".long 4, 4, 18\n"
        ".asciz \"Xen\"\n"
        ".long start\n"
        ".text\n"
        ".globl start\n"
        "start: mov $0x200000, %esp\n"
        "jmp main\n");
