/*
 * A driver for virtio disks that does as it is told: a letter, numbers in hexadecimal with commas
 * between them, a semicolon. First what is after "do=" on the command line, then COM1.
 *
 *   s N                  starts over with the N-th disk
 *   q N                  single requests go to queue N
 *   r SECTOR,COUNT       reads                     w SECTOR,COUNT,VALUE   writes
 *   z SECTOR,COUNT,FLAGS writes zeroes             d SECTOR,COUNT         discards
 *   f                    flushes                   i                      asks for the serial
 *   g                    waits for a change of the configuration
 *   l FIRST,BATCH,STEP   writes numbered sectors, STEP sectors apart, in batches with a flush each
 *   v FIRST,END,STEP     reads them back           b TYPE,SECTORS,DEPTH   keeps DEPTH requests
 * going x                    powers off
 *
 * l and b end with the next byte from COM1.
 */
#include "virtio.h"

#define TYPE_BLOCK 2
#define SECTOR 512
#define QUEUES 4
#define SLOTS 64
#define SLOT_BYTES 4096
#define LARGE_BYTES 0x10000

#define BLK_IN 0
#define BLK_OUT 1
#define BLK_FLUSH 4
#define BLK_GET_ID 8
#define BLK_DISCARD 11
#define BLK_WRITE_ZEROES 13
/* Set in the types of requests whose data goes to the device. */
#define BLK_TO_DEVICE 1

#define CONFIG_CAPACITY 0
#define CONFIG_QUEUES 34
#define INTERRUPT_CONFIG 2

/* Rings with more than this driver knows of: indirect descriptors and event indexes. */
#define RING_FEATURES (3ull << 28)

struct header {
    u32 type, reserved;
    u64 sector;
};
struct range {
    u64 sector;
    u32 sectors, flags;
};
struct slot {
    struct header header;
    u8 status;
    u8 busy;
    u8 data[SLOT_BYTES] __attribute__((aligned(SECTOR)));
};

static struct virtqueue queues[QUEUES];
static struct slot slots[QUEUES][SLOTS];
static u8 large[LARGE_BYTES] __attribute__((aligned(4096)));
static u64 disk;
static u32 queue_count, current;
/* A request that nobody has made was answered, or one was answered twice. */
static u64 strays;

static const char *script;

static int stop_asked(void) {
    return inb(COM1_LSR) & LSR_DATA_READY;
}
static char next_char(void) {
    if (*script && *script != ' ') return *script++;
    while (!stop_asked()) __asm__ volatile("pause");
    return (char)inb(COM1);
}
/* The next number, and what ended it. */
static u64 next_number(char *end) {
    u64 value = 0;
    for (;;) {
        char c = next_char();
        if (c >= '0' && c <= '9')
            value = value * 16 + (u64)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (u64)(c - 'a' + 10);
        else {
            *end = c;
            return value;
        }
    }
}

static u64 capacity(void) {
    return virtio_read(disk, REG_CONFIG + CONFIG_CAPACITY) |
           (u64)virtio_read(disk, REG_CONFIG + CONFIG_CAPACITY + 4) << 32;
}

static void select_disk(u64 number) {
    disk = 0;
    for (u32 i = 0; i < 16 && virtio_read(virtio_slot(i), REG_MAGIC) == VIRTIO_MAGIC; i++)
        if (virtio_read(virtio_slot(i), REG_DEVICE_ID) == TYPE_BLOCK && number-- == 0) {
            disk = virtio_slot(i);
            break;
        }
    report("disk", disk);
    if (!disk) return;
    u64 features = virtio_features(disk);
    report("features", features);
    report("accepted", (u64)virtio_negotiate(disk, features & ~RING_FEATURES));
    u32 offered = *(volatile u16 *)(uptr)(disk + REG_CONFIG + CONFIG_QUEUES);
    queue_count = offered == 0 ? 1 : offered < QUEUES ? offered : QUEUES;
    for (u32 i = 0; i < queue_count; i++) virtio_queue(&queues[i], disk, i);
    for (u32 i = 0; i < QUEUES; i++)
        for (u32 j = 0; j < SLOTS; j++) slots[i][j].busy = 0;
    virtio_driver_ok(disk);
    current = 0;
    report("queues", queue_count);
    report("capacity", capacity());
}

