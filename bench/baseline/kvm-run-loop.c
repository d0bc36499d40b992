// The floor: what KVM itself costs. Loads a 32-bit ELF, enters it in protected mode and answers its
// exits with as little as a VMM can: the debug console goes to standard output, one scratch
// register is kept, everything else floats. Prints nothing itself.
//
//   kvm-run-loop guest.elf          runs to the guest's write to port 0x501
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_SIZE (16u << 20)
#define DEBUG_CONSOLE 0xe9
#define DEBUG_EXIT 0x501
#define SCRATCH 0x3ff

static int ask(int fd, unsigned long request, void *argument, const char *name) {
    int result = ioctl(fd, request, argument);
    if (result < 0) err(2, "%s", name);
    return result;
}
#define ASK(fd, request, argument) ask(fd, request, (void *)(uintptr_t)(argument), #request)

static uint32_t load(const char *path, uint8_t *memory) {
    static uint8_t file[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, file, sizeof(file)) < (ssize_t)sizeof(Elf32_Ehdr)) err(2, "%s", path);
    close(fd);
    const Elf32_Ehdr *header = (const void *)file;
    const Elf32_Phdr *segments = (const void *)(file + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD) continue;
        memcpy(memory + segments[i].p_paddr, file + segments[i].p_offset, segments[i].p_filesz);
    }
    return header->e_entry;
}

static void enter(int vcpu, uint32_t entry) {
    struct kvm_sregs sregs;
    ASK(vcpu, KVM_GET_SREGS, &sregs);
    struct kvm_segment flat = {
        .limit = 0xffffffff, .present = 1, .db = 1, .s = 1, .g = 1, .type = 3, .selector = 0x18};
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
    sregs.cs = flat;
    sregs.cs.type = 11;
    sregs.cs.selector = 0x10;
    sregs.cr0 = 0x11;
    ASK(vcpu, KVM_SET_SREGS, &sregs);
    struct kvm_regs regs = {.rip = entry, .rflags = 2};
    ASK(vcpu, KVM_SET_REGS, &regs);
}

static void set_cpuid(int kvm, int vcpu) {
    struct {
        struct kvm_cpuid2 header;
        struct kvm_cpuid_entry2 entries[256];
    } cpuid = {.header.nent = 256};
    ASK(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
    ASK(vcpu, KVM_SET_CPUID2, &cpuid);
}

int main(int argc, char **argv) {
    if (argc != 2) errx(2, "usage: kvm-run-loop guest.elf");
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) err(2, "/dev/kvm");
    int vm = ASK(kvm, KVM_CREATE_VM, 0);
    uint8_t *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) err(2, "mmap");
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE,
                                                 .userspace_addr = (uintptr_t)memory};
    ASK(vm, KVM_SET_USER_MEMORY_REGION, &region);
    // As in any VMM for Linux: the interrupt controllers and the timer are KVM's.
    ASK(vm, KVM_SET_TSS_ADDR, 0xfeffd000);
    ASK(vm, KVM_CREATE_IRQCHIP, 0);
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    ASK(vm, KVM_CREATE_PIT2, &pit);
    int vcpu = ASK(vm, KVM_CREATE_VCPU, 0);
    int size = ASK(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) err(2, "mmap");
    set_cpuid(kvm, vcpu);
    enter(vcpu, load(argv[1], memory));

    uint8_t scratch = 0;
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0) err(2, "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_MMIO) continue;
        if (run->exit_reason != KVM_EXIT_IO) errx(1, "exit %u", run->exit_reason);
        uint8_t *data = (uint8_t *)run + run->io.data_offset;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            *data = run->io.port == SCRATCH ? scratch : 0xff;
        } else if (run->io.port == SCRATCH) {
            scratch = *data;
        } else if (run->io.port == DEBUG_CONSOLE) {
            if (write(STDOUT_FILENO, data, 1) != 1) err(2, "write");
        } else if (run->io.port == DEBUG_EXIT) {
            return 0;
        }
    }
}
