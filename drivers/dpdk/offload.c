/* What the device does for us. A device that lacks one, or does it in software in its driver, gets the stack's own
 * path: decided here, once, and reported in mr_link.offloads. */
#include "drivers/dpdk/port.h"

struct offload_pair {
    uint64_t device;
    uint32_t link; /* enum mr_link_offload; 0: of no interest to the stack */
    bool checksum; /* only where the kind has it in hardware */
};

static const struct offload_pair rx_offloads[] = {
    {RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, MR_LINK_RX_IP4_CHECKSUM, true},
    {RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM, MR_LINK_RX_L4_CHECKSUM, true},
};

static const struct offload_pair tx_offloads[] = {
    {RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, MR_LINK_TX_IP4_CHECKSUM, true},
    {RTE_ETH_TX_OFFLOAD_TCP_CKSUM, MR_LINK_TX_TCP_CHECKSUM, true},
    {RTE_ETH_TX_OFFLOAD_UDP_CKSUM, MR_LINK_TX_UDP_CHECKSUM, true},
    {RTE_ETH_TX_OFFLOAD_MULTI_SEGS, MR_LINK_TX_MULTI_SEGMENT, false},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t choose(const struct offload_pair *pairs, size_t n, uint64_t capable, bool checksum)
{
    uint64_t chosen = 0;
    for (size_t i = 0; i < n; i++) {
        if ((capable & pairs[i].device) == pairs[i].device && (checksum || !pairs[i].checksum))
            chosen |= pairs[i].device;
    }
    return chosen;
}

static uint32_t report(const struct offload_pair *pairs, size_t n, uint64_t chosen)
{
    uint32_t result = 0;
    for (size_t i = 0; i < n; i++) {
        if ((chosen & pairs[i].device) == pairs[i].device)
            result |= pairs[i].link;
    }
    return result;
}

/* Toeplitz with a key of repeated 0x6d5a gives both directions of a flow the same hash (Woo and Park, 2012). */
static uint8_t rss_key_symmetric[64];

static void rss_choose(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
    const uint64_t wanted = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
    if (!(info->flow_type_rss_offloads & wanted))
        return;
    for (size_t i = 0; i < sizeof rss_key_symmetric; i++)
        rss_key_symmetric[i] = i % 2 ? 0x5a : 0x6d;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & wanted;
    if (info->hash_key_size && info->hash_key_size <= sizeof rss_key_symmetric) {
        conf->rx_adv_conf.rss_conf.rss_key = rss_key_symmetric;
        conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
    }
    conf->rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
}

void offload_choose(const struct kind *kind, const struct rte_eth_dev_info *info, unsigned queues,
                    struct rte_eth_conf *conf)
{
    bool checksum = kind->flags & KIND_CHECKSUM;
    conf->rxmode.offloads = choose(rx_offloads, COUNT(rx_offloads), info->rx_offload_capa, checksum);
    conf->txmode.offloads = choose(tx_offloads, COUNT(tx_offloads), info->tx_offload_capa, checksum);
    if (queues > 1)
        rss_choose(info, conf);
}

uint32_t offload_report(const struct rte_eth_conf *conf)
{
    return report(rx_offloads, COUNT(rx_offloads), conf->rxmode.offloads) |
           report(tx_offloads, COUNT(tx_offloads), conf->txmode.offloads) |
           (conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_RSS_HASH ? MR_LINK_RX_HASH : 0);
}
