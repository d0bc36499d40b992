// Random 4 KiB reads of a file at a queue depth, over io_uring without a library: what the rings
// cost when C drives them. Usage: uring-read FILE DEPTH READS. Prints wall and CPU nanoseconds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint8_t *map(int fd, off_t offset, size_t size) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (address == MAP_FAILED) die("mmap");
    return address;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int file = open(argv[1], O_RDONLY);
    if (file < 0) die(argv[1]);
    uint32_t depth = (uint32_t)atoi(argv[2]);
    uint32_t reads = (uint32_t)atoi(argv[3]);
    struct stat info;
    if (fstat(file, &info) < 0) die("fstat");
    uint32_t blocks = (uint32_t)(info.st_size / BLOCK);

    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int ring = (int)syscall(SYS_io_uring_setup, depth, &p);
    if (ring < 0) die("io_uring_setup");
    uint8_t *rings =
        map(ring, IORING_OFF_SQ_RING, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe));
    struct io_uring_sqe *sqes =
        (void *)map(ring, IORING_OFF_SQES, p.sq_entries * sizeof(struct io_uring_sqe));
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &file, 1) < 0) die("register");
    _Atomic uint32_t *sq_tail = (void *)(rings + p.sq_off.tail);
    _Atomic uint32_t *cq_head = (void *)(rings + p.cq_off.head);
    _Atomic uint32_t *cq_tail = (void *)(rings + p.cq_off.tail);
    struct io_uring_cqe *cqes = (void *)(rings + p.cq_off.cqes);
    uint32_t *array = (void *)(rings + p.sq_off.array);
    for (uint32_t i = 0; i < p.sq_entries; i++) array[i] = i;
    uint8_t *memory = mmap(NULL, (size_t)depth * BLOCK, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    uint32_t state = 1;
    uint32_t tail = 0;
    uint32_t head = 0;
    uint32_t queued = 0;
    uint32_t started = 0;
    uint32_t done = 0;
    int64_t wall = wall_ns();
    int64_t cpu = cpu_ns();
    for (uint32_t i = 0; i < depth; i++) {
        // The first round of the same code as below, without a completion.
        state = state * 1664525 + 1013904223;
        struct io_uring_sqe *sqe = &sqes[tail++ & (p.sq_entries - 1)];
        *sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ,
                                     .flags = IOSQE_FIXED_FILE,
                                     .off = (uint64_t)(state >> 8) % blocks * BLOCK,
                                     .addr = (uint64_t)(uintptr_t)(memory + i * BLOCK),
                                     .len = BLOCK,
                                     .user_data = i};
        started++;
        queued++;
    }
    while (done < reads) {
        atomic_store_explicit(sq_tail, tail, memory_order_release);
        long taken = syscall(SYS_io_uring_enter, ring, queued, 1, IORING_ENTER_GETEVENTS, NULL, 0);
        if (taken < 0) die("io_uring_enter");
        queued -= (uint32_t)taken;
        uint32_t end = atomic_load_explicit(cq_tail, memory_order_acquire);
        for (; head != end; head++) {
            struct io_uring_cqe *cqe = &cqes[head & (p.cq_entries - 1)];
            if (cqe->res != BLOCK) return 1;
            done++;
            if (started == reads) continue;
            uint64_t token = cqe->user_data;
            state = state * 1664525 + 1013904223;
            struct io_uring_sqe *sqe = &sqes[tail++ & (p.sq_entries - 1)];
            *sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ,
                                         .flags = IOSQE_FIXED_FILE,
                                         .off = (uint64_t)(state >> 8) % blocks * BLOCK,
                                         .addr = (uint64_t)(uintptr_t)(memory + token * BLOCK),
                                         .len = BLOCK,
                                         .user_data = token};
            started++;
            queued++;
        }
        atomic_store_explicit(cq_head, head, memory_order_release);
    }
    printf("%lld %lld\n", (long long)(wall_ns() - wall), (long long)(cpu_ns() - cpu));
    return 0;
}
