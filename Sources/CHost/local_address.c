#include "CHost.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int chost_is_local_address(const unsigned char *address, size_t length) {
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        struct rtattr attribute;
        unsigned char address[16];
    } request;
    // Large enough for the route and every attribute of it.
    union {
        struct nlmsghdr header;
        unsigned char bytes[4096];
    } answer;

    if (length != 4 && length != 16) {
        errno = EINVAL;
        return -1;
    }
    memset(&request, 0, sizeof request);
    request.header.nlmsg_type = RTM_GETROUTE;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.route) + RTA_LENGTH(length);
    request.route.rtm_family = length == 4 ? AF_INET : AF_INET6;
    request.route.rtm_dst_len = (unsigned char)(length * 8);
    request.attribute.rta_type = RTA_DST;
    request.attribute.rta_len = RTA_LENGTH(length);
    memcpy(request.address, address, length);

    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return -1;
    ssize_t count = send(descriptor, &request, request.header.nlmsg_len, 0);
    if (count >= 0) {
        do count = recv(descriptor, &answer, sizeof answer, 0);
        while (count < 0 && errno == EINTR);
    }
    int failure = errno;
    close(descriptor);
    errno = failure;
    if (count < 0) return -1;
    if (!NLMSG_OK(&answer.header, (size_t)count)) {
        errno = EBADMSG;
        return -1;
    }
    // No route at all is an error message (ENETUNREACH), and no local address.
    if (answer.header.nlmsg_type != RTM_NEWROUTE) return 0;
    const struct rtmsg *route = NLMSG_DATA(&answer.header);
    return route->rtm_type == RTN_LOCAL;
}
