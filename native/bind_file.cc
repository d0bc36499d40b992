// Locks of open file descriptions: they belong to the descriptor and go with it, whoever holds it.
#include <fcntl.h>

#include <cerrno>

#include "binding.h"

namespace vexit {

// fileLock(fd, exclusive): locks the whole file; false when another description has it.
static Napi::Value FileLock(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd) || info.Length() < 2 || !info[1].IsBoolean())
        return ThrowArgument(info.Env(), "fileLock(fd, exclusive)");
    struct flock lock = {};
    lock.l_type = info[1].As<Napi::Boolean>() ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(static_cast<int>(fd), F_OFD_SETLK, &lock) == 0)
        return Napi::Boolean::New(info.Env(), true);
    if (errno == EAGAIN || errno == EACCES) return Napi::Boolean::New(info.Env(), false);
    return ThrowErrno(info.Env(), errno, "fcntl(F_OFD_SETLK)");
}

// fileLocked(fd): true when another description has the file locked, whichever way.
static Napi::Value FileLocked(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(info.Env(), "fileLocked(fd)");
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(static_cast<int>(fd), F_OFD_GETLK, &lock) < 0)
        return ThrowErrno(info.Env(), errno, "fcntl(F_OFD_GETLK)");
    return Napi::Boolean::New(info.Env(), lock.l_type != F_UNLCK);
}

void InitFile(Napi::Env env, Napi::Object exports) {
    exports.Set("fileLock", Napi::Function::New(env, FileLock, "fileLock"));
    exports.Set("fileLocked", Napi::Function::New(env, FileLocked, "fileLocked"));
}

} // namespace vexit
