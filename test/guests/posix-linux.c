/*
 * What POSIX and Linux say of files, case by case, in the directory of the argument: error codes,
 * permissions, link counts, times, locks, mappings, attributes. Started by root, who becomes
 * another user for some cases. Prints the cases that do not hold, and how many there were.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define USER 1000
#define OTHER 1001
/* More than a reading of a directory brings at once. */
#define NAMES 60

static int cases, failures;

static void check(int holds, const char *what, int line, int code) {
    cases++;
    if (holds) return;
    failures++;
    printf("line %d: %s (%s)\n", line, what, strerror(code));
}

/* The call ends with this errno; 0: it does not fail. */
#define ENDS(call, code)                                                                           \
    do {                                                                                           \
        errno = 0;                                                                                 \
        int failed_ = (long)(call) == -1, errno_ = failed_ ? errno : 0;                            \
        check(errno_ == (code), #call " is " #code, __LINE__, errno_);                             \
    } while (0)
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        errno = 0;                                                                                 \
        int holds_ = (condition);                                                                  \
        check(holds_, #condition, __LINE__, errno);                                                \
    } while (0)

static void become(uid_t uid) {
    if (seteuid(0) < 0 || setgroups(0, NULL) < 0 || setegid(uid) < 0 || seteuid(uid) < 0)
        perror("become");
}

static void make(const char *name, const char *text, mode_t mode) {
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, mode);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0) perror(name);
    close(fd);
}

static struct stat of(const char *name) {
    struct stat s;
    memset(&s, 0xff, sizeof s);
    lstat(name, &s);
    return s;
}

static int has(const char *name, const char *text) {
    char buffer[256];
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, buffer, sizeof buffer);
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buffer, text, n) == 0;
}

