/* IPv4 input (RFC 791, RFC 1122 3.2.1): what is ours is stripped to its transport part and handed up with v4-mapped
 * addresses. A datagram for any of our addresses is taken on any interface (RFC 1122 3.3.4.2, the weak host model).
 *
 * The TTL is not looked at: a host MUST NOT discard for a TTL below 2 (RFC 1122 3.2.1.7), and we forward nothing.
 * Left out: reassembly; fragments are dropped and counted. */
#include "stack/core/layers.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/route/route.h"

static bool device_checked(const struct netif *n, const struct rte_mbuf *m)
{
    return (n->offloads & MR_LINK_RX_IP4_CHECKSUM) &&
           (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}

static bool device_checked_transport(const struct netif *n, const struct rte_mbuf *m)
{
    return (n->offloads & MR_LINK_RX_L4_CHECKSUM) &&
           (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

/* Cuts the frame to the datagram: short frames are padded to 60 bytes by the sender's device. */
static void strip_padding(struct mr_worker *w, struct rte_mbuf *m, uint16_t total_bytes)
{
    if (m->pkt_len == total_bytes)
        return;
    stat_add(w, STAT_ip4_padding_removed, 1);
    uint16_t left = total_bytes, segments = 1;
    struct rte_mbuf *last = m;
    for (; left > last->data_len; last = last->next, segments++)
        left -= last->data_len;
    last->data_len = left;
    rte_pktmbuf_free(last->next);
    last->next = NULL;
    m->nb_segs = segments;
    m->pkt_len = total_bytes;
}

/* RFC 1122 3.2.1.3: a source that is not one host is never answered. */
static bool source_refused(const struct mr_worker *w, const struct packet_meta *meta, uint32_t ip, enum stat *reason)
{
    enum route_kind kind = route_kind_ip4(w, ip);
    *reason = DROP_ip4_bad_source;
    if (!ip4_is_host(ip) || kind == ROUTE_GROUP)
        return true;
    *reason = DROP_ip4_own_source;
    return !(meta->flags & PACKET_LOOPED) && kind == ROUTE_LOCAL;
}

/* Ours, or a group that every host is in; marks groups. */
static bool destination_refused(const struct mr_worker *w, struct packet_meta *meta, uint32_t ip, enum stat *reason)
{
    enum route_kind kind = route_kind_ip4(w, ip);
    if (kind == ROUTE_LOCAL) {
        /* RFC 1122 3.3.6: a link-layer broadcast must not carry a unicast datagram; answering it would make storms. */
        *reason = DROP_ip4_unicast_in_group_frame;
        return meta->flags & PACKET_GROUP;
    }
    *reason = DROP_ip4_not_for_us;
    if (ip4_is_multicast(ip) ? ip != IP4_ALL_HOSTS : kind != ROUTE_GROUP)
        return true;
    meta->flags |= PACKET_GROUP;
    return false;
}

static void dispatch(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
                     const struct mr_address *destination)
{
    switch (packet_meta(m)->protocol) {
    case IP_TCP:
        return tcp_in_gather(w, m, source, destination);
    case IP_UDP:
        return udp_in(w, m, source, destination);
    case IP_ICMP:
        return icmp_in(w, m, source, destination);
    default:
        icmp_unreachable_peek(w, m, ICMP_PROTOCOL);
        return packet_drop(w, m, DROP_ip4_unknown_protocol);
    }
}

void ip4_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m)
{
    struct ip4_header h;
    enum stat reason;
    stat_add(w, STAT_ip4_datagrams_in, 1);
    if (!ip4_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, device_checked(n, m), &h, &reason))
        return packet_drop(w, m, reason);

    struct packet_meta *meta = packet_meta(m);
    if (source_refused(w, meta, h.source, &reason) || destination_refused(w, meta, h.destination, &reason))
        return packet_drop(w, m, reason);
    if (h.fragment & (IP4_MORE_FRAGMENTS | IP4_OFFSET_MASK))
        return packet_drop(w, m, DROP_ip4_fragment);
    if (h.header_bytes > IP4_HEADER_BYTES)
        stat_add(w, STAT_ip4_with_options, 1);

    strip_padding(w, m, h.total_bytes);
    if (device_checked_transport(n, m))
        meta->flags |= PACKET_L4_CHECKSUM_GOOD;
    meta->ttl = h.ttl;
    meta->dscp_ecn = h.dscp_ecn;
    meta->protocol = h.protocol;
    meta->ip_offset = m->data_off;
    meta->ip_bytes = h.total_bytes;
    rte_pktmbuf_adj(m, h.header_bytes);
    struct mr_address source = mr_address_ip4(h.source), destination = mr_address_ip4(h.destination);
    dispatch(w, m, &source, &destination);
}
