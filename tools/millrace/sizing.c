#include "tools/millrace/sizing.h"

#include <assert.h>

#define ARP_WAITING    256 /* packets that wait for neighbours, of all together: stack/arp */
#define CACHES         2   /* threads that touch a pool: its worker, and main at start and end */
#define POOL_SLACK_MIB 24  /* EAL, the devices' rings, what ordinary pages waste */

/* One packet in memory: with ordinary pages no packet crosses a page, and a second one does not fit beside the first. */
#define PACKET_BYTES 4096
static_assert(64 + sizeof(struct rte_mbuf) + sizeof(struct packet_meta) + RTE_PKTMBUF_HEADROOM + PACKET_DATA_ROOM +
                      64 <=
                  PACKET_BYTES,
              "a packet outgrew its page");

static void add(struct sizing *s, unsigned packets, const char *reason)
{
    s->term[s->term_count++] = (struct sizing_term){reason, packets};
    s->packets += packets;
}

static unsigned impaired_packets(const struct config *c)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < c->interface_count; i++) {
        const struct config_impair *m = &c->interface[i].impair;
        if (m->rate || m->delay || m->jitter || m->reorder > 0)
            sum += 2 * (unsigned)m->queue;
    }
    return sum;
}

void sizing_compute(const struct config *c, struct sizing *s)
{
    *s = (struct sizing){0};
    unsigned descriptors = 0;
    for (unsigned i = 0; i < c->interface_count; i++)
        descriptors += (unsigned)c->interface[i].descriptors;
    add(s, descriptors, "receive descriptors, each holds an empty buffer");
    add(s, descriptors, "transmit descriptors, freed late");
    add(s, c->interface_count * NETIF_BACKLOG, "frames that a full link has not taken yet");
    add(s, 2 * WORKER_BURST, "the burst in work, and its answers");
    add(s, CACHES * PACKET_POOL_CACHE * 3 / 2, "caches of the threads that use the pool");
    add(s, ARP_WAITING, "packets that wait for a neighbour's address");
    add(s, impaired_packets(c), "packets on the way in an impaired link");
    s->reserve = s->packets;
    add(s, (unsigned)c->workers.limits.packets, "payload that is not consumed or not acknowledged: limits.packets");
    s->memory_mib =
        POOL_SLACK_MIB + (unsigned)((uint64_t)s->packets * c->workers.count * PACKET_BYTES / (1024 * 1024) + 1);
}

void sizing_log(const struct sizing *s)
{
    for (unsigned i = 0; i < s->term_count; i++)
        if (s->term[i].packets)
            mr_log(MR_LOG_DEBUG, "run", "packets %u: %s", s->term[i].packets, s->term[i].reason);
    mr_log(MR_LOG_INFO, "run", "packets=%u reserve=%u of each worker, memory_mib=%u in all", s->packets, s->reserve,
           s->memory_mib);
}
