/*
 * A 32-bit kernel, by PVH, that mounts a virtio-fs device as Linux does and does next to nothing
 * itself: requests are laid out before the clock starts, one indirect table each with a descriptor
 * for every page of data, so that a round of requests costs one store to the available ring's
 * index, one kick, and polling. Where a request needs what another one answered (CREATE,
 * READDIRPLUS) it goes alone.
 *
 * In the root of the share: `file`, of FILE_BYTES, and the directory `names`, of NAMES names of 8
 * bytes.
 *
 * Marks on the debug console (port 0xe9): for each of LOADS a1 at the start and a2 at the end of
 * its rounds; ee and the debug-exit port (0x501) when something is wrong.
 */
#include "virtio-mmio.h"

/* Of LOADS: {opcode, bytes, requests at once, rounds before the clock starts, rounds}. */
struct load {
    u32 opcode, size, depth, warmup, rounds;
};
/* QEMU's queues have as many entries unless told otherwise; depths divide it. */
#define RING 128
#define HIPRIO_RING 16
/* The deepest load, which has a buffer for each request. */
#define AT_ONCE 16
#define PAGE 4096u
#define LARGEST 0x100000u
#define TABLE_ENTRIES (LARGEST / PAGE + 4)
#define BUFFERS 0x1000000u
#define TABLES 0x800000u

/* linux/fuse.h, version 7.38. */
enum {
    LOOKUP = 1,
    FORGET = 2,
    GETATTR = 3,
    UNLINK = 10,
    OPEN = 14,
    READ = 15,
    WRITE = 16,
    RELEASE = 18,
    INIT = 26,
    OPENDIR = 27,
    RELEASEDIR = 29,
    CREATE = 35,
    READDIRPLUS = 44
};
#define O_RDWR 2
#define O_CREAT 0100
#define ROOT 1
/* What Linux 6.1 asks for: ASYNC_READ, ATOMIC_O_TRUNC, BIG_WRITES, AUTO_INVAL_DATA, DO_READDIRPLUS,
   READDIRPLUS_AUTO, ASYNC_DIO, PARALLEL_DIROPS, MAX_PAGES, CACHE_SYMLINKS, HANDLE_KILLPRIV_V2. */
#define INIT_FLAGS                                                                                 \
    (1u << 0 | 1u << 3 | 1u << 5 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 18 |          \
     1u << 22 | 1u << 23 | 1u << 28)
#define ENTRY_OUT 128
#define DIRENTPLUS (ENTRY_OUT + 24 + 8)

struct request {
    struct {
        u32 length, opcode;
        u64 unique, node;
        u32 uid, gid, pid, padding;
    } header;
    union {
        u32 words[16];
        u64 longs[8];
        char text[64];
    } in;
    struct {
        u32 length;
        int error;
        u64 unique;
    } reply;
    union {
        u32 words[36];
        u64 longs[18];
    } out;
};

#include "ring.h"

static struct ring hiprio, queue;
static struct request requests[RING];
static struct request forgotten;

static const struct load loads[] = {LOADS};

/* Section 5.11 of virtio 1.2; the layout of a request is that of Linux' driver. */
static struct request *lay_out(u32 slot, u32 opcode, u64 node, u32 in, u32 out, u32 data) {
    struct request *request = &requests[slot];
    struct descriptor *table = (struct descriptor *)TABLES + slot * TABLE_ENTRIES;
    u32 buffer = BUFFERS + slot % AT_ONCE * LARGEST, count = 0;
    u32 write = opcode == WRITE ? data : 0;
    request->header.length = (u32)sizeof(request->header) + in + write;
    request->header.opcode = opcode;
    request->header.unique = 2 * slot + 2;
    request->header.node = node;
    table[count++] = (struct descriptor){(u32)&request->header, sizeof(request->header), 1, 0};
    if (in) table[count++] = (struct descriptor){(u32)&request->in, in, 1, 0};
    for (u32 at = 0; at < write; at += PAGE)
        table[count++] = (struct descriptor){buffer + at, PAGE, 1, 0};
    table[count++] = (struct descriptor){(u32)&request->reply, sizeof(request->reply), 3, 0};
    if (out) table[count++] = (struct descriptor){(u32)&request->out, out, 3, 0};
    for (u32 at = 0; at < data - write; at += PAGE)
        table[count++] = (struct descriptor){buffer + at, PAGE, 3, 0};
    table[count - 1].flags &= 2;
    for (u32 i = 0; i < count; i++) table[i].next = (u16)(i + 1);
    queue.descriptors[slot] =
        (struct descriptor){(u32)table, count * (u32)sizeof(struct descriptor), 4, 0};
    return request;
}

