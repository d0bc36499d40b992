// System calls of a shared directory that Node.js does not have: relative to O_PATH descriptors,
// by openat2, on host addresses. Each is one call and decides nothing; all return a result or a
// negative errno.
#ifndef VEXIT_FS_H
#define VEXIT_FS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

// Fields that vx_fs_stat fills, in order; src/kvm/native-fs.ts has the same list.
enum vx_fs_stat_field {
    VX_STAT_MODE,
    VX_STAT_NLINK,
    VX_STAT_UID,
    VX_STAT_GID,
    VX_STAT_RDEV_MAJOR,
    VX_STAT_RDEV_MINOR,
    VX_STAT_SIZE,
    VX_STAT_BLOCKS,
    VX_STAT_BLOCK_SIZE,
    VX_STAT_INO_LOW,
    VX_STAT_INO_HIGH,
    VX_STAT_DEV_MAJOR,
    VX_STAT_DEV_MINOR,
    VX_STAT_ATIME,
    VX_STAT_ATIME_NS,
    VX_STAT_MTIME,
    VX_STAT_MTIME_NS,
    VX_STAT_CTIME,
    VX_STAT_CTIME_NS,
    VX_STAT_BTIME,
    VX_STAT_BTIME_NS,
    VX_STAT_FIELDS
};

// Fields that vx_fs_statfs fills, in order.
enum vx_fs_statfs_field {
    VX_STATFS_BLOCKS,
    VX_STATFS_BFREE,
    VX_STATFS_BAVAIL,
    VX_STATFS_FILES,
    VX_STATFS_FFREE,
    VX_STATFS_BSIZE,
    VX_STATFS_NAMELEN,
    VX_STATFS_FRSIZE,
    VX_STATFS_FIELDS
};

enum vx_fs_sync_kind { VX_SYNC_FILE, VX_SYNC_DATA, VX_SYNC_FILE_SYSTEM };

// One step of a path: never leaves `dirfd`, follows no symbolic link of any kind.
int vx_fs_open_beneath(int dirfd, const char *name, int flags, uint32_t mode);
// The same for O_PATH, with the attributes of what was found.
int vx_fs_lookup(int dirfd, const char *name, double *fields);
int vx_fs_stat(int fd, double *fields);
// The same of a name in a directory, without opening it. What has a slash, "." and ".." is no name:
// -EXDEV. A link is not followed.
int vx_fs_stat_name(int dirfd, const char *name, double *fields);
int vx_fs_statfs(int fd, double *fields);
// Opens what `fd` refers to once more.
int vx_fs_reopen(int fd, int flags);
int vx_fs_link(int fd, int dirfd, const char *name);
int vx_fs_rename(int dirfd, const char *name, int new_dirfd, const char *new_name, uint32_t flags);
int vx_fs_chmod(int fd, uint32_t mode);
int vx_fs_set_times(int fd, const int64_t times[4]);
// getdents64, after a seek when `seek` is not negative.
int vx_fs_read_directory(int fd, uint8_t *buffer, size_t size, int64_t seek);
// Extended attributes of what `fd` refers to; a symbolic link is not followed.
int64_t vx_fs_get_xattr(int fd, const char *name, void *value, size_t size);
int64_t vx_fs_list_xattr(int fd, char *names, size_t size);
int vx_fs_set_xattr(int fd, const char *name, const void *value, size_t size, int flags);
int vx_fs_remove_xattr(int fd, const char *name);
// An open file description lock, not waited for. `set` is false for a question, which `result`
// (type, start, length) answers.
int vx_fs_lock(int fd, int set, int type, int64_t start, int64_t length, double *result);
int vx_fs_sync(int fd, int kind);

#ifdef __cplusplus
}
#endif

#endif
