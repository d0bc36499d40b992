#include "guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE // Linux 6.1, newer than Debian 12's C library
#define MADV_COLLAPSE 25
#endif

// Maps `size` bytes of a file at an address where a huge page can begin.
static void *map_aligned(int fd, uint64_t size) {
    uint64_t room = size + VX_HUGE_PAGE;
    uint8_t *start =
        mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return MAP_FAILED;
    uint64_t before = -(uint64_t)(uintptr_t)start % VX_HUGE_PAGE;
    void *address = mmap(start + before, size, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
    if (address == MAP_FAILED) {
        int error = errno;
        munmap(start, room);
        errno = error;
        return MAP_FAILED;
    }
    if (before > 0) munmap(start, before);
    munmap(start + before + size, VX_HUGE_PAGE - before);
    return address;
}

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vx_memory *registry;
static uint32_t next_id = 1;

static int fail(struct vx_memory *memory, const char **failed, const char *call) {
    int error = errno;
    if (memory->fd >= 0) close(memory->fd);
    free(memory);
    *failed = call;
    return -error;
}

// Puts a mapping into the registry.
static struct vx_memory *enter(struct vx_memory *memory) {
    pthread_mutex_lock(&registry_lock);
    memory->id = next_id++;
    memory->next = registry;
    registry = memory;
    pthread_mutex_unlock(&registry_lock);
    return memory;
}

int vx_memory_create(const char *name, uint64_t size, struct vx_memory **out, const char **failed) {
    struct vx_memory *memory = calloc(1, sizeof(*memory));
    if (!memory) {
        *failed = "calloc";
        return -ENOMEM;
    }
    memory->size = size;
    memory->references = 1;
    memory->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory->fd < 0) return fail(memory, failed, "memfd_create");
    if (ftruncate(memory->fd, (off_t)size) < 0) return fail(memory, failed, "ftruncate");
    // A shrunk file would turn a guest access into SIGBUS in this process.
    if (fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail(memory, failed, "fcntl(F_ADD_SEALS)");
    void *address = map_aligned(memory->fd, size);
    if (address == MAP_FAILED) return fail(memory, failed, "mmap");
    memory->address = address;
    // Both are advice: huge pages where shmem_enabled allows them, guest memory not in core files.
    (void)madvise(address, size, MADV_HUGEPAGE);
    (void)madvise(address, size, MADV_DONTDUMP);
    *out = enter(memory);
    return 0;
}

int vx_memory_map_file(int fd, uint64_t length, uint64_t size, bool writable,
                       struct vx_memory **out, const char **failed) {
    struct vx_memory *memory = calloc(1, sizeof(*memory));
    if (!memory) {
        *failed = "calloc";
        return -ENOMEM;
    }
    memory->size = size;
    memory->references = 1;
    memory->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (memory->fd < 0) return fail(memory, failed, "fcntl(F_DUPFD_CLOEXEC)");
    // What is behind the end of the file is zero, and nobody's: an access there raises no SIGBUS.
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *address = mmap(NULL, size, protection, flags, -1, 0);
    if (address == MAP_FAILED) return fail(memory, failed, "mmap");
    if (mmap(address, length, protection, MAP_SHARED | MAP_FIXED, memory->fd, 0) == MAP_FAILED) {
        int error = errno;
        munmap(address, size);
        errno = error;
        return fail(memory, failed, "mmap");
    }
    memory->address = address;
    (void)madvise(address, size, MADV_DONTDUMP);
    *out = enter(memory);
    return 0;
}

int vx_memory_collapse(struct vx_memory *memory, uint64_t offset) {
    uint8_t *address = memory->address + offset;
    unsigned char resident[VX_HUGE_PAGE / 4096];
    if (mincore(address, VX_HUGE_PAGE, resident) < 0) return -errno;
    for (size_t i = 0; i < sizeof(resident); i++)
        if (!(resident[i] & 1)) return -ENODATA;
    return madvise(address, VX_HUGE_PAGE, MADV_COLLAPSE) < 0 ? -errno : 0;
}

struct vx_memory *vx_memory_acquire(uint32_t id) {
    pthread_mutex_lock(&registry_lock);
    struct vx_memory *memory = registry;
    while (memory && memory->id != id) memory = memory->next;
    if (memory) memory->references++;
    pthread_mutex_unlock(&registry_lock);
    return memory;
}

void vx_memory_release(struct vx_memory *memory) {
    pthread_mutex_lock(&registry_lock);
    if (--memory->references > 0) {
        pthread_mutex_unlock(&registry_lock);
        return;
    }
    struct vx_memory **link = &registry;
    while (*link != memory) link = &(*link)->next;
    *link = memory->next;
    pthread_mutex_unlock(&registry_lock);
    munmap(memory->address, memory->size);
    close(memory->fd);
    free(memory);
}
