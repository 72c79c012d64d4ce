/* A worker between the frames of client.h, with one service, in virtual time. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include "tests/bench/client.h"

struct mr_worker;
struct mr_service;
struct bench;

enum bench_service {
    BENCH_CANNED, /* answers whatever comes with the same bytes and keeps nothing: what is measured is the stack */
    BENCH_HTTP,   /* the real one, with a 64-byte file in its cache */
};
extern const char *const bench_service_names[2];

struct bench {
    struct mr_worker *worker;
    struct worker_group *group;
    struct bench_client client;
    struct mr_clock clock;
    mr_time now;
    uint64_t cycles, turns;   /* of the turns measured */
    unsigned offload_threads; /* 0: what is offloaded runs within the turn */
    /* Runs after each turn, unmeasured: other workers that this one talks to. May be NULL. */
    void (*beside)(struct bench *b);
    char root[32]; /* folder of the HTTP service */
};

/* Exit when something does not start. The worker, then any service on it, with what its `open` gave or NULL. */
void bench_start_worker(struct bench *b, struct rte_mempool *pool, uint32_t connections, uint16_t port,
                        const char *request);
void bench_start_service(struct bench *b, const struct mr_service *service, const void *config, void *shared);
void bench_start(struct bench *b, struct rte_mempool *pool, uint32_t connections, enum bench_service service);
void bench_end(struct bench *b);

void bench_turn(struct bench *b);
void bench_turn_measured(struct bench *b);

/* Answers what ends like a request with a response of 64 bytes, and keeps nothing. */
extern const struct mr_service bench_canned_service;

/* Opens every connection of the client. */
void bench_connections_open(struct bench *b);

#endif
