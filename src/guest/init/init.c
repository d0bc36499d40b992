/* PID 1 of a vexit guest: set the system up, run the shell or the command, power off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

static struct channel channel;
static struct run_request request;
static struct root_request root;

/* One line on the console; `detail` may be NULL, `error` 0. */
void complain(const char *what, const char *detail, int error) {
    char line[512];
    int n = snprintf(line, sizeof line, "vexit-init: %s%s%s%s%s\n", what, detail ? " " : "",
                     detail ? detail : "", error ? ": " : "", error ? strerror(error) : "");

    if (n >= (int)sizeof line) n = sizeof line - 1;
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) {
        /* Nowhere left to complain to. */
    }
}

/* Never run in memory what was meant to run on the disk. */
static void refuse(int error) {
    complain("cannot use the root file system on", root.source, error);
    request.no_root = true;
    request.invalid = error;
}

/* A console on a virtio port comes up while the kernel starts its first program. */
static int wait_for_console(void) {
    const struct timespec step = {0, 10000000L};
    int fd = -1;

    for (int i = 0; i < 1000; i++) {
        fd = open("/dev/console", O_RDWR | O_NOCTTY);
        if (fd >= 0 || errno != ENODEV) break;
        nanosleep(&step, NULL);
    }
    return fd;
}

/* Without a console in time, or an initramfs with /dev/console, PID 1 has no descriptors. */
static void open_console(void) {
    int fd;

    if (fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDERR_FILENO, F_GETFD) >= 0) return;
    fd = wait_for_console();
    if (fd < 0) fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    for (int to = 0; to <= 2; to++)
        if (to != fd) dup2(fd, to);
    if (fd > 2) close(fd);
}

int main(int argc, char **argv) {
    int error, program;

    (void)argc;
    if (getpid() != 1) {
        complain("runs as PID 1 of a guest only", NULL, 0);
        return 2;
    }
    umask(022);
    setup_system();
    open_console();
    read_run_file("/.vexit/run", &request);
    channel_open(&channel, request.channel);
    program = daemon_open(&request);
    read_root(&root);
    error = enter_root(&root);
    if (error) refuse(error);
    attach_all(&request);
    /* Whatever the agent is asked to run first may be one of them. */
    link_applets(request.argv || request.agent);
    daemon_start(program, &request);
    if (!error && !request.argv) become_init(&root, argv, &channel);
    setup_host(request.hostname);
    run_session(&request, &channel);
    power_off();
}
