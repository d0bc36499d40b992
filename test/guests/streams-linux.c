/*
 * Many streams of vsock at once, in both directions and each both ways: streams COUNT BYTES.
 * As many connections as COUNT are taken on port 7000, and as many made to the host's port 7001.
 * What goes over each is its number (32 bits, said first by who connects) and then bytes that
 * follow from the number and their place: each end sends them, and compares what it gets. Prints
 * how many streams were right.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define LISTENER 0xffffffffu
#define PIECE 65536

struct stream {
    int fd;
    unsigned number, numbered;
    size_t sent, received;
    int ended, finished;
};

static struct stream *streams;
static unsigned count, made, right, wrong;
static size_t bytes;
static int epoll;
static unsigned char buffer[PIECE];

static void die(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void fill(unsigned number, size_t at, size_t length) {
    unsigned value = number * 2654435761u + (unsigned)at * 40503u;
    for (size_t i = 0; i < length; i++, value += 40503u) buffer[i] = value >> 16;
}

static int is_right(unsigned number, size_t at, size_t length) {
    unsigned value = number * 2654435761u + (unsigned)at * 40503u;
    for (size_t i = 0; i < length; i++, value += 40503u)
        if (buffer[i] != (unsigned char)(value >> 16)) return 0;
    return 1;
}

static void watch(int operation, int fd, unsigned which, unsigned events) {
    struct epoll_event event = {.events = events, .data.u32 = which};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) die("epoll_ctl");
}

static void end(struct stream *s, unsigned *counter) {
    close(s->fd);
    s->ended = 1;
    (*counter)++;
}

/* The host may be done before us: then there is nothing more to read, but to send. */
static void half_done(struct stream *s) {
    if (s->finished && s->sent == bytes)
        end(s, s->received == bytes ? &right : &wrong);
    else
        watch(EPOLL_CTL_MOD, s->fd, (unsigned)(s - streams), s->finished ? EPOLLOUT : EPOLLIN);
}

static void send_some(struct stream *s) {
    while (s->numbered == 4 && s->sent < bytes) {
        size_t n = bytes - s->sent < PIECE ? bytes - s->sent : PIECE;
        fill(s->number, s->sent, n);
        ssize_t done = send(s->fd, buffer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) return end(s, &wrong);
        s->sent += (size_t)done;
        if (s->sent == bytes) shutdown(s->fd, SHUT_WR);
        /* The others have their turn. */
        if ((size_t)done < n) return;
    }
    if (s->sent == bytes) half_done(s);
}

static void receive_some(struct stream *s) {
    while (s->numbered < 4) {
        ssize_t n = recv(s->fd, (char *)&s->number + s->numbered, 4 - s->numbered, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) return end(s, &wrong);
        s->numbered += (unsigned)n;
        watch(EPOLL_CTL_MOD, s->fd, (unsigned)(s - streams), EPOLLIN | EPOLLOUT);
    }
    ssize_t n = recv(s->fd, buffer, PIECE, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN) end(s, &wrong);
        return;
    }
    if (!is_right(s->number, s->received, (size_t)n)) return end(s, &wrong);
    s->received += (size_t)n;
    if (n > 0) return;
    s->finished = 1;
    half_done(s);
}

static void take(int listener) {
    struct stream *s = &streams[made];
    s->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (s->fd < 0) return;
    watch(EPOLL_CTL_ADD, s->fd, made++, EPOLLIN);
}

static void begin(unsigned number) {
    struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 7001};
    struct stream *s = &streams[made];
    /* The answer comes behind the data of other streams: two seconds are too few where all is slow.
     */
    struct timeval patience = {.tv_sec = 60};
    s->fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (setsockopt(s->fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof patience) < 0)
        die("timeout");
    if (connect(s->fd, (struct sockaddr *)&host, sizeof host) < 0) die("connect");
    s->number = number;
    s->numbered = 4;
    if (send(s->fd, &number, 4, 0) != 4) die("number");
    watch(EPOLL_CTL_ADD, s->fd, made++, EPOLLIN | EPOLLOUT);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    count = (unsigned)atoi(argv[1]);
    bytes = strtoul(argv[2], NULL, 10);
    streams = calloc(2 * count, sizeof *streams);
    epoll = epoll_create1(0);
    struct sockaddr_vm own = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 7000};
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) < 0 || listen(listener, 200) < 0)
        die("listen");
    watch(EPOLL_CTL_ADD, listener, LISTENER, EPOLLIN);
    printf("listening\n");
    fflush(stdout);
    for (unsigned i = 0; i < count; i++) begin(count + i);
    while (right + wrong < 2 * count) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 60000);
        if (n <= 0) die("waiting");
        for (int k = 0; k < n; k++) {
            if (events[k].data.u32 == LISTENER) {
                take(listener);
                continue;
            }
            struct stream *s = &streams[events[k].data.u32];
            if (!s->ended && (events[k].events & EPOLLOUT)) send_some(s);
            if (!s->ended && !s->finished && (events[k].events & ~EPOLLOUT)) receive_some(s);
        }
    }
    printf("right %u wrong %u\n", right, wrong);
    return wrong != 0;
}
