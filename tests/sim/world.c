#include "tests/sim/world.h"

#include <inttypes.h>
#include <rte_mempool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/wrap/capture.h"
#include "stack/tcp/tcp.h"
#include "tests/sim/trace.h"

#define SPINS_MAX  20000   /* turns of one instant: more is a worker that asks to be turned and does nothing */
#define TURNS_MAX  500000u /* no scenario needs a tenth of it: something is repeated for ever */
#define SETTLE_MAX (200 * MR_SECOND) /* more than 2 MSL and every retry that may precede it */

void world_fail(struct world *w, const char *format, ...)
{
    va_list arguments;
    if (w->failure[0])
        return;
    va_start(arguments, format);
    vsnprintf(w->failure, sizeof w->failure, format, arguments);
    va_end(arguments);
}

static _Noreturn void cannot(const char *what)
{
    fprintf(stderr, "world: cannot make %s\n", what);
    exit(99);
}

static struct mr_address host_address(unsigned link, unsigned side)
{
    return mr_address_ip4(0x0a000000u | link << 16 | (side + 1));
}

static void host_create(struct world *w, unsigned i, const struct world_options *o)
{
    struct world_host *h = &w->host[i];
    struct mr_random r;
    mr_random_seed(&r, o->seed * WORLD_HOSTS_MAX + i);
    struct worker_options options = {.index = i,
                                     .seed = mr_random_next(&r),
                                     .secret = {mr_random_next(&r), mr_random_next(&r)},
                                     .pool = o->pool[i],
                                     .clock = sim_clock(w->sim),
                                     .limits = o->limits};
    /* Small tables: worker_check walks all of them after every turn. */
    if (!options.limits.connections)
        options.limits.connections = 256;
    if (!options.limits.half_open)
        options.limits.half_open = 256;
    if (!options.limits.time_wait)
        options.limits.time_wait = 256;
    if (!options.limits.neighbours)
        options.limits.neighbours = 16;
    h->pool = o->pool[i];
    h->worker = worker_create(&options);
    if (!h->worker)
        cannot("a worker");
}

static void host_attach(struct world *w, unsigned host, struct mr_link *link, const struct mr_address *a)
{
    struct netif *n;
    if (worker_add_link(w->host[host].worker, link, &n) != MR_OK ||
        netif_add_address(w->host[host].worker, n, a, 24) != MR_OK)
        cannot("an interface");
    if (mr_address_is_any(&w->host[host].address))
        w->host[host].address = *a;
}

static void link_create(struct world *w, unsigned i, const struct world_options *o)
{
    char names[2][16];
    snprintf(names[0], sizeof names[0], "a%u", i);
    snprintf(names[1], sizeof names[1], "b%u", i);
    struct sim_link_options link = {.end = {{.name = names[0], .pool = o->pool[0], .out = o->out},
                                            {.name = names[1], .pool = o->pool[i], .out = o->in}},
                                    .mtu = o->mtu};
    if (!sim_link_create(w->sim, &link, w->end[i]))
        cannot("a link");
    struct mr_address a = host_address(i, 0), b = host_address(i, 1);
    struct mr_link *near = w->end[i][0];
    if (o->pcap) {
        near = w->wrapped[i - 1] = capture_wrap(near, sim_clock(w->sim));
        if (!near)
            cannot("a capture");
    }
    host_attach(w, 0, near, &a);
    host_attach(w, i, w->end[i][1], &b);
}

void world_create(struct world *w, const struct world_options *o)
{
    *w = (struct world){.hosts = o->hosts ? o->hosts : 2, .unchecked = o->unchecked};
    w->sim = sim_create(o->seed);
    if (!w->sim)
        cannot("a simulation");
    if (o->trace)
        sim_observer_set(w->sim, trace_observe, stdout);
    for (unsigned i = 0; i < w->hosts; i++)
        host_create(w, i, o);
    for (unsigned i = 1; i < w->hosts; i++)
        link_create(w, i, o);
    struct capture_options capture = {.path = o->pcap, .file_bytes_max = 1ull << 30, .synchronous = true};
    if (o->pcap && capture_start(&capture, w->wrapped, w->hosts - 1, &w->capture) != MR_OK)
        cannot("the capture file");
}

