// The KVM ABI as the compiler sees it from C.
//
// Debian's linux/stddef.h makes `struct {}` part of flexible arrays, which has size 1 in C++:
// ioctl numbers and offsets of KVM_SET_CPUID2 and its like come out wrong there. So everything
// that depends on the layout of linux/kvm.h is compiled as C and reaches C++ through tables.
#ifndef VEXIT_KVM_ABI_H
#define VEXIT_KVM_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How the third argument of an ioctl is passed and checked.
enum vx_ioctl_kind {
    VX_IOCTL_VALUE,  // an integer
    VX_IOCTL_STRUCT, // a structure of exactly `size` bytes or more
    VX_IOCTL_LIST    // a header of `size` bytes whose first u32 counts entries of `entry` bytes
};

struct vx_ioctl {
    const char *name;    // the name JavaScript sees
    const char *syscall; // the name errors carry
    unsigned long request;
    enum vx_ioctl_kind kind;
    uint32_t size;
    uint32_t entry;
};

struct vx_constant {
    const char *name;
    int64_t value;
};

extern const struct vx_ioctl vx_ioctls[];
extern const size_t vx_ioctl_count;
extern const struct vx_constant vx_constants[];
extern const size_t vx_constant_count;

// KVM_SET_USER_MEMORY_REGION. Returns 0 or a negative errno.
int vx_set_user_memory_region(int vm_fd, uint32_t slot, uint32_t flags, uint64_t guest_address,
                              uint64_t host_address, uint64_t size);

// KVM_GET_DIRTY_LOG into `bitmap`. Returns 0 or a negative errno.
int vx_get_dirty_log(int vm_fd, uint32_t slot, void *bitmap);

// One range of KVM_X86_SET_MSR_FILTER: accesses to [base, base + count) exit to user space.
struct vx_msr_range {
    uint32_t base;
    uint32_t count;
    uint32_t write_only;
};

// KVM_X86_SET_MSR_FILTER: everything is allowed but the ranges given (at most 16, each at most
// 64 MSRs). Returns 0 or a negative errno.
int vx_set_msr_filter(int vm_fd, const struct vx_msr_range *ranges, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
