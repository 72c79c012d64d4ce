/* Making and ending a process, in the order in which parts lean on each other:
 *
 *     EAL -> pools -> ports -> clocks -> wrappers | group -> workers -> addresses, routes -> services | threads
 *
 * and back in the opposite one. */
#include "tools/millrace/runtime.h"

#include <errno.h>
#include <net/if.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "drivers/dpdk/dpdk.h"
#include "drivers/wrap/capture.h"
#include "stack/route/route.h"
#include "tools/millrace/config_port.h"

#define GRACE_MS_DEFAULT 3000
#define ENDING_NAP       (5 * MR_MILLISECOND) /* how often an ending worker looks whether its time is over */

mr_time runtime_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mr_time)t.tv_sec * MR_SECOND + (mr_time)t.tv_nsec;
}

static bool failed(int error, const char *what, const char *which)
{
    mr_log(MR_LOG_ERROR, "run", "%s %s: %s", what, which, mr_error_text(error));
    return false;
}

static bool eal_start(struct runtime *r)
{
    struct dpdk_port_config ports[NETIF_MAX];
    const struct config *c = r->config;
    for (unsigned i = 0; i < c->interface_count; i++)
        config_port(c, &c->interface[i], &ports[i]);
    struct dpdk_eal_config eal = {.memory_mib = r->sizing.memory_mib, .ports = ports, .port_count = c->interface_count};
    r->eal_started = dpdk_eal_start(&eal) == MR_OK;
    return r->eal_started;
}

static bool pools_create(struct runtime *r)
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "packets%u", i);
        r->worker[i].pool = packet_pool_create(name, r->sizing.packets, SOCKET_ID_ANY, dpdk_memory_is_linear());
        if (!r->worker[i].pool) {
            mr_log(MR_LOG_ERROR, "run", "no memory for %u packets of worker %u: %s", r->sizing.packets, i,
                   rte_strerror(rte_errno));
            return false;
        }
    }
    return true;
}

/* The kernel's end of a TAP device. */
static bool host_configure(const struct config_interface *n, const struct dpdk_port_config *port)
{
    char address[MR_ADDRESS_TEXT_MAX], prefix[MR_ADDRESS_TEXT_MAX + 4];
    const char *device = n->name;
    for (unsigned i = 0; i < port->parameter_count; i++)
        if (!strcmp(port->parameters[i].name, "interface"))
            device = port->parameters[i].value;
    bool addressed = !mr_address_is_any(&n->host_address.address);
    snprintf(prefix, sizeof prefix, "%s/%u", mr_address_text(&n->host_address.address, address), n->host_address.bits);
    int error = host_interface_configure(device, addressed ? prefix : NULL, true, (unsigned)n->mtu);
    return error == MR_OK || failed(error, "the host's side of interface", n->name);
}

/* Queue i of each port is worker i's. */
static bool ports_open(struct runtime *r)
{
    struct rte_mempool *pools[CONFIG_WORKER_MAX];
    struct mr_link links[CONFIG_WORKER_MAX] = {0};
    for (unsigned i = 0; i < r->worker_count; i++)
        pools[i] = r->worker[i].pool;
    for (unsigned k = 0; k < r->config->interface_count; k++) {
        const struct config_interface *n = &r->config->interface[k];
        struct dpdk_port_config port;
        config_port(r->config, n, &port);
        int error = dpdk_port_open(&port, pools, links);
        if (error)
            return failed(error, "interface", n->name);
        for (unsigned i = 0; i < r->worker_count; i++) {
            r->worker[i].port_link[k] = links[i];
            r->worker[i].link[k] = &r->worker[i].port_link[k];
            r->worker[i].link_count = k + 1;
        }
        if (n->driver == CONFIG_TAP && !host_configure(n, &port))
            return false;
    }
    return true;
}

static bool clocks_create(struct runtime *r)
{
    static const enum dpdk_poll_mode modes[] = {[CONFIG_POLL_ADAPTIVE] = DPDK_POLL_ADAPTIVE,
                                                [CONFIG_POLL_ALWAYS] = DPDK_POLL_ALWAYS,
                                                [CONFIG_POLL_INTERRUPT] = DPDK_POLL_INTERRUPT};
    struct dpdk_clock_options options = {.poll = modes[r->config->workers.poll]};
    for (unsigned i = 0; i < r->worker_count; i++) {
        struct runtime_worker *rw = &r->worker[i];
        struct mr_link *links[NETIF_MAX];
        for (unsigned k = 0; k < rw->link_count; k++)
            links[k] = &rw->port_link[k];
        int error = dpdk_clock_create(&options, links, rw->link_count, &rw->clock);
        if (error)
            return failed(error, "the clock of", "a worker");
        rw->clock_made = true;
    }
    return true;
}

