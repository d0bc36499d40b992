/*
 * send-frames INTERFACE BYTES: puts frames on an interface until it is killed, in batches; those
 * longer than 1514 bytes are TCP segments for the receiver to cut (PACKET_VNET_HDR).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    unsigned length = (unsigned)atoi(argv[2]);
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    int on = 1;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    to.sll_ifindex = (int)if_nametoindex(argv[1]);
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        perror("send-frames");
        return 1;
    }
    static const uint8_t headers[54] = {0x52, 0x54, 0, 0, 0,  1, 0x02, 0,    0,    0,   0,  9, 0x08,
                                        0x00, 0x45, 0, 0, 0,  0, 0,    0x40, 0,    64,  6,  0, 0,
                                        10,   9,    0, 2, 10, 9, 0,    1,    4,    0,   5,  0, 0,
                                        0,    0,    1, 0, 0,  0, 1,    0x50, 0x10, 255, 255};
    uint8_t *frame = calloc(1, 70000);
    memcpy(frame, headers, sizeof(headers));
    frame[16] = (uint8_t)((length - 14) >> 8);
    frame[17] = (uint8_t)(length - 14);
    struct virtio_net_hdr header = {0};
    if (length > 1514)
        header = (struct virtio_net_hdr){
            VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 1460, 34, 16};
    struct iovec parts[2] = {{&header, sizeof(header)}, {frame, length}};
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
    /* A queue that is full is what is wanted: the receiver is what is measured. */
    for (;;)
        if (sendmmsg(fd, messages, BATCH, 0) < BATCH) usleep(50);
}
