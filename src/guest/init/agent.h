/* PID 1 and agent of a vexit guest: what its parts share. The protocol is in docs/guest.md. */
#ifndef VEXIT_AGENT_H
#define VEXIT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "input.h"

#define FRAME_PAYLOAD_MAX 4096
#define FRAME_HEADER 4
#define STDIN_WINDOW 2048

enum host_frame {
    HOST_STDIN = 1,
    HOST_RESIZE = 2,
    HOST_SIGNAL = 3,
    HOST_SHUTDOWN = 4,
    HOST_EXIT_SEEN = 5
};
enum guest_frame {
    GUEST_HELLO = 0x10,
    GUEST_STDOUT = 0x11,
    GUEST_STDERR = 0x12,
    GUEST_EXIT = 0x13,
    GUEST_READY = 0x14,
    GUEST_CREDIT = 0x15
};
enum exit_kind { EXIT_STATUS = 0, EXIT_SIGNAL = 1, EXIT_NOT_STARTED = 2, EXIT_NO_ROOT = 3 };

/* Something the host has attached; attach.c. */
enum attach_kind { ATTACH_INTERFACE, ATTACH_NAMESERVER, ATTACH_SHARE };
struct attachment {
    enum attach_kind kind;
    const char *text;
};
#define ATTACHMENTS_MAX 64

/* What /.vexit/run asks for; the strings live in one buffer that is never freed. */
struct run_request {
    char **argv; /* NULL: an interactive shell */
    char **env;
    const char *cwd;
    const char *hostname;
    const char *agent;   /* the port that the vsock agent is to serve, or NULL */
    const char *channel; /* name of the port that the host has made for the channel, or NULL */
    int invalid;         /* it must not be run: the errno to tell */
    bool no_root;        /* ... which is about the root file system */
    bool has_user;
    uid_t uid;
    gid_t gid;
    bool tty;
    bool stay; /* do not power off after the command */
    unsigned short rows, cols;
    size_t attach_count;
    struct attachment attachments[ATTACHMENTS_MAX];
};

/* The root file system that the kernel's command line names; NULL where it says nothing. */
struct root_request {
    const char *source; /* NULL: the root stays what it is */
    const char *type, *options, *init;
    bool read_only;
};

/* The agent channel. A closed one swallows frames and never has room for less. */
struct channel {
    int fd;
    bool is_port;   /* of virtio-console; else a serial line */
    bool exit_seen; /* the host has the last frame */
    size_t rx_len, tx_len;
    uint8_t rx[FRAME_HEADER + FRAME_PAYLOAD_MAX];
    uint8_t tx[4 * (FRAME_HEADER + FRAME_PAYLOAD_MAX)];
};
typedef void (*frame_handler)(void *context, uint8_t type, const uint8_t *payload, size_t length);

/* The shell or command, as PID 1 started it. */
struct child {
    pid_t pid;
    int in, out, err; /* our ends, non-blocking; -1 when closed or when it has the console */
    int tty;          /* what TIOCSWINSZ and the foreground group go to, or -1 */
    int error;        /* errno when it could not be started */
};

/* A running shell or command and what is on its way to it. */
struct session {
    const struct run_request *request;
    struct channel *channel;
    struct child child;
    bool ended;
    int status;
    bool hung; /* nobody had the pseudo terminal open when it was read */
    struct input input;
    uint8_t input_bytes[2 * STDIN_WINDOW];
};

/* setup.c */
void setup_system(void);
void setup_host(const char *hostname);

/* root.c */
bool root_in_memory(void);
bool root_keeps_tmp(void);
void parse_root(char *line, struct root_request *root);
void read_root(struct root_request *root);
int enter_root(const struct root_request *root);
void become_init(const struct root_request *root, char **argv, struct channel *channel);

/* attach.c */
void attach_all(const struct run_request *request);

/* applets.c */
void link_applets(bool now);

/* runfile.c */
void read_run_file(const char *path, struct run_request *request);

/* channel.c */
void channel_open(struct channel *channel, const char *port);
bool channel_is_open(const struct channel *channel);
bool channel_has_room(const struct channel *channel);
void channel_send(struct channel *channel, uint8_t type, const void *payload, size_t length);
void channel_write(struct channel *channel);
void channel_read(struct channel *channel, frame_handler handler, void *context);
void channel_drain(struct channel *channel);
void channel_finish(struct channel *channel);

/* daemon.c */
int daemon_open(const struct run_request *request);
void daemon_start(int program, const struct run_request *request);

/* port.c */
int port_open(const char *name, bool wait);

/* child.c */
void child_start(const struct run_request *request, bool have_channel, struct child *child);

/* streams.c */
void take_input(struct session *session, const uint8_t *bytes, size_t length);
void write_input(struct session *session);
void close_input(struct session *session);
bool forward(struct session *session, int *fd, uint8_t type);
void drain_output(struct session *session);

/* session.c */
void run_session(const struct run_request *request, struct channel *channel);

/* power.c */
void power_off(void) __attribute__((noreturn));
void restart(void) __attribute__((noreturn));

/* init.c */
void complain(const char *what, const char *detail, int error);

#endif
