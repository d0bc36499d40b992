/* A driver for virtio-vsock: connects out and sends back what comes, then accepts one connection
 * and does the same, with credit in both directions. */
#include "virtio.h"

#define TYPE_VSOCK 19
#define HEADER 44
#define HOST_CID 2
#define OUT_PORT 52
#define IN_PORT 1234
#define OWN_PORT 1000
#define BUFFER 4096
#define BUFFERS 64

enum { REQUEST = 1, RESPONSE, RESET, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct packet {
    u64 source_cid, destination_cid;
    u32 source_port, destination_port, length;
    u16 type, operation;
    u32 flags, buffer_allocation, forward_count;
    u8 data[BUFFER - HEADER];
} __attribute__((packed));

static struct virtqueue rx, tx;
static struct packet received[BUFFERS] __attribute__((aligned(4096)));
static struct packet sent __attribute__((aligned(4096)));
static u64 base;
static u32 cid;
static u32 own_port, peer_port;
static u32 forwarded; /* of the present connection */
static u32 total;

static void copy(u8 *to, const u8 *from, u32 length) {
    __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(length)::"memory");
}

static void post(u16 index) {
    virtio_publish(&rx, virtio_descriptor(&rx, &received[index], BUFFER, DESC_WRITE));
}

static void send(u16 operation, u32 length, u32 flags) {
    sent.source_cid = cid;
    sent.destination_cid = HOST_CID;
    sent.source_port = own_port;
    sent.destination_port = peer_port;
    sent.length = length;
    sent.type = 1;
    sent.operation = operation;
    sent.flags = flags;
    sent.buffer_allocation = BUFFERS * BUFFER;
    sent.forward_count = forwarded;
    virtio_publish(&tx, virtio_descriptor(&tx, &sent, HEADER + length, 0));
    virtio_kick(&tx);
    virtio_wait(&tx);
}

/* The next packet; its buffer is given back by `done`. */
static struct packet *next(u16 *index) {
    u64 address = rx.descriptors[virtio_wait(&rx).id].address;
    *index = (u16)((address - (u64)received) / BUFFER);
    return &received[*index];
}
static void done(u16 index) {
    post(index);
    virtio_kick(&rx);
}

/* Until the host has ended its half; then ends the other and waits for the reset. */
static void echo(void) {
    total = 0;
    for (;;) {
        u16 index;
        struct packet *packet = next(&index);
        u16 operation = packet->operation;
        u32 length = packet->length;
        if (operation == RW) {
            copy(sent.data, packet->data, length);
            forwarded += length;
            done(index);
            /* The host takes at least what it has sent, so that there is always room. */
            send(RW, length, 0);
            total += length;
            continue;
        }
        done(index);
        if (operation == CREDIT_REQUEST) send(CREDIT_UPDATE, 0, 0);
        if (operation == SHUTDOWN) send(SHUTDOWN, 0, 3);
        if (operation == RESET) break;
    }
}

static u16 answer(void) {
    u16 index;
    u16 operation = next(&index)->operation;
    done(index);
    return operation;
}

static void connect(u32 port) {
    own_port = OWN_PORT;
    peer_port = port;
    forwarded = 0;
    send(REQUEST, 0, 0);
    report("answer", answer());
}

void main(void) {
    base = virtio_find(TYPE_VSOCK);
    report("accepted", (u32)virtio_negotiate(base, FEATURE_VERSION_1 | 1));
    cid = virtio_read(base, REG_CONFIG);
    report("cid", cid);
    virtio_queue(&rx, base, 0);
    virtio_queue(&tx, base, 1);
    for (u16 i = 0; i < BUFFERS; i++) post(i);
    virtio_driver_ok(base);
    virtio_kick(&rx);

    connect(OUT_PORT + 1);
    connect(OUT_PORT);
    echo();
    report("out", total);

    put("waiting\n");
    u16 index;
    struct packet *packet = next(&index);
    report("request", packet->operation);
    report("port", packet->destination_port);
    own_port = packet->destination_port;
    peer_port = packet->source_port;
    forwarded = 0;
    done(index);
    send(RESPONSE, 0, 0);
    echo();
    report("in", total);

    /* A stream that is open when the driver resets the device, and one after it. */
    connect(OUT_PORT);
    virtio_write(base, REG_STATUS, 0);
    report("status", virtio_read(base, REG_STATUS));
    put("done\n");
    for (;;) {
        if (inb(COM1_LSR) & LSR_DATA_READY) power_off();
    }
}
