/* Every packet of ours leaves through here: transport checksum, IP header, Ethernet header, queue. On a cached path
 * that is one straight line. */
#include "stack/base/checksum.h"
#include "stack/eth/eth_wire.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/route/route_private.h"

enum { TCP_CHECKSUM_AT = 16, UDP_CHECKSUM_AT = 6 };

/* A link that takes no chains, or only memory of our pools, gets one copied packet. */
static bool must_copy(const struct netif *n, const struct rte_mbuf *m)
{
    if (m->nb_segs > 1 && !(n->offloads & MR_LINK_TX_MULTI_SEGMENT))
        return true;
    if (!(n->offloads & MR_LINK_TX_POOL_ONLY))
        return false;
    for (; m; m = m->next)
        if (RTE_MBUF_HAS_EXTBUF(m))
            return true;
    return false;
}

/* Consumes `m`; NULL after a counted drop. */
static struct rte_mbuf *copied(struct mr_worker *w, struct rte_mbuf *m)
{
    struct rte_mbuf *copy = packet_new(w);
    if (!copy) {
        packet_drop(w, m, DROP_core_no_memory);
        return NULL;
    }
    uint32_t n = m->pkt_len;
    if (n > rte_pktmbuf_tailroom(copy)) {
        rte_pktmbuf_free(copy);
        packet_drop(w, m, DROP_route_not_linear);
        return NULL;
    }
    char *to = rte_pktmbuf_append(copy, (uint16_t)n);
    const void *from = rte_pktmbuf_read(m, 0, n, to);
    if (from != to)
        memcpy(to, from, n);
    rte_pktmbuf_free(m);
    stat_add(w, STAT_route_linearised, 1);
    return copy;
}

/* The checksum over pseudo-header and segment, or the device's share of it; the field is zero before. */
static void finish_transport(struct rte_mbuf *m, const struct path_options *options, uint32_t source,
                             uint32_t destination, uint32_t offloads)
{
    uint8_t protocol = options->protocol;
    unsigned at = protocol == IP_TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    bool in_device = offloads & (protocol == IP_TCP ? MR_LINK_TX_TCP_CHECKSUM : MR_LINK_TX_UDP_CHECKSUM);
    uint32_t sum = checksum_pseudo_ip4(source, destination, protocol, (uint16_t)m->pkt_len);
    uint16_t field;
    if (in_device) {
        field = checksum_fold(sum);
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | (protocol == IP_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
        m->l2_len = ETH_HEADER_BYTES;
        m->l3_len = IP4_HEADER_BYTES;
    } else {
        uint32_t n = options->header_bytes ? options->header_bytes : m->pkt_len;
        field = checksum_finish(checksum_add_mbuf(sum, m, 0, n) + (options->header_bytes ? options->payload_sum : 0));
        if (field == 0 && protocol == IP_UDP)
            field = 0xffff; /* RFC 768: zero would say that there is none */
    }
    memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, at), &field, sizeof field);
}

static void finish_header(struct rte_mbuf *m, uint8_t *header, uint32_t offloads)
{
    if (!(offloads & MR_LINK_TX_IP4_CHECKSUM))
        return ip4_emit_checksum(header);
    m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    m->l2_len = ETH_HEADER_BYTES;
    m->l3_len = IP4_HEADER_BYTES;
}

static uint8_t time_to_live(const struct path *p, const struct path_options *options)
{
    if (options->ttl)
        return options->ttl;
    return p->multicast ? 1 : IP4_TTL_DEFAULT; /* RFC 1112 6.1 */
}

static void ip4_out(struct mr_worker *w, struct rte_mbuf *m, const struct path *p, uint32_t source,
                    uint32_t destination, const struct path_options *options)
{
    uint32_t offloads = p->kind == PATH_SELF ? 0 : p->netif->offloads;
    if (options->protocol == IP_TCP || options->protocol == IP_UDP)
        finish_transport(m, options, source, destination, offloads);
    uint8_t *header = (uint8_t *)rte_pktmbuf_prepend(m, IP4_HEADER_BYTES);
    if (!header)
        return packet_drop(w, m, DROP_route_no_headroom);
    const struct ip4_header h = {
        .dscp_ecn = options->dscp_ecn,
        .ttl = time_to_live(p, options),
        .protocol = options->protocol,
        .total_bytes = (uint16_t)m->pkt_len,
        /* RFC 6864 4.1: what cannot be fragmented needs no identification. */
        .id = options->may_fragment ? (uint16_t)mr_random_next(&w->random) : 0,
        .fragment = options->may_fragment ? 0 : IP4_DONT_FRAGMENT,
        .source = source,
        .destination = destination,
    };
    ip4_emit(header, &h);
    finish_header(m, header, offloads);
    if (__builtin_expect(p->kind == PATH_READY, 1))
        return eth_out(w, p->netif, m, p->mac, ETH_IP4);
    if (p->kind == PATH_SELF)
        return route_loop_out(w, p->netif, m);
    arp_out(w, p->netif, m, p->next_hop);
}

void path_out(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *local, const struct mr_address *remote,
              const struct path_options *options)
{
    if (!mr_address_is_ip4(remote)) /* the one place where the families part */
        return packet_drop(w, m, DROP_route_no_ip6);
    const struct path *p = path_find(w, remote);
    if (p->kind == PATH_NONE)
        return packet_drop(w, m, DROP_route_no_route);
    if (m->pkt_len + IP4_HEADER_BYTES > p->netif->mtu)
        return packet_drop(w, m, DROP_route_too_big);
    if (__builtin_expect(must_copy(p->netif, m), 0) && !(m = copied(w, m)))
        return;
    uint32_t source = mr_address_is_any(local) ? p->source : mr_address_to_ip4(local);
    ip4_out(w, m, p, source, mr_address_to_ip4(remote), options);
}
