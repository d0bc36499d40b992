/* The agent that serves a vsock port in a guest: what its parts share. The protocol is in
 * docs/agent.md. */
#ifndef VEXIT_VSOCK_AGENT_H
#define VEXIT_VSOCK_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_VERSION 1
/* Below 1024, so that only root can listen in its place. */
#define AGENT_PORT 1007
#define PAYLOAD_MAX 32768
#define HEADER 4

enum host_frame {
    HOST_DATA = 0x01, /* standard input, or a file */
    HOST_RESIZE = 0x02,
    HOST_SIGNAL = 0x03,
    HOST_HELLO = 0x06,
    HOST_REQUEST = 0x07,
    HOST_CREDIT = 0x08
};
enum guest_frame {
    GUEST_HELLO = 0x10,
    GUEST_STDOUT = 0x11, /* or a file */
    GUEST_STDERR = 0x12,
    GUEST_EXIT = 0x13,
    GUEST_STARTED = 0x14,
    GUEST_CREDIT = 0x15,
    GUEST_ERROR = 0x16,
    GUEST_RESULT = 0x17
};
enum exit_kind { EXIT_STATUS = 0, EXIT_SIGNAL = 1 };

struct frame {
    uint8_t type;
    const uint8_t *payload; /* until the next wire_receive */
    size_t length;
};

/* A connection of the host. What cannot be sent any more is dropped, and `gone` says so. */
struct wire {
    int fd;
    bool gone;
    size_t rx_at, rx_end, tx_length;
    uint8_t rx[2 * (HEADER + PAYLOAD_MAX)];
    uint8_t tx[3 * (HEADER + PAYLOAD_MAX)];
};

/* What the host asks for: records of `key\0value\0`. */
struct request {
    char *text;
    size_t length;
};

/* wire.c */
bool wire_receive(struct wire *wire, bool wait);
bool wire_take(struct wire *wire, struct frame *frame);
bool wire_next(struct wire *wire, struct frame *frame);
void wire_send(struct wire *wire, uint8_t type, const void *payload, size_t length);
bool wire_has_room(const struct wire *wire);
void wire_write(struct wire *wire, bool wait);
void wire_finish(struct wire *wire);
void fail(struct wire *wire, const char *what, const char *detail, int error);

/* request.c */
bool request_read(struct wire *wire, struct request *request);
const char *request_value(const struct request *request, const char *key);
char **request_values(const struct request *request, const char *key);
bool request_number(const struct request *request, const char *key, unsigned long long limit,
                    unsigned long long *number);

/* result.c */
struct result {
    size_t length;
    char text[4096];
};
void result_add(struct result *result, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void result_send(struct wire *wire, const struct result *result);

/* user.c */
struct user {
    bool given;
    uid_t uid;
    gid_t gid;
    char name[64], home[256], shell[256];
};
bool find_user(const char *text, struct user *user);
int become_user(const struct user *user);

/* exec.c */
void serve_exec(struct wire *wire, const struct request *request);

/* files.c */
void serve_stat(struct wire *wire, const struct request *request);
void serve_get(struct wire *wire, const struct request *request);
void serve_put(struct wire *wire, const struct request *request);

/* pack.c, unpack.c */
void serve_pack(struct wire *wire, const struct request *request);
void serve_unpack(struct wire *wire, const struct request *request);

/* system.c */
void serve_info(struct wire *wire, const struct request *request);
void serve_mount(struct wire *wire, const struct request *request);
void serve_time(struct wire *wire, const struct request *request);
void serve_shutdown(struct wire *wire, const struct request *request);

#endif
