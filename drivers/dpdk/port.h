/* An open port and its links, private to drivers/dpdk. */
#ifndef DRIVERS_DPDK_PORT_H
#define DRIVERS_DPDK_PORT_H

#include <millrace/link.h>
#include <rte_ethdev.h>

#include "drivers/dpdk/kinds.h"

struct dpdk_port;

/* One queue pair: `self` of a struct mr_link. */
struct dpdk_link {
    struct dpdk_port *port;
    uint16_t port_id, queue;
    int event_fd;      /* readable when frames wait; -1: none */
    bool event_counts; /* an eventfd, which nobody reads: only its edges tell */
    struct mr_link_rss rss;
};

#define RSS_KEY_MAX 64

struct dpdk_port {
    const struct kind *kind;
    char name[32]; /* the link's */
    char device[RTE_ETH_NAME_MAX_LEN];
    uint16_t port_id;
    uint16_t queues;
    unsigned open_links; /* atomic: links close from the control thread */
    struct rte_eth_dev_info info;
    uint8_t rss_key[RSS_KEY_MAX];
    uint16_t reta[MR_LINK_RETA_MAX];
    struct dpdk_link links[DPDK_QUEUES_MAX];
};

/* link.c: fills `out` for one queue of a started port. */
void link_init(struct mr_link *out, struct dpdk_link *link);
bool link_is_ours(const struct mr_link *link);

/* offload.c: what we ask of the device, and how it reads in mr_link.offloads. */
void offload_choose(const struct kind *kind, const struct rte_eth_dev_info *info, unsigned queues,
                    struct rte_eth_conf *conf);
uint32_t offload_report(const struct rte_eth_conf *conf);

/* rss.c: what the device, started, really does with flows; false: it does not tell, or there is one queue. */
bool rss_read(struct dpdk_port *port);

/* Stops and releases; safe on a port that opened half-way. */
void port_close(struct dpdk_port *port);

#endif
