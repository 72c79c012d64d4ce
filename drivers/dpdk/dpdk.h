/* What tools need of DPDK: start it, open a port as links, make a worker's clock. The only header of this folder that
 * code outside includes.
 *
 *     dpdk_eal_start(&eal);                                 once, from the main thread
 *     dpdk_port_open(&port, pools, links);                  one link per queue
 *     dpdk_clock_create(&options, links_of_worker, n, &clock);
 *     in the worker's thread: dpdk_thread_register(); worker_run(...); dpdk_thread_unregister();
 *     links[i].close(links[i].self); dpdk_clock_destroy(&clock); dpdk_eal_stop();
 *
 * Failures are logged with what and where, and returned as enum mr_error. */
#ifndef DRIVERS_DPDK_DPDK_H
#define DRIVERS_DPDK_DPDK_H

#include <stdbool.h>
#include <stdio.h>

#include <millrace/link.h>
#include <millrace/types.h>

#include "drivers/dpdk/host.h"

struct rte_mempool;

/* ---- ports ---- */

#define DPDK_PARAMETERS_MAX 8
#define DPDK_QUEUES_MAX     64

/* One device parameter as configured, say {"interface", "mr0"}; kinds.c says which exist. */
struct dpdk_parameter {
    const char *name, *value;
};

struct dpdk_port_config {
    const char *name; /* of the link, unique among ports; copied */
    const char *kind; /* "tap", "af_packet", ...: see dpdk_kind_name */
    unsigned parameter_count;
    struct dpdk_parameter parameters[DPDK_PARAMETERS_MAX];
    unsigned queues;         /* 0: 1 */
    unsigned rx_descriptors; /* 0: what the device prefers */
    unsigned tx_descriptors;
    unsigned mtu;   /* bytes of IP datagram; 0: what the device has */
    uint8_t mac[6]; /* all zero: the device's, or a random one where the device's belongs to the kernel */
};

/* Why a configuration cannot work: which key, and a sentence with what was expected. */
struct dpdk_complaint {
    char key[48];
    char text[208];
};

/* Checks without touching the system. MR_OK, or MR_ERROR_INVALID with *complaint filled. */
int dpdk_port_check(const struct dpdk_port_config *config, struct dpdk_complaint *complaint);

/* Opens a port and fills links[0 .. queues-1], one for each queue; pools[i] feeds queue i and outlives the links.
 * MR_OK; MR_ERROR_INVALID (dpdk_port_check complains), MR_ERROR_UNSUPPORTED (the device refuses), MR_ERROR_NO_MEMORY,
 * MR_ERROR_SYSTEM (there is no such device, or a privilege is missing). On failure nothing stays open. The port is
 * closed when the last of its links is. */
int dpdk_port_open(const struct dpdk_port_config *config, struct rte_mempool *const *pools, struct mr_link *links);

/* Packets that the driver itself may hold of each queue's pool: a term of the pool's size. 0 for an unknown kind. */
unsigned dpdk_port_packets(const struct dpdk_port_config *config);

/* The kinds in order, for messages and documentation; NULL after the last. */
const char *dpdk_kind_name(unsigned index);
const char *dpdk_kind_needs(const char *kind);   /* one sentence; NULL: no such kind */
const char *dpdk_kind_example(const char *kind); /* one command that tries it */

/* ---- EAL ---- */

enum dpdk_hugepages {
    DPDK_HUGEPAGES_AUTO, /* when enough are free */
    DPDK_HUGEPAGES_ALWAYS,
    DPDK_HUGEPAGES_NEVER,
};

struct dpdk_eal_config {
    unsigned memory_mib; /* for all pools together; 0: 256 */
    enum dpdk_hugepages hugepages;
    const struct dpdk_port_config *ports; /* that will be opened: PCI devices must be known at start */
    unsigned port_count;
};

/* Starts EAL in memory alone: no shared files, no second process, no PCI scan unless a port asks for one. The calling
 * thread's affinity stays as it is. Once per process. MR_OK, MR_ERROR_UNSUPPORTED (no hugepages though required) or
 * MR_ERROR_SYSTEM. */
int dpdk_eal_start(const struct dpdk_eal_config *config);

/* True when memory that lies together for us does so for devices too (no device uses physical addresses): a packet may then lie across
 * pages. */
bool dpdk_memory_is_linear(void);

/* After every link is closed. */
void dpdk_eal_stop(void);

/* Makes the calling thread known to DPDK, so that its mempool caches work. Its lcore id, or MR_ERROR_NO_MEMORY when all
 * are taken. */
int dpdk_thread_register(void);
void dpdk_thread_unregister(void);

/* ---- clock ---- */

enum dpdk_poll_mode {
    DPDK_POLL_ADAPTIVE,  /* spin for a bounded number of empty turns, then sleep */
    DPDK_POLL_ALWAYS,    /* never sleep */
    DPDK_POLL_INTERRUPT, /* sleep as soon as idle */
};

struct dpdk_clock_options {
    enum dpdk_poll_mode poll;
    unsigned spin_turns; /* adaptive: empty turns before the first sleep; 0: 256 */
    mr_time sleep_max;   /* longest sleep where a link has no interrupt; 0: 1 ms */
};

/* The clock of the worker that polls `links` (as dpdk_port_open made them, not wrapped; they outlive the clock).
 * MR_OK, MR_ERROR_NO_MEMORY or MR_ERROR_SYSTEM. */
int dpdk_clock_create(const struct dpdk_clock_options *options, struct mr_link *const *links, unsigned n,
                      struct mr_clock *clock);
void dpdk_clock_destroy(struct mr_clock *clock);

/* "adaptive", "always" or "interrupt"; -1 when `text` is none of them. */
int dpdk_poll_mode_parse(const char *text);

/* Why this worker's sleeps are bounded: the first link without a receive interrupt; NULL when all have one. */
const char *dpdk_clock_without_interrupt(const struct mr_clock *clock);

/* ---- doctor ---- */

/* One line for each thing that matters to the ports of `config`: "ok|warning|error what: remedy". Needs no EAL. The
 * number of errors. */
unsigned dpdk_doctor(const struct dpdk_eal_config *config, FILE *out);

#endif
