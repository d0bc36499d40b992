#include "kvm_abi.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

_Static_assert(KVM_SET_CPUID2 == 0x4008ae90, "KVM_SET_CPUID2 has a wrong number: compile this as C");
_Static_assert(KVM_SET_GSI_ROUTING == 0x4008ae6a, "KVM_SET_GSI_ROUTING has a wrong number");
_Static_assert(sizeof(struct kvm_msr_entry) == 16, "struct kvm_msr_entry");

#define VALUE(js, req) {js, #req, req, VX_IOCTL_VALUE, 0, 0}
#define STRUCT(js, req, type) {js, #req, req, VX_IOCTL_STRUCT, sizeof(type), 0}
#define LIST(js, req, head, item) {js, #req, req, VX_IOCTL_LIST, sizeof(head), sizeof(item)}

const struct vx_ioctl vx_ioctls[] = {
    // /dev/kvm
    VALUE("getApiVersion", KVM_GET_API_VERSION),
    VALUE("createVm", KVM_CREATE_VM),
    VALUE("checkExtension", KVM_CHECK_EXTENSION),
    VALUE("getVcpuMmapSize", KVM_GET_VCPU_MMAP_SIZE),
    LIST("getSupportedCpuid", KVM_GET_SUPPORTED_CPUID, struct kvm_cpuid2, struct kvm_cpuid_entry2),
    LIST("getMsrIndexList", KVM_GET_MSR_INDEX_LIST, struct kvm_msr_list, uint32_t),
    // virtual machine
    VALUE("setTssAddr", KVM_SET_TSS_ADDR),
    STRUCT("setIdentityMapAddr", KVM_SET_IDENTITY_MAP_ADDR, uint64_t),
    VALUE("createIrqchip", KVM_CREATE_IRQCHIP),
    STRUCT("createPit2", KVM_CREATE_PIT2, struct kvm_pit_config),
    VALUE("createVcpu", KVM_CREATE_VCPU),
    STRUCT("getIrqchip", KVM_GET_IRQCHIP, struct kvm_irqchip),
    STRUCT("setIrqchip", KVM_SET_IRQCHIP, struct kvm_irqchip),
    STRUCT("getPit2", KVM_GET_PIT2, struct kvm_pit_state2),
    STRUCT("setPit2", KVM_SET_PIT2, struct kvm_pit_state2),
    STRUCT("getClock", KVM_GET_CLOCK, struct kvm_clock_data),
    STRUCT("setClock", KVM_SET_CLOCK, struct kvm_clock_data),
    STRUCT("irqfd", KVM_IRQFD, struct kvm_irqfd),
    STRUCT("ioeventfd", KVM_IOEVENTFD, struct kvm_ioeventfd),
    LIST("setGsiRouting", KVM_SET_GSI_ROUTING, struct kvm_irq_routing, struct kvm_irq_routing_entry),
    STRUCT("signalMsi", KVM_SIGNAL_MSI, struct kvm_msi),
    STRUCT("enableCap", KVM_ENABLE_CAP, struct kvm_enable_cap),
    STRUCT("registerCoalescedMmio", KVM_REGISTER_COALESCED_MMIO, struct kvm_coalesced_mmio_zone),
    // vCPU
    LIST("setCpuid2", KVM_SET_CPUID2, struct kvm_cpuid2, struct kvm_cpuid_entry2),
    LIST("getMsrs", KVM_GET_MSRS, struct kvm_msrs, struct kvm_msr_entry),
    LIST("setMsrs", KVM_SET_MSRS, struct kvm_msrs, struct kvm_msr_entry),
    STRUCT("getRegs", KVM_GET_REGS, struct kvm_regs),
    STRUCT("setRegs", KVM_SET_REGS, struct kvm_regs),
    STRUCT("getSregs", KVM_GET_SREGS, struct kvm_sregs),
    STRUCT("setSregs", KVM_SET_SREGS, struct kvm_sregs),
    STRUCT("getFpu", KVM_GET_FPU, struct kvm_fpu),
    STRUCT("setFpu", KVM_SET_FPU, struct kvm_fpu),
    STRUCT("getLapic", KVM_GET_LAPIC, struct kvm_lapic_state),
    STRUCT("setLapic", KVM_SET_LAPIC, struct kvm_lapic_state),
    STRUCT("getVcpuEvents", KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events),
    STRUCT("setVcpuEvents", KVM_SET_VCPU_EVENTS, struct kvm_vcpu_events),
    STRUCT("getDebugregs", KVM_GET_DEBUGREGS, struct kvm_debugregs),
    STRUCT("setDebugregs", KVM_SET_DEBUGREGS, struct kvm_debugregs),
    STRUCT("getXsave", KVM_GET_XSAVE, struct kvm_xsave),
    STRUCT("setXsave", KVM_SET_XSAVE, struct kvm_xsave),
    STRUCT("getXcrs", KVM_GET_XCRS, struct kvm_xcrs),
    STRUCT("setXcrs", KVM_SET_XCRS, struct kvm_xcrs),
    STRUCT("getMpState", KVM_GET_MP_STATE, struct kvm_mp_state),
    STRUCT("setMpState", KVM_SET_MP_STATE, struct kvm_mp_state),
    STRUCT("setGuestDebug", KVM_SET_GUEST_DEBUG, struct kvm_guest_debug),
    STRUCT("translate", KVM_TRANSLATE, struct kvm_translation),
    VALUE("getTscKhz", KVM_GET_TSC_KHZ),
    VALUE("setTscKhz", KVM_SET_TSC_KHZ),
    VALUE("kvmclockCtrl", KVM_KVMCLOCK_CTRL),
    VALUE("nmi", KVM_NMI),
};
const size_t vx_ioctl_count = sizeof(vx_ioctls) / sizeof(vx_ioctls[0]);

