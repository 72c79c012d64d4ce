/* Where a receive event comes from.
 *
 * A driver with receive interrupts hands out a descriptor per queue. The drivers over kernel sockets (af_packet, af_xdp)
 * do not, but the sockets are this process's own and poll(2) on them says whether their ring holds frames: they are found
 * by comparing the list of open sockets before and after the driver opened the port. */
#include "drivers/dpdk/event.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int socket_domain(int fd)
{
    int domain = -1;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 ? domain : -1;
}

static int fd_compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void event_sockets_list(int domain, struct event_sockets *out)
{
    out->count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && out->count < EVENT_SOCKETS_MAX;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && socket_domain(fd) == domain)
            out->fds[out->count++] = fd;
    }
    closedir(folder);
    qsort(out->fds, out->count, sizeof *out->fds, fd_compare);
}

static bool sockets_contain(const struct event_sockets *s, int fd)
{
    return bsearch(&fd, s->fds, s->count, sizeof *s->fds, fd_compare) != NULL;
}

void event_sockets_assign(const struct event_sockets *before, const struct event_sockets *after,
                          struct dpdk_link *links, unsigned n)
{
    unsigned found = 0;
    for (unsigned i = 0; i < after->count; i++) {
        if (sockets_contain(before, after->fds[i]))
            continue;
        if (found < n)
            links[found].event_fd = after->fds[i];
        found++;
    }
    for (unsigned i = 0; found != n && i < n; i++)
        links[i].event_fd = -1;
}

static bool is_eventfd(int fd)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = 0;
    return strstr(target, "eventfd") != NULL;
}

void event_interrupt_find(struct dpdk_link *link)
{
    link->event_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(link->port_id, link->queue);
    if (link->event_fd < 0)
        link->event_fd = -1;
    else
        link->event_counts = is_eventfd(link->event_fd);
}
