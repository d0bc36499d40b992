/*
 * Many TCP connections at once to a server that echoes: crowd ADDRESS PORT COUNT BYTES.
 * All are open before the first one sends. Each sends bytes of its own, which have to come back;
 * when all are back, each ends its half and waits for the other's end. Prints how many did what.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    int fd;
    unsigned sent;
    unsigned received;
    int ended;
};

static struct client *clients;
static unsigned count, bytes, connected, echoed, right, wrong, failed;
static int epoll;

static unsigned char pattern(unsigned client, unsigned at) {
    return (client * 2654435761u + at * 40503u) >> 16;
}

static void die(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(unsigned i, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.u32 = i};
    if (epoll_ctl(epoll, operation, clients[i].fd, &event) < 0) die("epoll_ctl");
}

static void end(unsigned i, unsigned *counter) {
    close(clients[i].fd);
    clients[i].ended = 1;
    (*counter)++;
}

static void send_some(unsigned i) {
    unsigned char buffer[4096];
    struct client *c = &clients[i];
    while (c->sent < bytes) {
        unsigned n = bytes - c->sent < sizeof buffer ? bytes - c->sent : sizeof buffer;
        for (unsigned k = 0; k < n; k++) buffer[k] = pattern(i, c->sent + k);
        ssize_t done = send(c->fd, buffer, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) return watch(i, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        if (done < 0) return end(i, &failed);
        c->sent += done;
    }
    watch(i, EPOLL_CTL_MOD, EPOLLIN);
}

static void receive_some(unsigned i) {
    unsigned char buffer[4096];
    struct client *c = &clients[i];
    ssize_t n;
    while ((n = recv(c->fd, buffer, sizeof buffer, 0)) > 0) {
        for (ssize_t k = 0; k < n; k++)
            if (buffer[k] != pattern(i, c->received + k)) return end(i, &wrong);
        c->received += n;
        if (c->received == bytes) echoed++;
    }
    if (n == 0)
        end(i, c->received == bytes ? &right : &wrong);
    else if (errno != EAGAIN)
        end(i, &failed);
}

static void start(unsigned i, const struct sockaddr_in *address) {
    clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (clients[i].fd < 0) die("socket");
    if (connect(clients[i].fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
        errno != EINPROGRESS)
        die("connect");
    watch(i, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connect_all(const struct sockaddr_in *address) {
    struct epoll_event events[64];
    unsigned started = 0, settled = 0;
    while (settled < count) {
        /* The queue of the server, and of what forwards to it, has an end. */
        while (started < count && started - settled < 256) start(started++, address);
        int n = epoll_wait(epoll, events, 64, 60000);
        if (n <= 0) die("connecting");
        for (int k = 0; k < n; k++) {
            unsigned i = events[k].data.u32;
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(clients[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
            settled++;
            if (error != 0) {
                end(i, &failed);
            } else {
                connected++;
                watch(i, EPOLL_CTL_MOD, 0);
            }
        }
    }
}

/* Until as many as there are have come so far, or to a bad end. */
static void serve(const unsigned *so_far) {
    struct epoll_event events[64];
    while (*so_far + wrong + failed < count) {
        int n = epoll_wait(epoll, events, 64, 60000);
        if (n <= 0) die("echoing");
        for (int k = 0; k < n; k++) {
            unsigned i = events[k].data.u32;
            if (!clients[i].ended && clients[i].sent < bytes) send_some(i);
            if (!clients[i].ended) receive_some(i);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    count = atoi(argv[3]);
    bytes = atoi(argv[4]);
    struct rlimit files = {count + 64, count + 64};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) die("setrlimit");
    clients = calloc(count, sizeof *clients);
    epoll = epoll_create1(0);
    connect_all(&address);
    printf("connected %u\n", connected);
    fflush(stdout);
    for (unsigned i = 0; i < count; i++)
        if (!clients[i].ended) send_some(i);
    serve(&echoed);
    for (unsigned i = 0; i < count; i++)
        if (!clients[i].ended) shutdown(clients[i].fd, SHUT_WR);
    serve(&right);
    printf("right %u wrong %u failed %u\n", right, wrong, failed);
    return 0;
}
