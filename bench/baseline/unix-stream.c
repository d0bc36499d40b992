/*
 * unix-stream sink|source PATH: listens on a unix socket, and takes all that comes, or sends
 * without end, on one connection after the other. unix-stream write|read PATH WARMUP BYTES:
 * connects to one, moves that in pieces of 64 KiB, and prints nanoseconds by the clock and of CPU
 * time for the BYTES.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 16];

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static ssize_t move(int fd, int writes) {
    return writes ? write(fd, buffer, sizeof(buffer)) : read(fd, buffer, sizeof(buffer));
}

static int serve(int fd, int source) {
    for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; close(peer))
        while (move(peer, source) > 0) {
        }
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5) return 2;
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[2], sizeof(address.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc == 3) {
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0) {
            perror("unix-stream");
            return 1;
        }
        puts("ready");
        fflush(stdout);
        return serve(fd, strcmp(argv[1], "source") == 0);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror("unix-stream");
        return 1;
    }
    int writes = strcmp(argv[1], "write") == 0;
    long long wall = 0, cpu = 0;
    for (int part = 3; part <= 4; part++) {
        wall = now(CLOCK_MONOTONIC);
        cpu = now(CLOCK_PROCESS_CPUTIME_ID);
        for (long long left = atoll(argv[part]); left > 0;) {
            ssize_t count = move(fd, writes);
            if (count <= 0) return 1;
            left -= count;
        }
    }
    printf("%lld %lld\n", now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
}
