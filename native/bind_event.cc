// eventfds, and watching file descriptors from the event loop of the calling thread.
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>

#include "binding.h"

namespace vexit {

static Napi::Value EventfdCreate(const Napi::CallbackInfo &info) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return ThrowErrno(info.Env(), errno, "eventfd");
    return Napi::Number::New(info.Env(), fd);
}

// eventfdSignal(fd): adds 1 to the counter. A full counter is as good as a signal.
static Napi::Value EventfdSignal(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(info.Env(), "eventfdSignal(fd)");
    uint64_t one = 1;
    if (write(static_cast<int>(fd), &one, sizeof(one)) < 0 && errno != EAGAIN)
        return ThrowErrno(info.Env(), errno, "write");
    return info.Env().Undefined();
}

// eventfdDrain(fd): resets the counter and returns it (0 when there was no signal).
static Napi::Value EventfdDrain(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(info.Env(), "eventfdDrain(fd)");
    uint64_t count = 0;
    if (read(static_cast<int>(fd), &count, sizeof(count)) < 0) {
        if (errno != EAGAIN) return ThrowErrno(info.Env(), errno, "read");
        count = 0;
    }
    return Napi::Number::New(info.Env(), static_cast<double>(count));
}

// A uv_poll_t with its callback; freed when libuv has closed the handle.
struct Watch {
    uv_poll_t handle;
    Napi::FunctionReference callback;
    napi_async_context context;
    napi_env env;
    bool closing;
};

static void OnClosed(uv_handle_t *handle) {
    delete static_cast<Watch *>(handle->data);
}

static void CloseWatch(Watch *watch) {
    if (watch->closing) return;
    watch->closing = true;
    uv_poll_stop(&watch->handle);
    watch->callback.Reset();
    napi_async_destroy(watch->env, watch->context);
    uv_close(reinterpret_cast<uv_handle_t *>(&watch->handle), OnClosed);
}

static void CleanupWatch(void *data) {
    CloseWatch(static_cast<Watch *>(data));
}

static void OnReadable(uv_poll_t *handle, int status, int events) {
    auto *watch = static_cast<Watch *>(handle->data);
    if (watch->closing) return;
    Napi::Env env(watch->env);
    Napi::HandleScope scope(env);
    // MakeCallback runs microtasks and reports what the callback throws as an uncaught exception.
    watch->callback.MakeCallback(env.Global(), std::initializer_list<napi_value>{}, watch->context);
    if (env.IsExceptionPending())
        napi_fatal_exception(env, env.GetAndClearPendingException().Value());
}

// watchReadable(fd, callback): a handle for unwatch. Level triggered, on this thread's loop; keeps
// the loop alive until unwatched or watchUnref'ed.
static Napi::Value WatchReadable(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd) || info.Length() < 2 || !info[1].IsFunction())
        return ThrowArgument(env, "watchReadable(fd, callback)");
    uv_loop_t *loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok)
        return ThrowErrno(env, ENOTSUP, "napi_get_uv_event_loop");
    auto *watch = new Watch();
    watch->env = env;
    int result = uv_poll_init(loop, &watch->handle, static_cast<int>(fd));
    if (result < 0) {
        delete watch;
        return ThrowErrno(env, -result, "uv_poll_init");
    }
    watch->handle.data = watch;
    watch->callback = Napi::Persistent(info[1].As<Napi::Function>());
    napi_async_init(env, nullptr, Napi::String::New(env, "vexit.watch"), &watch->context);
    uv_poll_start(&watch->handle, UV_READABLE, OnReadable);
    napi_add_env_cleanup_hook(env, CleanupWatch, watch);
    return Napi::External<Watch>::New(env, watch);
}

// watchEvents(handle, events): what is watched for: 1 readable, 2 writable, 3 either, 0 nothing.
static Napi::Value WatchEvents(const Napi::CallbackInfo &info) {
    int64_t events = 0;
    if (info.Length() < 2 || !info[0].IsExternal() || !ArgInt(info, 1, &events) || events < 0 ||
        events > 3)
        return ThrowArgument(info.Env(), "watchEvents(handle, events)");
    static_assert(UV_READABLE == 1 && UV_WRITABLE == 2, "the callers' numbers");
    Watch *watch = info[0].As<Napi::External<Watch>>().Data();
    if (events == 0) {
        uv_poll_stop(&watch->handle);
    } else {
        uv_poll_start(&watch->handle, static_cast<int>(events), OnReadable);
    }
    return info.Env().Undefined();
}

static Napi::Value Unwatch(const Napi::CallbackInfo &info) {
    if (info.Length() < 1 || !info[0].IsExternal())
        return ThrowArgument(info.Env(), "unwatch(handle), once");
    Watch *watch = info[0].As<Napi::External<Watch>>().Data();
    napi_remove_env_cleanup_hook(info.Env(), CleanupWatch, watch);
    CloseWatch(watch);
    return info.Env().Undefined();
}

static Napi::Value WatchRef(const Napi::CallbackInfo &info) {
    if (info.Length() < 2 || !info[0].IsExternal())
        return ThrowArgument(info.Env(), "watchRef(handle, keepAlive)");
    auto *handle =
        reinterpret_cast<uv_handle_t *>(&info[0].As<Napi::External<Watch>>().Data()->handle);
    if (info[1].ToBoolean()) {
        uv_ref(handle);
    } else {
        uv_unref(handle);
    }
    return info.Env().Undefined();
}

void InitEvent(Napi::Env env, Napi::Object exports) {
    exports.Set("eventfdCreate", Napi::Function::New(env, EventfdCreate, "eventfdCreate"));
    exports.Set("eventfdSignal", Napi::Function::New(env, EventfdSignal, "eventfdSignal"));
    exports.Set("eventfdDrain", Napi::Function::New(env, EventfdDrain, "eventfdDrain"));
    exports.Set("watchReadable", Napi::Function::New(env, WatchReadable, "watchReadable"));
    exports.Set("unwatch", Napi::Function::New(env, Unwatch, "unwatch"));
    exports.Set("watchEvents", Napi::Function::New(env, WatchEvents, "watchEvents"));
    exports.Set("watchRef", Napi::Function::New(env, WatchRef, "watchRef"));
}

} // namespace vexit
