/* A program for Linux guests with virtio-vsock: accepts one connection and connects out once.
 * Whatever comes is sent back, in both cases until the other side ends its half. Static, for any
 * guest. */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_PORT 1234
#define CONNECT_PORT 52

static char bytes[65536];

static void check(int result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static long echo(int fd) {
    long total = 0;
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof(bytes));
        check((int)got, "read");
        if (got == 0) break;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(fd, bytes + done, (size_t)(got - done));
            check((int)put, "write");
            done += put;
        }
        total += got;
    }
    check(shutdown(fd, SHUT_WR), "shutdown");
    close(fd);
    return total;
}

int main(void) {
    int server = socket(AF_VSOCK, SOCK_STREAM, 0);
    check(server, "socket");
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = LISTEN_PORT};
    check(bind(server, (struct sockaddr *)&address, sizeof(address)), "bind");
    check(listen(server, 4), "listen");

    int out = socket(AF_VSOCK, SOCK_STREAM, 0);
    address.svm_cid = VMADDR_CID_HOST;
    address.svm_port = CONNECT_PORT;
    check(connect(out, (struct sockaddr *)&address, sizeof(address)), "connect");
    printf("out %ld\n", echo(out));

    int in = accept(server, NULL, NULL);
    check(in, "accept");
    printf("in %ld\n", echo(in));

    out = socket(AF_VSOCK, SOCK_STREAM, 0);
    address.svm_port = CONNECT_PORT + 1;
    printf("closed port: %d\n", connect(out, (struct sockaddr *)&address, sizeof(address)));
    perror("connect");
    return 0;
}
