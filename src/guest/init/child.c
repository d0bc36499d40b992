/* Starts the shell or the command, on the console, on pipes or on a pseudo terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"
#include "pty.h"

static const char WELCOME[] = "Welcome to vexit. The root file system is %s.\n"
                              "To power the guest off, leave the shell (exit or Ctrl-D).\n";

/* The terminal behind /dev/console: the last name in the kernel's list of active consoles. */
static int open_console_tty(void) {
    char names[128], path[160];
    int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, names, sizeof names - 1);
    const char *last;

    if (fd >= 0) close(fd);
    if (n > 0) {
        names[n] = '\0';
        names[strcspn(names, "\n")] = '\0';
        last = strrchr(names, ' ');
        snprintf(path, sizeof path, "/dev/%s", last ? last + 1 : names);
        fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0) return fd;
    }
    return open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* A terminal a shell can use, with hardware flow control so that no input is lost. */
static void prepare_console(int tty, const struct run_request *request) {
    struct termios mode;

    if (tcgetattr(tty, &mode) == 0) {
        mode.c_iflag = ICRNL | IXON | IUTF8;
        mode.c_oflag = OPOST | ONLCR;
        mode.c_cflag |= CREAD | CLOCAL | CRTSCTS;
        mode.c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
        tcsetattr(tty, TCSANOW, &mode);
    }
    set_terminal_size(tty, request->rows, request->cols);
}

static void set_environment(const struct run_request *request) {
    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", request->has_user && request->uid != 0 ? "/" : "/root", 1);
    setenv("TERM", "linux", 1);
    if (!request->argv) setenv("PS1", "\\h:\\w\\$ ", 1);
    for (char **var = request->env; *var; var++) putenv(*var);
}

static int greet(void) {
    return dprintf(STDOUT_FILENO, WELCOME, root_in_memory() ? "in memory" : "on a disk");
}

/*
 * execvp, but for names that are not there, which are looked up: an execve that fails has made
 * an address space for nothing. Returns with errno set.
 */
static void execute(char **argv) {
    const char *directory = getenv("PATH");
    char path[4096];
    int error = ENOENT;

    if (!directory || strchr(argv[0], '/') || argv[0][0] == '\0') {
        execvp(argv[0], argv);
        return;
    }
    for (const char *end; directory; directory = *end ? end + 1 : NULL) {
        size_t length = (size_t)((end = strchrnul(directory, ':')) - directory);

        if (snprintf(path, sizeof path, "%.*s%s%s", (int)length, directory, length ? "/" : "",
                     argv[0]) >= (int)sizeof path)
            continue;
        if (access(path, F_OK) == 0) execv(path, argv);
        if (errno == EACCES)
            error = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return;
    }
    errno = error;
}

/*
 * In the child: becomes the command or tells the parent why not through `report`. Runs in the
 * parent's memory, and the environment it makes is the parent's from then on.
 */
static void become(const struct run_request *request, const int streams[3], bool terminal,
                   int report) {
    static char login_shell[] = "-sh";
    char *shell_argv[] = {login_shell, NULL};
    sigset_t none;
    int error;

    setsid();
    if (terminal) ioctl(streams[0], TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        if (dup2(streams[i], i) < 0) goto fail;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_environment(request);
    if (!request->argv && greet() < 0) goto fail;
    if (request->has_user &&
        (setgroups(0, NULL) < 0 || setgid(request->gid) < 0 || setuid(request->uid) < 0))
        goto fail;
    if (request->cwd) {
        if (chdir(request->cwd) < 0) goto fail;
    } else if (!request->argv && chdir(getenv("HOME")) < 0 && chdir("/") < 0) {
        goto fail;
    }
    if (request->argv)
        execute(request->argv);
    else
        execv("/bin/sh", shell_argv);
fail:
    error = errno;
    if (write(report, &error, sizeof error) < 0) _exit(126);
    _exit(127);
}

/* A child that has its own memory only from execve on: nothing is copied to be thrown away. */
static pid_t start(const struct run_request *request, const int streams[3], bool terminal,
                   int report) {
    const pid_t pid = vfork();

    if (pid == 0) become(request, streams, terminal, report);
    return pid;
}

static int make_terminal(const struct run_request *request, struct child *child, int streams[3]) {
    int slave, master = open_terminal(request->rows, request->cols, &slave);

    if (master < 0) return -1;
    if (request->has_user && fchown(slave, request->uid, (gid_t)-1) < 0)
        complain("cannot give the terminal to the user", NULL, errno);
    streams[0] = streams[1] = streams[2] = slave;
    child->tty = master;
    child->out = master;
    child->in = fcntl(master, F_DUPFD_CLOEXEC, 3);
    return child->in < 0 ? -1 : 0;
}

static int make_pipes(struct child *child, int streams[3]) {
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return -1;
    streams[0] = in[0];
    streams[1] = out[1];
    streams[2] = err[1];
    child->in = in[1];
    child->out = out[0];
    child->err = err[0];
    return 0;
}

static int make_streams(const struct run_request *request, bool have_channel, struct child *child,
                        int streams[3], bool *terminal) {
    *terminal = true;
    if (request->argv && have_channel) {
        *terminal = request->tty;
        return request->tty ? make_terminal(request, child, streams) : make_pipes(child, streams);
    }
    child->tty = open_console_tty();
    if (child->tty < 0) return -1;
    prepare_console(child->tty, request);
    streams[0] = streams[1] = streams[2] = child->tty;
    return 0;
}

static void set_nonblocking(int fd) {
    if (fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/*
 * Starts what `request` asks for. Without a channel a command gets the console. On failure
 * `child->pid` is -1 and `child->error` says why.
 */
void child_start(const struct run_request *request, bool have_channel, struct child *child) {
    int streams[3] = {-1, -1, -1}, report[2];
    bool terminal;

    *child = (struct child){.pid = -1, .in = -1, .out = -1, .err = -1, .tty = -1};
    if (make_streams(request, have_channel, child, streams, &terminal) < 0 ||
        pipe2(report, O_CLOEXEC) < 0 ||
        (child->pid = start(request, streams, terminal, report[1])) < 0) {
        child->error = errno;
        return;
    }
    close(report[1]);
    for (int i = 0; i < 3; i++)
        if (streams[i] != child->tty && (i == 0 || streams[i] != streams[0])) close(streams[i]);
    if (read(report[0], &child->error, sizeof child->error) != sizeof child->error)
        child->error = 0;
    else
        child->pid = -1; /* reaped with the other orphans */
    close(report[0]);
    set_nonblocking(child->in);
    set_nonblocking(child->out);
    set_nonblocking(child->err);
}
