// Guest memory for JavaScript: create, wrap windows of it as ArrayBuffers, map it into a guest.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>

#include "binding.h"
#include "guest_memory.h"
#include "kvm_abi.h"

namespace vexit {

static Napi::Object Describe(Napi::Env env, const vx_memory *memory) {
    Napi::Object out = Napi::Object::New(env);
    out.Set("id", Napi::Number::New(env, memory->id));
    out.Set("fd", Napi::Number::New(env, memory->fd));
    out.Set("address", Napi::BigInt::New(env, reinterpret_cast<uint64_t>(memory->address)));
    return out;
}

// memoryCreate(name, size): { id, fd, address }. The caller gives it back with memoryRelease(id).
static Napi::Value MemoryCreate(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t size = 0;
    if (info.Length() < 2 || !info[0].IsString() || !ArgInt(info, 1, &size) || size <= 0 ||
        size % 4096 != 0)
        return ThrowArgument(env, "memoryCreate(name, size in whole pages)");
    vx_memory *memory = nullptr;
    const char *failed = nullptr;
    int result = vx_memory_create(info[0].As<Napi::String>().Utf8Value().c_str(),
                                  static_cast<uint64_t>(size), &memory, &failed);
    if (result < 0) return ThrowErrno(env, -result, failed);
    return Describe(env, memory);
}

// memoryMapFile(fd, length, size, writable): { id, fd, address }, as memoryCreate gives it.
static Napi::Value MemoryMapFile(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t fd = -1;
    int64_t length = 0;
    int64_t size = 0;
    if (!ArgInt(info, 0, &fd) || !ArgInt(info, 1, &length) || !ArgInt(info, 2, &size) ||
        info.Length() < 4 || length <= 0 || size < length || size % 4096 != 0)
        return ThrowArgument(env, "memoryMapFile(fd, length, size in whole pages, writable)");
    vx_memory *memory = nullptr;
    const char *failed = nullptr;
    int result =
        vx_memory_map_file(static_cast<int>(fd), static_cast<uint64_t>(length),
                           static_cast<uint64_t>(size), info[3].ToBoolean(), &memory, &failed);
    if (result < 0) return ThrowErrno(env, -result, failed);
    return Describe(env, memory);
}

// Acquires the mapping that argument 0 names, after checking that [offset, offset + length) is
// inside it. Throws and returns nullptr otherwise.
static vx_memory *AcquireRange(const Napi::CallbackInfo &info, int64_t id, int64_t offset,
                               int64_t length) {
    vx_memory *memory = vx_memory_acquire(static_cast<uint32_t>(id));
    if (!memory) {
        ThrowErrno(info.Env(), EBADF, "guest memory");
        return nullptr;
    }
    uint64_t start = static_cast<uint64_t>(offset);
    uint64_t bytes = static_cast<uint64_t>(length);
    if (offset < 0 || length < 0 || start > memory->size || bytes > memory->size - start) {
        vx_memory_release(memory);
        ThrowErrno(info.Env(), ERANGE, "guest memory");
        return nullptr;
    }
    return memory;
}

// memoryWrap(id, offset, length): an ArrayBuffer over the mapping, which it keeps alive.
static Napi::Value MemoryWrap(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t id = 0;
    int64_t offset = 0;
    int64_t length = 0;
    if (!ArgInt(info, 0, &id) || !ArgInt(info, 1, &offset) || !ArgInt(info, 2, &length))
        return ThrowArgument(env, "memoryWrap(id, offset, length)");
    vx_memory *memory = AcquireRange(info, id, offset, length);
    if (!memory) return env.Undefined();
    napi_value buffer;
    napi_status status = napi_create_external_arraybuffer(
        env, memory->address + offset, static_cast<size_t>(length),
        [](napi_env, void *, void *hint) { vx_memory_release(static_cast<vx_memory *>(hint)); },
        memory, &buffer);
    if (status != napi_ok) {
        vx_memory_release(memory);
        return ThrowErrno(env, ENOTSUP, "napi_create_external_arraybuffer");
    }
    return Napi::Value(env, buffer);
}

// memoryUnwrap(arrayBuffer): detaches it, so that no view can reach the mapping any more.
static Napi::Value MemoryUnwrap(const Napi::CallbackInfo &info) {
    if (info.Length() < 1 || !info[0].IsArrayBuffer())
        return ThrowArgument(info.Env(), "memoryUnwrap(arrayBuffer)");
    info[0].As<Napi::ArrayBuffer>().Detach();
    return info.Env().Undefined();
}

static Napi::Value MemoryRelease(const Napi::CallbackInfo &info) {
    int64_t id = 0;
    if (!ArgInt(info, 0, &id)) return ThrowArgument(info.Env(), "memoryRelease(id)");
    vx_memory *memory = vx_memory_acquire(static_cast<uint32_t>(id));
    if (!memory) return ThrowErrno(info.Env(), EBADF, "guest memory");
    vx_memory_release(memory);
    vx_memory_release(memory);
    return info.Env().Undefined();
}

// memoryDiscard(id, offset, length): gives the pages back to the host; they read as zeroes.
static Napi::Value MemoryDiscard(const Napi::CallbackInfo &info) {
    int64_t id = 0;
    int64_t offset = 0;
    int64_t length = 0;
    if (!ArgInt(info, 0, &id) || !ArgInt(info, 1, &offset) || !ArgInt(info, 2, &length))
        return ThrowArgument(info.Env(), "memoryDiscard(id, offset, length)");
    vx_memory *memory = AcquireRange(info, id, offset, length);
    if (!memory) return info.Env().Undefined();
    int result = fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    int error = errno;
    vx_memory_release(memory);
    if (result < 0) return ThrowErrno(info.Env(), error, "fallocate");
    return info.Env().Undefined();
}

// Makes a huge page in a thread of the pool.
class CollapseWorker : public Napi::AsyncWorker {
  public:
    CollapseWorker(const Napi::Function &callback, vx_memory *memory, uint64_t offset)
        : Napi::AsyncWorker(callback, "vexit.collapse"), memory_(memory), offset_(offset) {
    }
    ~CollapseWorker() override {
        vx_memory_release(memory_);
    }
    void Execute() override {
        result_ = vx_memory_collapse(memory_, offset_);
    }
    void OnOK() override {
        Callback().Call({Napi::Number::New(Env(), result_)});
    }