static int before(struct timespec a, struct timespec b) {
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* Long enough for the coarse clock of file times. */
static void tick(void) {
    usleep(20000);
}

static char long_name[300], long_target[5000];

static void opening(void) {
    make("f", "text", 0644);
    mkdir("d", 0755);
    ENDS(open("none", O_RDONLY), ENOENT);
    ENDS(open("none/f", O_CREAT | O_WRONLY, 0644), ENOENT);
    ENDS(open("f/x", O_RDONLY), ENOTDIR);
    ENDS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    ENDS(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    ENDS(open("d", O_WRONLY), EISDIR);
    ENDS(open("d", O_CREAT | O_WRONLY, 0644), EISDIR);
    ENDS(open(long_name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    long_name[255] = 0;
    ENDS(close(open(long_name, O_CREAT | O_WRONLY, 0644)), 0);
    ENDS(unlink(long_name), 0);
    symlink("loop", "loop");
    ENDS(open("loop", O_RDONLY), ELOOP);
    symlink("f", "to-f");
    ENDS(open("to-f", O_RDONLY | O_NOFOLLOW), ELOOP);
    ENDS(open("to-f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    HOLDS(has("to-f", "text"));
    symlink("made", "dangling");
    ENDS(close(open("dangling", O_CREAT | O_WRONLY, 0644)), 0);
    HOLDS(S_ISREG(of("made").st_mode));
    mode_t old = umask(027);
    ENDS(close(open("masked", O_CREAT | O_WRONLY, 0666)), 0);
    HOLDS((of("masked").st_mode & 07777) == 0640);
    /* The descriptor may write though the mode says that nobody may. */
    int fd = open("none-may", O_CREAT | O_RDWR, 0);
    HOLDS(write(fd, "x", 1) == 1 && pread(fd, long_target, 1, 0) == 1);
    close(fd);
    umask(old);
    fd = open("f", O_WRONLY | O_APPEND);
    HOLDS(pwrite(fd, "", 0, 0) == 0);
    lseek(fd, 0, SEEK_SET);
    HOLDS(write(fd, "+", 1) == 1 && has("f", "text+"));
    ENDS(read(fd, long_target, 1), EBADF);
    close(fd);
    ENDS(close(open("f", O_WRONLY | O_TRUNC)), 0);
    HOLDS(of("f").st_size == 0);
    fd = open("f", O_RDWR);
    HOLDS(pwrite(fd, "x", 1, 100000) == 1 && of("f").st_size == 100001);
    char byte = 1;
    HOLDS(pread(fd, &byte, 1, 5000) == 1 && byte == 0);
    HOLDS(pread(fd, &byte, 1, 100001) == 0);
    close(fd);
}

static void making_directories(void) {
    ENDS(mkdir("m", 0750), 0);
    HOLDS((of("m").st_mode & 07777) == 0750 && of("m").st_nlink == 2);
    ENDS(mkdir("m", 0755), EEXIST);
    ENDS(mkdir("m/a/b", 0755), ENOENT);
    make("m/f", "", 0644);
    ENDS(mkdir("m/f/x", 0755), ENOTDIR);
    ENDS(mkdir("m/sub", 0755), 0);
    HOLDS(of("m").st_nlink == 3);
    ENDS(rmdir("m"), ENOTEMPTY);
    ENDS(rmdir("m/f"), ENOTDIR);
    ENDS(rmdir("m/sub/."), EINVAL);
    ENDS(rmdir("m/sub/.."), ENOTEMPTY);
    ENDS(rmdir("m/sub"), 0);
    HOLDS(of("m").st_nlink == 2);
    ENDS(rmdir("m/sub"), ENOENT);
    /* A directory with the group's bit gives its group on. */
    mkdir("g", 0755);
    chown("g", 0, OTHER);
    chmod("g", 02777);
    become(USER);
    make("g/f", "", 0644);
    mkdir("g/d", 0755);
    become(0);
    HOLDS(of("g/f").st_gid == OTHER && of("g/f").st_uid == USER);
    HOLDS(of("g/d").st_gid == OTHER && (of("g/d").st_mode & S_ISGID));
    /* A removed directory that is open is empty. */
    mkdir("gone", 0755);
    int fd = open("gone", O_RDONLY | O_DIRECTORY);
    ENDS(rmdir("gone"), 0);
    ENDS(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
    close(fd);
}

static void linking(void) {
    make("l", "one", 0644);
    struct stat was = of("l");
    tick();
    ENDS(link("l", "l2"), 0);
    HOLDS(of("l").st_nlink == 2 && of("l").st_ino == of("l2").st_ino);
    HOLDS(before(was.st_ctim, of("l").st_ctim));
    ENDS(link("l", "l2"), EEXIST);
    ENDS(link("none", "l3"), ENOENT);
    ENDS(link("d", "l3"), EPERM);
    ENDS(link("l", "l2/x"), ENOTDIR);
    symlink("l", "sl");
    ENDS(link("sl", "sl2"), 0);
    HOLDS(S_ISLNK(of("sl2").st_mode));
    ENDS(linkat(AT_FDCWD, "sl", AT_FDCWD, "l4", AT_SYMLINK_FOLLOW), 0);
    HOLDS(of("l").st_nlink == 3);
    ENDS(unlink("l4"), 0);
    make("l2", "two", 0644);
    HOLDS(has("l", "two"));
    ENDS(unlink("l"), 0);
    HOLDS(of("l2").st_nlink == 1 && has("l2", "two"));
    ENDS(unlink("l"), ENOENT);
    ENDS(unlink("d"), EISDIR);
    ENDS(unlink("l2/x"), ENOTDIR);
    int fd = open("l2", O_RDWR);
    ENDS(unlink("l2"), 0);
    struct stat s;
    HOLDS(fstat(fd, &s) == 0 && s.st_nlink == 0);
    HOLDS(pwrite(fd, "late", 4, 0) == 4 && pread(fd, long_target, 4, 0) == 4);
    ENDS(ftruncate(fd, 1), 0);
    ENDS(fchmod(fd, 0600), 0);
    HOLDS(fstat(fd, &s) == 0 && s.st_size == 1 && (s.st_mode & 0777) == 0600);
    close(fd);
    memset(long_target, 'x', sizeof long_target);
    long_target[4095] = 0;
    ENDS(symlink(long_target, "long"), 0);
    char target[5000];
    HOLDS(readlink("long", target, sizeof target) == 4095);
    HOLDS(readlink("long", target, 10) == 10);
    long_target[4095] = 'x';
    long_target[4999] = 0;
    ENDS(symlink(long_target, "longer"), ENAMETOOLONG);
    ENDS(symlink("", "empty"), ENOENT);
    ENDS(symlink("x", "long"), EEXIST);
    ENDS(readlink("f", target, sizeof target), EINVAL);
}

static void renaming(void) {
    make("r1", "1", 0644);
    make("r2", "2", 0644);
    int fd = open("r2", O_RDONLY);
    ENDS(rename("r1", "r2"), 0);
    HOLDS(has("r2", "1"));
    char byte = 0;
    HOLDS(pread(fd, &byte, 1, 0) == 1 && byte == '2');
    close(fd);
    ENDS(rename("r1", "r3"), ENOENT);
    ENDS(rename("r2", "none/r"), ENOENT);
    mkdir("rd", 0755);
    mkdir("rd2", 0755);
    mkdir("rd/sub", 0755);
    ENDS(rename("r2", "rd"), EISDIR);
    ENDS(rename("rd", "r2"), ENOTDIR);
    ENDS(rename("rd2", "rd"), ENOTEMPTY);
    ENDS(rename("rd", "rd/sub/x"), EINVAL);
    ENDS(rename("rd", "rd2"), 0);
    HOLDS(of("rd2").st_nlink == 3);
    mkdir("rd", 0755);
    ENDS(rename("rd2/sub", "rd/sub"), 0);
    HOLDS(of("rd2").st_nlink == 2 && of("rd").st_nlink == 3);
    ENDS(link("r2", "r4"), 0);
    ENDS(rename("r2", "r4"), 0);
    HOLDS(has("r2", "1") && has("r4", "1"));
    make("r5", "5", 0644);
    ENDS(renameat2(AT_FDCWD, "r5", AT_FDCWD, "r4", RENAME_NOREPLACE), EEXIST);
    ENDS(renameat2(AT_FDCWD, "r5", AT_FDCWD, "r4", RENAME_EXCHANGE), 0);
    HOLDS(has("r4", "5") && has("r5", "1"));
    ENDS(renameat2(AT_FDCWD, "r5", AT_FDCWD, "rd", RENAME_EXCHANGE), 0);
    HOLDS(S_ISDIR(of("r5").st_mode) && has("rd", "1"));
    ENDS(renameat2(AT_FDCWD, "none", AT_FDCWD, "rd", RENAME_EXCHANGE), ENOENT);
    ENDS(renameat2(AT_FDCWD, "r4", AT_FDCWD, "r4b", RENAME_NOREPLACE), 0);
    ENDS(rename(".", "rx"), EBUSY);
    /* A directory that is open and moved is still the same. */
    fd = open("r5", O_RDONLY | O_DIRECTORY);
    ENDS(rename("r5", "rd2/moved"), 0);
    ENDS(close(openat(fd, "in", O_CREAT | O_WRONLY, 0644)), 0);
    HOLDS(S_ISREG(of("rd2/moved/in").st_mode));
    close(fd);
}

static void permissions(void) {
    make("p", "p", 0640);
    mkdir("pd", 0755);
    mkdir("closed", 0700);
    mkdir("pu", 0755);
    chown("pu", USER, USER);
    become(USER);
    ENDS(open("p", O_RDONLY), EACCES);
    ENDS(open("p", O_WRONLY), EACCES);
    ENDS(open("pd/x", O_CREAT | O_WRONLY, 0644), EACCES);
    ENDS(mkdir("pd/x", 0755), EACCES);
    ENDS(symlink("x", "pd/x"), EACCES);
    ENDS(mkfifo("pd/x", 0644), EACCES);
    ENDS(unlink("p"), EACCES);
    ENDS(rmdir("pd"), EACCES);
    ENDS(rename("p", "pu/p"), EACCES);
    ENDS(stat("closed/x", &(struct stat){0}), EACCES);
    ENDS(chmod("p", 0666), EPERM);
    ENDS(chown("p", USER, USER), EPERM);
    ENDS(truncate("p", 0), EACCES);
    ENDS(utimensat(AT_FDCWD, "p", NULL, 0), EACCES);
    struct timespec times[2] = {{1000, 1}, {2000, 2}};
    ENDS(utimensat(AT_FDCWD, "p", times, 0), EPERM);
    ENDS(eaccess("p", R_OK), EACCES);
    ENDS(eaccess("p", F_OK), 0);
    make("pu/own", "own", 0644);
    HOLDS(of("pu/own").st_uid == USER && of("pu/own").st_gid == USER);
    ENDS(chmod("pu/own", 0), 0);
    ENDS(open("pu/own", O_RDONLY), EACCES);
    ENDS(chmod("pu/own", 06755), 0);
    HOLDS((of("pu/own").st_mode & 07777) == 06755);
    ENDS(chown("pu/own", OTHER, -1), EPERM);
    ENDS(chown("pu/own", -1, OTHER), EPERM);
    /* The owner keeps the file, and loses what the bits would give. */
    ENDS(chown("pu/own", USER, USER), 0);
    HOLDS((of("pu/own").st_mode & 07777) == 0755);
    become(0);
    /* root may all, but execute what nobody may. */
    make("px", "", 0600);
    ENDS(access("px", X_OK), EACCES);
    ENDS(access("px", R_OK | W_OK), 0);
    chown("px", USER, USER);
    chmod("px", 06777);
    become(OTHER);
    int fd = open("px", O_WRONLY);
    HOLDS(write(fd, "x", 1) == 1);
    close(fd);
    become(0);
    HOLDS((of("px").st_mode & 07777) == 0777);
    /* chmod by an owner outside of the file's group takes the group's bit away. */
    make("pg", "", 0644);
    chown("pg", USER, OTHER);
    become(USER);
    ENDS(chmod("pg", 02755), 0);
    become(0);
    HOLDS((of("pg").st_mode & 07777) == 0755);
    struct stat was = of("pg");
    tick();
    ENDS(chmod("pg", 0600), 0);
    HOLDS(before(was.st_ctim, of("pg").st_ctim) && !before(was.st_mtim, of("pg").st_mtim));
    ENDS(chmod("none", 0600), ENOENT);
    ENDS(chown("none", 0, 0), ENOENT);
    symlink("pg", "to-pg");
    ENDS(lchown("to-pg", USER, OTHER), 0);
    HOLDS(of("to-pg").st_uid == USER && of("to-pg").st_gid == OTHER);
}

static void sticky(void) {
    mkdir("s", 0777);
    chmod("s", 01777);
    make("s/root", "", 0666);
    become(USER);
    make("s/user", "", 0666);
    mkdir("s/dir", 0777);
    ENDS(unlink("s/root"), EPERM);
    ENDS(rename("s/root", "s/mine"), EPERM);
    ENDS(rename("s/user", "s/root"), EPERM);
    become(OTHER);
    ENDS(unlink("s/user"), EPERM);
    ENDS(rmdir("s/dir"), EPERM);
    make("s/other", "", 0644);
    become(USER);
    ENDS(unlink("s/user"), 0);
    ENDS(rmdir("s/dir"), 0);
    become(0);
    ENDS(unlink("s/other"), 0);
}

static void truncating(void) {
    make("t", "abcdef", 0644);
    ENDS(truncate("t", 3), 0);
    HOLDS(has("t", "abc"));
    ENDS(truncate("t", 6), 0);
    int fd = open("t", O_RDWR);
    char bytes[6];
    HOLDS(read(fd, bytes, 6) == 6 && memcmp(bytes, "abc\0\0\0", 6) == 0);
    ENDS(ftruncate(fd, -1), EINVAL);
    ENDS(ftruncate(fd, 3LL << 30), 0);
    HOLDS(of("t").st_size == 3LL << 30 && of("t").st_blocks < 64);
    HOLDS(pwrite(fd, "end", 3, (3LL << 30) - 3) == 3);
    HOLDS(pread(fd, bytes, 6, (3LL << 30) - 3) == 3 && memcmp(bytes, "end", 3) == 0);
    ENDS(ftruncate(fd, 0), 0);
    close(fd);
    fd = open("t", O_RDONLY);
    ENDS(ftruncate(fd, 1), EINVAL);
    close(fd);
    ENDS(truncate("d", 0), EISDIR);
    ENDS(truncate("none", 0), ENOENT);
    struct stat was = of("t");
    tick();
    ENDS(truncate("t", 10), 0);
    HOLDS(before(was.st_mtim, of("t").st_mtim));
    fd = open("t", O_RDWR);
    HOLDS(pwrite(fd, "0123456789", 10, 0) == 10);
    ENDS(fallocate(fd, 0, 0, 100000), 0);
    HOLDS(of("t").st_size == 100000);
    ENDS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200000), 0);
    HOLDS(of("t").st_size == 100000);
    ENDS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 4), 0);
    char all[10];
    HOLDS(pread(fd, all, 10, 0) == 10 && memcmp(all, "01\0\0\0\0006789", 10) == 0);
    int copy = open("t-copy", O_CREAT | O_RDWR, 0644);
    off_t from = 0, to = 5;
    HOLDS(copy_file_range(fd, &from, copy, &to, 10, 0) == 10);
    HOLDS(pread(copy, all, 10, 5) == 10 && memcmp(all, "01\0\0\0\0006789", 10) == 0);
    HOLDS(lseek(copy, 0, SEEK_END) == 15);
    ENDS(fsync(copy), 0);
    ENDS(fdatasync(fd), 0);
    close(copy);
    close(fd);
}

static void times(void) {
    make("u", "u", 0644);
    struct timespec set[2] = {{1234567890, 123456789}, {987654321, 1}};
    ENDS(utimensat(AT_FDCWD, "u", set, 0), 0);
    struct stat s = of("u");
    HOLDS(s.st_atim.tv_sec == 1234567890 && s.st_atim.tv_nsec == 123456789);
    HOLDS(s.st_mtim.tv_sec == 987654321 && s.st_mtim.tv_nsec == 1);
    set[0].tv_nsec = UTIME_OMIT;
    set[1] = (struct timespec){1000000000, 5};
    ENDS(utimensat(AT_FDCWD, "u", set, 0), 0);
    s = of("u");
    HOLDS(s.st_atim.tv_sec == 1234567890 && s.st_mtim.tv_sec == 1000000000);
    set[1].tv_nsec = UTIME_NOW;
    ENDS(utimensat(AT_FDCWD, "u", set, 0), 0);
    HOLDS(of("u").st_mtim.tv_sec > 1500000000);
    symlink("u", "to-u");
    set[0] = set[1] = (struct timespec){1111111111, 7};
    ENDS(utimensat(AT_FDCWD, "to-u", set, AT_SYMLINK_NOFOLLOW), 0);
    HOLDS(of("to-u").st_mtim.tv_sec == 1111111111 && of("u").st_mtim.tv_sec > 1500000000);
    ENDS(utimensat(AT_FDCWD, "none", set, 0), ENOENT);
    set[0].tv_nsec = 1000000000;
    ENDS(utimensat(AT_FDCWD, "u", set, 0), EINVAL);
    /* Before 1970, and after 2038. */
    set[0] = (struct timespec){-1000, 0};
    set[1] = (struct timespec){1LL << 33, 0};
    ENDS(utimensat(AT_FDCWD, "u", set, 0), 0);
    HOLDS(of("u").st_atim.tv_sec == -1000 && of("u").st_mtim.tv_sec == 1LL << 33);
    mkdir("ud", 0755);
    struct stat was = of("ud");
    tick();
    make("ud/f", "", 0644);
    HOLDS(before(was.st_mtim, of("ud").st_mtim));
    was = of("ud");
    tick();
    unlink("ud/f");
    HOLDS(before(was.st_mtim, of("ud").st_mtim) && before(was.st_ctim, of("ud").st_ctim));
    was = of("u");
    tick();
    int fd = open("u", O_WRONLY);
    HOLDS(write(fd, "v", 1) == 1);
    close(fd);
    HOLDS(before(was.st_ctim, of("u").st_ctim));
}

static void special_files(void) {
    ENDS(mkfifo("fifo", 0640), 0);
    HOLDS(S_ISFIFO(of("fifo").st_mode) && (of("fifo").st_mode & 0777) == 0640);
    ENDS(mkfifo("fifo", 0644), EEXIST);
    ENDS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    if (fork() == 0) {
        int fd = open("fifo", O_WRONLY);
        _exit(write(fd, "through", 7) == 7 ? 0 : 1);
    }
    int fd = open("fifo", O_RDONLY);
    char text[16];
    HOLDS(read(fd, text, 7) == 7 && memcmp(text, "through", 7) == 0);
    close(fd);
    int status;
    wait(&status);
    HOLDS(status == 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    ENDS(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    HOLDS(S_ISSOCK(of("socket").st_mode));
    ENDS(bind(client, (struct sockaddr *)&address, sizeof address), EADDRINUSE);
    ENDS(listen(server, 1), 0);
    ENDS(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    close(client);
    close(server);
    ENDS(open("socket", O_RDONLY), ENXIO);
    ENDS(mknod("regular", S_IFREG | 0604, 0), 0);
    HOLDS(S_ISREG(of("regular").st_mode) && (of("regular").st_mode & 0777) == 0604);
}

static void running(void) {
    char buffer[65536];
    ssize_t n;
    int from = open("/proc/self/exe", O_RDONLY), to = open("program", O_CREAT | O_WRONLY, 0755);
    while ((n = read(from, buffer, sizeof buffer)) > 0) HOLDS(write(to, buffer, n) == n);
    ENDS(execl("./program", "program", (char *)NULL), ETXTBSY);
    close(to);
    close(from);
    pid_t child = fork();
    if (child == 0) {
        execl("./program", "program", "--wait", (char *)NULL);
        _exit(1);
    }
    char link[64], exe[4096] = "";
    snprintf(link, sizeof link, "/proc/%d/exe", child);
    for (int i = 0; i < 500 && strstr(exe, "/program") == NULL; i++) {
        usleep(10000);
        if (readlink(link, exe, sizeof exe - 1) < 0) break;
    }
    HOLDS(strstr(exe, "/program") != NULL);
    ENDS(open("program", O_WRONLY), ETXTBSY);
    ENDS(truncate("program", 0), ETXTBSY);
    ENDS(unlink("program"), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void directories(void) {
    char name[128];
    mkdir("many", 0755);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "many/%070d", i);
        make(name, "", 0644);
    }
    DIR *directory = opendir("many");
    int names = 0;
    for (struct dirent *e; (e = readdir(directory)) != NULL;)
        names += e->d_name[0] != '.' && e->d_type == DT_REG;
    HOLDS(names == NAMES);
    rewinddir(directory);
    for (int i = 0; i < NAMES / 3; i++) readdir(directory);
    long at = telldir(directory);
    char next[256];
    strcpy(next, readdir(directory)->d_name);
    readdir(directory);
    seekdir(directory, at);
    HOLDS(strcmp(next, readdir(directory)->d_name) == 0);
    /* As rm -r does it. */
    rewinddir(directory);
    for (struct dirent *e; (e = readdir(directory)) != NULL;)
        if (e->d_name[0] != '.') ENDS(unlinkat(dirfd(directory), e->d_name, 0), 0);
    closedir(directory);
    ENDS(rmdir("many"), 0);
    struct statvfs info;
    HOLDS(statvfs(".", &info) == 0 && info.f_blocks > 0 && info.f_namemax == 255);
}

static void attributes(void) {
    make("x", "", 0644);
    char value[5000], names[256];
    ENDS(getxattr("x", "user.a", value, sizeof value), ENODATA);
    ENDS(setxattr("x", "user.a", "value", 5, XATTR_REPLACE), ENODATA);
    ENDS(setxattr("x", "user.a", "value", 5, XATTR_CREATE), 0);
    ENDS(setxattr("x", "user.a", "value", 5, XATTR_CREATE), EEXIST);
    HOLDS(getxattr("x", "user.a", value, sizeof value) == 5 && memcmp(value, "value", 5) == 0);
    HOLDS(getxattr("x", "user.a", NULL, 0) == 5);
    ENDS(getxattr("x", "user.a", value, 2), ERANGE);
    memset(value, 'v', sizeof value);
    ENDS(setxattr("x", "user.b", value, 2000, 0), 0);
    ENDS(setxattr("x", "user.empty", "", 0, 0), 0);
    HOLDS(getxattr("x", "user.empty", value, sizeof value) == 0);
    ssize_t n = listxattr("x", names, sizeof names);
    HOLDS(n == 25 && memmem(names, n, "user.empty", 11) != NULL);
    ENDS(listxattr("x", names, 3), ERANGE);
    ENDS(removexattr("x", "user.a"), 0);
    ENDS(removexattr("x", "user.a"), ENODATA);
    ENDS(setxattr("d", "user.dir", "d", 1, 0), 0);
    become(USER);
    ENDS(setxattr("x", "user.c", "x", 1, 0), EACCES);
    become(0);
}

static void mapping(void) {
    int fd = open("map", O_CREAT | O_RDWR, 0644);
    ftruncate(fd, 3 * 4096);
    char *shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOLDS(shared != MAP_FAILED);
    if (shared == MAP_FAILED) return;
    strcpy(shared + 5000, "through the mapping");
    char text[32];
    HOLDS(pread(fd, text, 20, 5000) == 20 && strcmp(text, "through the mapping") == 0);
    HOLDS(pwrite(fd, "by write", 9, 100) == 9 && strcmp(shared + 100, "by write") == 0);
    if (fork() == 0) {
        strcpy(shared + 200, "by a child");
        _exit(0);
    }
    wait(NULL);
    HOLDS(strcmp(shared + 200, "by a child") == 0);
    ENDS(msync(shared, 3 * 4096, MS_SYNC), 0);
    char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    strcpy(private + 300, "private");
    HOLDS(shared[300] == 0);
    close(fd);
    unlink("map");
    HOLDS(strcmp(shared + 100, "by write") == 0);
    munmap(shared, 3 * 4096);
    munmap(private, 4096);
}

/* What a child process gets for a lock. */
static int lock_of_child(const char *name, int kind, short type, off_t start, off_t length) {
    pid_t child = fork();
    if (child == 0) {
        int fd = open(name, O_RDWR);
        struct flock lock = {.l_type = type, .l_start = start, .l_len = length};
        int result = kind == 0 ? flock(fd, LOCK_EX | LOCK_NB) : fcntl(fd, kind, &lock);
        _exit(result < 0 ? errno : 0);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void locks(void) {
    make("k", "0123456789", 0644);
    int fd = open("k", O_RDWR), second = open("k", O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_start = 2, .l_len = 3};
    ENDS(fcntl(fd, F_SETLK, &lock), 0);
    HOLDS(lock_of_child("k", F_SETLK, F_WRLCK, 0, 2) == 0);
    HOLDS(lock_of_child("k", F_SETLK, F_RDLCK, 4, 1) == EAGAIN);
    HOLDS(lock_of_child("k", F_SETLK, F_WRLCK, 5, 0) == 0);
    struct flock asked = {.l_type = F_WRLCK};
    pid_t child = fork();
    if (child == 0)
        _exit(fcntl(second, F_GETLK, &asked) == 0 && asked.l_pid == getppid() &&
                      asked.l_start == 2 && asked.l_len == 3
                  ? 0
                  : 1);
    int status;
    waitpid(child, &status, 0);
    HOLDS(status == 0);
    child = fork();
    if (child == 0) {
        struct flock wait = {.l_type = F_WRLCK, .l_start = 0, .l_len = 10};
        _exit(fcntl(second, F_SETLKW, &wait) < 0);
    }
    tick();
    HOLDS(waitpid(child, &status, WNOHANG) == 0);
    lock.l_type = F_UNLCK;
    ENDS(fcntl(fd, F_SETLK, &lock), 0);
    waitpid(child, &status, 0);
    HOLDS(status == 0);
    /* Closing any descriptor of the file gives the locks of the process back. */
    lock.l_type = F_WRLCK;
    ENDS(fcntl(fd, F_SETLK, &lock), 0);
    close(second);
    HOLDS(lock_of_child("k", F_SETLK, F_WRLCK, 0, 0) == 0);
    second = open("k", O_RDWR);
    ENDS(fcntl(fd, F_OFD_SETLK, &lock), 0);
    ENDS(fcntl(second, F_OFD_SETLK, &lock), EAGAIN);
    lock.l_type = F_UNLCK;
    ENDS(fcntl(fd, F_OFD_SETLK, &lock), 0);
    ENDS(flock(fd, LOCK_EX), 0);
    ENDS(flock(second, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    HOLDS(lock_of_child("k", 0, 0, 0, 0) == EWOULDBLOCK);
    ENDS(flock(fd, LOCK_SH), 0);
    ENDS(flock(second, LOCK_SH | LOCK_NB), 0);
    close(fd);
    close(second);
    HOLDS(lock_of_child("k", 0, 0, 0, 0) == 0);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--wait") == 0) return pause();
    if (argc != 2 || chdir(argv[1]) < 0) {
        printf("posix DIRECTORY: %s\n", strerror(errno));
        return 2;
    }
    umask(022);
    memset(long_name, 'n', 256);
    opening();
    making_directories();
    linking();
    renaming();
    permissions();
    sticky();
    truncating();
    times();
    special_files();
    running();
    directories();
    attributes();
    mapping();
    locks();
    printf("%d cases, %d do not hold\n", cases, failures);
    return failures != 0;
}