/* Secrets come from the operating system: nobody outside can know the initial sequence numbers or choose hash chains. */
static bool worker_make(struct runtime_worker *rw)
{
    const struct runtime *r = rw->runtime;
    const struct config_limits *l = &r->config->workers.limits;
    struct worker_options o = {
        .index = rw->index,
        .pool = rw->pool,
        .clock = &rw->clock,
        .congestion = r->config->congestion,
        .limits = {.connections = (uint32_t)l->connections,
                   .half_open = (uint32_t)l->half_open,
                   .time_wait = (uint32_t)l->time_wait,
                   .neighbours = (uint32_t)l->neighbours,
                   .datagram_ports = (uint32_t)l->datagram_ports,
                   .packet_reserve = r->sizing.reserve},
    };
    if (getrandom(&o.seed, sizeof o.seed, 0) != sizeof o.seed ||
        getrandom(&o.secret, sizeof o.secret, 0) != sizeof o.secret) {
        mr_log(MR_LOG_ERROR, "run", "no random numbers from the system: %s", strerror(errno));
        return false;
    }
    rw->worker = worker_create(&o);
    return rw->worker != NULL;
}

static bool interfaces_add(struct runtime_worker *rw)
{
    const struct config *c = rw->runtime->config;
    for (unsigned k = 0; k < c->interface_count; k++) {
        const struct config_interface *n = &c->interface[k];
        struct netif *netif;
        int error = worker_add_link(rw->worker, rw->link[k], &netif);
        for (unsigned j = 0; !error && j < n->address_count; j++)
            error = netif_add_address(rw->worker, netif, &n->address[j].address, n->address[j].bits);
        if (error)
            return failed(error, "interface", n->name);
    }
    return true;
}

/* `interface` of the configuration, else the one whose subnet holds the gateway. */
static struct netif *route_netif(struct mr_worker *w, const struct config *c, const struct config_route *t)
{
    struct route_result path;
    for (unsigned k = 0; t->interface && k < c->interface_count; k++)
        if (!strcmp(c->interface[k].name, t->interface))
            return w->netif[k];
    return route_lookup(w, &t->via, &path) ? path.netif : NULL;
}

static bool routes_add(struct runtime_worker *rw)
{
    const struct config *c = rw->runtime->config;
    for (unsigned i = 0; i < c->route_count; i++) {
        const struct config_route *t = &c->route[i];
        char text[MR_ADDRESS_TEXT_MAX];
        struct netif *netif = route_netif(rw->worker, c, t);
        int error =
            netif ? route_add(rw->worker, &t->prefix.address, t->prefix.bits, &t->via, netif) : MR_ERROR_NO_ROUTE;
        if (error)
            return failed(error, "route to", mr_address_text(&t->prefix.address, text));
    }
    return true;
}

static bool services_open(struct runtime *r)
{
    const struct config *c = r->config;
    for (; r->service_opened < c->service_count; r->service_opened++) {
        const struct config_service *s = &c->service[r->service_opened];
        void **shared = &r->service_shared[r->service_opened];
        int error = s->service->open ? s->service->open(s->values, r->worker_count, shared) : MR_OK;
        if (error)
            return failed(error, "service", s->service->name);
    }
    return true;
}

static void services_close(struct runtime *r)
{
    for (unsigned i = 0; i < r->service_opened; i++)
        if (r->config->service[i].service->close)
            r->config->service[i].service->close(r->service_shared[i]);
}

static bool services_start(struct runtime_worker *rw)
{
    const struct config *c = rw->runtime->config;
    for (unsigned i = 0; i < c->service_count; i++) {
        int error = worker_start_service(rw->worker, c->service[i].service, c->service[i].values,
                                         rw->runtime->service_shared[i]);
        if (error)
            return failed(error, "service", c->service[i].service->name);
    }
    return true;
}

bool runtime_open(struct runtime *r, const struct config *c)
{
    memset(r, 0, sizeof *r);
    r->config = r->first = c;
    pthread_mutex_init(&r->lock, NULL);
    r->started = runtime_now();
    r->main_thread = pthread_self();
    r->grace_ms = GRACE_MS_DEFAULT;
    r->worker_count = (unsigned)c->workers.count;
    r->worker = calloc(r->worker_count, sizeof *r->worker);
    if (!r->worker)
        return failed(MR_ERROR_NO_MEMORY, "the", "workers");
    for (unsigned i = 0; i < r->worker_count; i++) {
        r->worker[i].runtime = r;
        r->worker[i].index = i;
    }
    sizing_compute(c, &r->sizing);
    sizing_log(&r->sizing);
    if (!eal_start(r) || !pools_create(r) || !ports_open(r) || !clocks_create(r))
        return false;
    return runtime_wrap(r);
}

