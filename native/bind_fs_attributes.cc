// Attributes of what a descriptor of a shared directory refers to, extended ones too.
#include <fcntl.h>
#include <unistd.h>

#include "bind_fs.h"
#include "fs.h"

namespace vexit {

static Napi::Value Stat(const Napi::CallbackInfo &info) {
    int fd;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgFields(info, 1, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStat(fd, fields)");
    return FsResult(info, vx_fs_stat(fd, fields));
}

static Napi::Value StatFs(const Napi::CallbackInfo &info) {
    int fd;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgFields(info, 1, VX_STATFS_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStatFs(fd, fields)");
    return FsResult(info, vx_fs_statfs(fd, fields));
}

// fsChown(fd, uid, gid); -1 leaves one as it is
static Napi::Value Chown(const Napi::CallbackInfo &info) {
    int64_t a[3];
    if (!ArgInts(info, 0, a, 3)) return ThrowArgument(info.Env(), "fsChown(fd, uid, gid)");
    return FsErrno(info, fchownat(static_cast<int>(a[0]), "", static_cast<uid_t>(a[1]),
                                  static_cast<gid_t>(a[2]), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

static Napi::Value Chmod(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsChmod(fd, mode)");
    return FsResult(info, vx_fs_chmod(static_cast<int>(a[0]), static_cast<uint32_t>(a[1])));
}

// fsSetTimes(fd, atime, atimeNs, mtime, mtimeNs), with UTIME_NOW and UTIME_OMIT
static Napi::Value SetTimes(const Napi::CallbackInfo &info) {
    int64_t a[5];
    if (!ArgInts(info, 0, a, 5))
        return ThrowArgument(info.Env(), "fsSetTimes(fd, atime, atimeNs, mtime, mtimeNs)");
    return FsResult(info, vx_fs_set_times(static_cast<int>(a[0]), a + 1));
}

// fsGetXattr(fd, name, buffer): bytes; an empty buffer asks for the size
static Napi::Value GetXattr(const Napi::CallbackInfo &info) {
    int fd;
    FsName name;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgBytes(info, 2, &data, &length))
        return ThrowArgument(info.Env(), "fsGetXattr(fd, name, buffer)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_get_xattr(fd, name.bytes, data, length));
}

// fsListXattr(fd, buffer): bytes of names, each ended by a NUL
static Napi::Value ListXattr(const Napi::CallbackInfo &info) {
    int fd;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, &data, &length))
        return ThrowArgument(info.Env(), "fsListXattr(fd, buffer)");
    return FsResult(info, vx_fs_list_xattr(fd, reinterpret_cast<char *>(data), length));
}

// fsSetXattr(fd, name, value, flags)
static Napi::Value SetXattr(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    FsName name;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgBytes(info, 2, &data, &length) ||
        !ArgInt(info, 3, &flags))
        return ThrowArgument(info.Env(), "fsSetXattr(fd, name, value, flags)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_set_xattr(fd, name.bytes, data, length, static_cast<int>(flags)));
}

static Napi::Value RemoveXattr(const Napi::CallbackInfo &info) {
    int fd;
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name))
        return ThrowArgument(info.Env(), "fsRemoveXattr(fd, name)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_remove_xattr(fd, name.bytes));
}

void InitFsAttributes(Napi::Object exports) {
    FsExport(exports, "fsStat", Stat);
    FsExport(exports, "fsStatFs", StatFs);
    FsExport(exports, "fsChown", Chown);
    FsExport(exports, "fsChmod", Chmod);
    FsExport(exports, "fsSetTimes", SetTimes);
    FsExport(exports, "fsGetXattr", GetXattr);
    FsExport(exports, "fsListXattr", ListXattr);
    FsExport(exports, "fsSetXattr", SetXattr);
    FsExport(exports, "fsRemoveXattr", RemoveXattr);
}

} // namespace vexit
