// TAP devices: opening a queue of one, and what its frames look like.
#ifndef VEXIT_TAP_H
#define VEXIT_TAP_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Room for an interface name with its NUL (IFNAMSIZ).
#define VX_TAP_NAME 16

// Opens a non-blocking queue of the TAP device `name`, which is made if it does not exist ("%d" in
// it becomes a number). `name` is replaced by the name the kernel gave. Frames have a
// virtio_net_hdr in front if `vnet_header`. Returns the descriptor or a negative errno; `*failed`
// names the call.
int vx_tap_open(char name[VX_TAP_NAME], bool multi_queue, bool vnet_header, const char **failed);

// Sets the bytes of virtio_net_hdr, 10 or 12. Returns 0 or a negative errno.
int vx_tap_set_vnet_header_size(int fd, int size);

// Says which offloads the reader of the queue takes: TUN_F_* bits. Returns 0 or a negative errno.
int vx_tap_set_offload(int fd, unsigned int offloads);

#ifdef __cplusplus
}
#endif

#endif