#define K(c) {#c, (int64_t)(c)}
#define SIZE(type) {"sizeof_" #type, sizeof(struct type)}
#define OFF(type, field) {#type "." #field, offsetof(struct type, field)}

const struct vx_constant vx_constants[] = {
    K(KVM_EXIT_UNKNOWN), K(KVM_EXIT_EXCEPTION), K(KVM_EXIT_IO), K(KVM_EXIT_HYPERCALL),
    K(KVM_EXIT_DEBUG), K(KVM_EXIT_HLT), K(KVM_EXIT_MMIO), K(KVM_EXIT_IRQ_WINDOW_OPEN),
    K(KVM_EXIT_SHUTDOWN), K(KVM_EXIT_FAIL_ENTRY), K(KVM_EXIT_INTR), K(KVM_EXIT_INTERNAL_ERROR),
    K(KVM_EXIT_SYSTEM_EVENT), K(KVM_EXIT_X86_RDMSR), K(KVM_EXIT_X86_WRMSR),
    K(KVM_CAP_IRQCHIP), K(KVM_CAP_USER_MEMORY), K(KVM_CAP_SET_TSS_ADDR), K(KVM_CAP_EXT_CPUID),
    K(KVM_CAP_NR_VCPUS), K(KVM_CAP_NR_MEMSLOTS), K(KVM_CAP_MP_STATE), K(KVM_CAP_SYNC_MMU),
    K(KVM_CAP_IRQ_ROUTING), K(KVM_CAP_IRQFD), K(KVM_CAP_PIT2), K(KVM_CAP_IOEVENTFD),
    K(KVM_CAP_SET_IDENTITY_MAP_ADDR), K(KVM_CAP_ADJUST_CLOCK), K(KVM_CAP_VCPU_EVENTS),
    K(KVM_CAP_DEBUGREGS), K(KVM_CAP_XSAVE), K(KVM_CAP_XCRS), K(KVM_CAP_MAX_VCPUS),
    K(KVM_CAP_TSC_CONTROL), K(KVM_CAP_GET_TSC_KHZ), K(KVM_CAP_SIGNAL_MSI),
    K(KVM_CAP_READONLY_MEM), K(KVM_CAP_IMMEDIATE_EXIT), K(KVM_CAP_X86_USER_SPACE_MSR),
    K(KVM_CAP_X86_MSR_FILTER), K(KVM_CAP_MAX_VCPU_ID), K(KVM_CAP_SET_GUEST_DEBUG),
    K(KVM_CAP_TSC_DEADLINE_TIMER), K(KVM_CAP_COALESCED_MMIO), K(KVM_CAP_COALESCED_PIO),
    K(KVM_CAP_SPLIT_IRQCHIP), K(KVM_CAP_X2APIC_API), K(KVM_CAP_HYPERV), K(KVM_CAP_X86_SMM),
    K(KVM_CAP_NESTED_STATE), K(KVM_CAP_DIRTY_LOG_RING), K(KVM_CAP_SYNC_REGS),
    K(KVM_SYNC_X86_REGS), K(KVM_SYNC_X86_SREGS),
    K(KVM_MEM_LOG_DIRTY_PAGES), K(KVM_MEM_READONLY),
    K(KVM_MP_STATE_RUNNABLE), K(KVM_MP_STATE_UNINITIALIZED), K(KVM_MP_STATE_HALTED),
    K(KVM_GUESTDBG_ENABLE), K(KVM_GUESTDBG_SINGLESTEP), K(KVM_GUESTDBG_USE_HW_BP),
    K(KVM_GUESTDBG_USE_SW_BP),
    K(KVM_MSR_EXIT_REASON_FILTER), K(KVM_IRQFD_FLAG_DEASSIGN), K(KVM_IRQFD_FLAG_RESAMPLE),
    K(KVM_IOEVENTFD_FLAG_DATAMATCH), K(KVM_IOEVENTFD_FLAG_PIO), K(KVM_IOEVENTFD_FLAG_DEASSIGN),
    K(KVM_IRQ_ROUTING_IRQCHIP), K(KVM_IRQ_ROUTING_MSI), K(KVM_PIT_SPEAKER_DUMMY),
    K(KVM_SYSTEM_EVENT_SHUTDOWN), K(KVM_SYSTEM_EVENT_RESET), K(KVM_SYSTEM_EVENT_CRASH),
    K(KVM_VCPUEVENT_VALID_NMI_PENDING), K(KVM_VCPUEVENT_VALID_SIPI_VECTOR),
    K(KVM_VCPUEVENT_VALID_SHADOW), K(KVM_VCPUEVENT_VALID_PAYLOAD),

    SIZE(kvm_run), OFF(kvm_run, immediate_exit), OFF(kvm_run, exit_reason), OFF(kvm_run, if_flag),
    OFF(kvm_run, cr8), OFF(kvm_run, apic_base),
    OFF(kvm_run, kvm_valid_regs), OFF(kvm_run, kvm_dirty_regs),
    OFF(kvm_run, s.regs.regs), OFF(kvm_run, s.regs.sregs),
    OFF(kvm_run, hw.hardware_exit_reason), OFF(kvm_run, fail_entry.hardware_entry_failure_reason),
    OFF(kvm_run, io.direction), OFF(kvm_run, io.size), OFF(kvm_run, io.port),
    OFF(kvm_run, io.count), OFF(kvm_run, io.data_offset),
    OFF(kvm_run, debug.arch.exception), OFF(kvm_run, debug.arch.pc), OFF(kvm_run, debug.arch.dr6),
    OFF(kvm_run, debug.arch.dr7),
    OFF(kvm_run, mmio.phys_addr), OFF(kvm_run, mmio.data), OFF(kvm_run, mmio.len),
    OFF(kvm_run, mmio.is_write),
    OFF(kvm_run, internal.suberror), OFF(kvm_run, internal.ndata), OFF(kvm_run, internal.data),
    OFF(kvm_run, system_event.type),
    OFF(kvm_run, msr.error), OFF(kvm_run, msr.reason), OFF(kvm_run, msr.index),
    OFF(kvm_run, msr.data),

    SIZE(kvm_regs), OFF(kvm_regs, rax), OFF(kvm_regs, rbx), OFF(kvm_regs, rcx),
    OFF(kvm_regs, rdx), OFF(kvm_regs, rsi), OFF(kvm_regs, rdi), OFF(kvm_regs, rsp),
    OFF(kvm_regs, rbp), OFF(kvm_regs, r8), OFF(kvm_regs, r9), OFF(kvm_regs, r10),
    OFF(kvm_regs, r11), OFF(kvm_regs, r12), OFF(kvm_regs, r13), OFF(kvm_regs, r14),
    OFF(kvm_regs, r15), OFF(kvm_regs, rip), OFF(kvm_regs, rflags),

    SIZE(kvm_segment), OFF(kvm_segment, base), OFF(kvm_segment, limit),
    OFF(kvm_segment, selector), OFF(kvm_segment, type), OFF(kvm_segment, present),
    OFF(kvm_segment, dpl), OFF(kvm_segment, db), OFF(kvm_segment, s), OFF(kvm_segment, l),
    OFF(kvm_segment, g), OFF(kvm_segment, avl), OFF(kvm_segment, unusable),
    SIZE(kvm_dtable), OFF(kvm_dtable, base), OFF(kvm_dtable, limit),
    SIZE(kvm_sregs), OFF(kvm_sregs, cs), OFF(kvm_sregs, ds), OFF(kvm_sregs, es),
    OFF(kvm_sregs, fs), OFF(kvm_sregs, gs), OFF(kvm_sregs, ss), OFF(kvm_sregs, tr),
    OFF(kvm_sregs, ldt), OFF(kvm_sregs, gdt), OFF(kvm_sregs, idt), OFF(kvm_sregs, cr0),
    OFF(kvm_sregs, cr2), OFF(kvm_sregs, cr3), OFF(kvm_sregs, cr4), OFF(kvm_sregs, cr8),
    OFF(kvm_sregs, efer), OFF(kvm_sregs, apic_base), OFF(kvm_sregs, interrupt_bitmap),

    SIZE(kvm_vcpu_events), OFF(kvm_vcpu_events, exception.injected),
    OFF(kvm_vcpu_events, exception.nr), OFF(kvm_vcpu_events, exception.has_error_code),
    OFF(kvm_vcpu_events, exception.pending), OFF(kvm_vcpu_events, exception.error_code),
    OFF(kvm_vcpu_events, interrupt.injected), OFF(kvm_vcpu_events, interrupt.nr),
    OFF(kvm_vcpu_events, interrupt.shadow), OFF(kvm_vcpu_events, nmi.injected),
    OFF(kvm_vcpu_events, nmi.pending), OFF(kvm_vcpu_events, sipi_vector),
    OFF(kvm_vcpu_events, flags), OFF(kvm_vcpu_events, exception_has_payload),
    OFF(kvm_vcpu_events, exception_payload),

    SIZE(kvm_guest_debug), OFF(kvm_guest_debug, control), OFF(kvm_guest_debug, arch.debugreg),
    SIZE(kvm_translation), OFF(kvm_translation, linear_address),
    OFF(kvm_translation, physical_address), OFF(kvm_translation, valid),
    SIZE(kvm_fpu), OFF(kvm_fpu, fcw), OFF(kvm_fpu, mxcsr),
    SIZE(kvm_lapic_state), SIZE(kvm_xsave), SIZE(kvm_xcrs), SIZE(kvm_debugregs),
    SIZE(kvm_mp_state), SIZE(kvm_irqchip), SIZE(kvm_pit_state2), SIZE(kvm_pit_config),
    SIZE(kvm_clock_data),
    SIZE(kvm_cpuid2), SIZE(kvm_cpuid_entry2), OFF(kvm_cpuid_entry2, function),
    OFF(kvm_cpuid_entry2, index), OFF(kvm_cpuid_entry2, flags), OFF(kvm_cpuid_entry2, eax),
    OFF(kvm_cpuid_entry2, ebx), OFF(kvm_cpuid_entry2, ecx), OFF(kvm_cpuid_entry2, edx),
    SIZE(kvm_msrs), SIZE(kvm_msr_entry), OFF(kvm_msr_entry, index), OFF(kvm_msr_entry, data),
    SIZE(kvm_msr_list),
    SIZE(kvm_enable_cap), OFF(kvm_enable_cap, cap), OFF(kvm_enable_cap, args),
    SIZE(kvm_irqfd), OFF(kvm_irqfd, fd), OFF(kvm_irqfd, gsi), OFF(kvm_irqfd, flags),
    SIZE(kvm_ioeventfd), OFF(kvm_ioeventfd, datamatch), OFF(kvm_ioeventfd, addr),
    OFF(kvm_ioeventfd, len), OFF(kvm_ioeventfd, fd), OFF(kvm_ioeventfd, flags),
    SIZE(kvm_irq_routing), SIZE(kvm_irq_routing_entry), OFF(kvm_irq_routing_entry, gsi),
    OFF(kvm_irq_routing_entry, type), OFF(kvm_irq_routing_entry, u.irqchip.irqchip),
    OFF(kvm_irq_routing_entry, u.irqchip.pin), OFF(kvm_irq_routing_entry, u.msi.address_lo),
    OFF(kvm_irq_routing_entry, u.msi.address_hi), OFF(kvm_irq_routing_entry, u.msi.data),
};
const size_t vx_constant_count = sizeof(vx_constants) / sizeof(vx_constants[0]);

int vx_set_user_memory_region(int vm_fd, uint32_t slot, uint32_t flags, uint64_t guest_address,
                              uint64_t host_address, uint64_t size) {
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = guest_address,
        .memory_size = size,
        .userspace_addr = host_address,
    };
    return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

int vx_get_dirty_log(int vm_fd, uint32_t slot, void *bitmap) {
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
    return ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;
}

int vx_set_msr_filter(int vm_fd, const struct vx_msr_range *ranges, uint32_t count) {
    // A clear bit denies the access; with KVM_CAP_X86_USER_SPACE_MSR a denied access exits.
    static uint8_t deny_all[8];
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
    if (count > KVM_MSR_FILTER_MAX_RANGES) return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        if (ranges[i].count == 0 || ranges[i].count > sizeof(deny_all) * 8) return -EINVAL;
        filter.ranges[i].flags =
            KVM_MSR_FILTER_WRITE | (ranges[i].write_only ? 0 : KVM_MSR_FILTER_READ);
        filter.ranges[i].nmsrs = ranges[i].count;
        filter.ranges[i].base = ranges[i].base;
        filter.ranges[i].bitmap = deny_all;
    }
    return ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}
