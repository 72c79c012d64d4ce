#include <stdlib.h>

#include "stack/base/bytes.h"
#include "stack/base/checksum.h"
#include "stack/icmp/icmp.h"
#include "stack/route/route.h"

static struct icmp_bucket bucket(struct mr_worker *w, uint32_t per_second, uint32_t burst)
{
    mr_time cost = MR_SECOND / per_second;
    return (struct icmp_bucket){.last = w->now, .credit = cost * burst, .cost = cost, .burst = burst};
}

bool icmp_init(struct mr_worker *w)
{
    w->icmp = calloc(1, sizeof *w->icmp);
    if (!w->icmp)
        return false;
    w->icmp->echo = bucket(w, ICMP_ECHO_PER_SECOND, ICMP_ECHO_BURST);
    w->icmp->error = bucket(w, ICMP_ERROR_PER_SECOND, ICMP_ERROR_BURST);
    return true;
}

void icmp_release(struct mr_worker *w)
{
    free(w->icmp);
    w->icmp = NULL;
}

bool icmp_bucket_take(struct icmp_bucket *b, mr_time now)
{
    b->credit = RTE_MIN(b->credit + (now - b->last), b->cost * b->burst);
    b->last = now;
    if (b->credit < b->cost)
        return false;
    b->credit -= b->cost;
    return true;
}

/* RFC 1122 3.2.2: never about an ICMP error, a group, a fragment but the first (dropped before they get here), or a
 * source that is not a single host (dropped by ip4_in). Of ICMP we report nothing at all, echo requests have an answer. */
static bool may_report(const struct packet_meta *meta)
{
    return !(meta->flags & PACKET_GROUP) && meta->protocol != IP_ICMP;
}

void icmp_unreachable_peek(struct mr_worker *w, struct rte_mbuf *m, enum icmp_unreachable code)
{
    const struct packet_meta *meta = packet_meta(m);
    if (!may_report(meta))
        return;
    if (!icmp_bucket_take(&w->icmp->error, w->now)) {
        stat_add(w, STAT_icmp_errors_limited, 1);
        return;
    }
    struct rte_mbuf *error = packet_new(w);
    if (!error) {
        stat_add(w, DROP_core_no_memory, 1);
        return;
    }

    /* As much of the datagram as fits (RFC 1812 4.3.2.3), of what lies in the first segment. */
    const uint8_t *quoted = (const uint8_t *)m->buf_addr + meta->ip_offset;
    size_t there = (size_t)m->data_off + m->data_len - meta->ip_offset;
    size_t n = RTE_MIN(RTE_MIN((size_t)meta->ip_bytes, there),
                       (size_t)ICMP_ERROR_BYTES_MAX - IP4_HEADER_BYTES - ICMP_HEADER_BYTES);
    uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(error, (uint16_t)(ICMP_HEADER_BYTES + n));
    icmp_emit(bytes, ICMP_UNREACHABLE, (uint8_t)code);
    memcpy(bytes + ICMP_HEADER_BYTES, quoted, n);
    uint16_t checksum = checksum_finish(checksum_add(0, bytes, ICMP_HEADER_BYTES + n));
    memcpy(bytes + 2, &checksum, 2);

    struct mr_address to = mr_address_ip4(bytes_get_32(quoted + 12)), from = mr_address_ip4(bytes_get_32(quoted + 16));
    stat_add(w, STAT_icmp_errors_out, 1);
    path_out(w, error, &from, &to, &(struct path_options){.protocol = IP_ICMP, .may_fragment = true});
}