  private:
    vx_memory *memory_;
    uint64_t offset_;
    int result_ = 0;
};

// memoryCollapse(id, offset, callback): the callback gets 0 or a negative errno.
static Napi::Value MemoryCollapse(const Napi::CallbackInfo &info) {
    int64_t id = 0;
    int64_t offset = 0;
    if (!ArgInt(info, 0, &id) || !ArgInt(info, 1, &offset) || info.Length() < 3 ||
        !info[2].IsFunction() || offset % static_cast<int64_t>(VX_HUGE_PAGE) != 0)
        return ThrowArgument(info.Env(), "memoryCollapse(id, offset of a huge page, callback)");
    vx_memory *memory = AcquireRange(info, id, offset, VX_HUGE_PAGE);
    if (!memory) return info.Env().Undefined();
    auto *worker =
        new CollapseWorker(info[2].As<Napi::Function>(), memory, static_cast<uint64_t>(offset));
    worker->Queue();
    return info.Env().Undefined();
}

// setUserMemoryRegion(vmFd, slot, flags, guestAddress, id, offset, size); size 0 removes the slot.
static Napi::Value SetUserMemoryRegion(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t a[7];
    for (size_t i = 0; i < 7; i++) {
        if (!ArgInt(info, i, &a[i]))
            return ThrowArgument(
                env, "setUserMemoryRegion(vmFd, slot, flags, guestAddress, id, offset, size)");
    }
    vx_memory *memory = AcquireRange(info, a[4], a[5], a[6]);
    if (!memory) return env.Undefined();
    // KVM pins nothing: the mapping must outlive the slot, which the VM's owner sees to.
    int result = vx_set_user_memory_region(static_cast<int>(a[0]), static_cast<uint32_t>(a[1]),
                                           static_cast<uint32_t>(a[2]), static_cast<uint64_t>(a[3]),
                                           reinterpret_cast<uint64_t>(memory->address + a[5]),
                                           static_cast<uint64_t>(a[6]));
    vx_memory_release(memory);
    if (result < 0) return ThrowErrno(env, -result, "KVM_SET_USER_MEMORY_REGION");
    return env.Undefined();
}

void InitMemory(Napi::Env env, Napi::Object exports) {
    exports.Set("memoryCreate", Napi::Function::New(env, MemoryCreate, "memoryCreate"));
    exports.Set("memoryMapFile", Napi::Function::New(env, MemoryMapFile, "memoryMapFile"));
    exports.Set("memoryWrap", Napi::Function::New(env, MemoryWrap, "memoryWrap"));
    exports.Set("memoryUnwrap", Napi::Function::New(env, MemoryUnwrap, "memoryUnwrap"));
    exports.Set("memoryRelease", Napi::Function::New(env, MemoryRelease, "memoryRelease"));
    exports.Set("memoryDiscard", Napi::Function::New(env, MemoryDiscard, "memoryDiscard"));
    exports.Set("memoryCollapse", Napi::Function::New(env, MemoryCollapse, "memoryCollapse"));
    exports.Set("setUserMemoryRegion",
                Napi::Function::New(env, SetUserMemoryRegion, "setUserMemoryRegion"));
}

} // namespace vexit
