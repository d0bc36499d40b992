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

// tapSetQueue(fd, attached).
static Napi::Value TapSetQueue(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd) || info.Length() < 2)
        return ThrowArgument(info.Env(), "tapSetQueue(fd, attached)");
    int result = vx_tap_set_queue(static_cast<int>(fd), info[1].ToBoolean());
    if (result < 0) return ThrowErrno(info.Env(), -result, "TUNSETQUEUE");
    return info.Env().Undefined();
}

// tapQueues(name): how many are open; 0 where the kernel does not say.
static Napi::Value TapQueues(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsString()) return ThrowArgument(env, "tapQueues(name)");
    std::string wanted = info[0].As<Napi::String>();
    if (wanted.size() >= VX_TAP_NAME) return ThrowErrno(env, ENAMETOOLONG, "RTM_GETLINK");
    char name[VX_TAP_NAME] = {};
    memcpy(name, wanted.data(), wanted.size());
    int result = vx_tap_queues(name);
    if (result < 0) return ThrowErrno(env, -result, "RTM_GETLINK");
    return Napi::Number::New(env, result);
}

// tapBringUp(name, mtu): 0 leaves the MTU as it is.
static Napi::Value TapBringUp(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t mtu = 0;
    if (info.Length() < 2 || !info[0].IsString() || !ArgInt(info, 1, &mtu))
        return ThrowArgument(env, "tapBringUp(name, mtu)");
    std::string wanted = info[0].As<Napi::String>();
    if (wanted.size() >= VX_TAP_NAME) return ThrowErrno(env, ENAMETOOLONG, "SIOCSIFFLAGS");
    char name[VX_TAP_NAME] = {};
    memcpy(name, wanted.data(), wanted.size());
    const char *failed = nullptr;
    int result = vx_tap_bring_up(name, static_cast<int>(mtu), &failed);
    if (result < 0) return ThrowErrno(env, -result, failed);
    return env.Undefined();
}

// An argument that is an array of structures: any typed array over their bytes.
template <typename T>
static bool ArgArray(const Napi::CallbackInfo &info, size_t index, T **items, size_t *count) {
    if (index >= info.Length() || !info[index].IsTypedArray()) return false;
    napi_typedarray_type type;
    size_t elements = 0;
    size_t offset = 0;
    void *start = nullptr;
    napi_value buffer;
    if (napi_get_typedarray_info(info.Env(), info[index], &type, &elements, &start, &buffer,
                                 &offset) != napi_ok)
        return false;
    size_t width = type == napi_uint8_array                                ? 1
                   : type == napi_uint32_array || type == napi_int32_array ? 4
                                                                           : 0;
    if (width == 0 || reinterpret_cast<uintptr_t>(start) % alignof(T) != 0) return false;
    *items = static_cast<T *>(start);
    *count = elements * width / sizeof(T);
    return true;
}

// tapWrite(fd, segments, frames, count, heads): how many frames were dealt with, or a negative
// errno.
static Napi::Value TapWrite(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t fd = -1;
    int64_t count = 0;
    iovec *segments = nullptr;
    vx_tap_frame *frames = nullptr;
    uint8_t *heads = nullptr;
    size_t segmentCount = 0, frameCount = 0, headBytes = 0;
    if (!ArgInt(info, 0, &fd) || !ArgArray(info, 1, &segments, &segmentCount) ||
        !ArgArray(info, 2, &frames, &frameCount) || !ArgInt(info, 3, &count) ||
        !ArgArray(info, 4, &heads, &headBytes))
        return ThrowArgument(env, "tapWrite(fd, segments, frames, count, heads)");
    auto wanted = static_cast<uint64_t>(count);
    if (wanted > frameCount || wanted * VX_TAP_HEAD_STRIDE > headBytes)
        return ThrowArgument(env, "tapWrite: more frames than there is room for");
    for (uint64_t i = 0; i < wanted; i++) {
        uint64_t end = static_cast<uint64_t>(frames[i].first) + frames[i].count;
        if (end > segmentCount) return ThrowArgument(env, "tapWrite: segments that are not there");
    }
    int result =
        vx_tap_write(static_cast<int>(fd), segments, frames, static_cast<uint32_t>(count), heads);
    return Napi::Number::New(env, result);
}

// tapRead(fd, segments, buffers, bufferCount, mergeable, frames, limit, frame, expected): how many
// frames were read, or a negative errno.
static Napi::Value TapRead(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t fd = -1;
    int64_t buffers = 0;
    int64_t limit = 0;
    int64_t expected = 0;
    iovec *segments = nullptr;
    vx_tap_buffer *list = nullptr;
    vx_tap_read_frame *frames = nullptr;
    uint8_t *frame = nullptr;
    size_t segmentCount = 0, bufferCount = 0, frameCount = 0, frameBytes = 0;
    if (!ArgInt(info, 0, &fd) || !ArgArray(info, 1, &segments, &segmentCount) ||
        !ArgArray(info, 2, &list, &bufferCount) || !ArgInt(info, 3, &buffers) ||
        !ArgArray(info, 5, &frames, &frameCount) || !ArgInt(info, 6, &limit) ||
        !ArgArray(info, 7, &frame, &frameBytes) || !ArgInt(info, 8, &expected))
        return ThrowArgument(
            env,
            "tapRead(fd, segments, buffers, count, mergeable, frames, limit, frame, expected)");
    auto wanted = static_cast<uint64_t>(limit);
    if (static_cast<uint64_t>(buffers) > bufferCount || wanted > frameCount || frameBytes == 0)
        return ThrowArgument(env, "tapRead: more than there is room for");
    for (int64_t i = 0; i < buffers; i++) {
        if (static_cast<uint64_t>(list[i].first) + list[i].count > segmentCount)
            return ThrowArgument(env, "tapRead: segments that are not there");
    }
    struct vx_tap_read read = {segments,
                               list,
                               static_cast<uint32_t>(buffers),
                               info[4].ToBoolean(),
                               frames,
                               static_cast<uint32_t>(limit),
                               frame,
                               frameBytes,
                               static_cast<size_t>(expected)};
    return Napi::Number::New(env, vx_tap_read(static_cast<int>(fd), &read));
}

void InitTap(Napi::Env env, Napi::Object exports) {
    exports.Set("tapOpen", Napi::Function::New(env, TapOpen, "tapOpen"));
    exports.Set("tapSetVnetHeaderSize",
                Napi::Function::New(env, TapSetVnetHeaderSize, "tapSetVnetHeaderSize"));
    exports.Set("tapSetQueue", Napi::Function::New(env, TapSetQueue, "tapSetQueue"));
    exports.Set("tapQueues", Napi::Function::New(env, TapQueues, "tapQueues"));
    exports.Set("tapBringUp", Napi::Function::New(env, TapBringUp, "tapBringUp"));
    exports.Set("tapWrite", Napi::Function::New(env, TapWrite, "tapWrite"));
    exports.Set("tapRead", Napi::Function::New(env, TapRead, "tapRead"));
    exports.Set("tapSetOffload", Napi::Function::New(env, TapSetOffload, "tapSetOffload"));
}

} // namespace vexit