/* A request in three descriptors that belong to its slot. */
static void send(u32 q, u32 s, u32 type, u64 sector, void *data, u32 bytes) {
    struct virtqueue *queue = &queues[q];
    struct slot *slot = &slots[q][s];
    u16 head = (u16)(3 * s), status = (u16)(head + (bytes ? 2 : 1));
    slot->header = (struct header){type, 0, sector};
    slot->status = 0xff;
    slot->busy = 1;
    queue->descriptors[head] =
        (struct descriptor){(u64)&slot->header, sizeof(slot->header), DESC_NEXT, (u16)(head + 1)};
    if (bytes) {
        u16 flags = (u16)(DESC_NEXT | (type & BLK_TO_DEVICE ? 0 : DESC_WRITE));
        queue->descriptors[head + 1] = (struct descriptor){(u64)data, bytes, flags, status};
    }
    queue->descriptors[status] = (struct descriptor){(u64)&slot->status, 1, DESC_WRITE, 0};
    virtio_publish(queue, head);
}
/* Takes one answer; its slot, or -1 when it belongs to nothing. */
static int receive(u32 q) {
    u32 id = virtio_wait(&queues[q]).id, s = id / 3;
    if (id % 3 || s >= SLOTS || !slots[q][s].busy) {
        strays++;
        return -1;
    }
    slots[q][s].busy = 0;
    return (int)s;
}
static u8 request(u32 type, u64 sector, void *data, u32 bytes) {
    send(current, 0, type, sector, data, bytes);
    virtio_kick(&queues[current]);
    receive(current);
    return slots[current][0].status;
}

static void read_sectors(u64 sector, u64 count) {
    for (u32 i = 0; i < count && i < LARGE_BYTES / SECTOR; i++)
        *(u64 *)(large + i * SECTOR) = ~0ull;
    report("read", request(BLK_IN, sector, large, (u32)(count * SECTOR)));
    u64 first = *(u64 *)large, different = 0;
    for (u32 i = 1; i < count; i++) different += *(u64 *)(large + i * SECTOR) != first + i;
    report("first", first);
    report("different", different);
}
static void write_sectors(u64 sector, u64 count, u64 value) {
    for (u32 i = 0; i < count; i++) *(u64 *)(large + i * SECTOR) = value + i;
    report("written", request(BLK_OUT, sector, large, (u32)(count * SECTOR)));
}
static void range_request(const char *name, u32 type, u64 sector, u64 count, u64 flags) {
    struct range *range = (struct range *)slots[current][0].data;
    *range = (struct range){sector, (u32)count, (u32)flags};
    report(name, request(type, 0, range, sizeof(*range)));
}
static void get_id(void) {
    u8 *id = slots[current][0].data;
    for (u32 i = 0; i <= 20; i++) id[i] = 0;
    report("id_status", request(BLK_GET_ID, 0, id, 20));
    put("id=");
    put((const char *)id);
    put_char('\n');
}
static void wait_for_config(void) {
    while (!(virtio_read(disk, REG_INTERRUPT_STATUS) & INTERRUPT_CONFIG)) __asm__ volatile("pause");
    virtio_write(disk, REG_INTERRUPT_ACK, INTERRUPT_CONFIG);
    report("changed", capacity());
}