static u32 put_name(char *to, const char *name) {
    u32 length = 0;
    do to[length] = name[length];
    while (name[length++]);
    return length;
}

static void wait(struct ring *on) {
    while (on->used.index != on->available.index) __asm__ volatile("pause");
    __asm__ volatile("" ::: "memory");
}

/* One request that has been laid out, and its answer. */
static void call(u32 slot) {
    queue.available.ring[queue.available.index % RING] = (u16)slot;
    offer(1, &queue, (u16)(queue.available.index + 1));
    wait(&queue);
    if (requests[slot].reply.error) leave(0xee);
}

/* Without an answer, and by the high-priority queue. */
static void forget(u64 node) {
    wait(&hiprio);
    forgotten.header.node = node;
    offer(0, &hiprio, (u16)(hiprio.available.index + 1));
}

static u64 look_up(const char *name) {
    u32 length = put_name(requests[0].in.text, name);
    struct request *request = lay_out(0, LOOKUP, ROOT, length, ENTRY_OUT, 0);
    call(0);
    return request->out.longs[0];
}

static u64 open(u32 opcode, u64 node, u32 flags) {
    struct request *request = lay_out(0, opcode, node, 8, 16, 0);
    request->in.words[0] = flags;
    request->in.words[1] = 0;
    call(0);
    return request->out.longs[0];
}

static void mount(void) {
    begin();
    set(0x24, 0);
    set(0x20, 1u << 28);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    if (!(get(0x70) & 8)) leave(0xee);
    enable_queue(0, HIPRIO_RING, hiprio.descriptors, &hiprio.available, &hiprio.used);
    enable_queue(1, RING, queue.descriptors, &queue.available, &queue.used);
    hiprio.available.flags = 1;
    queue.available.flags = 1;
    /* All entries are the one request: fuse_in_header and fuse_forget_in in one piece. */
    forgotten.header.length = (u32)sizeof(forgotten.header) + 8;
    forgotten.header.opcode = FORGET;
    forgotten.header.unique = 1;
    forgotten.in.longs[0] = 1;
    hiprio.descriptors[0] = (struct descriptor){(u32)&forgotten, forgotten.header.length, 0, 0};
    set(0x70, 15);

    struct request *init = lay_out(0, INIT, 0, 64, 64, 0);
    init->in.words[0] = 7;
    init->in.words[1] = 38;
    init->in.words[2] = LARGEST;
    init->in.words[3] = INIT_FLAGS;
    call(0);
    /* max_write, and max_pages. */
    if (init->out.words[5] < LARGEST || (u16)init->out.words[7] < LARGEST / PAGE) leave(0xee);
}

/* Requests that need nothing of each other: all of the ring, for rounds of any depth. */
static void prepare(const struct load *load, u64 node, u64 handle) {
    static const u8 in[] = {[READ] = 40, [WRITE] = 40, [GETATTR] = 16, [LOOKUP] = 5};
    static const u8 out[] = {[READ] = 0, [WRITE] = 8, [GETATTR] = 104, [LOOKUP] = ENTRY_OUT};
    u32 blocks = load->size ? FILE_BYTES / load->size : 1;
    for (u32 i = 0; i < RING; i++) {
        struct request *request = lay_out(i, load->opcode, load->opcode == LOOKUP ? ROOT : node,
                                          in[load->opcode], out[load->opcode], load->size);
        for (u32 w = 0; w < 16; w++) request->in.words[w] = 0;
        if (load->opcode == LOOKUP) {
            put_name(request->in.text, "file");
        } else if (load->size) {
            request->in.longs[0] = handle;
            request->in.longs[1] = (u64)(i % blocks) * load->size;
            request->in.words[4] = load->size;
        }
        queue.available.ring[(u16)(queue.available.index + i) % RING] = (u16)i;
    }
}

