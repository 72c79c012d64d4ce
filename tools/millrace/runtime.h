/* A running process: links, workers on their threads, services, joined as the configuration says. Nothing else in the
 * tree knows drivers, stack and services at once. */
#ifndef TOOLS_MILLRACE_RUNTIME_H
#define TOOLS_MILLRACE_RUNTIME_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <millrace/link.h>

#include "stack/core/mailbox.h"
#include "stack/core/worker.h"
#include "tools/millrace/config.h"
#include "tools/millrace/sizing.h"

struct capture;

enum runtime_state { RUNTIME_SERVING, RUNTIME_ENDING, RUNTIME_ENDED };

struct runtime_worker {
    struct runtime *runtime;
    unsigned index;
    struct rte_mempool *pool;
    struct mr_link port_link[NETIF_MAX]; /* this worker's queue of each port; one slot for each interface */
    struct mr_link *link[NETIF_MAX];     /* what wraps it, outermost: this is what the worker polls */
    unsigned link_count;
    struct mr_clock clock;
    bool clock_made;
    struct mr_worker *worker;
    pthread_t thread;
    bool started;
    volatile int stop; /* ends worker_run */
    _Atomic(enum runtime_state) state;
};

struct runtime {
    const struct config *config; /* the newest that was applied */
    const struct config *first;  /* the one that it was started with: what never changes still points into it */
    pthread_mutex_t lock;        /* the control thread and a reload by signal exclude each other */
    struct runtime_reloads {
        uint64_t applied, refused;
        mr_time last; /* when one was applied; 0: never */
    } reloads;
    struct sizing sizing;
    bool eal_started;
    struct worker_group *group;
    unsigned worker_count;
    struct runtime_worker *worker;
    unsigned service_opened;                  /* how many of the services below */
    void *service_shared[WORKER_SERVICE_MAX]; /* what all instances of a service share */
    struct capture *capture[NETIF_MAX];       /* those that the configuration asks for */
    mr_time started;                          /* on the monotonic clock */

    pthread_t main_thread; /* takes SIGTERM */
    atomic_uint grace_ms;  /* what connections get to end in order */
    atomic_bool at_once;   /* the grace is over */
};

/* DPDK, memory and devices: all that needs privileges. False: the log says why, and runtime_destroy releases what was
 * taken. */
bool runtime_open(struct runtime *r, const struct config *c);

/* A part of it: impairment and capture around the links. */
bool runtime_wrap(struct runtime *r);

/* Workers with their addresses, routes and services; no thread of them yet. The offload threads that start here block
 * every signal, so privileges are dropped before. False as above. */
bool runtime_build(struct runtime *r);

/* Starts the threads; from here on packets are answered. */
bool runtime_start(struct runtime *r);

/* Asks services and connections to end, within r->grace_ms; returns at once. */
void runtime_stop(struct runtime *r);

/* True when every worker has ended; waits at most `wait_ms` for it. */
bool runtime_wait(struct runtime *r, unsigned wait_ms);

/* After runtime_wait was true, or without a start. */
void runtime_destroy(struct runtime *r);

/* Reads the file anew and applies what has changed, with r->lock held: all of it, or nothing; then the report says why. What it did is
 * logged. */
bool runtime_reload(struct runtime *r, struct config_report *report);

/* Monotonic nanoseconds. */
mr_time runtime_now(void);

/* "ready http://198.18.0.2/ ..." without the newline. */
size_t runtime_ready_line(const struct config *c, const char *control_path, char *text, size_t bytes);

#endif
