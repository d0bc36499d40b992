/*
 * A load of a file system: numbered records, each said on standard output when fsync has returned.
 *   /records/<number / 256>: 256 records of 64 bytes, appended one by one
 *   /records/last: every eighth record once more, replaced by rename
 * A record is its number, the same for all bytes between, and its complement; all little-endian.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES 64
#define RECORDS_PER_FILE 256
#define RECORDS_PER_RENAME 8

static void must(int ok, const char *what) {
    if (ok) return;
    printf("failed=%s\n", what);
    fflush(stdout);
    exit(1);
}

static void append(int fd, uint64_t number) {
    uint64_t record[RECORD_BYTES / 8];

    for (unsigned i = 0; i < RECORD_BYTES / 8; i++) record[i] = number;
    record[RECORD_BYTES / 8 - 1] = ~number;
    must(write(fd, record, sizeof record) == sizeof record, "write");
    must(fsync(fd) == 0, "fsync");
}

static int create(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);

    must(fd >= 0, "open");
    return fd;
}

int main(void) {
    int directory, fd = -1;
    char name[32];

    must(mkdir("/records", 0755) == 0, "mkdir");
    must(chdir("/records") == 0, "chdir");
    directory = open(".", O_RDONLY | O_DIRECTORY);
    must(directory >= 0, "directory");
    for (uint64_t number = 0;; number++) {
        if (number % RECORDS_PER_FILE == 0) {
            if (fd >= 0) close(fd);
            snprintf(name, sizeof name, "%llu", (unsigned long long)(number / RECORDS_PER_FILE));
            fd = create(name);
            must(fsync(directory) == 0, "fsync of the directory");
        }
        append(fd, number);
        if (number % RECORDS_PER_RENAME == 0) {
            int next = create("next");

            append(next, number);
            close(next);
            must(rename("next", "last") == 0, "rename");
            must(fsync(directory) == 0, "fsync of the directory");
        }
        printf("a=%llu\n", (unsigned long long)number);
        must(fflush(stdout) == 0, "standard output");
    }
}
