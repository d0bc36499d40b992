// vCPU threads: running, kicking, and the head start.
//
// Whatever thread is inside KVM_RUN can be brought out by vx_vcpu_kick: it sets immediate_exit
// and sends a real-time signal whose handler does nothing. The table of vCPUs is process-wide so
// that any thread can kick any vCPU and so that every way out of the process can kick all.
#ifndef VEXIT_VCPU_H
#define VEXIT_VCPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VX_MAX_VCPUS 4096

// Installs the handler of the kick signal; safe to call from every thread that loads the addon.
void vx_vcpu_init(void);

// Takes over `fd` (it is closed by vx_vcpu_close, also when this fails) and maps its kvm_run.
// Returns an id >= 0 or a negative errno.
int vx_vcpu_open(int fd, size_t run_size);

// Closes the vCPU. Must not be called while a thread runs it.
void vx_vcpu_close(int id);

int vx_vcpu_fd(int id);
void *vx_vcpu_run_page(int id, size_t *size);

// KVM_RUN. Returns the exit reason (>= 0), or a negative errno: -EINTR after a kick, -ECANCELED
// once the vCPU has been stopped for good. EAGAIN is retried (a processor waiting for INIT).
int vx_vcpu_run(int id);

// Starts a native thread that runs the vCPU until its first exit, so that the guest executes
// while the JavaScript worker that will own the vCPU is still starting. The next vx_vcpu_run
// joins that thread and returns its exit. Returns 0 or a negative errno.
int vx_vcpu_head_start(int id);

// CLOCK_MONOTONIC nanoseconds at which KVM_RUN was first entered, or 0.
int64_t vx_vcpu_first_run(int id);

void vx_vcpu_kick(int id);

// Stops the vCPU for good and kicks it.
void vx_vcpu_stop(int id);

// Stops and kicks every vCPU of the process: for the way out.
void vx_vcpu_stop_all(void);

#ifdef __cplusplus
}
#endif

#endif
