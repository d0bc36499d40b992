/* Virtio over MMIO as a careful and as a careless driver meets it: windows, rng, a device that is
 * not vexit's own ("text", type 63), interrupts, and how the devices get over mistakes. */
#include "virtio.h"
#include "idt.h"

#define TYPE_RNG 4
#define TYPE_TEXT 63
#define RNG_VECTOR 0x50

static struct virtqueue queue;
static u8 bytes[4096];
static char text[] = "hello, world";
static char answer[64];

static volatile u32 interrupts;
static u64 rng;

static __attribute__((interrupt)) void on_interrupt(struct frame *frame) {
    (void)frame;
    interrupts++;
    virtio_write(rng, REG_INTERRUPT_ACK, virtio_read(rng, REG_INTERRUPT_STATUS));
    lapic_write(LAPIC_EOI, 0);
}

static void route(u32 gsi, u8 vector) {
    *(volatile u32 *)0xfec00000ull = 0x10 + 2 * gsi + 1;
    *(volatile u32 *)0xfec00010ull = 0;
    *(volatile u32 *)0xfec00000ull = 0x10 + 2 * gsi;
    *(volatile u32 *)0xfec00010ull = vector;
}

static void list(void) {
    for (u32 slot = 0; slot < 16; slot++) {
        u64 base = virtio_slot(slot);
        if (virtio_read(base, REG_MAGIC) != VIRTIO_MAGIC) break;
        report("device", virtio_read(base, REG_DEVICE_ID));
    }
}

static u32 filled(void) {
    u32 count = 0;
    for (u32 i = 0; i < sizeof(bytes); i++) count += bytes[i] != 0;
    return count;
}

static void use_rng(void) {
    for (u32 i = 0; i < sizeof(bytes); i++) bytes[i] = 0;
    report("accepted", (u32)virtio_negotiate(rng, FEATURE_VERSION_1));
    virtio_queue(&queue, rng, 0);
    virtio_driver_ok(rng);
    interrupts = 0;
    virtio_publish(&queue, virtio_descriptor(&queue, bytes, sizeof(bytes), DESC_WRITE));
    virtio_kick(&queue);
    report("length", virtio_wait(&queue).length);
    report("random", filled() > sizeof(bytes) / 2);
    while (!interrupts) __asm__ volatile("sti; hlt; cli" ::: "memory");
    report("interrupts", interrupts);
}

/* A buffer outside RAM: the device asks for a reset, tells so, and works again after it. */
static void break_rng(void) {
    interrupts = 0;
    u16 head = virtio_descriptor(&queue, (void *)0xdead00000ull, 16, DESC_WRITE);
    virtio_publish(&queue, head);
    virtio_kick(&queue);
    while (!(virtio_read(rng, REG_STATUS) & STATUS_NEEDS_RESET)) __asm__ volatile("pause");
    while (!interrupts) __asm__ volatile("sti; hlt; cli" ::: "memory");
    report("broken", virtio_read(rng, REG_STATUS) & STATUS_NEEDS_RESET);
}

static void use_text(u64 base) {
    report("text_accepted", (u32)virtio_negotiate(base, FEATURE_VERSION_1 | 1));
    virtio_queue(&queue, base, 0);
    virtio_driver_ok(base);
    for (u32 i = 0; i < 3; i++) {
        u16 head = virtio_descriptor(&queue, text, sizeof(text) - 1, DESC_NEXT);
        virtio_descriptor(&queue, answer, sizeof(answer) - 1, DESC_WRITE);
        virtio_publish(&queue, head);
        virtio_kick(&queue);
        virtio_wait(&queue);
    }
    put("answer=");
    put(answer);
    put_char('\n');
    report("answered", virtio_read(base, REG_CONFIG));
}

/* A1, A2, A4, A6: what no driver does. */
static void misuse(u64 base) {
    u32 wrong = 0;
    for (u32 reg = 0; reg < 0x100; reg++) {
        wrong += *(volatile u8 *)(uptr)(base + reg) != 0;
        if (reg % 2 == 0) wrong += *(volatile u16 *)(uptr)(base + reg) != 0;
    }
    report("narrow", wrong);
    for (u32 reg = 0x200; reg < 0x1000; reg += 4) virtio_write(base, reg, 0xffffffff);
    virtio_write(base, REG_QUEUE_SEL, 0xffffffff);
    virtio_write(base, REG_QUEUE_READY, 1);
    report("no_queue", virtio_read(base, REG_QUEUE_SIZE_MAX));
    for (u32 i = 0; i < 2000; i++) virtio_write(base, REG_QUEUE_NOTIFY, i * 0x1111);
    for (u32 i = 0; i < 200; i++) virtio_write(base, REG_STATUS, 0);
    report("status", virtio_read(base, REG_STATUS));
}

void main(void) {
    set_gate(RNG_VECTOR, on_interrupt);
    load_idt();
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    lapic_write(LAPIC_SVR, 0x1ff);
    list();
    rng = virtio_find(TYPE_RNG);
    route(16, RNG_VECTOR);
    use_rng();
    break_rng();
    misuse(rng);
    use_rng();
    u64 base = virtio_find(TYPE_TEXT);
    if (base) use_text(base);
    put("done\n");
    /* Until the host has seen enough. */
    for (;;) {
        if (inb(COM1_LSR) & LSR_DATA_READY) power_off();
    }
}
