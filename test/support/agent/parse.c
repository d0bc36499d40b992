/* Prints what the agent makes of the command line that it is given. */
#include <stdio.h>

#include "agent.h"

void complain(const char *what, const char *detail, int error) {
    (void)what, (void)detail, (void)error;
}
void channel_send(struct channel *channel, uint8_t type, const void *payload, size_t length) {
    (void)channel, (void)type, (void)payload, (void)length;
}
void channel_drain(struct channel *channel) {
    (void)channel;
}

static const char *or_none(const char *text) {
    return text ? text : "-";
}

int main(int argc, char **argv) {
    struct root_request root;

    if (argc != 2) return 2;
    parse_root(argv[1], &root);
    printf("%s %s %s %s %s\n", or_none(root.source), or_none(root.type), or_none(root.options),
           or_none(root.init), root.read_only ? "ro" : "rw");
    return 0;
}
