// Entry point of the addon. It holds the system calls JavaScript cannot make and decides nothing.
#include <uv.h>

#include <cstring>
#include <string>

#include "binding.h"

namespace vexit {

Napi::Value ThrowErrno(Napi::Env env, int error, const char *syscall) {
    // A call of N-API that failed may have thrown already; a second exception would be fatal.
    if (env.IsExceptionPending()) return env.Undefined();
    // uv_err_name takes libuv's negative errno values and is thread-safe.
    const char *code = uv_err_name(-error);
    Napi::Error failure = Napi::Error::New(env, std::string(syscall) + ": " + uv_strerror(-error) +
                                                    " (" + code + ")");
    failure.Set("code", Napi::String::New(env, code));
    failure.Set("errno", Napi::Number::New(env, error));
    failure.Set("syscall", Napi::String::New(env, syscall));
    failure.ThrowAsJavaScriptException();
    return env.Undefined();
}

Napi::Value ThrowArgument(Napi::Env env, const char *usage) {
    Napi::TypeError failure = Napi::TypeError::New(env, std::string("usage: ") + usage);
    failure.Set("code", Napi::String::New(env, "ERR_INVALID_ARG"));
    failure.ThrowAsJavaScriptException();
    return env.Undefined();
}

bool ArgInt(const Napi::CallbackInfo &info, size_t index, int64_t *out) {
    if (index >= info.Length()) return false;
    Napi::Value value = info[index];
    if (value.IsNumber()) {
        double number = value.As<Napi::Number>().DoubleValue();
        if (!(number >= -9007199254740991.0 && number <= 9007199254740991.0)) return false;
        *out = static_cast<int64_t>(number);
        return static_cast<double>(*out) == number;
    }
    if (value.IsBigInt()) {
        // Addresses in the upper half wrap to negative; callers cast back to unsigned.
        bool lossless = false;
        *out = static_cast<int64_t>(value.As<Napi::BigInt>().Uint64Value(&lossless));
        return lossless;
    }
    return false;
}

bool ArgBytes(const Napi::CallbackInfo &info, size_t index, uint8_t **data, size_t *length) {
    if (index >= info.Length()) return false;
    Napi::Value value = info[index];
    void *start = nullptr;
    // Views, not buffers: napi_get_arraybuffer_info refuses SharedArrayBuffer on Node.js 20.
    if (value.IsTypedArray()) {
        napi_typedarray_type type;
        size_t elements = 0;
        size_t offset = 0;
        napi_value buffer;
        if (napi_get_typedarray_info(info.Env(), value, &type, &elements, &start, &buffer,
                                     &offset) != napi_ok)
            return false;
        if (type != napi_uint8_array) return false;
        *length = elements;
    } else if (value.IsDataView()) {
        napi_value buffer;
        size_t offset = 0;
        if (napi_get_dataview_info(info.Env(), value, length, &start, &buffer, &offset) != napi_ok)
            return false;
    } else {
        return false;
    }
    *data = static_cast<uint8_t *>(start);
    return true;
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
    InitKvm(env, exports);
    InitMemory(env, exports);
    InitVcpu(env, exports);
    InitEvent(env, exports);
    InitRing(env, exports);
    InitFile(env, exports);
    InitThread(env, exports);
    InitTap(env, exports);
    InitPing(env, exports);
    InitFs(env, exports);
    InitPacket(env, exports);
    return exports;
}

} // namespace vexit

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
    return vexit::Init(env, exports);
}

NODE_API_MODULE(vexit, InitAddon)
