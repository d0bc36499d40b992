// System calls of a shared directory for JavaScript: arguments and results of all of them.
#include "bind_fs.h"

#include <cerrno>
#include <cstring>

namespace vexit {

Napi::Value FsResult(const Napi::CallbackInfo &info, int64_t result) {
    return Napi::Number::New(info.Env(), static_cast<double>(result));
}

Napi::Value FsErrno(const Napi::CallbackInfo &info, ssize_t result) {
    return FsResult(info, result < 0 ? -errno : result);
}

bool ArgName(const Napi::CallbackInfo &info, size_t index, FsName *name) {
    if (index >= info.Length() || !info[index].IsString()) return false;
    size_t length = 0;
    napi_env env = info.Env();
    if (napi_get_value_string_latin1(env, info[index], name->bytes, sizeof(name->bytes), &length) !=
        napi_ok)
        return false;
    if (length >= PATH_MAX) name->status = -ENAMETOOLONG;
    if (memchr(name->bytes, 0, length)) name->status = -EINVAL;
    return true;
}

bool ArgInts(const Napi::CallbackInfo &info, size_t first, int64_t *out, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!ArgInt(info, first + i, &out[i])) return false;
    return true;
}

bool ArgFd(const Napi::CallbackInfo &info, size_t index, int *fd) {
    int64_t value = -1;
    if (!ArgInt(info, index, &value) || value < INT_MIN || value > INT_MAX) return false;
    *fd = static_cast<int>(value);
    return true;
}

bool ArgFields(const Napi::CallbackInfo &info, size_t index, size_t count, double **out) {
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgBytes(info, index, &data, &length) || length < count * sizeof(double)) return false;
    if (reinterpret_cast<uintptr_t>(data) % alignof(double) != 0) return false;
    *out = reinterpret_cast<double *>(data);
    return true;
}

void FsExport(Napi::Object exports, const char *name,
              Napi::Value (*function)(const Napi::CallbackInfo &info)) {
    exports.Set(name, Napi::Function::New(exports.Env(), function, name));
}

void InitFs(Napi::Env env, Napi::Object exports) {
    InitFsNames(exports);
    InitFsAttributes(exports);
    InitFsFiles(exports);
}

} // namespace vexit
