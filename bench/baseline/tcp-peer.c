/*
 * tcp-peer sink|source: listens on a port of the loopback, which it prints, and takes all that
 * comes, or sends without end, on one connection after the other.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 18];

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int source = strcmp(argv[1], "source") == 0;
    signal(SIGPIPE, SIG_IGN);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        perror("tcp-peer");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; close(peer)) {
        while ((source ? write(peer, buffer, sizeof(buffer)) : read(peer, buffer, sizeof(buffer))) >
               0) {
        }
    }
    return 1;
}
