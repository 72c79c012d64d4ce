/* One queue of a port as struct mr_link: bursts, counts, close. */
#include "drivers/dpdk/port.h"

#include <string.h>

static uint16_t link_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct dpdk_link *link = self;
    return rte_eth_rx_burst(link->port_id, link->queue, burst, max);
}

static uint16_t link_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct dpdk_link *link = self;
    return rte_eth_tx_burst(link->port_id, link->queue, burst, n);
}

/* With several queues a link reports its own traffic; what the device cannot tell apart is reported by queue 0. */
static void link_statistics(void *self, struct mr_link_statistics *out)
{
    struct dpdk_link *link = self;
    struct rte_eth_stats stats;
    memset(out, 0, sizeof *out);
    if (rte_eth_stats_get(link->port_id, &stats) != 0)
        return;
    if (link->port->queues > 1 && link->queue < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
        out->rx_packets = stats.q_ipackets[link->queue];
        out->rx_bytes = stats.q_ibytes[link->queue];
        out->tx_packets = stats.q_opackets[link->queue];
        out->tx_bytes = stats.q_obytes[link->queue];
    } else if (link->queue == 0) {
        out->rx_packets = stats.ipackets;
        out->rx_bytes = stats.ibytes;
        out->tx_packets = stats.opackets;
        out->tx_bytes = stats.obytes;
    }
    if (link->queue != 0)
        return;
    out->rx_missed = stats.imissed;
    out->rx_errors = stats.ierrors;
    out->tx_errors = stats.oerrors;
    out->rx_no_memory = stats.rx_nombuf;
}

static void link_close(void *self)
{
    struct dpdk_link *link = self;
    if (__atomic_sub_fetch(&link->port->open_links, 1, __ATOMIC_ACQ_REL) == 0)
        port_close(link->port);
}

void link_init(struct mr_link *out, struct dpdk_link *link)
{
    out->self = link;
    out->name = link->port->name;
    out->receive = link_receive;
    out->transmit = link_transmit;
    out->statistics = link_statistics;
    out->close = link_close;
}

bool link_is_ours(const struct mr_link *link)
{
    return link->receive == link_receive;
}
