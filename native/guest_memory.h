// Guest memory: a sealed memfd mapped once per process and shared by every thread.
//
// The registry of mappings is process-wide state, because Node.js loads the addon into each
// worker and they must all wrap the same mapping. A mapping lives until the creator's reference
// and every ArrayBuffer over it are gone.
#ifndef VEXIT_GUEST_MEMORY_H
#define VEXIT_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vx_memory {
    uint32_t id;
    int fd;
    uint8_t *address;
    uint64_t size;
    uint32_t references; // guarded by the registry's lock
    struct vx_memory *next;
};

// Creates a memfd of `size` bytes (a multiple of the page size), seals it against shrinking and
// growing, and maps it without reserving. Returns 0 or a negative errno; the caller owns a
// reference. `*failed` names the system call that failed.
int vx_memory_create(const char *name, uint64_t size, struct vx_memory **out, const char **failed);

// Maps the first `length` bytes of an open file, shared, followed by zeroes up to `size` (a
// multiple of the page size). The file is kept open. Returns 0 or a negative errno, as above.
int vx_memory_map_file(int fd, uint64_t length, uint64_t size, bool writable,
                       struct vx_memory **out, const char **failed);

// Bytes of a huge page of x86-64.
#define VX_HUGE_PAGE (2ul << 20)

// Makes one huge page of the pages from `offset` on, whatever shmem_enabled says, if all of them
// are there: it takes no memory the guest has not touched. Copies 2 MiB and can wait, so not for a
// thread that has other things to do. 0 or a negative errno: ENODATA when some are not there,
// EINVAL where the kernel (before 6.1) cannot do it.
int vx_memory_collapse(struct vx_memory *memory, uint64_t offset);

// Takes a reference to the mapping with this id, or returns NULL.
struct vx_memory *vx_memory_acquire(uint32_t id);

// Gives a reference back; the last one unmaps and closes.
void vx_memory_release(struct vx_memory *memory);

#ifdef __cplusplus
}
#endif

#endif
