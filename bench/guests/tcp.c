/*
 * A 32-bit kernel, by PVH, that is one end of a TCP connection to a port of the host, behind a user
 * network (10.0.2.0/24, the gateway is 10.0.2.2): it sends zeros, or takes what comes. Frames are
 * laid out beforehand; sending one costs the guest a sequence number and its checksum, a burst of
 * frames that come costs one look at the last of them and an acknowledgement. Nothing is sent
 * twice: the networks it is for lose nothing.
 *
 * Marks on the debug console (port 0xe9): a1 after WARMUP bytes and a2 after BYTES more; ee and the
 * debug-exit port (0x501) when something is wrong.
 */
#include "virtio-mmio.h"

/* 1: from the host to the guest. */
#ifndef RECEIVE
#define RECEIVE 0
#endif
/* 1: segments of up to 64 KiB and no checksums, where the device offers that. */
#ifndef OFFLOAD
#define OFFLOAD 0
#endif
#ifndef PORT
#define PORT 9
#endif
#ifndef BYTES
#define BYTES 100000000u
#endif
#ifndef WARMUP
#define WARMUP 10000000u
#endif
#define RING 256
#define HEADER 12
#define HEADERS 54
#define MSS 1460
#define SEGMENT (OFFLOAD ? 44 * MSS : MSS)
/* Frames that are offered at once, and bytes after which they are acknowledged. */
#define BURST 32
#define ACK_BYTES 16384
#define SHIFT 3
#define SPACING 0x11000
#define RECEIVED 0x1000000u
#define SENT 0x2400000u

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

#include "ring.h"

static struct ring rx, tx;
/* Sequence numbers: what is sent next, what the peer has taken, what is expected from it. */
static u32 next, acked, expected;
static u32 window, peer_shift;
/* Of received frames: used entries that have been seen, and their bytes without headers. */
static u16 seen;
static u32 received;

static u16 swap16(u32 value) {
    return (u16)((value >> 8 & 0xff) | value << 8);
}
static u32 swap32(u32 value) {
    return __builtin_bswap32(value);
}
static u8 *tx_frame(u32 slot) {
    return (u8 *)(SENT + slot % RING * SPACING + HEADER);
}

static void set_up_queue(u32 index, struct ring *ring, u32 buffers, u32 flags) {
    for (u32 i = 0; i < RING; i++) {
        for (u32 at = 0; at < SPACING; at += 4096) *(u8 *)(buffers + i * SPACING + at) = 0;
        ring->descriptors[i] = (struct descriptor){buffers + i * SPACING, SPACING, (u16)flags, 0};
        ring->available.ring[i] = (u16)i;
    }
    enable_queue(index, RING, ring->descriptors, &ring->available, &ring->used);
    ring->available.flags = 1;
}

static void set_up(void) {
    begin();
    /* CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4; VERSION_1. */
    set(0x24, 0);
    set(0x20, OFFLOAD ? 1u | 1u << 1 | 1u << 7 | 1u << 11 : 0);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    if (!(get(0x70) & 8)) leave(0xee);
    set_up_queue(0, &rx, RECEIVED, 2);
    set_up_queue(1, &tx, SENT, 0);
    set(0x70, 15);
    offer(0, &rx, RING);
}

/* The next frame from the host, or waits for it. */
static u8 *receive(void) {
    while (rx.used.index == seen) __asm__ volatile("pause");
    u8 *frame = (u8 *)(RECEIVED + rx.used.ring[seen++ % RING].id * SPACING + HEADER);
    return frame;
}

static void give_back(void) {
    offer(0, &rx, (u16)(seen + RING));
}

static u32 sum(const u8 *at, u32 length) {
    u32 total = 0;
    for (u32 i = 0; i < length; i += 2) total += (u32)at[i] << 8 | at[i + 1];
    return total;
}

static u16 fold(u32 total) {
    total = (total & 0xffff) + (total >> 16);
    return (u16)(total + (total >> 16));
}

/* Of the frames that were laid out last: the sum of what does not change in a TCP checksum. */
static u32 constant_sum;

/* Lays out a segment with options behind the TCP header and a payload of zeros behind them. */
static void lay_out(u8 *frame, const u8 *gateway, u32 flags, const u8 *options, u32 option_bytes,
                    u32 payload) {
    static const u8 headers[HEADERS] = {
        0,    0,  0,  0, 0, 0, 0x52, 0x54, 0,         0,           0, 1, 0x08, 0x00,
        0x45, 0,  0,  0, 0, 0, 0x40, 0,    64,        6,           0, 0, 10,   0,
        2,    15, 10, 0, 2, 2, 0x9c, 0x40, PORT >> 8, PORT & 0xff, 0, 0, 0,    0,
        0,    0,  0,  0, 0, 0, 255,  255,  0,         0,           0, 0};
    for (u32 i = 0; i < HEADERS; i++) frame[i] = headers[i];
    for (u32 i = 0; i < 6; i++) frame[i] = gateway[i];
    for (u32 i = 0; i < 8; i++) frame[HEADERS + i] = i < option_bytes ? options[i] : 0;
    u32 length = 20 + option_bytes + payload;
    *(u16 *)(frame + 16) = swap16(20 + length);
    *(u16 *)(frame + 24) = swap16((u16)~fold(sum(frame + 14, 20)));
    frame[46] = (u8)((20 + option_bytes) << 2);
    frame[47] = (u8)flags;
    u32 pseudo = sum(frame + 26, 8) + 6 + length;
    constant_sum = pseudo + sum(frame + 34, 20 + option_bytes);
    if (!OFFLOAD) return;
    u8 *header = frame - HEADER;
    header[0] = 1;
    *(u16 *)(header + 6) = 34;
    *(u16 *)(header + 8) = 16;
    *(u16 *)(frame + 50) = swap16(fold(pseudo));
    if (payload <= MSS) return;
    header[1] = 1;
    *(u16 *)(header + 2) = HEADERS;
    *(u16 *)(header + 4) = MSS;
}

