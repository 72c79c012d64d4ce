/* A small world in virtual time: whole stacks on simulated links, turned exactly when they are due.
 *
 *   host 0 (10.1.0.1) --- 10.1.0.2 host 1
 *          (10.2.0.1) --- 10.2.0.2 host 2, and so on: host 0 has one link to each other host
 *
 * A host is turned when its own worker_next_deadline or an arrival says so, never otherwise: a deadline that comes too
 * late shows as a stall, one that comes without need as a spin. After each turn worker_check runs. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "drivers/sim/sim.h"
#include "stack/core/worker.h"

#define WORLD_HOSTS_MAX 4

struct capture;

struct world_options {
    uint64_t seed;
    unsigned hosts;          /* 0: 2 */
    uint16_t mtu;            /* 0: 1500 */
    struct path_options out; /* from host 0 */
    struct path_options in;  /* to host 0 */
    struct rte_mempool *pool[WORLD_HOSTS_MAX];
    struct worker_limits limits;
    const char *pcap; /* file for what host 0 sees; NULL: none */
    bool trace;       /* one line a segment on standard output */
    bool unchecked;   /* no worker_check: long transfers that measure */
};

struct world_host {
    struct mr_worker *worker;
    struct rte_mempool *pool;
    struct mr_address address; /* host 0: on the first link */
};

struct world {
    struct sim *sim;
    unsigned hosts;
    struct world_host host[WORLD_HOSTS_MAX];
    struct mr_link *end[WORLD_HOSTS_MAX][2]; /* [i]: of the link to host i, host 0's end first */
    struct capture *capture;
    struct mr_link *wrapped[WORLD_HOSTS_MAX];
    bool unchecked;
    uint64_t turns;
    unsigned spins;    /* turns since virtual time last moved */
    char failure[512]; /* what went wrong first; empty: nothing */
};

/* Exits when it cannot be made: then nothing can be tested. */
void world_create(struct world *w, const struct world_options *options);

/* Advances to the next moment at which a host is due, not beyond `until`, and turns those that are. False when nothing
 * is due until then (the clock is then at `until`), or after a failure. */
bool world_step(struct world *w, mr_time until);

/* Steps until `until`. False after a failure. */
bool world_run(struct world *w, mr_time until);

/* Lets closed connections end (TIME-WAIT included), then counts what is left of packets and records: nothing may be.
 * False after a failure. */
bool world_settle(struct world *w);

/* Destroys workers and links; every packet must be back in its pool, else `failure` says so. Keeps `failure`. */
void world_destroy(struct world *w);

/* Notes the first failure; world_step returns false from then on. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline mr_time world_now(const struct world *w)
{
    return sim_now(w->sim);
}

#endif
