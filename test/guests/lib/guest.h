/* What the C guests share: ports, the serial console, hexadecimal numbers. Freestanding, 32 or 64
 * bit. */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long uptr;

#define COM1 0x3f8
#define COM1_LSR 0x3fd
#define LSR_DATA_READY 0x01
#define LSR_THRE 0x20
#define DEBUG_CONSOLE 0xe9

static inline void outb(u16 port, u8 value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outw(u16 port, u16 value) {
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outl(u16 port, u32 value) {
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline u8 inb(u16 port) {
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline u16 inw(u16 port) {
    u16 value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline u32 inl(u16 port) {
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* String instructions: one exit for up to a page of values. */
static inline void outsb(u16 port, const void *from, uptr count) {
    __asm__ volatile("cld; rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
static inline void outsw(u16 port, const void *from, uptr count) {
    __asm__ volatile("cld; rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
static inline void outsl(u16 port, const void *from, uptr count) {
    __asm__ volatile("cld; rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
static inline void insb(u16 port, void *to, uptr count) {
    __asm__ volatile("cld; rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
static inline void insw(u16 port, void *to, uptr count) {
    __asm__ volatile("cld; rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
static inline void insl(u16 port, void *to, uptr count) {
    __asm__ volatile("cld; rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static inline void put_char(char c) {
    while (!(inb(COM1_LSR) & LSR_THRE)) {
    }
    outb(COM1, (u8)c);
}
static inline void put(const char *text) {
    for (; *text; text++) put_char(*text);
}
static inline void put_hex(u64 value) {
    int shift = 60;
    while (shift > 0 && !((value >> shift) & 15)) shift -= 4;
    for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}
/* "name=value\n", the lines that tests read. */
static inline void report(const char *name, u64 value) {
    put(name);
    put_char('=');
    put_hex(value);
    put_char('\n');
}

static inline int same(const void *a, const void *b, uptr length) {
    const u8 *left = a, *right = b;
    for (uptr i = 0; i < length; i++)
        if (left[i] != right[i]) return 0;
    return 1;
}

static inline __attribute__((noreturn)) void halt(void) {
    for (;;) __asm__ volatile("cli; hlt");
}
/* ACPI S5. */
static inline __attribute__((noreturn)) void power_off(void) {
    outw(0x604, 0x2000);
    halt();
}
static inline void cpuid(u32 leaf, u32 subleaf, u32 out[4]) {
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

#endif
