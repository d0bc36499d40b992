#include "io_request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int vx_io_served(uint32_t opcode) {
    return opcode == IORING_OP_READ || opcode == IORING_OP_READV || opcode == IORING_OP_WRITE ||
           opcode == IORING_OP_WRITEV || opcode == IORING_OP_FSYNC ||
           opcode == IORING_OP_FALLOCATE || opcode == IORING_OP_ASYNC_CANCEL;
}

static int is_read(const struct io_uring_sqe *sqe) {
    return sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_READV;
}

int vx_io_is_write(const struct io_uring_sqe *sqe) {
    return sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV;
}

int vx_io_writes_wait(int fd) {
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_DIRECT)) return 0;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return 0;
    // From an address where nothing is, so that nothing is written.
    struct iovec nowhere = {(void *)1, 1};
    return pwritev2(fd, &nowhere, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP;
}

int vx_io_copy_segments(const struct io_uring_sqe *sqe, struct vx_io_segments *out) {
    out->count = 0;
    if (sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_WRITE) {
        out->list[0] = (struct iovec){(void *)(uintptr_t)sqe->addr, sqe->len};
        out->count = 1;
    } else if (sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV) {
        if (sqe->len > VX_IO_SEGMENTS_MAX) return -EINVAL;
        memcpy(out->list, (const void *)(uintptr_t)sqe->addr, sqe->len * sizeof(struct iovec));
        out->count = sqe->len;
    }
    return 0;
}

int vx_io_execute(int fd, const struct io_uring_sqe *sqe, const struct vx_io_segments *segments) {
    int count = (int)segments->count;
    off_t offset = (off_t)sqe->off;
    ssize_t result;
    do {
        switch (sqe->opcode) {
        case IORING_OP_READ:
        case IORING_OP_READV:
            result = preadv2(fd, segments->list, count, offset, (int)sqe->rw_flags);
            break;
        case IORING_OP_WRITE:
        case IORING_OP_WRITEV:
            // Copying a list costs a small write something.
            if (count == 1 && sqe->rw_flags == 0)
                result = pwrite(fd, segments->list->iov_base, segments->list->iov_len, offset);
            else
                result = pwritev2(fd, segments->list, count, offset, (int)sqe->rw_flags);
            break;
        case IORING_OP_FSYNC:
            result = sqe->fsync_flags & IORING_FSYNC_DATASYNC ? fdatasync(fd) : fsync(fd);
            break;
        default:
            result = fallocate(fd, (int)sqe->len, offset, (off_t)sqe->addr);
            break;
        }
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : (int)result;
}

int vx_io_execute_cached(int fd, const struct io_uring_sqe *sqe,
                         const struct vx_io_segments *segments, int *result) {
    if (!is_read(sqe)) return 0;
    size_t wanted = 0;
    for (uint32_t i = 0; i < segments->count; i++) wanted += segments->list[i].iov_len;
    ssize_t got = preadv2(fd, segments->list, (int)segments->count, (off_t)sqe->off, RWF_NOWAIT);
    // A short one may be for the end of the file or of what is cached: whoever waits can tell.
    if (got < 0 || (size_t)got != wanted) return 0;
    *result = (int)got;
    return 1;
}
