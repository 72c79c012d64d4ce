/* ICMP input (RFC 792, RFC 1122 3.2.2): echo requests are answered, errors go to the transport that sent the quoted
 * packet. Errors are hints that anyone can forge: the transports decide what to believe (RFC 5927). */
#include "stack/base/checksum.h"
#include "stack/icmp/icmp.h"
#include "stack/route/route.h"

/* The reply is the request with another type: its buffer is used again when nobody else holds it. */
static struct rte_mbuf *own_copy(struct mr_worker *w, struct rte_mbuf *m)
{
    bool ours = true;
    for (const struct rte_mbuf *s = m; s && ours; s = s->next)
        ours = RTE_MBUF_DIRECT(s) && rte_mbuf_refcnt_read(s) == 1;
    if (ours) {
        m->ol_flags = 0; /* what the device said of the received frame */
        return m;
    }
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX);
    if (!copy) {
        packet_drop(w, m, DROP_core_no_memory);
        return NULL;
    }
    copy->ol_flags = 0;
    rte_pktmbuf_free(m);
    return copy;
}

/* RFC 1122 3.2.2.6: the data is returned whole, from the address that was asked; not for groups (MAY). */
static void echo_in(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
                    const struct mr_address *destination)
{
    const struct path_options options = {
        .protocol = IP_ICMP,
        .dscp_ecn = packet_meta(m)->dscp_ecn & 0xfc, /* RFC 1122 3.2.2.6 same service, but not its congestion marks */
        .may_fragment = true,
    };
    if (packet_meta(m)->flags & PACKET_GROUP)
        return packet_drop(w, m, DROP_icmp_echo_to_group);
    if (!icmp_bucket_take(&w->icmp->echo, w->now))
        return packet_drop(w, m, DROP_icmp_echo_limited);
    if (!(m = own_copy(w, m)))
        return;
    uint8_t *bytes = rte_pktmbuf_mtod(m, uint8_t *);
    uint16_t before, after, checksum;
    memcpy(&before, bytes, 2);
    bytes[0] = ICMP_ECHO_REPLY;
    memcpy(&after, bytes, 2);
    memcpy(&checksum, bytes + 2, 2);
    checksum = checksum_update(checksum, before, after);
    memcpy(bytes + 2, &checksum, 2);
    stat_add(w, STAT_icmp_echoes_in, 1);
    path_out(w, m, destination, source, &options);
}

static void error_in(struct mr_worker *w, struct rte_mbuf *m, const struct icmp_header *h)
{
    struct icmp_quote q;
    enum stat reason;
    const uint8_t *bytes = rte_pktmbuf_mtod(m, const uint8_t *);
    if (!icmp_quote_parse(bytes + ICMP_HEADER_BYTES, m->data_len - ICMP_HEADER_BYTES, &q, &reason))
        return packet_drop(w, m, reason);
    struct mr_endpoint local = {mr_address_ip4(q.ip.source), q.ports.source_port};
    struct mr_endpoint remote = {mr_address_ip4(q.ip.destination), q.ports.destination_port};
    if (!route_is_local(w, &local.address) || (q.ip.protocol != IP_TCP && q.ip.protocol != IP_UDP))
        return packet_drop(w, m, DROP_icmp_quote_not_ours);

    bool too_big = h->type == ICMP_UNREACHABLE && h->code == ICMP_FRAGMENT_NEEDED;
    stat_add(w, STAT_icmp_errors_in, 1);
    if (q.ip.protocol == IP_TCP)
        tcp_error(w, &local, &remote, q.ports.sequence, h->type, h->code, too_big ? h->mtu : 0);
    else
        udp_error(w, &local, &remote, h->type, h->code);
    rte_pktmbuf_free(m);
}

void icmp_in(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
             const struct mr_address *destination)
{
    struct icmp_header h;
    enum stat reason;
    stat_add(w, STAT_icmp_messages_in, 1);
    if (!icmp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &h, &reason))
        return packet_drop(w, m, reason);
    if (checksum_finish(checksum_add_mbuf(0, m, 0, m->pkt_len)) != 0)
        return packet_drop(w, m, DROP_icmp_bad_checksum);
    switch (h.type) {
    case ICMP_ECHO:
        return echo_in(w, m, source, destination);
    case ICMP_UNREACHABLE:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER_PROBLEM:
        return error_in(w, m, &h);
    case ICMP_ECHO_REPLY:
        return packet_drop(w, m, DROP_icmp_unexpected_reply);
    case ICMP_SOURCE_QUENCH:
        return packet_drop(w, m, DROP_icmp_source_quench);
    case ICMP_REDIRECT:
        return packet_drop(w, m, DROP_icmp_redirect);
    default:
        return packet_drop(w, m, DROP_icmp_unknown_type);
    }
}
