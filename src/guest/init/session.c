/* The life of the shell or command: its streams, the channel's frames, its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

#define BUTTONS 4
/* How often a pseudo terminal that nobody has open is looked at. */
#define TTY_HUNG_MS 100
/* systemd's signals for these: SIGRTMIN+4 and +5, as glibc counts. */
#define SIGNAL_POWER_OFF 38
#define SIGNAL_REBOOT 39

enum slot {
    SLOT_CHANNEL,
    SLOT_SIGNAL,
    SLOT_IN,
    SLOT_OUT,
    SLOT_ERR,
    SLOT_BUTTON,
    SLOT_COUNT = SLOT_BUTTON + BUTTONS
};

static void send_signal(const struct session *session, int number) {
    pid_t group = session->child.pid;

    if (session->ended || group <= 0) return;
    if (session->child.tty >= 0 && (ioctl(session->child.tty, TIOCGPGRP, &group) < 0 || group <= 0))
        group = session->child.pid;
    kill(-group, number);
}

static void on_frame(void *context, uint8_t type, const uint8_t *payload, size_t length) {
    struct session *session = context;

    if (type == HOST_STDIN) {
        take_input(session, payload, length);
    } else if (type == HOST_RESIZE && length >= 4) {
        struct winsize size = {.ws_row = (unsigned short)(payload[0] | payload[1] << 8),
                               .ws_col = (unsigned short)(payload[2] | payload[3] << 8)};
        if (session->child.tty >= 0) ioctl(session->child.tty, TIOCSWINSZ, &size);
    } else if (type == HOST_SIGNAL && length >= 1) {
        send_signal(session, payload[0]);
    } else if (type == HOST_SHUTDOWN) {
        power_off();
    }
}

static void reap(struct session *session) {
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == session->child.pid && !session->ended) {
            session->ended = true;
            session->status = status;
        }
}

/* Ends the guest when a program asks for it, as systemd does. */
static void take_signals(int fd) {
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGNAL_POWER_OFF) power_off();
        if (info.ssi_signo == SIGNAL_REBOOT) restart();
    }
}

/* True when the power button was pressed. */
static bool power_pressed(struct pollfd *button) {
    struct input_event event;
    ssize_t n;

    while ((n = read(button->fd, &event, sizeof event)) == sizeof event)
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) return true;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) button->fd = -1;
    return false;
}

static void open_buttons(struct pollfd *buttons) {
    char path[32];

    for (int i = 0; i < BUTTONS; i++) {
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        buttons[i].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        buttons[i].events = POLLIN;
    }
}

static void serve_once(struct session *session, struct pollfd *polls) {
    struct child *child = &session->child;
    bool room = channel_has_room(session->channel);
    bool pending = session->input.length > 0 || session->input.ends;
    bool hung = session->hung;

    polls[SLOT_CHANNEL].fd = session->channel->fd;
    polls[SLOT_CHANNEL].events = (short)(POLLIN | (session->channel->tx_len > 0 ? POLLOUT : 0));
    polls[SLOT_IN] = (struct pollfd){.fd = pending ? child->in : -1, .events = POLLOUT};
    polls[SLOT_OUT] = (struct pollfd){.fd = room && !hung ? child->out : -1, .events = POLLIN};
    polls[SLOT_ERR] = (struct pollfd){.fd = room ? child->err : -1, .events = POLLIN};
    /* A command may open its terminal again, as /dev/tty: look for it. */
    session->hung = false;
    if (poll(polls, SLOT_COUNT, hung ? TTY_HUNG_MS : -1) <= 0) return;
    if (polls[SLOT_SIGNAL].revents) {
        take_signals(polls[SLOT_SIGNAL].fd);
        reap(session);
    }
    if (polls[SLOT_CHANNEL].revents & POLLOUT) channel_write(session->channel);
    if (channel_is_open(session->channel) && (polls[SLOT_CHANNEL].revents & ~POLLOUT))
        channel_read(session->channel, on_frame, session);
    if (child->in >= 0 && polls[SLOT_IN].revents) write_input(session);
    if (polls[SLOT_OUT].revents) forward(session, &child->out, GUEST_STDOUT);
    if (child->err >= 0 && polls[SLOT_ERR].revents && channel_has_room(session->channel))
        forward(session, &child->err, GUEST_STDERR);
    for (int i = SLOT_BUTTON; i < SLOT_COUNT; i++)
        if (polls[i].revents && power_pressed(&polls[i])) power_off();
}

static void report_end(struct session *session) {
    uint8_t end[2] = {EXIT_STATUS, 0};

    if (session->child.error) {
        end[0] = session->request->no_root ? EXIT_NO_ROOT : EXIT_NOT_STARTED;
        end[1] = (uint8_t)session->child.error;
        if (session->request->no_root) {
            /* Has been said. */
        } else if (!channel_is_open(session->channel) || !session->request->argv)
            complain("cannot start", session->request->argv ? session->request->argv[0] : "/bin/sh",
                     session->child.error);
    } else if (WIFSIGNALED(session->status)) {
        end[0] = EXIT_SIGNAL;
        end[1] = (uint8_t)WTERMSIG(session->status);
    } else {
        end[1] = (uint8_t)WEXITSTATUS(session->status);
    }
    channel_send(session->channel, GUEST_EXIT, end, sizeof end);
    channel_finish(session->channel);
}

/* Runs the shell or the command to its end, and returns when the guest is to power off. */
void run_session(const struct run_request *request, struct channel *channel) {
    static struct session session;
    struct pollfd polls[SLOT_COUNT] = {0};
    sigset_t signals;

    session.request = request;
    session.channel = channel;
    session.input.bytes = session.input_bytes;
    session.input.size = sizeof session.input_bytes;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGNAL_POWER_OFF);
    sigaddset(&signals, SIGNAL_REBOOT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    polls[SLOT_SIGNAL].fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    polls[SLOT_SIGNAL].events = POLLIN;
    open_buttons(polls + SLOT_BUTTON);

    if (request->invalid)
        session.child = (struct child){
            .pid = -1, .in = -1, .out = -1, .err = -1, .tty = -1, .error = request->invalid};
    else
        child_start(request, channel_is_open(channel), &session.child);
    session.ended = session.child.error != 0;
    if (!session.ended) channel_send(channel, GUEST_READY, NULL, 0);
    while (!session.ended) serve_once(&session, polls);
    drain_output(&session);
    if (session.child.tty >= 0 && session.child.out < 0) tcdrain(session.child.tty);
    report_end(&session);
    session.input.ends = false;
    close_input(&session);
    while (request->stay) serve_once(&session, polls);
}
