/* Descriptors that become readable when frames wait. */
#ifndef DRIVERS_DPDK_EVENT_H
#define DRIVERS_DPDK_EVENT_H

#include <stdbool.h>

#include "drivers/dpdk/port.h"

#define EVENT_SOCKETS_MAX 512

/* The sockets of one domain that this process has open: taken before and after a driver opens its own. */
struct event_sockets {
    unsigned count;
    int fds[EVENT_SOCKETS_MAX];
};

void event_sockets_list(int domain, struct event_sockets *out);

/* The sockets in `after` that are not in `before`, ascending: the driver opens one for each queue in order. Gives each
 * link its own when there is exactly one a queue, otherwise none. */
void event_sockets_assign(const struct event_sockets *before, const struct event_sockets *after,
                          struct dpdk_link *links, unsigned n);

/* Asks the driver for the descriptor of a queue's receive interrupt; -1 when there is none. */
void event_interrupt_find(struct dpdk_link *link);

#endif
