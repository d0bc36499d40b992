/* Frames over a connection: type, zero, 16-bit little-endian length, payload. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

/* How long the host may take to close its end after the last frame. */
#define LINGER_MS 10000

/* Takes what has come; false when the host is gone. `wait` for at least a byte. */
bool wire_receive(struct wire *wire, bool wait) {
    ssize_t n;

    if (wire->gone) return false;
    memmove(wire->rx, wire->rx + wire->rx_at, wire->rx_end - wire->rx_at);
    wire->rx_end -= wire->rx_at;
    wire->rx_at = 0;
    if (wire->rx_end == sizeof wire->rx) return true;
    do
        n = recv(wire->fd, wire->rx + wire->rx_end, sizeof wire->rx - wire->rx_end,
                 wait ? 0 : MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN && !wait) return true;
    if (n <= 0) wire->gone = true;
    if (n > 0) wire->rx_end += (size_t)n;
    return !wire->gone;
}

/* The next whole frame, if there is one. What is no frame ends the connection. */
bool wire_take(struct wire *wire, struct frame *frame) {
    const uint8_t *at = wire->rx + wire->rx_at;
    size_t have = wire->rx_end - wire->rx_at, length;

    if (have < HEADER) return false;
    length = at[2] | (size_t)at[3] << 8;
    if (at[1] != 0 || length > PAYLOAD_MAX) {
        wire->gone = true;
        return false;
    }
    if (have < HEADER + length) return false;
    *frame = (struct frame){at[0], at + HEADER, length};
    wire->rx_at += HEADER + length;
    return true;
}

/* Waits for a frame; false when the host is gone. */
bool wire_next(struct wire *wire, struct frame *frame) {
    while (!wire_take(wire, frame))
        if (!wire_receive(wire, true)) return false;
    return true;
}

/* True when a longest frame and a few short ones can be sent without waiting. */
bool wire_has_room(const struct wire *wire) {
    return sizeof wire->tx - wire->tx_length >= HEADER + PAYLOAD_MAX + 256;
}

/* Sends what waits: all of it, or what the connection takes now. */
void wire_write(struct wire *wire, bool wait) {
    size_t done = 0;

    while (!wire->gone && done < wire->tx_length) {
        ssize_t n = send(wire->fd, wire->tx + done, wire->tx_length - done,
                         MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && !wait) break;
        if (n <= 0) wire->gone = true;
        if (n > 0) done += (size_t)n;
    }
    if (wire->gone) done = wire->tx_length;
    memmove(wire->tx, wire->tx + done, wire->tx_length - done);
    wire->tx_length -= done;
}

/* Queues a frame; waits for the host if there is no room. */
void wire_send(struct wire *wire, uint8_t type, const void *payload, size_t length) {
    uint8_t *at;

    if (sizeof wire->tx - wire->tx_length < HEADER + length) wire_write(wire, true);
    if (wire->gone) return;
    at = wire->tx + wire->tx_length;
    at[0] = type;
    at[1] = 0;
    at[2] = (uint8_t)length;
    at[3] = (uint8_t)(length >> 8);
    if (length > 0) memcpy(at + HEADER, payload, length);
    wire->tx_length += HEADER + length;
}

/*
 * Sends the rest and waits until the host has closed: a connection that is closed with bytes unread
 * is reset, and the last frames could be lost.
 */
void wire_finish(struct wire *wire) {
    struct pollfd wait = {.fd = wire->fd, .events = POLLIN};

    wire_write(wire, true);
    shutdown(wire->fd, SHUT_WR);
    do wire->rx_at = wire->rx_end = 0;
    while (!wire->gone && poll(&wait, 1, LINGER_MS) > 0 && wire_receive(wire, false));
    close(wire->fd);
}

/* The operation has failed: `error` is an errno. */
void fail(struct wire *wire, const char *what, const char *detail, int error) {
    uint8_t payload[4 + 1024];
    int n = snprintf((char *)payload + 4, sizeof payload - 4, "%s%s%s", what, detail ? " " : "",
                     detail ? detail : "");

    for (int i = 0; i < 4; i++) payload[i] = (uint8_t)((unsigned)error >> 8 * i);
    if (n < 0) n = 0;
    if ((size_t)n > sizeof payload - 5) n = sizeof payload - 5;
    wire_send(wire, GUEST_ERROR, payload, 4 + (size_t)n);
}
