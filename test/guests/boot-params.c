/* What a kernel finds behind the Linux 64-bit entry: registers, boot_params, tables. */
#include "guest.h"

static volatile u64 word;

struct entry {
    u64 address, size;
    u32 type;
} __attribute__((packed));

void main(const u8 *params) {
    u64 cr0, cr3, cr4, cs;
    __asm__("mov %%cr0, %0" : "=r"(cr0));
    __asm__("mov %%cr3, %0" : "=r"(cr3));
    __asm__("mov %%cr4, %0" : "=r"(cr4));
    __asm__("mov %%cs, %0" : "=r"(cs));
    report("cr0", cr0);
    report("cr4", cr4);
    report("cs", cs);
    report("zero_page", (u64)params);
    report("header", *(const u32 *)(params + 0x202));
    report("loader", params[0x210]);
    put("cmdline=");
    put((const char *)(uptr) * (const u32 *)(params + 0x228));
    put_char('\n');
    u32 initrd = *(const u32 *)(params + 0x218), size = *(const u32 *)(params + 0x21c);
    report("initrd_size", size);
    report("initrd_page_offset", initrd & 4095);
    u32 sum = 0;
    for (u32 i = 0; i < size; i++) sum = sum * 31 + ((const u8 *)(uptr)initrd)[i];
    report("initrd_hash", sum);
    report("rsdp", same((const void *)*(const u64 *)(params + 0x70), "RSD PTR ", 8));
    const struct entry *e820 = (const struct entry *)(params + 0x2d0);
    for (u32 i = 0; i < params[0x1e8]; i++) {
        put("map=");
        put_hex(e820[i].address);
        put_char(' ');
        put_hex(e820[i].size);
        put_char(' ');
        put_hex(e820[i].type);
        put_char('\n');
    }
    u64 product = 1;
    for (u64 i = 2; i <= 20; i++) product *= i;
    word = product;
    report("factorial", *(volatile u64 *)((cr3 & 0) + (u64)&word));
}
