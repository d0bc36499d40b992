/* The operation "exec": a program with its streams, signals and end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../init/input.h"
#include "../init/pty.h"
#include "agent.h"
#include "exec.h"

/* Input that the host may have on its way. */
#define WINDOW 65536
/* A pseudo terminal hands its last output over a little after its user is gone. */
#define TTY_LINGER_MS 100

/* One of the program's output streams. */
struct output {
    int fd;    /* -1: it has ended */
    bool hung; /* a terminal that nobody has open now */
    uint8_t type;
    uint32_t credit; /* what the host takes now */
};

struct run {
    struct wire *wire;
    struct program program;
    struct output out, err;
    bool ended;
    struct input input;
    uint8_t input_bytes[WINDOW];
};

static void grant(struct run *run, size_t bytes) {
    const uint8_t credit[4] = {(uint8_t)bytes, (uint8_t)(bytes >> 8), (uint8_t)(bytes >> 16), 0};

    if (bytes > 0) wire_send(run->wire, GUEST_CREDIT, credit, sizeof credit);
}

/* Gives the program what it takes now, and the host as much credit. */
static void write_input(struct run *run) {
    struct program *program = &run->program;

    grant(run, input_write(&run->input, &program->in, program->tty >= 0));
}

static void take_input(struct run *run, const struct frame *frame) {
    struct program *program = &run->program;
    size_t credit;

    if (input_take(&run->input, &program->in, program->tty >= 0, frame->payload, frame->length,
                   &credit))
        grant(run, credit);
    else
        run->wire->gone = true; /* more than it was granted: not to be trusted */
}

/* To the program's process group; with a terminal to its foreground group. */
static void send_signal(const struct run *run, int number) {
    pid_t group = run->program.pid;

    if (run->ended) return;
    if (run->program.tty >= 0 && (ioctl(run->program.tty, TIOCGPGRP, &group) < 0 || group <= 0))
        group = run->program.pid;
    kill(-group, number);
}

static uint32_t u32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void add_credit(struct run *run, const struct frame *frame) {
    struct output *output = frame->payload[0] == 2 ? &run->err : &run->out;
    uint32_t bytes = u32(frame->payload + 1);

    output->credit = bytes > UINT32_MAX - output->credit ? UINT32_MAX : output->credit + bytes;
}

static void on_frame(struct run *run, const struct frame *frame) {
    const uint8_t *at = frame->payload;

    if (frame->type == HOST_DATA)
        take_input(run, frame);
    else if (frame->type == HOST_RESIZE && frame->length >= 4 && run->program.tty >= 0)
        set_terminal_size(run->program.tty, (unsigned short)(at[0] | at[1] << 8),
                          (unsigned short)(at[2] | at[3] << 8));
    else if (frame->type == HOST_SIGNAL && frame->length >= 1)
        send_signal(run, at[0]);
    else if (frame->type == HOST_CREDIT && frame->length >= 5)
        add_credit(run, frame);
}

static void end_output(struct run *run, struct output *output) {
    if (output->fd < 0) return;
    if (output->fd == run->program.tty) run->program.tty = -1;
    close(output->fd);
    output->fd = -1;
    wire_send(run->wire, output->type, NULL, 0);
}

/* Forwards what one stream has, at most a frame. */
static void forward(struct run *run, struct output *output) {
    static uint8_t bytes[PAYLOAD_MAX];
    size_t most = output->credit < sizeof bytes ? output->credit : sizeof bytes;
    ssize_t n = read(output->fd, bytes, most);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0 && errno == EIO && output->fd == run->program.tty && !run->ended) {
        /* The program has closed it, but lives: without our end it would be hung up. */
        output->hung = true;
        return;
    }
    if (n <= 0) {
        end_output(run, output);
        return;
    }
    output->credit -= (uint32_t)n;
    wire_send(run->wire, output->type, bytes, (size_t)n);
}

static void reap(struct run *run, int signals) {
    struct signalfd_siginfo info;
    uint8_t end[2];
    int status;

    while (read(signals, &info, sizeof info) == sizeof info)
        ;
    if (waitpid(run->program.pid, &status, WNOHANG) <= 0) return;
    run->ended = true;
    end[0] = WIFSIGNALED(status) ? EXIT_SIGNAL : EXIT_STATUS;
    end[1] = (uint8_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    wire_send(run->wire, GUEST_EXIT, end, sizeof end);
}

/* True when there is something to read and somebody to read it. */
static bool flows(const struct run *run, const struct output *output) {
    return output->fd >= 0 && output->credit > 0 && wire_has_room(run->wire) &&
           (run->ended || !output->hung);
}

static int wait_time(const struct run *run) {
    if (!run->ended || (!flows(run, &run->out) && !flows(run, &run->err))) return -1;
    return run->program.tty >= 0 ? TTY_LINGER_MS : 0;
}

static void serve_once(struct run *run, int signals) {
    struct wire *wire = run->wire;
    short listen = wire_has_room(wire) ? POLLIN : 0;
    bool pending = run->input.length > 0 || run->input.ends;
    bool out = flows(run, &run->out), err = flows(run, &run->err);
    struct pollfd polls[] = {
        {.fd = wire->fd, .events = (short)(listen | (wire->tx_length > 0 ? POLLOUT : 0))},
        {.fd = run->ended ? -1 : signals, .events = POLLIN},
        {.fd = pending ? run->program.in : -1, .events = POLLOUT},
        {.fd = out ? run->out.fd : -1, .events = POLLIN},
        {.fd = err ? run->err.fd : -1, .events = POLLIN},
    };
    struct frame frame;
    bool was_ended = run->ended;

    if (poll(polls, sizeof polls / sizeof polls[0], wait_time(run)) < 0) return;
    if (polls[0].revents & POLLOUT) wire_write(wire, false);
    if (polls[0].revents & ~POLLOUT) wire_receive(wire, false);
    while (!wire->gone && wire_has_room(wire) && wire_take(wire, &frame)) on_frame(run, &frame);
    if (polls[1].revents) reap(run, signals);
    if (polls[2].revents) write_input(run);
    if (polls[3].revents && wire_has_room(wire)) forward(run, &run->out);
    if (polls[4].revents && wire_has_room(wire)) forward(run, &run->err);
    /* After the end: what pipes hold, but no waiting for others that keep them open. */
    if (was_ended && out && !polls[3].revents) end_output(run, &run->out);
    if (was_ended && err && !polls[4].revents) end_output(run, &run->err);
}

static int open_signals(void) {
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Runs a program until it has ended, its output has been taken, or the host has gone. */
void serve_exec(struct wire *wire, const struct request *request) {
    static struct run run;
    int signals = open_signals();
    uint8_t pid[4];

    run.wire = wire;
    run.input.bytes = run.input_bytes;
    run.input.size = sizeof run.input_bytes;
    if (!start_program(wire, request, &run.program)) return;
    run.out = (struct output){.fd = run.program.out, .type = GUEST_STDOUT};
    run.err = (struct output){.fd = run.program.err, .type = GUEST_STDERR};
    for (int i = 0; i < 4; i++) pid[i] = (uint8_t)((unsigned)run.program.pid >> 8 * i);
    wire_send(wire, GUEST_STARTED, pid, sizeof pid);
    if (run.err.fd < 0) wire_send(wire, GUEST_STDERR, NULL, 0);
    grant(&run, sizeof run.input_bytes);
    while (!wire->gone && !(run.ended && run.out.fd < 0 && run.err.fd < 0))
        serve_once(&run, signals);
    if (!run.ended) {
        send_signal(&run, SIGHUP);
        send_signal(&run, SIGCONT);
    }
}
