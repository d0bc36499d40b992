/* What the host sends to a program's standard input, as fast as the program takes it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "input.h"

/* Ends the standard input. The host's writer goes on: what it sends is thrown away. Returns credit.
 */
size_t input_close(struct input *input, int *fd) {
    size_t left = input->length;

    if (*fd >= 0) close(*fd);
    *fd = -1;
    input->length = 0;
    return left;
}

/* End of file: for a terminal it is a character, twice if the line has begun. */
static void finish(struct input *input, int *fd, bool terminal) {
    static const char ends[] = {4, 4};
    size_t count = input->last == '\n' || input->last == 0 ? 1 : 2;

    if (terminal && write(*fd, ends, count) < 0 && errno == EAGAIN)
        return; /* again when there is room */
    input->ends = false;
    input_close(input, fd);
}

/* Gives the program what it takes now. Returns credit. */
size_t input_write(struct input *input, int *fd, bool terminal) {
    ssize_t n = 0;

    if (*fd < 0) return 0;
    if (input->length > 0) {
        n = write(*fd, input->bytes, input->length);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
        if (n <= 0) return input_close(input, fd);
        input->last = input->bytes[n - 1];
        input->length -= (size_t)n;
        memmove(input->bytes, input->bytes + n, input->length);
    }
    if (input->length == 0 && input->ends) finish(input, fd, terminal);
    return (size_t)n;
}

/* Data of the host, or without any the end of file. False for more than it was granted. */
bool input_take(struct input *input, int *fd, bool terminal, const uint8_t *bytes, size_t length,
                size_t *credit) {
    *credit = length;
    if (length == 0) {
        input->ends = true;
    } else if (*fd < 0) {
        return true;
    } else if (length > input->size - input->length) {
        return false;
    } else {
        memcpy(input->bytes + input->length, bytes, length);
        input->length += length;
    }
    *credit = input_write(input, fd, terminal);
    return true;
}
