// TAP devices for TypeScript.
#include <cstring>
#include <string>

#include "binding.h"
#include "tap.h"

namespace vexit {

// tapOpen(name, multiQueue, vnetHeader): { fd, name }.
static Napi::Value TapOpen(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 3 || !info[0].IsString())
        return ThrowArgument(env, "tapOpen(name, multiQueue, vnetHeader)");
    std::string wanted = info[0].As<Napi::String>();
    if (wanted.size() >= VX_TAP_NAME || wanted.find('\0') != std::string::npos)
        return ThrowErrno(env, ENAMETOOLONG, "TUNSETIFF");
    char name[VX_TAP_NAME] = {};
    memcpy(name, wanted.data(), wanted.size());
    const char *failed = nullptr;
    int fd = vx_tap_open(name, info[1].ToBoolean(), info[2].ToBoolean(), &failed);
    if (fd < 0) return ThrowErrno(env, -fd, failed);
    Napi::Object result = Napi::Object::New(env);
    result.Set("fd", Napi::Number::New(env, fd));
    result.Set("name", Napi::String::New(env, name));
    return result;
}

// tapSetVnetHeaderSize(fd, size): 10 or 12 bytes.
static Napi::Value TapSetVnetHeaderSize(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    int64_t size = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &size))
        return ThrowArgument(info.Env(), "tapSetVnetHeaderSize(fd, size)");
    int result = vx_tap_set_vnet_header_size(static_cast<int>(fd), static_cast<int>(size));
    if (result < 0) return ThrowErrno(info.Env(), -result, "TUNSETVNETHDRSZ");
    return info.Env().Undefined();
}

// tapSetOffload(fd, offloads): TUN_F_* bits.
static Napi::Value TapSetOffload(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    int64_t offloads = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &offloads))
        return ThrowArgument(info.Env(), "tapSetOffload(fd, offloads)");
    int result = vx_tap_set_offload(static_cast<int>(fd), static_cast<unsigned int>(offloads));
    if (result < 0) return ThrowErrno(info.Env(), -result, "TUNSETOFFLOAD");
    return info.Env().Undefined();
}

void InitTap(Napi::Env env, Napi::Object exports) {
    exports.Set("tapOpen", Napi::Function::New(env, TapOpen, "tapOpen"));
    exports.Set("tapSetVnetHeaderSize",
                Napi::Function::New(env, TapSetVnetHeaderSize, "tapSetVnetHeaderSize"));
    exports.Set("tapSetOffload", Napi::Function::New(env, TapSetOffload, "tapSetOffload"));
}

} // namespace vexit
