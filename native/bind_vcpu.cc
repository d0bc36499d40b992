// vCPUs for JavaScript.
#include <cerrno>

#include "binding.h"
#include "vcpu.h"

namespace vexit {

static bool ArgId(const Napi::CallbackInfo &info, int *id) {
    int64_t value = 0;
    if (!ArgInt(info, 0, &value) || value < 0 || value >= VX_MAX_VCPUS) return false;
    *id = static_cast<int>(value);
    return true;
}

// vcpuOpen(fd, runSize): id. Owns fd from then on.
static Napi::Value VcpuOpen(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    int64_t size = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &size) || size < 4096)
        return ThrowArgument(info.Env(), "vcpuOpen(fd, runSize)");
    int id = vx_vcpu_open(static_cast<int>(fd), static_cast<size_t>(size));
    if (id < 0) return ThrowErrno(info.Env(), -id, "mmap");
    return Napi::Number::New(info.Env(), id);
}

// vcpuRunPage(id): an ArrayBuffer over kvm_run. The caller must not use it after vcpuClose.
static Napi::Value VcpuRunPage(const Napi::CallbackInfo &info) {
    int id = -1;
    size_t size = 0;
    if (!ArgId(info, &id)) return ThrowArgument(info.Env(), "vcpuRunPage(id)");
    void *page = vx_vcpu_run_page(id, &size);
    if (!page) return ThrowErrno(info.Env(), EBADF, "vcpu");
    napi_value buffer;
    if (napi_create_external_arraybuffer(
            info.Env(), page, size, [](napi_env, void *, void *) {}, nullptr, &buffer) != napi_ok)
        return ThrowErrno(info.Env(), ENOTSUP, "napi_create_external_arraybuffer");
    return Napi::Value(info.Env(), buffer);
}

// vcpuRun(id): the exit reason or a negative errno. Called for every exit: plain N-API, no checks
// beyond the type, no allocation.
static napi_value VcpuRun(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argument;
    int32_t id = -1;
    if (napi_get_cb_info(env, info, &argc, &argument, nullptr, nullptr) != napi_ok || argc < 1 ||
        napi_get_value_int32(env, argument, &id) != napi_ok)
        id = -1;
    napi_value result;
    return napi_create_int32(env, vx_vcpu_run(id), &result) == napi_ok ? result : nullptr;
}

// One argument, the id; returns nothing, or throws when `call` gives a negative errno.
template <int (*call)(int)> static Napi::Value OnId(const Napi::CallbackInfo &info) {
    int id = -1;
    if (!ArgId(info, &id)) return ThrowArgument(info.Env(), "vcpu(id)");
    int result = call(id);
    if (result < 0) return ThrowErrno(info.Env(), -result, "vcpu");
    return Napi::Number::New(info.Env(), result);
}

static int Kick(int id) {
    vx_vcpu_kick(id);
    return 0;
}

static int Stop(int id) {
    vx_vcpu_stop(id);
    return 0;
}

static int Close(int id) {
    vx_vcpu_close(id);
    return 0;
}

// vcpuFirstRun(id): CLOCK_MONOTONIC nanoseconds of the first KVM_RUN, 0 before it.
static Napi::Value VcpuFirstRun(const Napi::CallbackInfo &info) {
    int id = -1;
    if (!ArgId(info, &id)) return ThrowArgument(info.Env(), "vcpuFirstRun(id)");
    return Napi::Number::New(info.Env(), static_cast<double>(vx_vcpu_first_run(id)));
}

static void StopAll(const Napi::CallbackInfo &) {
    vx_vcpu_stop_all();
}

void InitVcpu(Napi::Env env, Napi::Object exports) {
    vx_vcpu_init();
    exports.Set("vcpuOpen", Napi::Function::New(env, VcpuOpen, "vcpuOpen"));
    exports.Set("vcpuRunPage", Napi::Function::New(env, VcpuRunPage, "vcpuRunPage"));
    exports.Set("vcpuFd", Napi::Function::New(env, OnId<vx_vcpu_fd>, "vcpuFd"));
    exports.Set("vcpuHeadStart",
                Napi::Function::New(env, OnId<vx_vcpu_head_start>, "vcpuHeadStart"));
    exports.Set("vcpuKick", Napi::Function::New(env, OnId<Kick>, "vcpuKick"));
    exports.Set("vcpuStop", Napi::Function::New(env, OnId<Stop>, "vcpuStop"));
    exports.Set("vcpuClose", Napi::Function::New(env, OnId<Close>, "vcpuClose"));
    exports.Set("vcpuFirstRun", Napi::Function::New(env, VcpuFirstRun, "vcpuFirstRun"));
    exports.Set("vcpuStopAll", Napi::Function::New(env, StopAll, "vcpuStopAll"));
    napi_value run;
    if (napi_create_function(env, "vcpuRun", NAPI_AUTO_LENGTH, VcpuRun, nullptr, &run) == napi_ok)
        exports.Set("vcpuRun", Napi::Value(env, run));
}

} // namespace vexit
