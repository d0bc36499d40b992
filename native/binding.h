// Helpers shared by the N-API bindings: errors with `code`, `errno` and `syscall`, arguments.
#ifndef VEXIT_BINDING_H
#define VEXIT_BINDING_H

#include <napi.h>

#include <cstdint>

namespace vexit {

// Throws an Error with message "syscall: reason", code ("EINVAL"), errno and syscall.
Napi::Value ThrowErrno(Napi::Env env, int error, const char *syscall);

// Throws a TypeError with code ERR_INVALID_ARG.
Napi::Value ThrowArgument(Napi::Env env, const char *usage);

// True when argument `index` is a number or a BigInt that fits; the value goes to *out.
bool ArgInt(const Napi::CallbackInfo &info, size_t index, int64_t *out);

// True when argument `index` is a view over memory; pointer and byte length go to the out
// parameters.
bool ArgBytes(const Napi::CallbackInfo &info, size_t index, uint8_t **data, size_t *length);

void InitKvm(Napi::Env env, Napi::Object exports);
void InitMemory(Napi::Env env, Napi::Object exports);
void InitVcpu(Napi::Env env, Napi::Object exports);
void InitEvent(Napi::Env env, Napi::Object exports);
// After InitKvm, whose constants it adds to.
void InitRing(Napi::Env env, Napi::Object exports);
void InitFile(Napi::Env env, Napi::Object exports);
void InitThread(Napi::Env env, Napi::Object exports);
void InitTap(Napi::Env env, Napi::Object exports);
void InitPing(Napi::Env env, Napi::Object exports);
void InitFs(Napi::Env env, Napi::Object exports);
void InitPacket(Napi::Env env, Napi::Object exports);

} // namespace vexit

#endif
