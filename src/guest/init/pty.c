/* Pseudo terminals. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pty.h"

/* Without a size the terminal keeps what it has. */
void set_terminal_size(int tty, unsigned short rows, unsigned short cols) {
    struct winsize size = {.ws_row = rows, .ws_col = cols};

    if (rows > 0 && cols > 0) ioctl(tty, TIOCSWINSZ, &size);
}

/* Makes a pseudo terminal, and returns our end. -1 and an errno on failure. */
int open_terminal(unsigned short rows, unsigned short cols, int *slave) {
    int unlock = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0) return -1;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        (*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        int error = errno;

        close(master);
        errno = error;
        return -1;
    }
    set_terminal_size(*slave, rows, cols);
    return master;
}
