/* SIOCSIF* and SIOCETHTOOL ioctls, see netdevice(7). No shell, no netlink: one socket, a few calls. */
#include "drivers/dpdk/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/error.h>

/* "198.18.0.1/24" into network-order address and mask. */
static bool prefix_parse(const char *text, struct in_addr *address, struct in_addr *mask)
{
    char copy[INET_ADDRSTRLEN + 4];
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/'), *end;
    if (!slash || !(slash[1] >= '0' && slash[1] <= '9'))
        return false;
    *slash = 0;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end || bits > 32 || inet_pton(AF_INET, copy, address) != 1)
        return false;
    mask->s_addr = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
    return true;
}

static int request_set(int s, unsigned long what, struct ifreq *request)
{
    if (ioctl(s, what, request) == 0)
        return MR_OK;
    return errno == ENODEV ? MR_ERROR_UNKNOWN : MR_ERROR_SYSTEM;
}

static int address_set(int s, unsigned long what, const char *interface, struct in_addr value)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, interface);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = value};
    memcpy(&request.ifr_addr, &a, sizeof a);
    return request_set(s, what, &request);
}

static int flags_set(int s, const char *interface, bool up)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, interface);
    int result = request_set(s, SIOCGIFFLAGS, &request);
    if (result != MR_OK)
        return result;
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    return request_set(s, SIOCSIFFLAGS, &request);
}

static int mtu_set(int s, const char *interface, unsigned mtu)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, interface);
    request.ifr_mtu = (int)mtu;
    return request_set(s, SIOCSIFMTU, &request);
}

/* A kernel without IPv6, or a read-only /proc, has no such file or noise to stop: not an error. */
static void ipv6_disable(const char *interface)
{
    char path[64 + IFNAMSIZ];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t written = write(file, "1", 1);
    (void)written;
    close(file);
}

/* A name that is safe in a path and fits struct ifreq. */
static bool name_valid(const char *interface)
{
    return interface && *interface && strlen(interface) < IFNAMSIZ && !strchr(interface, '/') && interface[0] != '.';
}

int host_interface_configure(const char *interface, const char *prefix, bool up, unsigned mtu)
{
    struct in_addr address = {0}, mask = {0};
    if (!name_valid(interface) || (prefix && !prefix_parse(prefix, &address, &mask)))
        return MR_ERROR_INVALID;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return MR_ERROR_SYSTEM;
    ipv6_disable(interface);
    int result = MR_OK;
    if (mtu)
        result = mtu_set(s, interface, mtu);
    if (result == MR_OK && prefix)
        result = address_set(s, SIOCSIFADDR, interface, address);
    if (result == MR_OK && prefix)
        result = address_set(s, SIOCSIFNETMASK, interface, mask);
    if (result == MR_OK)
        result = flags_set(s, interface, up);
    close(s);
    return result;
}

int host_interface_offloads_off(const char *interface)
{
    static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM, ETHTOOL_SSG,
                                        ETHTOOL_STSO,    ETHTOOL_SGSO,    ETHTOOL_SGRO};
    if (!name_valid(interface))
        return MR_ERROR_INVALID;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return MR_ERROR_SYSTEM;
    int result = MR_OK;
    for (unsigned i = 0; i < sizeof commands / sizeof *commands && result == MR_OK; i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq request = {0};
        strcpy(request.ifr_name, interface);
        request.ifr_data = (char *)&value;
        result = request_set(s, SIOCETHTOOL, &request);
        if (result == MR_ERROR_SYSTEM && (errno == EOPNOTSUPP || errno == EINVAL))
            result = MR_OK;
    }
    close(s);
    return result;
}

bool host_interface_exists(const char *interface)
{
    return name_valid(interface) && if_nametoindex(interface) != 0;
}

unsigned host_interface_mtu(const char *interface)
{
    struct ifreq request = {0};
    int s = name_valid(interface) ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (s < 0)
        return 0;
    strcpy(request.ifr_name, interface);
    int result = request_set(s, SIOCGIFMTU, &request);
    close(s);
    return result == MR_OK && request.ifr_mtu > 0 ? (unsigned)request.ifr_mtu : 0;
}
