/* The agent that serves vsock: a program of its own, which is there when the run file asks for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"

#define PROGRAM "/.vexit/agent"

/* Opens the program, which is out of reach once the root is a disk. -1 if none is asked for. */
int daemon_open(const struct run_request *request) {
    int fd;

    if (!request->agent) return -1;
    fd = open(PROGRAM, O_PATH | O_CLOEXEC);
    if (fd < 0) complain("cannot open", PROGRAM, errno);
    return fd;
}

/* Starts it. Its end is no matter: it is reaped with the orphans. */
void daemon_start(int program, const struct run_request *request) {
    char *argv[] = {"vexit-agent", "--port", (char *)request->agent, NULL};
    char *env[] = {NULL};

    if (program < 0) return;
    if (fork() == 0) {
        setsid();
        fexecve(program, argv, env);
        complain("cannot run", PROGRAM, errno);
        _exit(127);
    }
    close(program);
}