static mr_time host_due(const struct world *w, unsigned i)
{
    mr_time due = worker_next_deadline(w->host[i].worker);
    for (unsigned link = 1; link < w->hosts; link++) {
        mr_time arrival = i == 0 ? sim_next(w->end[link][0]) : i == link ? sim_next(w->end[link][1]) : MR_NEVER;
        due = arrival < due ? arrival : due;
    }
    return due < world_now(w) ? world_now(w) : due;
}

static void host_turn(struct world *w, unsigned i)
{
    struct mr_worker *worker = w->host[i].worker;
    worker_turn(worker, world_now(w));
    w->turns++;
    if (!w->unchecked)
        worker_check(worker);
}

bool world_step(struct world *w, mr_time until)
{
    mr_time due[WORLD_HOSTS_MAX], next = MR_NEVER;
    for (unsigned i = 0; i < w->hosts; i++) {
        due[i] = host_due(w, i);
        next = due[i] < next ? due[i] : next;
    }
    if (w->failure[0])
        return false;
    if (next > until) {
        if (until > world_now(w))
            sim_advance(w->sim, until);
        return false;
    }
    w->spins = next == world_now(w) ? w->spins + 1 : 0;
    if (w->spins > SPINS_MAX)
        world_fail(w, "%u turns at one instant", w->spins);
    if (w->turns > TURNS_MAX)
        world_fail(w, "more than %u turns", TURNS_MAX);
    sim_advance(w->sim, next);
    for (unsigned i = 0; i < w->hosts; i++)
        if (due[i] <= next)
            host_turn(w, i);
    sim_check(w->sim);
    return !w->failure[0];
}

bool world_run(struct world *w, mr_time until)
{
    while (world_step(w, until))
        ;
    return !w->failure[0];
}

static void records_check(struct world *w, unsigned i)
{
    const struct tcp *t = w->host[i].worker->tcp;
    const struct slab *slabs[] = {&t->connections, &t->half_open, &t->time_wait, &t->flights,
                                  &t->reasms,      &t->lends,     &t->cc_states};
    for (unsigned k = 0; k < sizeof slabs / sizeof *slabs; k++)
        if (slabs[k]->used)
            world_fail(w, "host %u: %u records left in slab %s", i, slabs[k]->used, slabs[k]->name);
    unsigned in_use = rte_mempool_in_use_count(w->host[i].pool);
    if (in_use)
        world_fail(w, "host %u: %u packets in use though every connection is over", i, in_use);
}

static bool all_idle(const struct world *w)
{
    for (unsigned i = 0; i < w->hosts; i++) {
        const struct tcp *t = w->host[i].worker->tcp;
        if (!worker_idle(w->host[i].worker) || t->half_open.used || t->time_wait.used)
            return false;
        if (rte_mempool_in_use_count(w->host[i].pool)) /* waiting for a neighbour's address, not for ever */
            return false;
    }
    return sim_next_any(w->sim) == MR_NEVER;
}

bool world_settle(struct world *w)
{
    mr_time until = world_now(w) + SETTLE_MAX;
    while (!all_idle(w) && world_step(w, until))
        ;
    for (unsigned i = 0; i < w->hosts; i++)
        records_check(w, i);
    return !w->failure[0];
}

void world_destroy(struct world *w)
{
    for (unsigned i = 0; i < w->hosts; i++)
        worker_destroy(w->host[i].worker);
    if (w->capture)
        capture_stop(w->capture, NULL);
    for (unsigned i = 0; i < WORLD_HOSTS_MAX; i++)
        if (w->wrapped[i])
            w->wrapped[i]->close(w->wrapped[i]->self);
    sim_destroy(w->sim);
    for (unsigned i = 0; i < w->hosts; i++) {
        unsigned in_use = rte_mempool_in_use_count(w->host[i].pool);
        if (in_use)
            world_fail(w, "host %u: %u packets lost", i, in_use);
    }
}
