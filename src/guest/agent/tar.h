/* Headers of ustar archives, with GNU's records for long names; see POSIX pax(1) and GNU tar's
 * manual. */
#ifndef VEXIT_AGENT_TAR_H
#define VEXIT_AGENT_TAR_H

#include <stdint.h>

#define BLOCK 512

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
    char type;
    char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct tar_header) == BLOCK, "a header is a block");

enum tar_type {
    TAR_FILE = '0',
    TAR_HARD_LINK = '1',
    TAR_LINK = '2',
    TAR_DIRECTORY = '5',
    TAR_CONTIGUOUS = '7',
    TAR_LONG_LINK = 'K',
    TAR_LONG_NAME = 'L',
    TAR_PAX = 'x'
};

/* The sum of a header's bytes, with its own field as blanks. */
static inline unsigned tar_checksum(const struct tar_header *header) {
    const uint8_t *bytes = (const uint8_t *)header;
    unsigned sum = 0;

    for (unsigned i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : bytes[i];
    return sum;
}

#endif
