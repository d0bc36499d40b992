/* A station on a network: told "s" it sends numbered frames to everybody as fast as they are taken,
 * told "r" it receives as many and looks whether one is missing. Capitals: five times as many. */
#include "idt.h"
#include "virtio.h"

#define TYPE_NET 1
#define RECEIVE 0
#define TRANSMIT 1

#define FRAMES 20000u
#define MANY 100000u
#define BUFFERS 128u
#define BUFFER_BYTES 2048u
#define HEADER_BYTES 12u
#define FRAME_BYTES 200u
#define KICK_EVERY 32u

static struct virtqueue receive, transmit;
static u8 buffers[BUFFERS][BUFFER_BYTES] __attribute__((aligned(4096)));
/* The driver's descriptors, by the buffer they are of. */
static u16 heads[BUFFERS];

static void put32(u8 *bytes, u32 value) {
    for (u32 i = 0; i < 4; i++) bytes[i] = (u8)(value >> (8 * i));
}
static u32 get32(const u8 *bytes) {
    return bytes[0] | (u32)bytes[1] << 8 | (u32)bytes[2] << 16 | (u32)bytes[3] << 24;
}

static void fill(u64 base) {
    for (u32 i = 0; i < BUFFERS; i++) {
        u8 *frame = buffers[i] + HEADER_BYTES;
        for (u32 k = 0; k < 6; k++) {
            frame[k] = 0xff;
            frame[6 + k] = *(volatile u8 *)(uptr)(base + REG_CONFIG + k);
        }
        frame[12] = 0x88;
        frame[13] = 0xb5;
        heads[i] = virtio_descriptor(&transmit, buffers[i], HEADER_BYTES + FRAME_BYTES, 0);
    }
}

static void send_all(u64 base, u32 count) {
    fill(base);
    for (u32 number = 0; number < count; number++) {
        u32 i = number % BUFFERS;
        if (number >= BUFFERS) virtio_wait(&transmit);
        put32(buffers[i] + HEADER_BYTES + 14, number);
        virtio_publish(&transmit, heads[i]);
        if (number % KICK_EVERY == KICK_EVERY - 1 || number == count - 1) virtio_kick(&transmit);
    }
    for (u32 i = 0; i < BUFFERS; i++) virtio_wait(&transmit);
    report("sent", count);
}

static void receive_all(u32 count) {
    u32 next = 0, wrong = 0, seen = 0;
    for (u32 i = 0; i < BUFFERS; i++)
        virtio_publish(&receive, virtio_descriptor(&receive, buffers[i], BUFFER_BYTES, DESC_WRITE));
    virtio_kick(&receive);
    put("ready\n");
    while (next < count) {
        struct used_element used = virtio_wait(&receive);
        const u8 *frame = (const u8 *)receive.descriptors[used.id].address + HEADER_BYTES;
        if (frame[12] == 0x88 && frame[13] == 0xb5) {
            u32 number = get32(frame + 14);
            wrong += number != next || used.length != HEADER_BYTES + FRAME_BYTES;
            next = number + 1;
            seen++;
        }
        virtio_publish(&receive, (u16)used.id);
        if (receive.seen % KICK_EVERY == 0) virtio_kick(&receive);
    }
    report("received", seen);
    report("wrong", wrong);
}

void main(void) {
    u64 base = virtio_find(TYPE_NET);
    report("accepted", (u32)virtio_negotiate(base, FEATURE_VERSION_1));
    virtio_queue(&receive, base, RECEIVE);
    virtio_queue(&transmit, base, TRANSMIT);
    virtio_driver_ok(base);
    put("up\n");
    while (!(inb(COM1_LSR) & LSR_DATA_READY)) {
    }
    u8 told = inb(COM1);
    u32 count = told == 'S' || told == 'R' ? MANY : FRAMES;
    if (told == 's' || told == 'S')
        send_all(base, count);
    else
        receive_all(count);
    put("done\n");
    power_off();
}
