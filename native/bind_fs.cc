// System calls of a shared directory for JavaScript. They are made for every request of a guest,
// and many fail as a matter of course (a name that is not there), so they return a negative errno
// where others throw. Names are strings with one byte a character: a file name need not be UTF-8.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "binding.h"
#include "fs.h"

namespace vexit {

static Napi::Value Result(const Napi::CallbackInfo &info, int64_t result) {
    return Napi::Number::New(info.Env(), static_cast<double>(result));
}

static Napi::Value Errno(const Napi::CallbackInfo &info, ssize_t result) {
    return Result(info, result < 0 ? -errno : result);
}

// A string argument with one byte a character. `status` is 0, or the negative errno of a string
// that is no name: too long, or with a NUL in it.
struct Name {
    char bytes[PATH_MAX + 1];
    int status = 0;
};

static bool ArgName(const Napi::CallbackInfo &info, size_t index, Name *name) {
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

// Integers from argument `first` on.
static bool ArgInts(const Napi::CallbackInfo &info, size_t first, int64_t *out, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!ArgInt(info, first + i, &out[i])) return false;
    return true;
}

static bool ArgFd(const Napi::CallbackInfo &info, size_t index, int *fd) {
    int64_t value = -1;
    if (!ArgInt(info, index, &value) || value < INT_MIN || value > INT_MAX) return false;
    *fd = static_cast<int>(value);
    return true;
}

// A view over at least `count` doubles.
static bool ArgFields(const Napi::CallbackInfo &info, size_t index, size_t count, double **out) {
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgBytes(info, index, &data, &length) || length < count * sizeof(double)) return false;
    if (reinterpret_cast<uintptr_t>(data) % alignof(double) != 0) return false;
    *out = reinterpret_cast<double *>(data);
    return true;
}

// fsOpenBeneath(dirFd, name, flags, mode): descriptor
static Napi::Value OpenBeneath(const Napi::CallbackInfo &info) {
    int fd;
    int64_t a[2];
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInts(info, 2, a, 2))
        return ThrowArgument(info.Env(), "fsOpenBeneath(dirFd, name, flags, mode)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_open_beneath(fd, name.bytes, static_cast<int>(a[0]),
                                           static_cast<uint32_t>(a[1])));
}

// fsLookup(dirFd, name, fields): an O_PATH descriptor
static Napi::Value Lookup(const Napi::CallbackInfo &info) {
    int fd;
    Name name;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) ||
        !ArgFields(info, 2, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsLookup(dirFd, name, fields)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_lookup(fd, name.bytes, fields));
}

static Napi::Value Stat(const Napi::CallbackInfo &info) {
    int fd;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgFields(info, 1, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStat(fd, fields)");
    return Result(info, vx_fs_stat(fd, fields));
}

// fsStatName(dirFd, name, fields)
static Napi::Value StatName(const Napi::CallbackInfo &info) {
    int fd;
    Name name;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) ||
        !ArgFields(info, 2, VX_STAT_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStatName(dirFd, name, fields)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_stat_name(fd, name.bytes, fields));
}

static Napi::Value StatFs(const Napi::CallbackInfo &info) {
    int fd;
    double *fields;
    if (!ArgFd(info, 0, &fd) || !ArgFields(info, 1, VX_STATFS_FIELDS, &fields))
        return ThrowArgument(info.Env(), "fsStatFs(fd, fields)");
    return Result(info, vx_fs_statfs(fd, fields));
}

static Napi::Value Reopen(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, &flags))
        return ThrowArgument(info.Env(), "fsReopen(fd, flags)");
    return Result(info, vx_fs_reopen(fd, static_cast<int>(flags)));
}

static Napi::Value Close(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsClose(fd)");
    return Errno(info, close(fd));
}

static Napi::Value Duplicate(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsDuplicate(fd)");
    return Errno(info, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

// fsMakeDirectory(dirFd, name, mode)
static Napi::Value MakeDirectory(const Napi::CallbackInfo &info) {
    int fd;
    int64_t mode;
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &mode))
        return ThrowArgument(info.Env(), "fsMakeDirectory(dirFd, name, mode)");
    if (name.status < 0) return Result(info, name.status);
    return Errno(info, mkdirat(fd, name.bytes, static_cast<mode_t>(mode)));
}

