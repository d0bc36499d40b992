// Requests of the thread pool: an SQE as the system call it stands for.
#ifndef VEXIT_IO_REQUEST_H
#define VEXIT_IO_REQUEST_H

#include <limits.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <sys/uio.h>

#define VX_IO_SEGMENTS_MAX IOV_MAX

struct vx_io_segments {
    struct iovec *list; // room for VX_IO_SEGMENTS_MAX, untouched until it is needed
    uint32_t count;
};

// 1 for the opcodes that are known here, IORING_OP_ASYNC_CANCEL among them.
int vx_io_served(uint32_t opcode);

// 1 for a write of data.
int vx_io_is_write(const struct io_uring_sqe *sqe);

// 1 for a regular file whose buffered writes always wait: its file system has none with RWF_NOWAIT
// (ext4, FUSE and others), takes a lock for each, and io_uring hands each to a thread of the
// kernel.
int vx_io_writes_wait(int fd);

// Copies what the SQE points at, so that it can be used again. 0 or a negative errno.
int vx_io_copy_segments(const struct io_uring_sqe *sqe, struct vx_io_segments *out);

// Makes the system call; the result is that of the CQE.
int vx_io_execute(int fd, const struct io_uring_sqe *sqe, const struct vx_io_segments *segments);

// Does it if that needs no waiting: a read of what is in the page cache. 1 with the result if so.
int vx_io_execute_cached(int fd, const struct io_uring_sqe *sqe,
                         const struct vx_io_segments *segments, int *result);

#endif