bool runtime_build(struct runtime *r)
{
    r->group = worker_group_create(r->worker_count, (unsigned)r->config->workers.offload_threads);
    if (!r->group)
        return failed(MR_ERROR_NO_MEMORY, "the mailboxes of", "the workers");
    if (!services_open(r))
        return false;
    for (unsigned i = 0; i < r->worker_count; i++) {
        struct runtime_worker *rw = &r->worker[i];
        if (!worker_make(rw))
            return false;
        worker_group_join(r->group, rw->worker);
        if (!interfaces_add(rw) || !routes_add(rw) || !services_start(rw))
            return false;
    }
    return true;
}

static void thread_pin(const struct runtime_worker *rw)
{
    const struct config_workers *w = &rw->runtime->config->workers;
    if (rw->index >= w->core_count)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(w->cores[rw->index], &set);
    int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (error)
        mr_log(MR_LOG_WARNING, "run", "worker %u is not pinned to core %lu: %s", rw->index,
               (unsigned long)w->cores[rw->index], strerror(error));
}

/* Services end first what they have begun; what is still open after three quarters of the grace is closed in order, and
 * what is left of that at its end is reset by worker_destroy. */
static void worker_end(struct runtime_worker *rw)
{
    struct mr_worker *w = rw->worker;
    struct mr_clock *clock = &rw->clock;
    mr_time now = clock->now(clock->self);
    mr_time patience = atomic_load(&rw->runtime->grace_ms) * MR_MILLISECOND, until = now + patience;
    mr_time close_at = now + patience / 4 * 3;
    worker_stop(w);
    for (;;) {
        if (now >= close_at) {
            worker_close_streams(w);
            close_at = MR_NEVER;
        }
        unsigned work = worker_turn(w, now);
        if (worker_idle(w) || now >= until || atomic_load(&rw->runtime->at_once))
            break;
        if (work)
            clock->busy(clock->self);
        else
            clock->rest(clock->self, RTE_MIN(worker_next_deadline(w), now + ENDING_NAP));
        now = clock->now(clock->self);
    }
    worker_turn(w, clock->now(clock->self)); /* what the last turn made ready goes out */
}

static void *worker_thread(void *argument)
{
    struct runtime_worker *rw = argument;
    char name[16];
    snprintf(name, sizeof name, "worker%u", rw->index % 1000);
    pthread_setname_np(pthread_self(), name);
    thread_pin(rw);
    if (dpdk_thread_register() < 0)
        mr_log(MR_LOG_WARNING, "run", "worker %u works without a packet cache: too many threads", rw->index);
    worker_run(rw->worker, &rw->stop);
    atomic_store(&rw->state, RUNTIME_ENDING);
    worker_end(rw);
    dpdk_thread_unregister();
    atomic_store(&rw->state, RUNTIME_ENDED);
    return NULL;
}

bool runtime_start(struct runtime *r)
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        int error = pthread_create(&r->worker[i].thread, NULL, worker_thread, &r->worker[i]);
        if (error) {
            mr_log(MR_LOG_ERROR, "run", "worker %u has no thread: %s", i, strerror(error));
            return false;
        }
        r->worker[i].started = true;
    }
    return true;
}

void runtime_stop(struct runtime *r)
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        struct runtime_worker *rw = &r->worker[i];
        rw->stop = 1;
        if (rw->clock_made)
            rw->clock.wake(rw->clock.self);
    }
}

bool runtime_wait(struct runtime *r, unsigned wait_ms)
{
    mr_time until = runtime_now() + wait_ms * MR_MILLISECOND;
    for (unsigned i = 0; i < r->worker_count; i++) {
        struct runtime_worker *rw = &r->worker[i];
        while (rw->started && atomic_load(&rw->state) != RUNTIME_ENDED) {
            if (runtime_now() >= until)
                return false;
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        if (rw->started)
            pthread_join(rw->thread, NULL);
        rw->started = false;
    }
    return true;
}

static void worker_unmake(struct runtime_worker *rw)
{
    if (rw->worker)
        worker_destroy(rw->worker);
    for (unsigned k = 0; k < rw->link_count; k++)
        rw->link[k]->close(rw->link[k]->self);
    if (rw->clock_made)
        dpdk_clock_destroy(&rw->clock);
}

void runtime_destroy(struct runtime *r)
{
    for (unsigned k = 0; k < NETIF_MAX; k++)
        if (r->capture[k])
            capture_stop(r->capture[k], NULL);
    for (unsigned i = 0; i < r->worker_count && r->worker; i++)
        worker_unmake(&r->worker[i]);
    if (r->group)
        worker_group_destroy(r->group);
    services_close(r);
    for (unsigned i = 0; i < r->worker_count && r->worker; i++)
        rte_mempool_free(r->worker[i].pool);
    free(r->worker);
    if (r->eal_started)
        dpdk_eal_stop();
    if (r->config != r->first)
        config_free((struct config *)(uintptr_t)r->config);
    pthread_mutex_destroy(&r->lock);
    memset(r, 0, sizeof *r);
}
