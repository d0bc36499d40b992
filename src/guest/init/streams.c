/* The command's standard streams, to and from the agent channel. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "agent.h"

/* A pseudo terminal hands its last output over a little after its user is gone. */
#define TTY_LINGER_MS 100

static void grant(struct session *session, size_t bytes) {
    const uint8_t credit[4] = {(uint8_t)bytes, (uint8_t)(bytes >> 8), (uint8_t)(bytes >> 16), 0};

    if (bytes > 0) channel_send(session->channel, GUEST_CREDIT, credit, sizeof credit);
}

/* Ends the command's standard input. */
void close_input(struct session *session) {
    grant(session, input_close(&session->input, &session->child.in));
}

/* Gives the command what it takes now, and the host as much credit. */
void write_input(struct session *session) {
    struct child *child = &session->child;

    grant(session, input_write(&session->input, &child->in, child->tty >= 0));
}

/* A STDIN frame; an empty one is the end of file. */
void take_input(struct session *session, const uint8_t *bytes, size_t length) {
    struct child *child = &session->child;
    size_t credit;

    if (input_take(&session->input, &child->in, child->tty >= 0, bytes, length, &credit))
        grant(session, credit);
    else
        complain("the host sent more input than it was granted", NULL, 0);
}

/* Forwards what one stream has, at most a frame; closes it at its end. False if it has nothing. */
bool forward(struct session *session, int *fd, uint8_t type) {
    uint8_t bytes[FRAME_PAYLOAD_MAX];
    ssize_t n = read(*fd, bytes, sizeof bytes);

    if (n > 0) {
        channel_send(session->channel, type, bytes, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n < 0 && errno == EIO && *fd == session->child.tty && !session->ended) {
        /* The command has closed it, but lives: without our end it would be hung up. */
        session->hung = true;
        return false;
    }
    if (*fd == session->child.tty) session->child.tty = -1;
    close(*fd);
    *fd = -1;
    return false;
}

/* After the command's end: what its pipes hold, but no waiting for others that keep them open. */
void drain_output(struct session *session) {
    struct child *child = &session->child;

    while (child->out >= 0 || child->err >= 0) {
        bool more = false;

        if (child->out >= 0) more |= forward(session, &child->out, GUEST_STDOUT);
        if (child->err >= 0) more |= forward(session, &child->err, GUEST_STDERR);
        if (!more && child->out >= 0 && child->out == child->tty) {
            struct pollfd wait = {.fd = child->out, .events = POLLIN};
            more = poll(&wait, 1, TTY_LINGER_MS) > 0;
        }
        if (!more) break;
    }
}
