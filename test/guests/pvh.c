/* 64-bit code behind the PVH entry: hvm_start_info as Xen's start_info.h has it. */
#include "guest.h"

struct start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};
struct module {
    u64 address, size, cmdline, reserved;
};
struct entry {
    u64 address, size;
    u32 type, reserved;
};

static volatile u64 word;

void main(const struct start_info *info) {
    report("magic", info->magic);
    report("version", info->version);
    put("cmdline=");
    put((const char *)info->cmdline);
    put_char('\n');
    report("modules", info->nr_modules);
    const struct module *module = (const struct module *)info->modlist;
    if (info->nr_modules == 1) {
        report("size", module->size);
        put("text=");
        put((const char *)module->address);
    }
    report("rsdp", same((const void *)info->rsdp, "RSD PTR ", 8));
    const struct entry *entry = (const struct entry *)info->memmap;
    for (u32 i = 0; i < info->memmap_entries; i++) {
        put("map=");
        put_hex(entry[i].address);
        put_char(' ');
        put_hex(entry[i].size);
        put_char(' ');
        put_hex(entry[i].type);
        put_char('\n');
    }
    word = 0x123456789abcdef;
    report("word", word * 16 + 15);
    power_off();
}
