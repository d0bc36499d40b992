/* User mode: arithmetic, ports of the I/O permission bitmap, MMIO, a system call, a privileged
 * instruction. */
#include "idt.h"

#define USER_CODE 0x33
#define USER_DATA 0x2b

static u64 gdt[10] __attribute__((aligned(16))) = {
    0,
    0,
    0x00af9b000000ffff,
    0x00cf93000000ffff,
    0x00cffb000000ffff,
    0x00cff3000000ffff,
    0x00affb000000ffff,
    0,
};
static struct {
    u32 reserved0;
    u64 rsp0;
    u8 rest[90];
    u16 bitmap_at;
    /* Ports 0 to 0x5ff are the user's; the byte of ones ends the bitmap. */
    u8 bitmap[192], end;
} __attribute__((packed)) tss = {.bitmap_at = 104, .end = 0xff};
static u8 kernel_stack[8192];
/* What user mode may touch is in 2 MiB of its own, see lib/guest.ld. */
#define USER __attribute__((section(".user")))
#define USER_TEXT __attribute__((section(".user.text"), noinline))
USER static u8 user_stack[4096] = {1};
USER static char greeting[] = "user\n";
USER static volatile struct {
    u64 sum, cs, mmio, port, tripled, returned_cs, rflags;
} results = {.sum = 1};

void syscall_entry(void);
__asm__("syscall_entry: lea (%rax,%rax,2), %rax\n  sysretq\n");

USER_TEXT static void user(void) {
    u64 sum = 0, i = 20000000;
    __asm__ volatile("1: add %1, %0; dec %1; jnz 1b" : "+r"(sum), "+r"(i));
    results.sum = sum;
    u64 cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    results.cs = cs;
    results.mmio = *(volatile u64 *)0xc8000000ull;
    outsb(DEBUG_CONSOLE, greeting, 5);
    results.port = inl(0x234);
    u64 rax = 14;
    __asm__ volatile("syscall" : "+a"(rax)::"rcx", "r11", "memory");
    results.tripled = rax;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    results.returned_cs = cs;
    __asm__ volatile("hlt");
    for (;;) {
    }
}

static __attribute__((interrupt)) void on_fault(struct frame *frame, u64 error) {
    u64 cr2, cs;
    __asm__("mov %%cr2, %0" : "=r"(cr2));
    __asm__("mov %%cs, %0" : "=r"(cs));
    report("error", error);
    report("rflags", frame->rflags);
    report("fault_cs", frame->cs);
    report("handler_cs", cs);
    report("opcode", *(u8 *)frame->rip);
    report("cr2", cr2);
    report("sum", results.sum);
    report("cs", results.cs);
    report("mmio", results.mmio);
    report("port", results.port);
    report("tripled", results.tripled);
    report("returned_cs", results.returned_cs);
    power_off();
}
static __attribute__((interrupt)) void on_undefined(struct frame *frame) {
    report("undefined", frame->rip);
    power_off();
}

void main(void) {
    u64 cr3;
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    /* User access to the page of .user and to unmapped MMIO. */
    u64 *map = (u64 *)cr3, *pointers = (u64 *)(map[0] & ~4095ull);
    map[0] |= 4;
    for (u32 i = 0; i < 4; i++) pointers[i] |= 4;
    ((u64 *)(pointers[0] & ~4095ull))[(u64)user_stack >> 21] |= 4;
    ((u64 *)(pointers[3] & ~4095ull))[(0xc8000000u & 0x3fffffff) >> 21] |= 4;
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");

    u64 base = (u64)&tss;
    gdt[8] = 0x0000890000000000 | (sizeof(tss) - 1) | (base & 0xffffff) << 16 |
             (base >> 24 & 0xff) << 56;
    gdt[9] = base >> 32;
    tss.rsp0 = (u64)(kernel_stack + sizeof(kernel_stack));
    struct table_pointer pointer = {sizeof(gdt) - 1, (u64)gdt};
    __asm__ volatile("lgdt %0; ltr %w1" ::"m"(pointer), "r"(0x40));
    set_gate(6, on_undefined);
    set_gate(13, on_fault);
    set_gate(14, on_fault);
    load_idt();
    write_msr(0xc0000080, read_msr(0xc0000080) | 1);
    write_msr(0xc0000081, (0x23ull << 48) | (0x10ull << 32));
    write_msr(0xc0000082, (u64)syscall_entry);
    write_msr(0xc0000084, 0);
    report("lstar", read_msr(0xc0000082) == (u64)syscall_entry);
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"r"((u64)USER_DATA),
                     "r"((u64)(user_stack + sizeof(user_stack))), "r"(2ull), "r"((u64)USER_CODE),
                     "r"(user));
}
