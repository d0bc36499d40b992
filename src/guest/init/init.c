/* PID 1 of a vexit guest: set the system up, run the shell or the command, power off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

static struct channel channel;
static struct run_request request;
static struct root_request root;

#define MESSAGE_MAX 512

static size_t format(char line[MESSAGE_MAX], const char *what, const char *detail, int error) {
    int n = snprintf(line, MESSAGE_MAX, "vexit-init: %s%s%s%s%s\n", what, detail ? " " : "",
                     detail ? detail : "", error ? ": " : "", error ? strerror(error) : "");
    if (n >= MESSAGE_MAX) n = MESSAGE_MAX - 1;
    return n > 0 ? (size_t)n : 0;
}

/* One line on the console; `detail` may be NULL, `error` 0. */
void complain(const char *what, const char *detail, int error) {
    char line[MESSAGE_MAX];

    if (write(STDERR_FILENO, line, format(line, what, detail, error)) < 0) {
        /* Nowhere left to complain to. */
    }
}

/* Never run in memory what was meant to run on the disk. */
static void refuse(int error) {
    static const char what[] = "cannot use the root file system on";
    char line[MESSAGE_MAX];

    complain(what, root.source, error);
    /* With a command nobody looks at the console. */
    if (request.argv)
        channel_send(&channel, GUEST_STDERR, line, format(line, what, root.source, error));
    /* ENOENT would be said of the command. */
    request.invalid = error == ENOENT ? ENODEV : error;
}

/* An initramfs without /dev/console leaves PID 1 without descriptors. */
static void open_console(void) {
    int fd;

    if (fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDERR_FILENO, F_GETFD) >= 0) return;
    fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0) fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    for (int to = 0; to <= 2; to++)
        if (to != fd) dup2(fd, to);
    if (fd > 2) close(fd);
}

int main(int argc, char **argv) {
    int error;

    (void)argc;
    if (getpid() != 1) {
        complain("runs as PID 1 of a guest only", NULL, 0);
        return 2;
    }
    umask(022);
    setup_system();
    open_console();
    channel_open(&channel);
    read_run_file("/.vexit/run", &request);
    read_root(&root);
    error = enter_root(&root);
    if (error) refuse(error);
    attach_all(&request);
    if (!error && !request.argv) become_init(&root, argv, &channel);
    setup_host(request.hostname);
    link_applets(request.argv != NULL);
    run_session(&request, &channel);
    power_off();
}