// fsMakeNode(dirFd, name, mode): of the kinds that have no device number
static Napi::Value MakeNode(const Napi::CallbackInfo &info) {
    int fd;
    int64_t mode;
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &mode))
        return ThrowArgument(info.Env(), "fsMakeNode(dirFd, name, mode)");
    if (name.status < 0) return Result(info, name.status);
    return Errno(info, mknodat(fd, name.bytes, static_cast<mode_t>(mode), 0));
}

// fsSymlink(target, dirFd, name)
static Napi::Value Symlink(const Napi::CallbackInfo &info) {
    int fd;
    Name target;
    Name name;
    if (!ArgName(info, 0, &target) || !ArgFd(info, 1, &fd) || !ArgName(info, 2, &name))
        return ThrowArgument(info.Env(), "fsSymlink(target, dirFd, name)");
    if (target.status < 0) return Result(info, target.status);
    if (name.status < 0) return Result(info, name.status);
    return Errno(info, symlinkat(target.bytes, fd, name.bytes));
}

// fsLink(fd, dirFd, name): one more name for what fd refers to
static Napi::Value Link(const Napi::CallbackInfo &info) {
    int fd;
    int dir;
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgFd(info, 1, &dir) || !ArgName(info, 2, &name))
        return ThrowArgument(info.Env(), "fsLink(fd, dirFd, name)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_link(fd, dir, name.bytes));
}

// fsRename(dirFd, name, newDirFd, newName, flags)
static Napi::Value Rename(const Napi::CallbackInfo &info) {
    int from;
    int to;
    int64_t flags;
    Name old_name;
    Name new_name;
    if (!ArgFd(info, 0, &from) || !ArgName(info, 1, &old_name) || !ArgFd(info, 2, &to) ||
        !ArgName(info, 3, &new_name) || !ArgInt(info, 4, &flags))
        return ThrowArgument(info.Env(), "fsRename(dirFd, name, newDirFd, newName, flags)");
    if (old_name.status < 0) return Result(info, old_name.status);
    if (new_name.status < 0) return Result(info, new_name.status);
    return Result(
        info, vx_fs_rename(from, old_name.bytes, to, new_name.bytes, static_cast<uint32_t>(flags)));
}

// fsUnlink(dirFd, name, flags)
static Napi::Value Unlink(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgInt(info, 2, &flags))
        return ThrowArgument(info.Env(), "fsUnlink(dirFd, name, flags)");
    if (name.status < 0) return Result(info, name.status);
    return Errno(info, unlinkat(fd, name.bytes, static_cast<int>(flags)));
}

// fsReadLink(fd): the target of the symbolic link that an O_PATH descriptor refers to
static Napi::Value ReadLink(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsReadLink(fd)");
    char target[PATH_MAX];
    ssize_t length = readlinkat(fd, "", target, sizeof(target));
    if (length < 0) return Errno(info, length);
    napi_value out;
    napi_create_string_latin1(info.Env(), target, static_cast<size_t>(length), &out);
    return Napi::Value(info.Env(), out);
}

