/* 32-bit protected mode: what the loader passed, then the same memory with paging. */
#include "guest.h"

struct info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    u32 mmap_length, mmap_addr;
};
struct module {
    u32 start, end, string, reserved;
};
struct entry {
    u32 size, base_low, base_high, length_low, length_high, type;
};

static u64 directories[4][512] __attribute__((aligned(4096)));
static u64 pointers[512] __attribute__((aligned(4096)));
static u64 map[512] __attribute__((aligned(4096)));
static volatile u32 word;

static u32 factorial(u32 n) {
    u32 product = 1;
    for (; n > 1; n--) product *= n;
    return product;
}

void main(u32 magic, const struct info *info) {
    report("magic", magic);
    report("flags", info->flags);
    report("lower", info->mem_lower);
    report("upper", info->mem_upper);
    put("cmdline=");
    put((const char *)info->cmdline);
    put_char('\n');
    const struct module *modules = (const struct module *)info->mods_addr;
    for (u32 i = 0; i < info->mods_count; i++) {
        u32 sum = 0;
        for (const u8 *at = (const u8 *)modules[i].start; at < (const u8 *)modules[i].end; at++)
            sum += *at;
        put("module=");
        put((const char *)modules[i].string);
        put_char(' ');
        put_hex(modules[i].end - modules[i].start);
        put_char(' ');
        put_hex(sum);
        put_char(' ');
        put_hex(modules[i].start & 4095);
        put_char('\n');
    }
    for (u32 at = info->mmap_addr; at < info->mmap_addr + info->mmap_length;) {
        const struct entry *entry = (const struct entry *)at;
        put("map=");
        put_hex(((u64)entry->base_high << 32) | entry->base_low);
        put_char(' ');
        put_hex(((u64)entry->length_high << 32) | entry->length_low);
        put_char(' ');
        put_hex(entry->type);
        put_char('\n');
        at += entry->size + 4;
    }

    word = factorial(10);
    report("word", word);

    /*
     * 2 MiB pages: identity, and the first GiB again at 3 GiB. PAE's three levels with "legacy" on
     * the command line; otherwise the four levels of long mode, in which this code, whose segment
     * is a 32-bit one, goes on in compatibility mode.
     */
    int legacy = same((const char *)info->cmdline, "legacy", 6);
    for (u32 i = 0; i < 4; i++) {
        for (u32 j = 0; j < 512; j++) directories[i][j] = ((i % 3) << 30) + (j << 21) + 0x83;
        pointers[i] = (u32)directories[i] + (legacy ? 1 : 3);
    }
    map[0] = (u32)pointers + 3;
    u32 value;
    __asm__ volatile("mov %%cr4, %0; or $0x20, %0; mov %0, %%cr4" : "=r"(value));
    __asm__ volatile("mov %0, %%cr3" ::"r"(legacy ? pointers : map) : "memory");
    if (!legacy)
        __asm__ volatile("rdmsr; or $0x100, %%eax; wrmsr" ::"c"(0xc0000080) : "eax", "edx");
    __asm__ volatile("mov %%cr0, %0; or $0x80000000, %0; mov %0, %%cr0" : "=r"(value)::"memory");
    volatile u32 *alias = (volatile u32 *)((u32)&word + 0xc0000000);
    *alias = *alias * 2 + 1;
    report("paged", word);
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    report("cr0", value);
    power_off();
}
