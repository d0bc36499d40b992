/* The agent channel: frames over a byte stream. Only channel_open knows what carries them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

/* What carries the frames: a port of virtio-console, else the second serial line. */
#define PORT_NAME "org.vexit.agent"
#ifndef CHANNEL_DEVICE
#define CHANNEL_DEVICE "/dev/ttyS1"
#endif

/* The serial line, raw; -1 if there is none. */
static int serial_open(void) {
    struct termios mode;
    int fd = open(CHANNEL_DEVICE, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) return -1;
    if (tcgetattr(fd, &mode) == 0) {
        cfmakeraw(&mode);
        mode.c_cflag |= CLOCAL | CREAD | CRTSCTS;
        mode.c_cc[VMIN] = 1;
        mode.c_cc[VTIME] = 0;
        cfsetspeed(&mode, B115200);
        if (tcsetattr(fd, TCSANOW, &mode) == 0) return fd;
    }
    close(fd);
    return -1;
}

/*
 * Opens the transport; a guest without one works on its console alone. A port that the host has
 * named is waited for.
 */
void channel_open(struct channel *channel, const char *port) {
    static const uint8_t version = 1;

    channel->fd = port_open(port ? port : PORT_NAME, port != NULL);
    channel->is_port = channel->fd >= 0;
    if (!channel->is_port) channel->fd = serial_open();
    if (channel_is_open(channel)) channel_send(channel, GUEST_HELLO, &version, 1);
}

bool channel_is_open(const struct channel *channel) {
    return channel->fd >= 0;
}

/* True when a longest frame and a few short ones fit. */
bool channel_has_room(const struct channel *channel) {
    return sizeof channel->tx - channel->tx_len >= FRAME_HEADER + FRAME_PAYLOAD_MAX + 64;
}

static void channel_fail(struct channel *channel, const char *why, int error) {
    complain("agent channel:", why, error);
    close(channel->fd);
    channel->fd = -1;
    channel->tx_len = 0;
}

/* Queues a frame; waits for the host if there is no room, which callers avoid. */
void channel_send(struct channel *channel, uint8_t type, const void *payload, size_t length) {
    uint8_t *frame;

    while (channel_is_open(channel) &&
           sizeof channel->tx - channel->tx_len < FRAME_HEADER + length) {
        struct pollfd wait = {.fd = channel->fd, .events = POLLOUT};

        poll(&wait, 1, -1);
        channel_write(channel);
    }
    if (!channel_is_open(channel)) return;
    frame = channel->tx + channel->tx_len;
    frame[0] = type;
    frame[1] = 0;
    frame[2] = (uint8_t)length;
    frame[3] = (uint8_t)(length >> 8);
    if (length > 0) memcpy(frame + FRAME_HEADER, payload, length);
    channel->tx_len += FRAME_HEADER + length;
}

/* Writes what the transport takes now. */
void channel_write(struct channel *channel) {
    size_t done = 0;

    while (done < channel->tx_len) {
        ssize_t n = write(channel->fd, channel->tx + done, channel->tx_len - done);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) {
            channel_fail(channel, "write", errno);
            return;
        }
        if (n <= 0) break;
        done += (size_t)n;
    }
    memmove(channel->tx, channel->tx + done, channel->tx_len - done);
    channel->tx_len -= done;
}

/* Reads what has come and hands out whole frames. What is no frame ends the channel. */
void channel_read(struct channel *channel, frame_handler handler, void *context) {
    ssize_t n =
        read(channel->fd, channel->rx + channel->rx_len, sizeof channel->rx - channel->rx_len);
    size_t at = 0;

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
        channel_fail(channel, "read", n < 0 ? errno : EPIPE);
        return;
    }
    channel->rx_len += (size_t)n;
    while (channel->rx_len - at >= FRAME_HEADER) {
        const uint8_t *frame = channel->rx + at;
        size_t length = frame[2] | (size_t)frame[3] << 8;

        if (frame[1] != 0 || length > FRAME_PAYLOAD_MAX) {
            channel_fail(channel, "the host sent what is not a frame", 0);
            return;
        }
        if (channel->rx_len - at < FRAME_HEADER + length) break;
        handler(context, frame[0], frame + FRAME_HEADER, length);
        at += FRAME_HEADER + length;
    }
    memmove(channel->rx, channel->rx + at, channel->rx_len - at);
    channel->rx_len -= at;
}

/* Returns when the transport has everything, however long it takes. */
void channel_drain(struct channel *channel) {
    while (channel_is_open(channel) && channel->tx_len > 0) {
        struct pollfd wait = {.fd = channel->fd, .events = POLLOUT};

        poll(&wait, 1, -1);
        channel_write(channel);
    }
    if (channel_is_open(channel) && !channel->is_port)
        while (tcdrain(channel->fd) < 0 && errno == EINTR)
            ;
}

static void on_last_frame(void *context, uint8_t type, const uint8_t *payload, size_t length) {
    struct channel *channel = context;

    (void)payload;
    (void)length;
    if (type == HOST_EXIT_SEEN) channel->exit_seen = true;
    if (type == HOST_SHUTDOWN) power_off();
}

/*
 * Returns when the host has EXIT. Nothing tells when a port's buffers have been taken, and those
 * that have not been when the power goes are lost: the host says that it has the frame.
 */
void channel_finish(struct channel *channel) {
    channel_drain(channel);
    while (channel->is_port && channel_is_open(channel) && !channel->exit_seen) {
        struct pollfd wait = {.fd = channel->fd, .events = POLLIN};

        poll(&wait, 1, -1);
        channel_read(channel, on_last_frame, channel);
    }
}
