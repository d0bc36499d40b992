#include "vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum head_start { HEAD_NONE, HEAD_RUNNING };

struct vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_size;
    _Atomic int tid;     // the thread inside vx_vcpu_run, or 0
    _Atomic int stopped; // set once, never cleared
    _Atomic int head;    // enum head_start
    pthread_t head_thread;
    int head_result;
    _Atomic int64_t first_run;
};

static struct vcpu *_Atomic table[VX_MAX_VCPUS];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handler_once = PTHREAD_ONCE_INIT;

// Not one of the signals Node.js, libuv or V8 use (SIGUSR1 is the inspector's).
#define KICK_SIGNAL (SIGRTMIN + 3)

static void on_kick(int signal) {
    (void)signal;
}

static void install_handler(void) {
    // No SA_RESTART: KVM_RUN must return EINTR.
    struct sigaction action = {.sa_handler = on_kick};
    sigemptyset(&action.sa_mask);
    sigaction(KICK_SIGNAL, &action, NULL);
}

void vx_vcpu_init(void) {
    pthread_once(&handler_once, install_handler);
}

static struct vcpu *find(int id) {
    return id >= 0 && id < VX_MAX_VCPUS ? atomic_load(&table[id]) : NULL;
}

int vx_vcpu_open(int fd, size_t run_size) {
    struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
    int error = ENOMEM;
    if (vcpu) {
        vcpu->fd = fd;
        vcpu->run_size = run_size;
        vcpu->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = vcpu->run == MAP_FAILED ? errno : 0;
    }
    if (!error) {
        pthread_mutex_lock(&table_lock);
        for (int id = 0; id < VX_MAX_VCPUS; id++) {
            if (atomic_load(&table[id])) continue;
            atomic_store(&table[id], vcpu);
            pthread_mutex_unlock(&table_lock);
            return id;
        }
        pthread_mutex_unlock(&table_lock);
        munmap(vcpu->run, run_size);
        error = EMFILE;
    }
    free(vcpu);
    close(fd);
    return -error;
}

static void join_head(struct vcpu *vcpu) {
    if (atomic_exchange(&vcpu->head, HEAD_NONE) == HEAD_RUNNING)
        pthread_join(vcpu->head_thread, NULL);
}

void vx_vcpu_close(int id) {
    struct vcpu *vcpu = find(id);
    if (!vcpu) return;
    vx_vcpu_stop(id);
    join_head(vcpu);
    pthread_mutex_lock(&table_lock);
    atomic_store(&table[id], NULL);
    pthread_mutex_unlock(&table_lock);
    munmap(vcpu->run, vcpu->run_size);
    close(vcpu->fd);
    free(vcpu);
}

int vx_vcpu_fd(int id) {
    struct vcpu *vcpu = find(id);
    return vcpu ? vcpu->fd : -1;
}

void *vx_vcpu_run_page(int id, size_t *size) {
    struct vcpu *vcpu = find(id);
    if (!vcpu) return NULL;
    *size = vcpu->run_size;
    return vcpu->run;
}

static int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int run(struct vcpu *vcpu) {
    static __thread int own_tid;
    if (!own_tid) own_tid = (int)syscall(SYS_gettid);
    if (!atomic_load_explicit(&vcpu->first_run, memory_order_relaxed))
        atomic_store(&vcpu->first_run, monotonic_ns());
    int result;
    // A kick sets immediate_exit before it reads tid, and KVM reads immediate_exit after tid is
    // stored here: either the signal is sent or KVM_RUN returns at once.
    atomic_store(&vcpu->tid, own_tid);
    do {
        if (atomic_load(&vcpu->stopped)) {
            result = -ECANCELED;
            break;
        }
        result = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : (int)vcpu->run->exit_reason;
    } while (result == -EAGAIN);
    atomic_store(&vcpu->tid, 0);
    if (result == -EINTR) __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    return result;
}

int vx_vcpu_run(int id) {
    struct vcpu *vcpu = find(id);
    if (!vcpu) return -EBADF;
    if (atomic_load_explicit(&vcpu->head, memory_order_acquire) == HEAD_RUNNING) {
        join_head(vcpu);
        return vcpu->head_result;
    }
    return run(vcpu);
}

static void *head_main(void *argument) {
    struct vcpu *vcpu = argument;
    vcpu->head_result = run(vcpu);
    return NULL;
}

int vx_vcpu_head_start(int id) {
    struct vcpu *vcpu = find(id);
    if (!vcpu) return -EBADF;
    // Process signals belong to the threads of Node.js; this one takes the kick alone.
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, KICK_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&vcpu->head_thread, NULL, head_main, vcpu);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) return -error;
    pthread_setname_np(vcpu->head_thread, "vexit-head");
    atomic_store(&vcpu->head, HEAD_RUNNING);
    return 0;
}

int64_t vx_vcpu_first_run(int id) {
    struct vcpu *vcpu = find(id);
    return vcpu ? atomic_load(&vcpu->first_run) : 0;
}

static void kick(struct vcpu *vcpu) {
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    int tid = atomic_load(&vcpu->tid);
    if (tid) syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

static void with_vcpu(int id, int stop) {
    // The lock keeps vx_vcpu_close from freeing the vCPU between look-up and signal.
    pthread_mutex_lock(&table_lock);
    struct vcpu *vcpu = find(id);
    if (vcpu) {
        if (stop) atomic_store(&vcpu->stopped, 1);
        kick(vcpu);
    }
    pthread_mutex_unlock(&table_lock);
}

void vx_vcpu_kick(int id) {
    with_vcpu(id, 0);
}

void vx_vcpu_stop(int id) {
    with_vcpu(id, 1);
}

void vx_vcpu_stop_all(void) {
    for (int id = 0; id < VX_MAX_VCPUS; id++) {
        if (atomic_load(&table[id])) with_vcpu(id, 1);
    }
}
