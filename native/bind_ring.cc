// Rings for asynchronous I/O, for JavaScript: the kernel's and the thread pool's alike.
#include <cerrno>
#include <initializer_list>

#include "binding.h"
#include "ring.h"

namespace vexit {

// What an External holds; the ring goes when it is closed, when it is collected, or with the
// thread.
struct RingHandle {
    vx_ring *ring;
    napi_env env;
};

static void CloseHandle(void *data) {
    auto *handle = static_cast<RingHandle *>(data);
    if (!handle->ring) return;
    vx_ring *ring = handle->ring;
    handle->ring = nullptr;
    vx_ring_close(ring);
}

static void FinalizeHandle(Napi::Env, RingHandle *handle) {
    napi_remove_env_cleanup_hook(handle->env, CloseHandle, handle);
    CloseHandle(handle);
    delete handle;
}

static napi_value Wrap(napi_env env, vx_ring *ring, void *data, size_t size) {
    vx_ring_acquire(ring);
    napi_value buffer;
    napi_status status = napi_create_external_arraybuffer(
        env, data, size,
        [](napi_env, void *, void *hint) { vx_ring_release(static_cast<vx_ring *>(hint)); }, ring,
        &buffer);
    if (status == napi_ok) return buffer;
    vx_ring_release(ring);
    return nullptr;
}

static Napi::Object Layout(Napi::Env env, const vx_ring_layout &at) {
    const struct {
        const char *name;
        uint32_t value;
    } words[] = {
        {"sqHead", at.sq_head},   {"sqTail", at.sq_tail},    {"sqFlags", at.sq_flags},
        {"sqArray", at.sq_array}, {"cqHead", at.cq_head},    {"cqTail", at.cq_tail},
        {"cqFlags", at.cq_flags}, {"cqCqes", at.cq_cqes},    {"sqEntries", at.sq_entries},
        {"flags", at.flags},      {"features", at.features}, {"cqEntries", at.cq_entries},
    };
    Napi::Object out = Napi::Object::New(env);
    for (const auto &word : words) out.Set(word.name, Napi::Number::New(env, word.value));
    return out;
}

static Napi::Value Export(Napi::Env env, vx_ring *ring) {
    auto *handle = new RingHandle{ring, env};
    napi_add_env_cleanup_hook(env, CloseHandle, handle);
    Napi::Object out = Napi::Object::New(env);
    out.Set("handle", Napi::External<RingHandle>::New(env, handle, FinalizeHandle));
    out.Set("eventfd", Napi::Number::New(env, ring->eventfd));
    out.Set("layout", Layout(env, ring->layout));
    out.Set("arenaAddress",
            Napi::Number::New(env, static_cast<double>(reinterpret_cast<uintptr_t>(ring->arena))));
    napi_value sq = Wrap(env, ring, ring->sq, ring->sq_size);
    napi_value cq = ring->cq_size ? Wrap(env, ring, ring->cq, ring->cq_size) : sq;
    napi_value sqes = Wrap(env, ring, ring->sqes, ring->sqes_size);
    napi_value arena = Wrap(env, ring, ring->arena, ring->arena_size);
    if (!sq || !cq || !sqes || !arena)
        return ThrowErrno(env, ENOTSUP, "napi_create_external_arraybuffer");
    out.Set("sq", Napi::Value(env, sq));
    out.Set("cq", Napi::Value(env, cq));
    out.Set("sqes", Napi::Value(env, sqes));
    out.Set("arena", Napi::Value(env, arena));
    return out;
}

using Open = int (*)(uint32_t, uint32_t, uint32_t, size_t, vx_ring **, const char **);

// ringOpen...(entries, setup flags or threads, files, arena bytes): the ring and its memory.
template <Open open> static Napi::Value RingOpen(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t entries = 0;
    int64_t detail = 0;
    int64_t files = 0;
    int64_t arena = 0;
    if (!ArgInt(info, 0, &entries) || !ArgInt(info, 1, &detail) || !ArgInt(info, 2, &files) ||
        !ArgInt(info, 3, &arena) || entries < 1 || entries > 32768 ||
        (entries & (entries - 1)) != 0 || detail < 0 || detail > UINT32_MAX || files < 1 ||
        files > 32768 || arena < 1)
        return ThrowArgument(env, "ringOpen(entries: power of 2, flags or threads, files, arena)");
    vx_ring *ring = nullptr;
    const char *failed = nullptr;
    int result = open(static_cast<uint32_t>(entries), static_cast<uint32_t>(detail),
                      static_cast<uint32_t>(files), static_cast<size_t>(arena), &ring, &failed);
    if (result < 0) return ThrowErrno(env, -result, failed);
    return Export(env, ring);
}

// The open ring of argument 0, or nullptr.
static vx_ring *ArgRing(const Napi::CallbackInfo &info) {
    if (info.Length() < 1 || !info[0].IsExternal()) return nullptr;
    return info[0].As<Napi::External<RingHandle>>().Data()->ring;
}

// ringEnter(handle, toSubmit, flags): SQEs consumed or a negative errno. Called for every batch:
// plain N-API, no allocation.
static napi_value RingEnter(napi_env env, napi_callback_info info) {
    size_t argc = 3;
    napi_value arguments[3];
    void *handle = nullptr;
    uint32_t to_submit = 0;
    uint32_t flags = 0;
    int answer = -EBADF;
    if (napi_get_cb_info(env, info, &argc, arguments, nullptr, nullptr) == napi_ok && argc == 3 &&
        napi_get_value_external(env, arguments[0], &handle) == napi_ok &&
        napi_get_value_uint32(env, arguments[1], &to_submit) == napi_ok &&
        napi_get_value_uint32(env, arguments[2], &flags) == napi_ok) {
        vx_ring *ring = static_cast<RingHandle *>(handle)->ring;
        if (ring) answer = ring->ops->enter(ring, to_submit, flags);
    }
    napi_value result;
    return napi_create_int32(env, answer, &result) == napi_ok ? result : nullptr;
}

// ringSetFile(handle, slot, fd): fd -1 empties the slot.
static Napi::Value RingSetFile(const Napi::CallbackInfo &info) {
    vx_ring *ring = ArgRing(info);
    int64_t slot = 0;
    int64_t fd = 0;
    if (!ring || !ArgInt(info, 1, &slot) || !ArgInt(info, 2, &fd) || slot < 0)
        return ThrowArgument(info.Env(), "ringSetFile(handle, slot, fd)");
    int result = ring->ops->set_file(ring, static_cast<uint32_t>(slot), static_cast<int>(fd));
    if (result < 0) return ThrowErrno(info.Env(), -result, "io_uring_register");
    return info.Env().Undefined();
}

static Napi::Value RingSupports(const Napi::CallbackInfo &info) {
    vx_ring *ring = ArgRing(info);
    int64_t opcode = 0;
    if (!ring || !ArgInt(info, 1, &opcode) || opcode < 0 || opcode > UINT8_MAX)
        return ThrowArgument(info.Env(), "ringSupports(handle, opcode)");
    bool found = ring->ops->supports(ring, static_cast<uint32_t>(opcode)) != 0;
    return Napi::Boolean::New(info.Env(), found);
}

// ringHold(handle, memoryId): the mapping stays until no request can touch it.
static Napi::Value RingHold(const Napi::CallbackInfo &info) {
    vx_ring *ring = ArgRing(info);
    int64_t id = 0;
    if (!ring || !ArgInt(info, 1, &id))
        return ThrowArgument(info.Env(), "ringHold(handle, memoryId)");
    int result = vx_ring_hold(ring, static_cast<uint32_t>(id));
    if (result < 0) return ThrowErrno(info.Env(), -result, "guest memory");
    return info.Env().Undefined();
}

// ringClose(handle): a second call does nothing. The ArrayBuffers stay valid.
static Napi::Value RingClose(const Napi::CallbackInfo &info) {
    if (info.Length() < 1 || !info[0].IsExternal())
        return ThrowArgument(info.Env(), "ringClose(handle)");
    CloseHandle(info[0].As<Napi::External<RingHandle>>().Data());
    return info.Env().Undefined();
}

void InitRing(Napi::Env env, Napi::Object exports) {
    exports.Set("ringOpenUring",
                Napi::Function::New(env, RingOpen<vx_uring_open>, "ringOpenUring"));
    exports.Set("ringOpenPool",
                Napi::Function::New(env, RingOpen<vx_io_pool_open>, "ringOpenPool"));
    exports.Set("ringSetFile", Napi::Function::New(env, RingSetFile, "ringSetFile"));
    exports.Set("ringSupports", Napi::Function::New(env, RingSupports, "ringSupports"));
    exports.Set("ringHold", Napi::Function::New(env, RingHold, "ringHold"));
    exports.Set("ringClose", Napi::Function::New(env, RingClose, "ringClose"));
    napi_value enter;
    if (napi_create_function(env, "ringEnter", NAPI_AUTO_LENGTH, RingEnter, nullptr, &enter) ==
        napi_ok)
        exports.Set("ringEnter", Napi::Value(env, enter));
    // A worker that is ended while it loads the addon looks up nothing any more, and an empty value
    // would end the process.
    Napi::Value constants = exports.Get("constants");
    if (!constants.IsObject()) return;
    for (size_t i = 0; i < vx_ring_constant_count; i++)
        constants.As<Napi::Object>().Set(
            vx_ring_constants[i].name,
            Napi::Number::New(env, static_cast<double>(vx_ring_constants[i].value)));
}

} // namespace vexit
