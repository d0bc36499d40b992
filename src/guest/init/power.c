/* The orderly end: processes, file systems, power. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define GRACE_STEPS 100
#define GRACE_STEP_NS 20000000L

/* Reaps what has ended; true when no process is left but PID 1. */
static bool alone(void) {
    pid_t pid;

    do pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0);
    return pid < 0 && errno == ECHILD;
}

static void end_processes(void) {
    const struct timespec step = {0, GRACE_STEP_NS};

    if (alone()) return;
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    for (int i = 0; i < GRACE_STEPS && !alone(); i++) nanosleep(&step, NULL);
    kill(-1, SIGKILL);
}

/* Makes file systems on block devices read-only, so that the next boot finds them clean. */
static void settle_file_systems(void) {
    FILE *table = fopen("/proc/self/mounts", "re");
    char line[1024], target[512];

    if (!table) return;
    while (fgets(line, sizeof line, table))
        if (strncmp(line, "/dev/", 5) == 0 && sscanf(line, "%*s %511s", target) == 1)
            mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    fclose(table);
}

static void settle(void) {
    end_processes();
    sync();
    settle_file_systems();
}

/* Ends every process, syncs and powers the machine off. */
void power_off(void) {
    settle();
    reboot(RB_POWER_OFF);
    complain("cannot power off", NULL, errno);
    for (;;) pause();
}

/* The same with a reboot. */
void restart(void) {
    settle();
    reboot(RB_AUTOBOOT);
    complain("cannot reboot", NULL, errno);
    for (;;) pause();
}
