/* Pseudo terminals, for the default guest's init and for the vsock agent. */
#ifndef VEXIT_PTY_H
#define VEXIT_PTY_H

void set_terminal_size(int tty, unsigned short rows, unsigned short cols);
int open_terminal(unsigned short rows, unsigned short cols, int *slave);

#endif
