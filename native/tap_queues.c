// How many queues a TAP device has open, by rtnetlink(7): the one place where the kernel says so.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

// RTM_GETLINK with the name of an interface.
struct request {
    struct nlmsghdr header;
    struct ifinfomsg info;
    struct rtattr name;
    char text[VX_TAP_NAME];
};

// The attribute of this type, in a list of them; NULL where there is none.
static const struct rtattr *find(const struct rtattr *list, int bytes, unsigned short type) {
    for (const struct rtattr *one = list; RTA_OK(one, bytes); one = RTA_NEXT(one, bytes))
        if ((one->rta_type & NLA_TYPE_MASK) == type) return one;
    return NULL;
}

static const struct rtattr *inside(const struct rtattr *outer, unsigned short type) {
    if (outer == NULL) return NULL;
    return find(RTA_DATA(outer), (int)RTA_PAYLOAD(outer), type);
}

static uint32_t number(const struct rtattr *attribute) {
    uint32_t value = 0;
    if (attribute != NULL && RTA_PAYLOAD(attribute) == sizeof(value))
        memcpy(&value, RTA_DATA(attribute), sizeof(value));
    return value;
}

static int parse(const struct nlmsghdr *answer, ssize_t bytes) {
    if (!NLMSG_OK(answer, bytes)) return -EPROTO;
    if (answer->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(answer))->error;
    if (answer->nlmsg_type != RTM_NEWLINK) return -EPROTO;
    const struct ifinfomsg *info = NLMSG_DATA(answer);
    const struct rtattr *link = find(IFLA_RTA(info), (int)IFLA_PAYLOAD(answer), IFLA_LINKINFO);
    const struct rtattr *data = inside(link, IFLA_INFO_DATA);
    return (int)(number(inside(data, IFLA_TUN_NUM_QUEUES)) +
                 number(inside(data, IFLA_TUN_NUM_DISABLED_QUEUES)));
}

int vx_tap_queues(const char name[VX_TAP_NAME]) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    struct request request;
    memset(&request, 0, sizeof(request));
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = RTM_GETLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.info.ifi_family = AF_UNSPEC;
    request.name.rta_type = IFLA_IFNAME;
    request.name.rta_len = RTA_LENGTH(VX_TAP_NAME);
    memcpy(request.text, name, VX_TAP_NAME - 1);
    _Alignas(struct nlmsghdr) char answer[16384];
    ssize_t bytes = send(fd, &request, sizeof(request), 0);
    if (bytes >= 0) bytes = recv(fd, answer, sizeof(answer), 0);
    int result = bytes < 0 ? -errno : parse((const struct nlmsghdr *)answer, bytes);
    close(fd);
    return result;
}
