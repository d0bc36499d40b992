// Descriptors of a shared directory, and the content of files: data, space, locks, writing back.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "bind_fs.h"
#include "fs.h"

namespace vexit {

static Napi::Value Reopen(const Napi::CallbackInfo &info) {
    int fd;
    int64_t flags;
    if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, &flags))
        return ThrowArgument(info.Env(), "fsReopen(fd, flags)");
    return FsResult(info, vx_fs_reopen(fd, static_cast<int>(flags)));
}

static Napi::Value Close(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsClose(fd)");
    return FsErrno(info, close(fd));
}

static Napi::Value Duplicate(const Napi::CallbackInfo &info) {
    int fd;
    if (!ArgFd(info, 0, &fd)) return ThrowArgument(info.Env(), "fsDuplicate(fd)");
    return FsErrno(info, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static Napi::Value Truncate(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsTruncate(fd, size)");
    return FsErrno(info, ftruncate(static_cast<int>(a[0]), a[1]));
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
    return FsErrno(info, result);
}

// fsAllocate(fd, mode, offset, length)
static Napi::Value Allocate(const Napi::CallbackInfo &info) {
    int64_t a[4];
    if (!ArgInts(info, 0, a, 4))
        return ThrowArgument(info.Env(), "fsAllocate(fd, mode, offset, length)");
    return FsErrno(info, fallocate(static_cast<int>(a[0]), static_cast<int>(a[1]), a[2], a[3]));
}

// fsSeek(fd, offset, whence)
static Napi::Value Seek(const Napi::CallbackInfo &info) {
    int64_t a[3];
    if (!ArgInts(info, 0, a, 3)) return ThrowArgument(info.Env(), "fsSeek(fd, offset, whence)");
    off_t result = lseek(static_cast<int>(a[0]), a[1], static_cast<int>(a[2]));
    return FsErrno(info, result);
}

// fsCopyRange(fd, offset, toFd, toOffset, length)
static Napi::Value CopyRange(const Napi::CallbackInfo &info) {
    int64_t a[5];
    if (!ArgInts(info, 0, a, 5) || a[4] < 0)
        return ThrowArgument(info.Env(), "fsCopyRange(fd, offset, toFd, toOffset, length)");
    off64_t from = a[1];
    off64_t to = a[3];
    return FsErrno(info, copy_file_range(static_cast<int>(a[0]), &from, static_cast<int>(a[2]), &to,
                                         static_cast<size_t>(a[4]), 0));
}

// fsFlock(fd, operation)
static Napi::Value Flock(const Napi::CallbackInfo &info) {
    int64_t a[2];
    if (!ArgInts(info, 0, a, 2)) return ThrowArgument(info.Env(), "fsFlock(fd, operation)");
    return FsErrno(info, flock(static_cast<int>(a[0]), static_cast<int>(a[1])));
}

// fsLock(fd, set, type, start, length, answer): an open file description lock
static Napi::Value Lock(const Napi::CallbackInfo &info) {
    int64_t a[5];
    double *answer;
    if (!ArgInts(info, 0, a, 5) || !ArgFields(info, 5, 3, &answer))
        return ThrowArgument(info.Env(), "fsLock(fd, set, type, start, length, answer)");
    return FsResult(info, vx_fs_lock(static_cast<int>(a[0]), a[1] != 0, static_cast<int>(a[2]),
                                     a[3], a[4], answer));
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
    if (own < 0) return FsErrno(info, own);
    auto *worker = new SyncWorker(info[2].As<Napi::Function>(), own, static_cast<int>(kind));
    worker->Queue();
    return FsResult(info, 0);
}

void InitFsFiles(Napi::Object exports) {
    FsExport(exports, "fsReopen", Reopen);
    FsExport(exports, "fsClose", Close);
    FsExport(exports, "fsDuplicate", Duplicate);
    FsExport(exports, "fsTruncate", Truncate);
    FsExport(exports, "fsPreadv", Vectored<preadv>);
    FsExport(exports, "fsPwritev", Vectored<pwritev>);
    FsExport(exports, "fsAllocate", Allocate);
    FsExport(exports, "fsSeek", Seek);
    FsExport(exports, "fsCopyRange", CopyRange);
    FsExport(exports, "fsFlock", Flock);
    FsExport(exports, "fsLock", Lock);
    FsExport(exports, "fsSync", Sync);
}

} // namespace vexit
