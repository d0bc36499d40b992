/* A program that the operation "exec" has started. */
#ifndef VEXIT_AGENT_EXEC_H
#define VEXIT_AGENT_EXEC_H

#include "agent.h"

struct program {
    pid_t pid;
    int in, out, err; /* our ends, non-blocking; -1 where there is none */
    int tty;          /* our end of its terminal, or -1 */
};

/* spawn.c */
bool start_program(struct wire *wire, const struct request *request, struct program *program);

#endif
