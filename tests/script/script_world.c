#include "tests/script/script_world.h"

#include <rte_mempool.h>
#include <string.h>

#include "stack/route/route.h"

#define WORLD_START     (1000 * MR_SECOND) /* not 0: nothing may rely on it */
#define WORLD_WARM_UP   (20 * MR_SECOND) /* duplicate address detection and announcements (RFC 5227) are over by then */
#define WORLD_TURNS_MAX 10000

static const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
static const uint8_t local_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

enum { ETH_BYTES = 14, ARP_BYTES = 28 };

static void frame_queue(struct world *world, const uint8_t *bytes, size_t n, uint16_t type, bool group_mac)
{
    struct rte_mbuf *m = world->inbound_count < WORLD_INBOUND_MAX ? rte_pktmbuf_alloc(world->pool) : NULL;
    if (!m)
        return;
    size_t room = rte_pktmbuf_tailroom(m);
    struct rte_mbuf *tail = m;
    uint8_t *eth = (uint8_t *)rte_pktmbuf_append(m, ETH_BYTES);
    memcpy(eth, local_mac, 6);
    if (group_mac)
        memset(eth, 0xff, 6);
    memcpy(eth + 6, peer_mac, 6);
    eth[12] = (uint8_t)(type >> 8);
    eth[13] = (uint8_t)type;
    room -= ETH_BYTES;
    /* A jumbo frame arrives as a chain, as from a device that scatters. */
    while (n > 0) {
        size_t part = n < room ? n : room;
        memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, rte_pktmbuf_data_len(tail)), bytes, part);
        tail->data_len = (uint16_t)(tail->data_len + part);
        m->pkt_len += (uint32_t)part;
        bytes += part;
        n -= part;
        if (n == 0)
            break;
        struct rte_mbuf *next = rte_pktmbuf_alloc(world->pool);
        if (!next) {
            rte_pktmbuf_free(m);
            return;
        }
        tail->next = next;
        tail = next;
        m->nb_segs++;
        room = rte_pktmbuf_tailroom(next);
    }
    world->inbound[world->inbound_count++] = m;
}

static void arp_write(uint8_t *p, uint16_t operation, const uint8_t target_mac[6], uint32_t target_ip)
{
    static const uint8_t head[6] = {0, 1, 8, 0, 6, 4};
    memcpy(p, head, sizeof head);
    p[6] = 0;
    p[7] = (uint8_t)operation;
    memcpy(p + 8, peer_mac, 6);
    for (int i = 0; i < 4; i++) {
        p[14 + i] = (uint8_t)(WORLD_PEER_IP >> (24 - 8 * i));
        p[24 + i] = (uint8_t)(target_ip >> (24 - 8 * i));
    }
    memcpy(p + 18, target_mac, 6);
}

/* The peer answers requests for its own address and nothing else: probes for ours stay unanswered. */
static void arp_answer(struct world *world, const uint8_t *p, size_t n)
{
    static const uint8_t peer_ip[4] = {198, 18, 0, 1};
    if (n < ARP_BYTES || p[7] != 1 || memcmp(p + 24, peer_ip, 4) != 0)
        return;
    uint8_t reply[ARP_BYTES];
    arp_write(reply, 2, p + 8, WORLD_LOCAL_IP);
    frame_queue(world, reply, sizeof reply, 0x0806, false);
}

static void frame_sent(struct world *world, const struct rte_mbuf *m)
{
    static uint8_t frame[65536];
    size_t n = rte_pktmbuf_pkt_len(m) < sizeof frame ? rte_pktmbuf_pkt_len(m) : sizeof frame;
    const void *bytes = rte_pktmbuf_read(m, 0, (uint32_t)n, frame);
    if (bytes != frame)
        memcpy(frame, bytes, n);
    uint16_t type = n >= ETH_BYTES ? (uint16_t)(frame[12] << 8 | frame[13]) : 0;
    if (type == 0x0806)
        arp_answer(world, frame + ETH_BYTES, n - ETH_BYTES);
    else if (type == 0x0800 && world->captured)
        world->captured(world->argument, frame + ETH_BYTES, n - ETH_BYTES);
}

