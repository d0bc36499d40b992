/* The command's standard streams, to and from the agent channel. */
#include <errno.h>
#include <poll.h>
#include <string.h>
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
    if (session->child.in >= 0) close(session->child.in);
    session->child.in = -1;
    /* The host's writer goes on: what it sends is thrown away. */
    grant(session, session->input_length);
    session->input_length = 0;
}

/* End of file: for a terminal it is a character, twice if the line has begun. */
static void finish_input(struct session *session) {
    static const char ends[] = {4, 4};
    size_t count = session->last_input == '\n' || session->last_input == 0 ? 1 : 2;

    if (session->child.in >= 0 && session->child.tty >= 0 &&
        write(session->child.in, ends, count) < 0 && errno == EAGAIN)
        return; /* again when there is room */
    session->input_ends = false;
    close_input(session);
}

/* Gives the command what it takes now, and the host as much credit. */
void write_input(struct session *session) {
    ssize_t n;

    if (session->input_length == 0) {
        if (session->input_ends) finish_input(session);
        return;
    }
    n = write(session->child.in, session->input, session->input_length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        close_input(session);
        return;
    }
    session->last_input = session->input[n - 1];
    session->input_length -= (size_t)n;
    memmove(session->input, session->input + n, session->input_length);
    grant(session, (size_t)n);
    if (session->input_length == 0 && session->input_ends) finish_input(session);
}

/* A STDIN frame; an empty one is the end of file. */
void take_input(struct session *session, const uint8_t *bytes, size_t length) {
    if (length == 0) {
        session->input_ends = true;
    } else if (session->child.in < 0) {
        grant(session, length);
        return;
    } else if (length > sizeof session->input - session->input_length) {
        complain("the host sent more input than it was granted", NULL, 0);
        return;
    } else {
        memcpy(session->input + session->input_length, bytes, length);
        session->input_length += length;
    }
    if (session->child.in >= 0) write_input(session);
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
