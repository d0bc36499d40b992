/* Paths, for the operations on files. */
#ifndef VEXIT_AGENT_PATH_H
#define VEXIT_AGENT_PATH_H

#include "agent.h"

const char *request_path(struct wire *wire, const struct request *request);
int make_path(const char *path);
bool write_all(int fd, const uint8_t *bytes, size_t length);

#endif
