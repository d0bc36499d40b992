#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int result_of(int result) {
    return result < 0 ? -errno : result;
}

// A descriptor of /proc/self/fd, kept for good, or a negative errno: what begins there has two
// steps less to go, which is a quarter of what it takes to open a descriptor once more.
static int fd_directory(void) {
    static atomic_int kept = -1;
    int fd = atomic_load(&kept);
    if (fd >= 0) return fd;
    int made = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (made < 0) return -errno;
    if (atomic_compare_exchange_strong(&kept, &fd, made)) return made;
    close(made);
    return fd;
}

// The name of a descriptor in that directory, and its path. Following it leads to the inode the
// descriptor pins and no further, also when that is a symbolic link.
#define FD_PATH_BYTES 32
static const char *fd_name(char buffer[FD_PATH_BYTES], int fd) {
    snprintf(buffer, FD_PATH_BYTES, "%d", fd);
    return buffer;
}

static const char *fd_path(char buffer[FD_PATH_BYTES], int fd) {
    snprintf(buffer, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
    return buffer;
}

int vx_fs_open_beneath(int dirfd, const char *name, int flags, uint32_t mode) {
    struct open_how how;
    memset(&how, 0, sizeof(how));
    how.flags = (uint64_t)(uint32_t)flags | O_CLOEXEC;
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    int fd;
    // EAGAIN: a rename or mount happened at the same time, so that the kernel cannot be sure.
    int attempts = 0;
    do {
        fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++attempts < 16)));
    return result_of(fd);
}

static int stat_at(int fd, const char *name, int flags, double *fields) {
    struct statx s;
    if (statx(fd, name, flags | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s) < 0)
        return -errno;
    fields[VX_STAT_MODE] = s.stx_mode;
    fields[VX_STAT_NLINK] = s.stx_nlink;
    fields[VX_STAT_UID] = s.stx_uid;
    fields[VX_STAT_GID] = s.stx_gid;
    fields[VX_STAT_RDEV_MAJOR] = s.stx_rdev_major;
    fields[VX_STAT_RDEV_MINOR] = s.stx_rdev_minor;
    fields[VX_STAT_SIZE] = (double)s.stx_size;
    fields[VX_STAT_BLOCKS] = (double)s.stx_blocks;
    fields[VX_STAT_BLOCK_SIZE] = s.stx_blksize;
    fields[VX_STAT_INO_LOW] = (double)(uint32_t)s.stx_ino;
    fields[VX_STAT_INO_HIGH] = (double)(uint32_t)(s.stx_ino >> 32);
    fields[VX_STAT_DEV_MAJOR] = s.stx_dev_major;
    fields[VX_STAT_DEV_MINOR] = s.stx_dev_minor;
    fields[VX_STAT_ATIME] = (double)s.stx_atime.tv_sec;
    fields[VX_STAT_ATIME_NS] = s.stx_atime.tv_nsec;
    fields[VX_STAT_MTIME] = (double)s.stx_mtime.tv_sec;
    fields[VX_STAT_MTIME_NS] = s.stx_mtime.tv_nsec;
    fields[VX_STAT_CTIME] = (double)s.stx_ctime.tv_sec;
    fields[VX_STAT_CTIME_NS] = s.stx_ctime.tv_nsec;
    int born = (s.stx_mask & STATX_BTIME) != 0;
    fields[VX_STAT_BTIME] = born ? (double)s.stx_btime.tv_sec : 0;
    fields[VX_STAT_BTIME_NS] = born ? s.stx_btime.tv_nsec : 0;
    return 0;
}

int vx_fs_stat(int fd, double *fields) {
    return stat_at(fd, "", AT_EMPTY_PATH, fields);
}

int vx_fs_stat_name(int dirfd, const char *name, double *fields) {
    // One component that is not followed cannot lead anywhere else.
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return -EXDEV;
    return stat_at(dirfd, name, AT_NO_AUTOMOUNT, fields);
}

int vx_fs_lookup(int dirfd, const char *name, double *fields) {
    int fd = vx_fs_open_beneath(dirfd, name, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0) return fd;
    int result = vx_fs_stat(fd, fields);
    if (result == 0) return fd;
    close(fd);
    return result;
}

