// KVM ioctls, one JavaScript function each, generated from the table in kvm_abi.c.
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "binding.h"
#include "kvm_abi.h"

namespace vexit {

// (fd, argument): a number for VALUE ioctls, a Uint8Array or DataView for the others. The length
// of the view is checked against the structure, or against header and entry count for lists.
static Napi::Value Ioctl(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    const auto *op = static_cast<const vx_ioctl *>(info.Data());
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(env, "ioctl(fd, argument)");

    int result = -1;
    if (op->kind == VX_IOCTL_VALUE) {
        int64_t value = 0;
        if (info.Length() > 1 && !ArgInt(info, 1, &value))
            return ThrowArgument(env, "ioctl(fd, value: number)");
        result = ioctl(static_cast<int>(fd), op->request, static_cast<unsigned long>(value));
    } else {
        uint8_t *data = nullptr;
        size_t length = 0;
        if (!ArgBytes(info, 1, &data, &length) || length < op->size)
            return ThrowArgument(env, "ioctl(fd, bytes at least as long as the structure)");
        if (op->kind == VX_IOCTL_LIST) {
            uint32_t count = 0;
            std::memcpy(&count, data, sizeof(count));
            if (static_cast<uint64_t>(count) * op->entry > length - op->size)
                return ThrowArgument(env, "ioctl(fd, bytes that hold the entries counted)");
        }
        result = ioctl(static_cast<int>(fd), op->request, data);
    }
    if (result < 0) return ThrowErrno(env, errno, op->syscall);
    return Napi::Number::New(env, result);
}

// irqLine(vmFd, gsi, level): KVM_IRQ_LINE. On the path of device interrupts, so no structure.
static Napi::Value IrqLine(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    int64_t gsi = 0;
    int64_t level = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &gsi) || !ArgInt(info, 2, &level))
        return ThrowArgument(info.Env(), "irqLine(vmFd, gsi, level)");
    struct kvm_irq_level line = {};
    line.irq = static_cast<uint32_t>(gsi);
    line.level = level ? 1 : 0;
    if (ioctl(static_cast<int>(fd), KVM_IRQ_LINE, &line) < 0)
        return ThrowErrno(info.Env(), errno, "KVM_IRQ_LINE");
    return info.Env().Undefined();
}

static Napi::Value GetDirtyLog(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    int64_t slot = 0;
    int64_t pages = 0;
    uint8_t *bitmap = nullptr;
    size_t length = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &slot) || !ArgInt(info, 2, &pages) || pages < 0 ||
        !ArgBytes(info, 3, &bitmap, &length) || length < static_cast<size_t>((pages + 63) / 64 * 8))
        return ThrowArgument(info.Env(), "getDirtyLog(vmFd, slot, pages, bitmap)");
    int result = vx_get_dirty_log(static_cast<int>(fd), static_cast<uint32_t>(slot), bitmap);
    if (result < 0) return ThrowErrno(info.Env(), -result, "KVM_GET_DIRTY_LOG");
    return info.Env().Undefined();
}

// setMsrFilter(vmFd, [base, count, writeOnly, ...]): accesses to these MSRs exit to user space.
static Napi::Value SetMsrFilter(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd) || info.Length() < 2 || !info[1].IsArray())
        return ThrowArgument(info.Env(), "setMsrFilter(vmFd, [base, count, writeOnly, ...])");
    Napi::Array list = info[1].As<Napi::Array>();
    std::vector<vx_msr_range> ranges(list.Length() / 3);
    for (uint32_t i = 0; i < ranges.size(); i++) {
        Napi::Value base = list.Get(i * 3);
        Napi::Value count = list.Get(i * 3 + 1);
        Napi::Value write_only = list.Get(i * 3 + 2);
        if (!base.IsNumber() || !count.IsNumber() || !write_only.IsBoolean())
            return ThrowArgument(info.Env(), "setMsrFilter(vmFd, [base, count, writeOnly, ...])");
        ranges[i].base = base.As<Napi::Number>().Uint32Value();
        ranges[i].count = count.As<Napi::Number>().Uint32Value();
        ranges[i].write_only = write_only.As<Napi::Boolean>() ? 1 : 0;
    }
    int result = vx_set_msr_filter(static_cast<int>(fd), ranges.data(),
                                   static_cast<uint32_t>(ranges.size()));
    if (result < 0) return ThrowErrno(info.Env(), -result, "KVM_X86_SET_MSR_FILTER");
    return info.Env().Undefined();
}

void InitKvm(Napi::Env env, Napi::Object exports) {
    for (size_t i = 0; i < vx_ioctl_count; i++) {
        exports.Set(vx_ioctls[i].name, Napi::Function::New(env, Ioctl, vx_ioctls[i].name,
                                                           const_cast<vx_ioctl *>(&vx_ioctls[i])));
    }
    exports.Set("irqLine", Napi::Function::New(env, IrqLine, "irqLine"));
    exports.Set("getDirtyLog", Napi::Function::New(env, GetDirtyLog, "getDirtyLog"));
    exports.Set("setMsrFilter", Napi::Function::New(env, SetMsrFilter, "setMsrFilter"));

    Napi::Object constants = Napi::Object::New(env);
    for (size_t i = 0; i < vx_constant_count; i++)
        constants.Set(vx_constants[i].name,
                      Napi::Number::New(env, static_cast<double>(vx_constants[i].value)));
    exports.Set("constants", constants);
}

} // namespace vexit
