/* Operations on the system: what it is, mounts, the clock, the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "path.h"

/* MemAvailable of /proc/meminfo in bytes; 0 if it does not say. */
static unsigned long long memory_available(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib = 0;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
    if (file) fclose(file);
    return kib << 10;
}

/* What the guest is and how it does. */
void serve_info(struct wire *wire, const struct request *request) {
    struct result result = {0};
    struct utsname name;
    struct sysinfo info;
    struct timespec now, up;

    (void)request;
    if (uname(&name) < 0 || sysinfo(&info) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
        clock_gettime(CLOCK_BOOTTIME, &up) < 0) {
        fail(wire, "info", NULL, errno);
        return;
    }
    result_add(&result, "version", "%d", AGENT_VERSION);
    result_add(&result, "hostname", "%s", name.nodename);
    result_add(&result, "kernel", "%s %s", name.sysname, name.release);
    result_add(&result, "cpus", "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    result_add(&result, "memory", "%llu", (unsigned long long)info.totalram * info.mem_unit);
    result_add(&result, "available", "%llu", memory_available());
    result_add(&result, "processes", "%u", info.procs);
    result_add(&result, "uptime", "%lld.%03ld", (long long)up.tv_sec, up.tv_nsec / 1000000);
    result_add(&result, "time", "%lld.%03ld", (long long)now.tv_sec, now.tv_nsec / 1000000);
    result_send(wire, &result);
}

static void done(struct wire *wire) {
    struct result result = {0};

    result_send(wire, &result);
}

/* A virtio-fs tag, a device or anything else that mount(2) takes. */
void serve_mount(struct wire *wire, const struct request *request) {
    const char *source = request_value(request, "source");
    const char *target = request_value(request, "target");
    const char *type = request_value(request, "type");
    unsigned long flags = request_value(request, "readonly") ? MS_RDONLY : 0;

    if (!source || !target || *target != '/' || !type)
        fail(wire, "mount needs a source, an absolute target and a type", NULL, EINVAL);
    else if (make_path(target) < 0)
        fail(wire, "cannot make", target, errno);
    else if (mount(source, target, type, flags, request_value(request, "options")) < 0)
        fail(wire, "cannot mount", source, errno);
    else
        done(wire);
}

/* Sets the clock: seconds and nanoseconds since 1970. */
void serve_time(struct wire *wire, const struct request *request) {
    unsigned long long seconds, nanoseconds;
    struct timespec now;

    if (!request_number(request, "seconds", 1ULL << 40, &seconds) ||
        !request_number(request, "nanoseconds", 999999999, &nanoseconds)) {
        fail(wire, "not a time", NULL, EINVAL);
        return;
    }
    now = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds};
    if (clock_settime(CLOCK_REALTIME, &now) < 0)
        fail(wire, "cannot set the clock", NULL, errno);
    else
        done(wire);
}

/* systemd and the default guest's init end in order on these, SIGRTMIN+4 and +5 of glibc. */
#define SIGNAL_POWER_OFF 38
#define SIGNAL_REBOOT 39

static bool init_takes_signals(void) {
    char path[256];
    ssize_t n = readlink("/proc/1/exe", path, sizeof path - 1);
    struct stat info;

    if (n > 0) path[n] = '\0';
    /* " (deleted)" follows where the initramfs has been left for a disk. */
    if (n > 0 && strncmp(path, "/.vexit/init", strlen("/.vexit/init")) == 0) return true;
    return stat("/run/systemd/system", &info) == 0;
}

/* The program of other inits; tells when there is none. */
static void run_program(bool restart) {
    const char *const paths[] = {"/sbin", "/usr/sbin", "/bin", "/usr/bin"};
    char path[64];

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", paths[i], restart ? "reboot" : "poweroff");
        execl(path, path, NULL);
    }
}

static void end_at_once(bool restart) {
    sync();
    reboot(restart ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF);
}

/* Powers off or reboots: in order by way of init, or at once with "force". */
void serve_shutdown(struct wire *wire, const struct request *request) {
    const char *how = request_value(request, "how");
    bool restart = how && strcmp(how, "reboot") == 0;

    if (!how || (!restart && strcmp(how, "poweroff") != 0)) {
        fail(wire, "shutdown is poweroff or reboot", NULL, EINVAL);
        return;
    }
    if (geteuid() != 0) {
        fail(wire, "shutdown", NULL, EPERM);
        return;
    }
    done(wire);
    wire_write(wire, true);
    if (request_value(request, "force"))
        end_at_once(restart);
    else if (!init_takes_signals())
        run_program(restart);
    else if (kill(1, restart ? SIGNAL_REBOOT : SIGNAL_POWER_OFF) == 0)
        return;
    end_at_once(restart);
}