/* Numbered writes. A line "a=N" vouches for all numbers up to N. */
static void load(u64 number, u64 batch, u64 step) {
    u64 failed = 0, room = capacity() / step;
    while (!stop_asked() && !failed) {
        u32 sent[QUEUES] = {0};
        for (u64 i = 0; i < batch && number < room; i++, number++) {
            u32 q = (u32)(i % queue_count), s = sent[q]++;
            u64 *data = (u64 *)slots[q][s].data;
            data[0] = number;
            data[SECTOR / 8 - 1] = ~number;
            send(q, s, BLK_OUT, number * step, data, SECTOR);
        }
        for (u32 q = 0; q < queue_count; q++) virtio_kick(&queues[q]);
        for (u32 q = 0; q < queue_count; q++)
            for (u32 i = 0; i < sent[q]; i++) {
                int s = receive(q);
                failed += s < 0 || slots[q][s].status != 0;
            }
        failed += request(BLK_FLUSH, 0, 0, 0) != 0;
        if (!failed) report("a", number - 1);
        if (number >= room) break;
    }
    report("failed", failed);
    report("next", number);
    report("strays", strays);
}
static void verify(u64 number, u64 end, u64 step) {
    u64 wrong = 0, *data = (u64 *)slots[current][0].data;
    for (; number < end; number++) {
        data[0] = data[SECTOR / 8 - 1] = 0;
        u8 status = request(BLK_IN, number * step, data, SECTOR);
        wrong += status != 0 || data[0] != number || data[SECTOR / 8 - 1] != ~number;
    }
    report("wrong", wrong);
}

/* Requests on all queues; a line "n=N" every 16 answers, so that the host can measure. */
static void keep_busy(u32 type, u64 sectors, u32 depth) {
    u64 answers = 0, errors = 0, room = capacity() / sectors, at = 0;
    u32 bytes = (u32)(sectors * SECTOR);
    for (u32 i = 0; i < depth; i++)
        send(i % queue_count, i / queue_count, type, (at++ % room) * sectors, large, bytes);
    for (u32 q = 0; q < queue_count; q++) virtio_kick(&queues[q]);
    while (!stop_asked()) {
        for (u32 q = 0; q < queue_count; q++) {
            if (!virtio_has_used(&queues[q])) continue;
            int s = receive(q);
            if (s < 0) continue;
            errors += slots[q][s].status != 0;
            if (++answers % 16 == 0) report("n", answers);
            send(q, (u32)s, type, (at++ % room) * sectors, large, bytes);
            virtio_kick(&queues[q]);
        }
    }
    for (u32 i = 0; i < depth; i++) receive(i % queue_count);
    report("errors", errors);
    report("strays", strays);
}

void main(const u8 *boot_params) {
    const char *command_line = (const char *)(uptr)(*(const u32 *)(boot_params + 0x228));
    script = "";
    for (const char *c = command_line; *c; c++)
        if (c[0] == 'd' && c[1] == 'o' && c[2] == '=') script = c + 3;
    /* A receiver that has its interrupt on is sent input at once; interrupts stay off here. */
    outb(COM1 + 4, 0x0b);
    outb(COM1 + 1, 0x01);
    for (;;) {
        char letter = next_char(), end = letter;
        u64 n[3] = {0};
        if (letter < 'a' || letter > 'z') continue;
        for (u32 i = 0; i < 3 && end != ';'; i++) n[i] = next_number(&end);
        switch (letter) {
        case 's':
            select_disk(n[0]);
            break;
        case 'q':
            current = (u32)n[0] % queue_count;
            break;
        case 'r':
            read_sectors(n[0], n[1]);
            break;
        case 'w':
            write_sectors(n[0], n[1], n[2]);
            break;
        case 'z':
            range_request("zeroed", BLK_WRITE_ZEROES, n[0], n[1], n[2]);
            break;
        case 'd':
            range_request("discarded", BLK_DISCARD, n[0], n[1], 0);
            break;
        case 'f':
            report("flushed", request(BLK_FLUSH, 0, 0, 0));
            break;
        case 'i':
            get_id();
            break;
        case 'g':
            wait_for_config();
            break;
        case 'l':
            load(n[0], n[1], n[2]);
            break;
        case 'v':
            verify(n[0], n[1], n[2]);
            break;
        case 'b':
            keep_busy((u32)n[0], n[1], (u32)n[2]);
            break;
        case 'x':
            power_off();
        default:
            report("unknown", (u64)letter);
        }
    }
}
