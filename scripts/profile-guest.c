/*
 * Samples what a guest executes: preloaded into a VMM it interrupts every KVM_RUN at a fixed rate
 * and notes RIP, the words of the kernel's stack that point into its text, and KVM's counters.
 * Run by profile-guest.mjs, which resolves the addresses.
 *
 * A line for each sample, of hexadecimal numbers: nanoseconds, vCPU, instructions emulated, exits,
 * RIP, and return addresses from the innermost outwards. The stack is searched, not unwound, so
 * stale addresses can be among them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The signal that the addon kicks vCPUs with: its handler is there already. */
#define KICK_SIGNAL (SIGRTMIN + 3)
#define MAX_REGIONS 64
#define MAX_DEPTH 96
#define MAX_COUNTERS 128
#define STACK_BYTES 16384

/* Linux on x86-64 without KASLR: kernel image and direct map. */
#define IMAGE 0xffffffff80000000ull
#define IMAGE_END 0xffffffffa0000000ull
#define DIRECT_MAP 0xffff888000000000ull
#define DIRECT_MAP_END 0xffffc88000000000ull

static int (*real_ioctl)(int, unsigned long, ...);
static struct kvm_userspace_memory_region regions[MAX_REGIONS];
static FILE *out;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t text_start, text_end;
static long period_ns;

struct sampler {
    int fd, number, stats;
    timer_t timer;
    const struct kvm_run *run;
    uint64_t instructions_at, exits_at;
};

static __thread struct sampler sampler = {.fd = -1};

static uint64_t number_of(const char *name, uint64_t fallback, int base) {
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, base) : fallback;
}

__attribute__((constructor)) static void prepare(void) {
    const char *file = getenv("PROFILE_OUT");
    real_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    text_start = number_of("PROFILE_TEXT_START", 0, 16);
    text_end = number_of("PROFILE_TEXT_END", 0, 16);
    period_ns = 1000000000L / (long)number_of("PROFILE_RATE", 500, 10);
    if (file) out = fopen(file, "we");
}

/* Where KVM's statistics file has the counter of this name, or 0. */
static uint64_t counter_at(int stats, const char *name) {
    struct kvm_stats_header header;
    char entry[sizeof(struct kvm_stats_desc) + 256];

    if (pread(stats, &header, sizeof header, 0) != sizeof header) return 0;
    const size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
    if (size > sizeof entry) return 0;
    for (uint32_t i = 0; i < header.num_desc; i++) {
        const struct kvm_stats_desc *desc = (const void *)entry;
        if (pread(stats, entry, size, header.desc_offset + i * size) != (ssize_t)size) return 0;
        if (strcmp(entry + sizeof *desc, name) == 0) return header.data_offset + desc->offset;
    }
    return 0;
}

static uint64_t counter(uint64_t at) {
    uint64_t value = 0;
    if (at && pread(sampler.stats, &value, sizeof value, (off_t)at) != sizeof value) return 0;
    return value;
}

static void begin(int fd) {
    static _Atomic int count;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL};
    struct itimerspec every = {.it_interval = {0, period_ns}, .it_value = {0, period_ns}};

    sampler.fd = fd;
    sampler.number = count++;
    sampler.run = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    sampler.stats = real_ioctl(fd, KVM_GET_STATS_FD, 0);
    if (sampler.stats >= 0) {
        sampler.instructions_at = counter_at(sampler.stats, "insn_emulation");
        sampler.exits_at = counter_at(sampler.stats, "exits");
    }
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &sampler.timer) == 0)
        timer_settime(sampler.timer, 0, &every, NULL);
}

/* The host's address of a guest kernel's address; what is mapped otherwise is not looked up. */
static const void *host_address(uint64_t address, size_t *room) {
    uint64_t physical;

    if (address >= IMAGE && address < IMAGE_END)
        physical = address - IMAGE;
    else if (address >= DIRECT_MAP && address < DIRECT_MAP_END)
        physical = address - DIRECT_MAP;
    else
        return NULL;
    for (int i = 0; i < MAX_REGIONS; i++) {
        const struct kvm_userspace_memory_region *region = &regions[i];
        if (physical - region->guest_phys_addr >= region->memory_size) continue;
        *room = region->guest_phys_addr + region->memory_size - physical;
        return (const char *)(uintptr_t)region->userspace_addr +
               (physical - region->guest_phys_addr);
    }
    return NULL;
}

static void print_stack(uint64_t rsp) {
    size_t room = 0;
    const uint64_t *stack = host_address(rsp & ~7ull, &room);
    const size_t words = (STACK_BYTES - (rsp & (STACK_BYTES - 1))) / 8;
    int depth = 0;

    if (!stack) return;
    for (size_t i = 0; i < words && i < room / 8 && depth < MAX_DEPTH; i++) {
        if (stack[i] < text_start || stack[i] >= text_end) continue;
        fprintf(out, " %lx", (unsigned long)stack[i]);
        depth++;
    }
}

static void sample(int fd) {
    struct kvm_regs regs;
    struct timespec now;

    if (real_ioctl(fd, KVM_GET_REGS, &regs) < 0) return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&out_lock);
    fprintf(out, "%lx %x %lx %lx %lx", (unsigned long)(now.tv_sec * 1000000000L + now.tv_nsec),
            sampler.number, (unsigned long)counter(sampler.instructions_at),
            (unsigned long)counter(sampler.exits_at), (unsigned long)regs.rip);
    if (regs.rip >> 63) print_stack(regs.rsp);
    fputc('\n', out);
    pthread_mutex_unlock(&out_lock);
}

static int profiled_run(int fd) {
    if (sampler.fd != fd) begin(fd);
    for (;;) {
        const int result = real_ioctl(fd, KVM_RUN, 0);
        const int error = errno;
        if (result >= 0 || error != EINTR) return result;
        sample(fd);
        errno = error;
        /* Somebody else's kick. */
        if (sampler.run == MAP_FAILED || sampler.run->immediate_exit) return result;
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (!out) return real_ioctl(fd, request, argument);
    if (request == KVM_RUN) return profiled_run(fd);
    const int result = real_ioctl(fd, request, argument);
    if (request == KVM_SET_USER_MEMORY_REGION && result == 0) {
        const struct kvm_userspace_memory_region *region = argument;
        if ((region->slot & 0xffff) < MAX_REGIONS) regions[region->slot & 0xffff] = *region;
    }
    return result;
}