static uint16_t link_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct world *world = self;
    uint16_t n = (uint16_t)(world->inbound_count < max ? world->inbound_count : max);
    memcpy(burst, world->inbound, n * sizeof *burst);
    world->inbound_count -= n;
    memmove(world->inbound, world->inbound + n, world->inbound_count * sizeof *burst);
    return n;
}

static uint16_t link_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        frame_sent(self, burst[i]);
        rte_pktmbuf_free(burst[i]);
    }
    return n;
}

static void link_statistics(void *self, struct mr_link_statistics *out)
{
    memset(out, 0, sizeof *out);
}

static void link_close(void *self)
{
    struct world *world = self;
    for (unsigned i = 0; i < world->inbound_count; i++)
        rte_pktmbuf_free(world->inbound[i]);
    world->inbound_count = 0;
}

static mr_time clock_now(void *self)
{
    return ((struct world *)self)->now;
}

static void clock_rest(void *self, mr_time deadline)
{
}

static void clock_nothing(void *self)
{
}

bool world_inject(struct world *world, const uint8_t *datagram, size_t n, bool group_mac)
{
    unsigned before = world->inbound_count;
    frame_queue(world, datagram, n, 0x0800, group_mac);
    return world->inbound_count > before;
}

void world_settle(struct world *world)
{
    unsigned turns = 0;
    do {
        worker_turn(world->worker, world->now);
        worker_check(world->worker);
        if (++turns > WORLD_TURNS_MAX) {
            world->restless = true;
            return;
        }
    } while (world->inbound_count > 0 || worker_next_deadline(world->worker) <= world->now);
}

bool world_step(struct world *world, mr_time until)
{
    mr_time next = worker_next_deadline(world->worker);
    if (next > until)
        next = until;
    if (next > world->now)
        world->now = next;
    world_settle(world);
    return world->now < until && !world->restless;
}

/* Lets address detection pass and tells the worker where the peer is. */
static void world_warm_up(struct world *world)
{
    uint8_t request[ARP_BYTES];
    static const uint8_t nobody[6];
    arp_write(request, 1, nobody, WORLD_LOCAL_IP);
    while (world_step(world, WORLD_START + WORLD_WARM_UP))
        ;
    frame_queue(world, request, sizeof request, 0x0806, false);
    world_settle(world);
    world->start = world->now;
}

bool world_open(struct world *world, struct rte_mempool *pool, unsigned packets, const struct world_options *options)
{
    struct worker_options o = {.seed = options->seed,
                               .secret = {options->seed * 0x9e3779b97f4a7c15u, ~options->seed},
                               .pool = pool,
                               .clock = &world->clock,
                               .limits = options->limits};
    world->link = (struct mr_link){.self = world,
                                   .name = "script",
                                   .mtu = options->mtu,
                                   .offloads = MR_LINK_TX_MULTI_SEGMENT,
                                   .receive = link_receive,
                                   .transmit = link_transmit,
                                   .statistics = link_statistics,
                                   .close = link_close};
    memcpy(world->link.mac, local_mac, 6);
    world->clock = (struct mr_clock){world, clock_now, clock_rest, clock_nothing, clock_nothing};
    world->pool = pool;
    world->pool_packets = packets;
    world->now = WORLD_START;
    world->inbound_count = 0;
    world->restless = false;
    world->worker = worker_create(&o);
    if (!world->worker)
        return false;
    struct mr_address ours = mr_address_ip4(WORLD_LOCAL_IP), gateway = mr_address_ip4(WORLD_PEER_IP);
    struct mr_address everywhere = mr_address_ip4(0);
    if (worker_add_link(world->worker, &world->link, &world->netif) != MR_OK ||
        netif_add_address(world->worker, world->netif, &ours, 24) != MR_OK ||
        route_add(world->worker, &everywhere, 0, &gateway, world->netif) != MR_OK)
        return false;
    world_warm_up(world);
    return true;
}

unsigned world_close(struct world *world)
{
    world->captured = NULL;
    worker_destroy(world->worker);
    link_close(world);
    return world->pool_packets - rte_mempool_avail_count(world->pool);
}