// fsChown(fd, uid, gid); -1 leaves one as it is
static Napi::Value Chown(const Napi::CallbackInfo &info) {
    int64_t a[3];
    if (!ArgInts(info, 0, a, 3)) return ThrowArgument(info.Env(), "fsChown(fd, uid, gid)");
    return Errno(info, fchownat(static_cast<int>(a[0]), "", static_cast<uid_t>(a[1]),
                                static_cast<gid_t>(a[2]), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

static Napi::Value Chmod(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsChmod(fd, mode)");
    return Result(info, vx_fs_chmod(static_cast<int>(a[0]), static_cast<uint32_t>(a[1])));
}

// fsSetTimes(fd, atime, atimeNs, mtime, mtimeNs), with UTIME_NOW and UTIME_OMIT
static Napi::Value SetTimes(const Napi::CallbackInfo &info) {
    int64_t a[5];
    if (!ArgInts(info, 0, a, 5))
        return ThrowArgument(info.Env(), "fsSetTimes(fd, atime, atimeNs, mtime, mtimeNs)");
    return Result(info, vx_fs_set_times(static_cast<int>(a[0]), a + 1));
}

static Napi::Value Truncate(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsTruncate(fd, size)");
    return Errno(info, ftruncate(static_cast<int>(a[0]), a[1]));
}

// fsPreadv(fd, iovecs, count, offset) and fsPwritev: `iovecs` are structures with addresses of this
// process, which the caller has checked against guest memory.
template <ssize_t (*Call)(int, const struct iovec *, int, off_t)>
static Napi::Value Vectored(const Napi::CallbackInfo &info) {
    int fd;
    int64_t a[2];
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, &data, &length) || !ArgInts(info, 2, a, 2) ||
        a[0] < 0 || static_cast<size_t>(a[0]) > length / sizeof(struct iovec) ||
        reinterpret_cast<uintptr_t>(data) % alignof(struct iovec) != 0)
        return ThrowArgument(info.Env(), "fsPreadv(fd, iovecs, count, offset)");
    ssize_t result;
    do {
        result = Call(fd, reinterpret_cast<struct iovec *>(data), static_cast<int>(a[0]), a[1]);
    } while (result < 0 && errno == EINTR);
    return Errno(info, result);
}

// fsReadDirectory(fd, buffer, seek): bytes of struct linux_dirent64
static Napi::Value ReadDirectory(const Napi::CallbackInfo &info) {
    int fd;
    int64_t seek;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, &data, &length) || !ArgInt(info, 2, &seek))
        return ThrowArgument(info.Env(), "fsReadDirectory(fd, buffer, seek)");
    return Result(info, vx_fs_read_directory(fd, data, length, seek));
}

// fsGetXattr(fd, name, buffer): bytes; an empty buffer asks for the size
static Napi::Value GetXattr(const Napi::CallbackInfo &info) {
    int fd;
    Name name;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgBytes(info, 2, &data, &length))
        return ThrowArgument(info.Env(), "fsGetXattr(fd, name, buffer)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_get_xattr(fd, name.bytes, data, length));
}

// fsListXattr(fd, buffer): bytes of names, each ended by a NUL
static Napi::Value ListXattr(const Napi::CallbackInfo &info) {
    int fd;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, &data, &length))
        return ThrowArgument(info.Env(), "fsListXattr(fd, buffer)");
    return Result(info, vx_fs_list_xattr(fd, reinterpret_cast<char *>(data), length));
}

// fsSetXattr(fd, name, value, flags)
static Napi::Value SetXattr(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    Name name;
    uint8_t *data = nullptr;
    size_t length = 0;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name) || !ArgBytes(info, 2, &data, &length) ||
        !ArgInt(info, 3, &flags))
        return ThrowArgument(info.Env(), "fsSetXattr(fd, name, value, flags)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_set_xattr(fd, name.bytes, data, length, static_cast<int>(flags)));
}

static Napi::Value RemoveXattr(const Napi::CallbackInfo &info) {
    int fd;
    Name name;
    if (!ArgFd(info, 0, &fd) || !ArgName(info, 1, &name))
        return ThrowArgument(info.Env(), "fsRemoveXattr(fd, name)");
    if (name.status < 0) return Result(info, name.status);
    return Result(info, vx_fs_remove_xattr(fd, name.bytes));
}

// fsAllocate(fd, mode, offset, length)
static Napi::Value Allocate(const Napi::CallbackInfo &info) {
    int64_t a[4];
    if (!ArgInts(info, 0, a, 4))
        return ThrowArgument(info.Env(), "fsAllocate(fd, mode, offset, length)");
    return Errno(info, fallocate(static_cast<int>(a[0]), static_cast<int>(a[1]), a[2], a[3]));
}

// fsSeek(fd, offset, whence)
static Napi::Value Seek(const Napi::CallbackInfo &info) {
    int64_t a[3];
    if (!ArgInts(info, 0, a, 3)) return ThrowArgument(info.Env(), "fsSeek(fd, offset, whence)");
    off_t result = lseek(static_cast<int>(a[0]), a[1], static_cast<int>(a[2]));
    return Errno(info, result);
}

