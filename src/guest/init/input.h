/* Standard input of a program, for the default guest's init and for the vsock agent. */
#ifndef VEXIT_INPUT_H
#define VEXIT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the host has sent and the program has not yet taken. */
struct input {
    uint8_t *bytes;
    size_t size, length;
    bool ends;    /* the host sent end of file */
    uint8_t last; /* that the program has taken */
};

/* `fd` is the program's: non-blocking, -1 once it is closed. `credit` is what the host may send
 * again. */
bool input_take(struct input *input, int *fd, bool terminal, const uint8_t *bytes, size_t length,
                size_t *credit);
size_t input_write(struct input *input, int *fd, bool terminal);
size_t input_close(struct input *input, int *fd);

#endif