/* Sequence number, acknowledgement and checksum. */
static void finish(u8 *frame) {
    *(u32 *)(frame + 38) = swap32(next);
    *(u32 *)(frame + 42) = swap32(expected);
    if (OFFLOAD) return;
    u32 changing = (next >> 16) + (next & 0xffff) + (expected >> 16) + (expected & 0xffff);
    *(u16 *)(frame + 50) = swap16((u16)~fold(constant_sum + changing));
}

static void send(u32 length) {
    u16 index = tx.available.index;
    while ((u16)(index - tx.used.index) == RING) __asm__ volatile("pause");
    finish(tx_frame(index));
    tx.descriptors[index % RING].length = HEADER + length;
    offer(1, &tx, (u16)(index + 1));
}

/* Takes what a segment says; its payload is not looked at. */
static int take(const u8 *frame) {
    if (*(u16 *)(frame + 12) != swap16(0x0800) || frame[23] != 6) return 0;
    if (frame[47] & (FIN | RST)) leave(0xee);
    acked = swap32(*(u32 *)(frame + 42));
    window = (u32)swap16(*(u16 *)(frame + 48)) << (frame[47] & SYN ? 0 : peer_shift);
    expected = swap32(*(u32 *)(frame + 38)) + swap16(*(u16 *)(frame + 16)) - 20 -
               (u32)(frame[46] >> 4) * 4 + (frame[47] & SYN ? 1 : 0);
    return 1;
}

static void connect(u8 gateway[6]) {
    static const u8 question[42] = {255,  255,  255, 255, 255, 255, 0x52, 0x54, 0, 0, 0,
                                    1,    8,    6,   0,   1,   8,   0,    6,    4, 0, 1,
                                    0x52, 0x54, 0,   0,   0,   1,   10,   0,    2, 15};
    u8 *frame = tx_frame(0);
    for (u32 i = 0; i < sizeof(question); i++) frame[i] = question[i];
    frame[38] = 10, frame[39] = 0, frame[40] = 2, frame[41] = 2;
    tx.descriptors[0].length = HEADER + sizeof(question);
    offer(1, &tx, 1);
    do frame = receive();
    while (*(u16 *)(frame + 12) != swap16(0x0806) || frame[21] != 2);
    for (u32 i = 0; i < 6; i++) gateway[i] = frame[22 + i];

    /* MSS and window scale; a peer that says nothing of the latter does not scale. */
    static const u8 options[8] = {2, 4, MSS >> 8, MSS & 0xff, 3, 3, SHIFT, 0};
    lay_out(tx_frame(1), gateway, SYN, options, sizeof(options), 0);
    send(HEADERS + sizeof(options));
    next++;
    do frame = receive();
    while (!take(frame));
    for (u32 i = HEADERS; i < 14 + 20 + (u32)(frame[46] >> 4) * 4 && frame[i] != 0;) {
        if (frame[i] == 3) peer_shift = frame[i + 2];
        i += frame[i] == 1 ? 1 : frame[i + 1] ? frame[i + 1] : 256;
    }
    give_back();
}

/* Looks at the last of the frames that have come, and gives their buffers back. */
static u32 poll(void) {
    u16 index = rx.used.index;
    u32 frames = (u16)(index - seen);
    if (frames == 0) return 0;
    if (RECEIVE)
        for (u32 i = 0; i < frames; i++)
            received += rx.used.ring[(seen + i) % RING].length - HEADER - HEADERS;
    seen = (u16)(index - 1);
    take(receive());
    give_back();
    return frames;
}

/* Bytes to send are counted when they have been taken. */
static void send_bytes(u32 bytes) {
    u32 end = acked + bytes;
    while ((int)(end - acked) > 0) {
        poll();
        u16 index = tx.available.index, first = index;
        while ((u16)(index - first) < BURST && (u16)(index - tx.used.index) < RING &&
               window - (next - acked) >= SEGMENT && window >= next - acked) {
            finish(tx_frame(index));
            next += SEGMENT;
            index++;
        }
        if (index != first) offer(1, &tx, index);
    }
}

static void receive_bytes(u32 bytes) {
    u32 begin = expected, idle = 0;
    static u32 told;
    received = 0;
    while (expected - begin < bytes) {
        idle = poll() > 0 ? 0 : idle + 1;
        if (expected - told < (idle > 64 ? 1 : ACK_BYTES)) continue;
        send(HEADERS);
        told = expected;
    }
    /* Fewer would have come when frames had been lost. */
    if (received < expected - begin) leave(0xee);
}

void main(void) {
    u8 gateway[6];
    find(1);
    set_up();
    connect(gateway);
    /* The two frames that were sent before must be out of the way. */
    while (tx.used.index != 2) __asm__ volatile("pause");
    for (u32 i = 0; i < RING; i++) {
        lay_out(tx_frame(i), gateway, ACK, 0, 0, RECEIVE ? 0 : SEGMENT);
        tx.descriptors[i].length = HEADER + HEADERS + SEGMENT;
    }
    if (RECEIVE)
        receive_bytes(WARMUP);
    else
        send_bytes(WARMUP);
    outb(0xe9, 0xa1);
    if (RECEIVE)
        receive_bytes(BYTES);
    else
        send_bytes(BYTES);
    leave(0xa2);
}
