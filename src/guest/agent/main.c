/*
 * vexit-agent: serves operations of the host on a vsock port, each in a process of its own. Runs in
 * the foreground, as root, under any init.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

/* Operations at once; more are told so. */
#define OPERATIONS_MAX 128
#define BACKLOG 128
/* How long the host may take to say what it wants. */
#define REQUEST_SECONDS 60

static const struct {
    const char *name;
    void (*serve)(struct wire *wire, const struct request *request);
} operations[] = {
    {"exec", serve_exec},         {"stat", serve_stat},   {"get", serve_get},
    {"put", serve_put},           {"pack", serve_pack},   {"unpack", serve_unpack},
    {"info", serve_info},         {"mount", serve_mount}, {"time", serve_time},
    {"shutdown", serve_shutdown},
};

static int give_up(const char *what) {
    fprintf(stderr, "vexit-agent: %s: %s\n", what, strerror(errno));
    return 1;
}

static int listen_vsock(unsigned port) {
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0)
        return -1;
    return fd;
}

static int listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0)
        fd = -1;
    umask(mask);
    return fd;
}

/* Programs of the guest reach a vsock port too, by loopback, and so do guests of the guest. */
static bool is_host(const struct sockaddr_storage *peer) {
    struct sockaddr_vm address;

    if (peer->ss_family != AF_VSOCK) return true;
    memcpy(&address, peer, sizeof address);
    return address.svm_cid == VMADDR_CID_HOST;
}

static void set_timeout(int fd, time_t seconds) {
    const struct timeval time = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

static void dispatch(struct wire *wire, const struct request *request) {
    const char *name = request_value(request, "op");

    for (size_t i = 0; name && i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(name, operations[i].name) == 0) {
            operations[i].serve(wire, request);
            return;
        }
    fail(wire, "unknown operation", name, ENOSYS);
}

/* One operation. */
static void serve(int fd, bool busy) {
    static struct wire wire;
    static const uint8_t version = AGENT_VERSION;
    struct request request = {0};

    wire.fd = fd;
    wire_send(&wire, GUEST_HELLO, &version, 1);
    if (busy) {
        fail(&wire, "too many operations at once", NULL, EBUSY);
    } else {
        wire_write(&wire, true);
        set_timeout(fd, REQUEST_SECONDS);
        if (request_read(&wire, &request)) {
            set_timeout(fd, 0);
            dispatch(&wire, &request);
        }
    }
    wire_finish(&wire);
}

static void on_child(int number) {
    (void)number;
}

static int serve_all(int server) {
    struct sigaction action = {.sa_handler = on_child};
    unsigned running = 0;

    /* Not restarted: accept returns, and what has ended is reaped. */
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(server, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
        int error = errno;
        pid_t pid;

        while (waitpid(-1, NULL, WNOHANG) > 0) running--;
        if (fd < 0) {
            if (error == EINTR || error == ECONNABORTED) continue;
            errno = error;
            if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
                return give_up("accept");
            sleep(1);
            continue;
        }
        if (!is_host(&peer)) {
            close(fd);
            continue;
        }
        /* The process that says "too many" counts as well, but not against the limit's purpose. */
        pid = running < 2 * OPERATIONS_MAX ? fork() : -1;
        if (pid == 0) {
            close(server);
            signal(SIGCHLD, SIG_DFL);
            serve(fd, running >= OPERATIONS_MAX);
            _exit(0);
        }
        if (pid > 0) running++;
        close(fd);
    }
}

int main(int argc, char **argv) {
    const char *path = NULL;
    unsigned long port = AGENT_PORT;
    int server;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else {
            fprintf(stderr, "usage: vexit-agent [--port N | --socket PATH]\n");
            return 2;
        }
    }
    server = path ? listen_unix(path) : listen_vsock((unsigned)port);
    if (server < 0) return give_up(path ? path : "vsock");
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    if (chdir("/") < 0) return give_up("/");
    return serve_all(server);
}
