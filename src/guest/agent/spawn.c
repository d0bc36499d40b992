/* Starts a program, on pipes or on a pseudo terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "../init/pty.h"
#include "agent.h"
#include "exec.h"

/* What the program is, in the words of the request. */
struct plan {
    char **argv, **env;
    const char *cwd;
    struct user user;
    bool tty;
    unsigned short rows, cols;
};

/* Why it could not be started, from the new process to its parent. */
struct trouble {
    int error;
    enum { AT_START, AT_USER, AT_CWD, AT_PROGRAM } place;
};

static void set_environment(const struct plan *plan) {
    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", plan->user.home, 1);
    setenv("SHELL", plan->user.shell, 1);
    if (*plan->user.name) {
        setenv("USER", plan->user.name, 1);
        setenv("LOGNAME", plan->user.name, 1);
    }
    if (plan->tty) setenv("TERM", "linux", 1);
    for (char **variable = plan->env; *variable; variable++) putenv(*variable);
}

/* In the new process. */
static void become(const struct plan *plan, const int streams[3], int report) {
    struct trouble trouble = {.place = AT_START};
    sigset_t none;

    setsid();
    if (plan->tty) ioctl(streams[0], TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        if (dup2(streams[i], i) < 0) goto fail;
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_environment(plan);
    trouble.place = AT_USER;
    if (become_user(&plan->user) < 0) goto fail;
    trouble.place = AT_CWD;
    if (plan->cwd && chdir(plan->cwd) < 0) goto fail;
    trouble.place = AT_PROGRAM;
    execvp(plan->argv[0], plan->argv);
fail:
    trouble.error = errno;
    if (write(report, &trouble, sizeof trouble) < 0) _exit(126);
    _exit(127);
}

static bool make_terminal(const struct plan *plan, struct program *program, int streams[3]) {
    int slave, master = open_terminal(plan->rows, plan->cols, &slave);

    if (master < 0) return false;
    if (plan->user.given && fchown(slave, plan->user.uid, (gid_t)-1) < 0) return false;
    streams[0] = streams[1] = streams[2] = slave;
    program->tty = program->out = master;
    program->in = fcntl(master, F_DUPFD_CLOEXEC, 3);
    return program->in >= 0;
}

static bool make_pipes(struct program *program, int streams[3]) {
    int *const ours[3] = {&program->in, &program->out, &program->err};

    for (int i = 0; i < 3; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0) return false;
        *ours[i] = ends[i == 0];
        streams[i] = ends[i != 0];
    }
    return true;
}

static bool make_plan(struct wire *wire, const struct request *request, struct plan *plan) {
    const char *user = request_value(request, "user");
    unsigned long long rows = 0, cols = 0;

    request_number(request, "rows", 0xffff, &rows);
    request_number(request, "cols", 0xffff, &cols);
    *plan = (struct plan){
        .argv = request_values(request, "arg"),
        .env = request_values(request, "env"),
        .cwd = request_value(request, "cwd"),
        .tty = request_value(request, "tty") != NULL,
        .rows = (unsigned short)rows,
        .cols = (unsigned short)cols,
    };
    if (!plan->argv || !plan->env)
        fail(wire, "no memory", NULL, ENOMEM);
    else if (!plan->argv[0])
        fail(wire, "no program to run", NULL, EINVAL);
    else if (!find_user(user, &plan->user))
        fail(wire, "no such user:", user, EINVAL);
    else
        return true;
    return false;
}

static void tell(struct wire *wire, const struct plan *plan, const struct trouble *trouble) {
    switch (trouble->place) {
    case AT_USER:
        fail(wire, "cannot become the user", plan->user.name, trouble->error);
        break;
    case AT_CWD:
        fail(wire, "cannot enter", plan->cwd, trouble->error);
        break;
    case AT_PROGRAM:
        fail(wire, "cannot run", plan->argv[0], trouble->error);
        break;
    case AT_START:
        fail(wire, "cannot start a program", NULL, trouble->error);
    }
}

static void set_nonblocking(int fd) {
    if (fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Starts the program that the request describes. False, with the reason sent, if it cannot be. */
bool start_program(struct wire *wire, const struct request *request, struct program *program) {
    struct plan plan;
    struct trouble trouble = {0};
    int streams[3], report[2];

    *program = (struct program){.pid = -1, .in = -1, .out = -1, .err = -1, .tty = -1};
    if (!make_plan(wire, request, &plan)) return false;
    if (!(plan.tty ? make_terminal(&plan, program, streams) : make_pipes(program, streams)) ||
        pipe2(report, O_CLOEXEC) < 0 || (program->pid = fork()) < 0) {
        trouble.error = errno;
        tell(wire, &plan, &trouble);
        return false;
    }
    if (program->pid == 0) become(&plan, streams, report[1]);
    close(report[1]);
    for (int i = 0; i < (plan.tty ? 1 : 3); i++) close(streams[i]);
    if (read(report[0], &trouble, sizeof trouble) == sizeof trouble) {
        tell(wire, &plan, &trouble);
        return false;
    }
    close(report[0]);
    set_nonblocking(program->in);
    set_nonblocking(program->out);
    set_nonblocking(program->err);
    return true;
}