static void run_rounds(const struct load *load, u32 rounds) {
    while (rounds--) {
        offer(1, &queue, (u16)(queue.available.index + load->depth));
        wait(&queue);
    }
}

/* Of the requests that have been made: all of the ring, unless the rounds were few. */
static void check(const struct load *load) {
    u32 read = load->opcode == READ ? load->size : 0;
    u32 made = (load->warmup + load->rounds) * load->depth;
    for (u32 i = 0; i < RING && i < made; i++)
        if (requests[i].reply.error || (read && requests[i].reply.length != 16 + read)) leave(0xee);
    if (load->opcode == WRITE && requests[0].out.words[0] != load->size) leave(0xee);
}

static void run_create(u32 rounds) {
    u32 length = put_name((char *)&requests[1].in.words[4], "new");
    struct request *create = lay_out(1, CREATE, ROOT, 16 + length, ENTRY_OUT + 16, 0);
    create->in.words[0] = O_RDWR | O_CREAT;
    create->in.words[1] = 0100644;
    create->in.words[2] = 022;
    create->in.words[3] = 0;
    struct request *release = lay_out(2, RELEASE, 0, 24, 0, 0);
    lay_out(3, UNLINK, ROOT, put_name(requests[3].in.text, "new"), 0, 0);
    while (rounds--) {
        call(1);
        release->header.node = create->out.longs[0];
        release->in.longs[0] = create->out.longs[16];
        call(2);
        call(3);
        forget(create->out.longs[0]);
    }
    wait(&hiprio);
}

/* As `ls -l` does: a page of names at a time. All records have the same size. */
static void run_list(u64 node, u32 rounds) {
    while (rounds--) {
        u64 handle = open(OPENDIR, node, 0), offset = 0;
        struct request *list = lay_out(1, READDIRPLUS, node, 40, 0, PAGE);
        u32 found = 0;
        list->in.longs[0] = handle;
        list->in.words[4] = PAGE;
        for (;;) {
            list->in.longs[1] = offset;
            call(1);
            u32 count = (list->reply.length - 16) / DIRENTPLUS;
            if (count == 0) break;
            found += count;
            u32 last = BUFFERS + LARGEST + (count - 1) * DIRENTPLUS;
            offset = *(volatile u64 *)(last + ENTRY_OUT + 8);
        }
        if (found != NAMES + 2) leave(0xee);
        lay_out(2, RELEASEDIR, node, 24, 0, 0)->in.longs[0] = handle;
        call(2);
    }
}

void main(void) {
    find(26);
    mount();
    u64 file = look_up("file"), names = look_up("names");
    u64 handle = open(OPEN, file, O_RDWR);
    /* Memory that a guest uses has pages of its own. */
    for (u32 at = 0; at < AT_ONCE * LARGEST; at += PAGE) *(volatile u32 *)(BUFFERS + at) = at | 1;
    for (u32 i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
        const struct load *load = &loads[i];
        /* Time for the reader of the mark to look at the processes before the next load. */
        for (u32 pause = 0; pause < 1000; pause++) outb(0x2f0, 0);
        u32 alone = load->opcode == CREATE || load->opcode == READDIRPLUS;
        if (!alone) prepare(load, file, handle);
        for (u32 timed = 0; timed < 2; timed++) {
            u32 rounds = timed ? load->rounds : load->warmup;
            if (timed) outb(0xe9, 0xa1);
            if (load->opcode == CREATE)
                run_create(rounds);
            else if (load->opcode == READDIRPLUS)
                run_list(names, rounds);
            else
                run_rounds(load, rounds);
        }
        if (i + 1 < sizeof(loads) / sizeof(*loads)) outb(0xe9, 0xa2);
        if (!alone) check(load);
    }
    leave(0xa2);
}
