/* How a device spreads flows over its queues, read back from the device: what it was asked for is only what it may do. */
#include "drivers/dpdk/port.h"

#include <string.h>

#define KEY_BYTES 40 /* of a driver that does not say, as rte_ethdev.h has it */

/* Every entry; false when the device cannot tell, or sends to a queue that we do not have. */
static bool reta_read(struct dpdk_port *port, unsigned entries)
{
    struct rte_eth_rss_reta_entry64 groups[MR_LINK_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
    if (entries < 2 || entries > MR_LINK_RETA_MAX || (entries & (entries - 1)) != 0)
        return false;
    for (unsigned i = 0; i < RTE_DIM(groups); i++)
        groups[i].mask = UINT64_MAX;
    if (rte_eth_dev_rss_reta_query(port->port_id, groups, (uint16_t)entries) != 0)
        return false;
    for (unsigned i = 0; i < entries; i++) {
        port->reta[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
        if (port->reta[i] >= port->queues)
            return false;
    }
    return true;
}

/* A key of zeros hashes everything to zero: the driver left it as it was. */
static bool key_is_set(const struct dpdk_port *port)
{
    static const uint8_t zero[RSS_KEY_MAX];
    return memcmp(port->rss_key, zero, sizeof zero) != 0;
}

/* Only the plain Toeplitz function, and only where the ports of a flow are part of what is hashed. */
bool rss_read(struct dpdk_port *port)
{
    struct rte_eth_rss_conf conf = {.rss_key = port->rss_key,
                                    .rss_key_len = port->info.hash_key_size ? port->info.hash_key_size : KEY_BYTES};
    if (port->queues < 2 || conf.rss_key_len < 16 || conf.rss_key_len > sizeof port->rss_key)
        return false;
    memset(port->rss_key, 0, sizeof port->rss_key);
    if (rte_eth_dev_rss_hash_conf_get(port->port_id, &conf) != 0 || !key_is_set(port) ||
        !reta_read(port, port->info.reta_size))
        return false;
    const uint64_t partial =
        RTE_ETH_RSS_L3_SRC_ONLY | RTE_ETH_RSS_L3_DST_ONLY | RTE_ETH_RSS_L4_SRC_ONLY | RTE_ETH_RSS_L4_DST_ONLY;
    if (conf.rss_hf & partial)
        return false;
    for (uint16_t q = 0; q < port->queues; q++)
        port->links[q].rss = (struct mr_link_rss){.key = port->rss_key,
                                                  .key_bytes = conf.rss_key_len,
                                                  .reta = port->reta,
                                                  .reta_entries = port->info.reta_size,
                                                  .queue = q,
                                                  .tcp = conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP,
                                                  .udp = conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP};
    return port->links[0].rss.tcp || port->links[0].rss.udp;
}
