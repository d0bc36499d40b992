// What a shared directory does with names: finding, making, moving, removing and listing them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "bind_fs.h"
#include "fs.h"

namespace vexit {

// fsOpenBeneath(dirFd, name, flags, mode): descriptor
static Napi::Value OpenBeneath(const Napi::CallbackInfo &info) {
    int fd;
    int64_t a[2];
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInts(info, 2, a, 2))
        return ThrowArgument(info.Env(), "fsOpenBeneath(dirFd, name, flags, mode)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_open_beneath(fd, name.bytes, static_cast<int>(a[0]),
                                             static_cast<uint32_t>(a[1])));
}

// fsLookup(dirFd, name, fields): an O_PATH descriptor
static Napi::Value Lookup(const Napi::CallbackInfo &info) {
    int fd;
    FsName name;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) ||
        !ArgFields(info, 2, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsLookup(dirFd, name, fields)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_lookup(fd, name.bytes, fields));
}

// fsStatName(dirFd, name, fields)
static Napi::Value StatName(const Napi::CallbackInfo &info) {
    int fd;
    FsName name;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) ||
        !ArgFields(info, 2, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStatName(dirFd, name, fields)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_stat_name(fd, name.bytes, fields));
}

// fsMakeDirectory(dirFd, name, mode)
static Napi::Value MakeDirectory(const Napi::CallbackInfo &info) {
    int fd;
    int64_t mode;
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &mode))
        return ThrowArgument(info.Env(), "fsMakeDirectory(dirFd, name, mode)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsErrno(info, mkdirat(fd, name.bytes, static_cast<mode_t>(mode)));
}

// fsMakeNode(dirFd, name, mode): of the kinds that have no device number
static Napi::Value MakeNode(const Napi::CallbackInfo &info) {
    int fd;
    int64_t mode;
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &mode))
        return ThrowArgument(info.Env(), "fsMakeNode(dirFd, name, mode)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsErrno(info, mknodat(fd, name.bytes, static_cast<mode_t>(mode), 0));
}

// fsSymlink(target, dirFd, name)
static Napi::Value Symlink(const Napi::CallbackInfo &info) {
    int fd;
    FsName target;
    FsName name;
    if (!ArgName(info, 0, &target) || !ArgFd(info, 1, &fd) || !ArgName(info, 2, &name))
        return ThrowArgument(info.Env(), "fsSymlink(target, dirFd, name)");
    if (target.status < 0) return FsResult(info, target.status);
    if (name.status < 0) return FsResult(info, name.status);
    return FsErrno(info, symlinkat(target.bytes, fd, name.bytes));
}

// fsLink(fd, dirFd, name): one more name for what fd refers to
static Napi::Value Link(const Napi::CallbackInfo &info) {
    int fd;
    int dir;
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgFd(info, 1, &dir) || !ArgName(info, 2, &name))
        return ThrowArgument(info.Env(), "fsLink(fd, dirFd, name)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsResult(info, vx_fs_link(fd, dir, name.bytes));
}

// fsRename(dirFd, name, newDirFd, newName, flags)
static Napi::Value Rename(const Napi::CallbackInfo &info) {
    int from;
    int to;
    int64_t flags;
    FsName old_name;
    FsName new_name;
    if (!ArgFd(info, 0, &from) || !ArgName(info, 1, &old_name) || !ArgFd(info, 2, &to) ||
        !ArgName(info, 3, &new_name) || !ArgInt(info, 4, &flags))
        return ThrowArgument(info.Env(), "fsRename(dirFd, name, newDirFd, newName, flags)");
    if (old_name.status < 0) return FsResult(info, old_name.status);
    if (new_name.status < 0) return FsResult(info, new_name.status);
    return FsResult(
        info, vx_fs_rename(from, old_name.bytes, to, new_name.bytes, static_cast<uint32_t>(flags)));
}

// fsUnlink(dirFd, name, flags)
static Napi::Value Unlink(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    FsName name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &flags))
        return ThrowArgument(info.Env(), "fsUnlink(dirFd, name, flags)");
    if (name.status < 0) return FsResult(info, name.status);
    return FsErrno(info, unlinkat(fd, name.bytes, static_cast<int>(flags)));
}

// fsReadLink(fd): the target of the symbolic link that an O_PATH descriptor refers to
static Napi::Value ReadLink(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsReadLink(fd)");
    char target[PATH_MAX];
    ssize_t length = readlinkat(fd, "", target, sizeof(target));
    if (length < 0) return FsErrno(info, length);
    napi_value out;
    napi_create_string_latin1(info.Env(), target, static_cast<size_t>(length), &out);
    return Napi::Value(info.Env(), out);
}

// fsReadDirectory(fd, buffer, seek): bytes of struct linux_dirent64
static Napi::Value ReadDirectory(const Napi::CallbackInfo &info) {
    int fd;
    int64_t seek;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, &data, &length) || !ArgInt(info, 2, &seek))
        return ThrowArgument(info.Env(), "fsReadDirectory(fd, buffer, seek)");
    return FsResult(info, vx_fs_read_directory(fd, data, length, seek));
}

void InitFsNames(Napi::Object exports) {
    FsExport(exports, "fsOpenBeneath", OpenBeneath);
    FsExport(exports, "fsLookup", Lookup);
    FsExport(exports, "fsStatName", StatName);
    FsExport(exports, "fsMakeDirectory", MakeDirectory);
    FsExport(exports, "fsMakeNode", MakeNode);
    FsExport(exports, "fsSymlink", Symlink);
    FsExport(exports, "fsLink", Link);
    FsExport(exports, "fsRename", Rename);
    FsExport(exports, "fsUnlink", Unlink);
    FsExport(exports, "fsReadLink", ReadLink);
    FsExport(exports, "fsReadDirectory", ReadDirectory);
}

} // namespace vexit