// fsCopyRange(fd, offset, toFd, toOffset, length)
static Napi::Value CopyRange(const Napi::CallbackInfo &info) {
    int64_t a[5];
    if (!ArgInts(info, 0, a, 5) || a[4] < 0)
        return ThrowArgument(info.Env(), "fsCopyRange(fd, offset, toFd, toOffset, length)");
    off64_t from = a[1];
    off64_t to = a[3];
    return Errno(info, copy_file_range(static_cast<int>(a[0]), &from, static_cast<int>(a[2]), &to,
                                       static_cast<size_t>(a[4]), 0));
}

// fsFlock(fd, operation)
static Napi::Value Flock(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsFlock(fd, operation)");
    return Errno(info, flock(static_cast<int>(a[0]), static_cast<int>(a[1])));
}

// fsLock(fd, set, type, start, length, answer): an open file description lock
static Napi::Value Lock(const Napi::CallbackInfo &info) {
    int64_t a[5];
    double *answer;
    if (!ArgInts(info, 0, a, 5) || !ArgFields(info, 5, 3, &answer))
        return ThrowArgument(info.Env(), "fsLock(fd, set, type, start, length, answer)");
    return Result(info, vx_fs_lock(static_cast<int>(a[0]), a[1] != 0, static_cast<int>(a[2]), a[3],
                                   a[4], answer));
}

// Writes a file back in a thread of the pool. It has a descriptor of its own, because the number of
// the caller's can be another file by the time the thread gets to it.
class SyncWorker : public Napi::AsyncWorker {
  public:
    SyncWorker(const Napi::Function &callback, int fd, int kind)
        : Napi::AsyncWorker(callback, "vexit.sync"), fd_(fd), kind_(kind) {
    }
    ~SyncWorker() override {
        close(fd_);
    }
    void Execute() override {
        result_ = vx_fs_sync(fd_, kind_);
    }
    void OnOK() override {
        Callback().Call({Napi::Number::New(Env(), result_)});
    }

  private:
    int fd_;
    int kind_;
    int result_ = 0;
};

// fsSync(fd, kind, callback): the callback gets 0 or a negative errno. Returns 0, or a negative
// errno without calling it.
static Napi::Value Sync(const Napi::CallbackInfo &info) {
    int fd;
    int64_t kind;
    if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, &kind) || info.Length() < 3 ||
        !info[2].IsFunction())
        return ThrowArgument(info.Env(), "fsSync(fd, kind, callback)");
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) return Errno(info, own);
    auto *worker = new SyncWorker(info[2].As<Napi::Function>(), own, static_cast<int>(kind));
    worker->Queue();
    return Result(info, 0);
}

void InitFs(Napi::Env env, Napi::Object exports) {
    const auto add = [&](const char *name, Napi::Value (*function)(const Napi::CallbackInfo &)) {
        exports.Set(name, Napi::Function::New(env, function, name));
    };
    add("fsOpenBeneath", OpenBeneath);
    add("fsLookup", Lookup);
    add("fsStat", Stat);
    add("fsStatName", StatName);
    add("fsStatFs", StatFs);
    add("fsReopen", Reopen);
    add("fsClose", Close);
    add("fsDuplicate", Duplicate);
    add("fsMakeDirectory", MakeDirectory);
    add("fsMakeNode", MakeNode);
    add("fsSymlink", Symlink);
    add("fsLink", Link);
    add("fsRename", Rename);
    add("fsUnlink", Unlink);
    add("fsReadLink", ReadLink);
    add("fsChown", Chown);
    add("fsChmod", Chmod);
    add("fsSetTimes", SetTimes);
    add("fsTruncate", Truncate);
    add("fsPreadv", Vectored<preadv>);
    add("fsPwritev", Vectored<pwritev>);
    add("fsReadDirectory", ReadDirectory);
    add("fsGetXattr", GetXattr);
    add("fsListXattr", ListXattr);
    add("fsSetXattr", SetXattr);
    add("fsRemoveXattr", RemoveXattr);
    add("fsAllocate", Allocate);
    add("fsSeek", Seek);
    add("fsCopyRange", CopyRange);
    add("fsFlock", Flock);
    add("fsLock", Lock);
    add("fsSync", Sync);
}

} // namespace vexit