int vx_fs_statfs(int fd, double *fields) {
    struct statvfs s;
    if (fstatvfs(fd, &s) < 0) return -errno;
    fields[VX_STATFS_BLOCKS] = (double)s.f_blocks;
    fields[VX_STATFS_BFREE] = (double)s.f_bfree;
    fields[VX_STATFS_BAVAIL] = (double)s.f_bavail;
    fields[VX_STATFS_FILES] = (double)s.f_files;
    fields[VX_STATFS_FFREE] = (double)s.f_ffree;
    fields[VX_STATFS_BSIZE] = (double)s.f_bsize;
    fields[VX_STATFS_NAMELEN] = (double)s.f_namemax;
    fields[VX_STATFS_FRSIZE] = (double)s.f_frsize;
    return 0;
}

int vx_fs_reopen(int fd, int flags) {
    char path[FD_PATH_BYTES];
    int directory = fd_directory();
    if (directory < 0) return directory;
    return result_of(openat(directory, fd_name(path, fd), flags | O_CLOEXEC));
}

int vx_fs_link(int fd, int dirfd, const char *name) {
    char path[FD_PATH_BYTES];
    int directory = fd_directory();
    if (directory < 0) return directory;
    return result_of(linkat(directory, fd_name(path, fd), dirfd, name, AT_SYMLINK_FOLLOW));
}

int vx_fs_rename(int dirfd, const char *name, int new_dirfd, const char *new_name, uint32_t flags) {
    return result_of(renameat2(dirfd, name, new_dirfd, new_name, flags));
}

int vx_fs_chmod(int fd, uint32_t mode) {
    char path[FD_PATH_BYTES];
    int directory = fd_directory();
    if (directory < 0) return directory;
    return result_of(fchmodat(directory, fd_name(path, fd), mode, 0));
}

int vx_fs_set_times(int fd, const int64_t times[4]) {
    struct timespec spec[2] = {{.tv_sec = times[0], .tv_nsec = times[1]},
                               {.tv_sec = times[2], .tv_nsec = times[3]}};
    return result_of(utimensat(fd, "", spec, AT_EMPTY_PATH));
}

int vx_fs_read_directory(int fd, uint8_t *buffer, size_t size, int64_t seek) {
    if (seek >= 0 && lseek(fd, seek, SEEK_SET) < 0) return -errno;
    return result_of((int)syscall(SYS_getdents64, fd, buffer, size));
}

int64_t vx_fs_get_xattr(int fd, const char *name, void *value, size_t size) {
    char path[FD_PATH_BYTES];
    ssize_t result = getxattr(fd_path(path, fd), name, value, size);
    return result < 0 ? -errno : result;
}

int64_t vx_fs_list_xattr(int fd, char *names, size_t size) {
    char path[FD_PATH_BYTES];
    ssize_t result = listxattr(fd_path(path, fd), names, size);
    return result < 0 ? -errno : result;
}

int vx_fs_set_xattr(int fd, const char *name, const void *value, size_t size, int flags) {
    char path[FD_PATH_BYTES];
    return result_of(setxattr(fd_path(path, fd), name, value, size, flags));
}

int vx_fs_remove_xattr(int fd, const char *name) {
    char path[FD_PATH_BYTES];
    return result_of(removexattr(fd_path(path, fd), name));
}

int vx_fs_lock(int fd, int set, int type, int64_t start, int64_t length, double *result) {
    struct flock lock;
    memset(&lock, 0, sizeof(lock));
    lock.l_type = (short)type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    if (fcntl(fd, set ? F_OFD_SETLK : F_OFD_GETLK, &lock) < 0) return -errno;
    if (!set) {
        result[0] = lock.l_type;
        result[1] = (double)lock.l_start;
        result[2] = (double)lock.l_len;
    }
    return 0;
}

int vx_fs_sync(int fd, int kind) {
    switch (kind) {
    case VX_SYNC_FILE:
        return result_of(fsync(fd));
    case VX_SYNC_DATA:
        return result_of(fdatasync(fd));
    default:
        return result_of(syncfs(fd));
    }
}
