/* Making, joining and ending a worker. What it does each turn is in loop.c. */
#include "stack/core/worker.h"

#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/core/layers.h"
#include "stack/core/mailbox.h"
#include "stack/route/route.h"

#define DEFAULT(value, preset) ((value) ? (value) : (preset))

static void worker_limits_complete(struct worker_limits *l, uint32_t pool_packets)
{
    l->connections = DEFAULT(l->connections, 65536);
    l->half_open = DEFAULT(l->half_open, 4096);
    l->time_wait = DEFAULT(l->time_wait, 65536);
    l->neighbours = DEFAULT(l->neighbours, 1024);
    l->datagram_ports = DEFAULT(l->datagram_ports, 32768);
    l->packet_reserve = DEFAULT(l->packet_reserve, pool_packets / 4);
}

struct mr_worker *worker_create(const struct worker_options *options)
{
    struct mr_worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (!w) {
        mr_log(MR_LOG_ERROR, "worker", "no memory for a worker of %zu bytes", sizeof *w);
        return NULL;
    }
    memset(w, 0, sizeof *w);
    struct worker_limits limits = options->limits;
    worker_limits_complete(&limits, options->pool->size);
    w->index = options->index;
    w->clock = options->clock;
    w->pool = options->pool;
    w->packets_held_max = options->pool->size - RTE_MIN(options->pool->size, limits.packet_reserve);
    w->secret = options->secret;
    w->congestion = options->congestion;
    w->fail_packets_after = UINT32_MAX;
    w->now = options->clock->now(options->clock->self);
    mr_random_seed(&w->random, options->seed);
    wheel_init(&w->wheel, w->now);
    const char *missing = !route_init(w)                               ? "routes"
                          : !arp_init(w, limits.neighbours)            ? "neighbours"
                          : !icmp_init(w)                              ? "icmp"
                          : !udp_init(w, limits.datagram_ports)        ? "datagram ports"
                          : !tcp_init(w, &limits, options->congestion) ? "tcp"
                                                                       : NULL;
    if (missing) {
        mr_log(MR_LOG_ERROR, "worker", "worker %u cannot start: no memory or an unknown name in: %s", w->index,
               missing);
        worker_destroy(w);
        return NULL;
    }
    return w;
}

int worker_add_link(struct mr_worker *w, struct mr_link *link, struct netif **out)
{
    if (w->netif_count == NETIF_MAX)
        return MR_ERROR_NO_MEMORY;
    struct netif *n = calloc(1, sizeof *n);
    if (!n)
        return MR_ERROR_NO_MEMORY;
    n->link = link;
    n->index = (uint8_t)w->netif_count;
    memcpy(n->mac, link->mac, sizeof n->mac);
    n->mtu = link->mtu;
    n->offloads = link->offloads;
    if (!tcp_add_netif(w, n)) {
        free(n);
        return MR_ERROR_NO_MEMORY;
    }
    w->netif[w->netif_count++] = n;
    *out = n;
    return MR_OK;
}

int worker_start_service(struct mr_worker *w, const struct mr_service *service, const void *config, void *shared)
{
    if (w->service_count == WORKER_SERVICE_MAX)
        return MR_ERROR_NO_MEMORY;
    struct worker_service *s = &w->services[w->service_count];
    *s = (struct worker_service){.service = service, .state = shared};
    while (service->counters && service->counters[s->counter_count].name)
        s->counter_count++;
    s->counters = calloc(s->counter_count + 1, sizeof *s->counters);
    if (!s->counters)
        return MR_ERROR_NO_MEMORY;
    int error = service->start(w, config, s->counters, &s->state);
    if (error) {
        free(s->counters);
        return error;
    }
    w->service_count++;
    return MR_OK;
}

void worker_stop(struct mr_worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    for (unsigned i = 0; i < w->service_count; i++)
        if (w->services[i].service->stop)
            w->services[i].service->stop(w, w->services[i].state);
    tcp_stop_listening(w);
}

void worker_close_streams(struct mr_worker *w)
{
    tcp_close_all(w);
}

bool worker_idle(const struct mr_worker *w)
{
    return tcp_idle(w);
}

static void worker_release_services(struct mr_worker *w)
{
    for (unsigned i = 0; i < w->service_count; i++) {
        if (w->services[i].service->release)
            w->services[i].service->release(w, w->services[i].state);
        free(w->services[i].counters);
    }
    w->service_count = 0;
}

void worker_destroy(struct mr_worker *w)
{
    worker_group_leave(w);
    if (w->tcp) {
        worker_stop(w);
        tcp_release(w); /* resets what is left and delivers the last events */
    }
    worker_release_services(w);
    if (w->udp)
        udp_release(w);
    if (w->icmp)
        icmp_release(w);
    if (w->arp)
        arp_release(w);
    if (w->route)
        route_release(w);
    for (unsigned i = 0; i < w->netif_count; i++) {
        netif_flush(w, w->netif[i]);
        rte_pktmbuf_free_bulk(w->netif[i]->backlog, w->netif[i]->backlog_count);
        free(w->netif[i]);
    }
    free(w);
}

void worker_check(struct mr_worker *w)
{
    wheel_check(&w->wheel);
    arp_check(w);
    route_check(w);
    tcp_check(w);
}

mr_time mr_now(const struct mr_worker *w)
{
    return w->now;
}

uint64_t mr_random(struct mr_worker *w)
{
    return mr_random_next(&w->random);
}

unsigned mr_worker_index(const struct mr_worker *w)
{
    return w->index;
}

void *mr_service_find(const struct mr_worker *w, const char *name)
{
    for (unsigned i = 0; i < w->service_count; i++)
        if (!strcmp(w->services[i].service->name, name))
            return w->services[i].state;
    return NULL;
}

size_t mr_worker_status(const struct mr_worker *w, char *text, size_t bytes)
{
    size_t at = 0;
    for (unsigned i = 0; i < STAT_COUNT && at < bytes; i++)
        if (w->stat[i])
            at += (size_t)snprintf(text + at, bytes - at, "%s.%s %lu\n", stat_descriptions[i].area,
                                   stat_descriptions[i].name, (unsigned long)w->stat[i]);
    for (unsigned i = 0; i < w->service_count; i++)
        for (unsigned k = 0; k < w->services[i].counter_count && at < bytes; k++)
            at += (size_t)snprintf(text + at, bytes - at, "%s.%s %lu\n", w->services[i].service->name,
                                   w->services[i].service->counters[k].name, (unsigned long)w->services[i].counters[k]);
    return at < bytes ? at : bytes ? bytes - 1 : 0;
}
