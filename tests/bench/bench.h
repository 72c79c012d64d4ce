/* A worker between the frames of client.h, with one of two services on port 80, in virtual time. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include "tests/bench/client.h"

struct mr_worker;

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
    uint64_t cycles, turns; /* of the turns measured */
    char root[32];          /* folder of the HTTP service */
};

/* Exits when something does not start. */
void bench_start(struct bench *b, struct rte_mempool *pool, uint32_t connections, enum bench_service service);
void bench_end(struct bench *b);

void bench_turn(struct bench *b);
void bench_turn_measured(struct bench *b);

/* Opens every connection of the client. */
void bench_connections_open(struct bench *b);

#endif
