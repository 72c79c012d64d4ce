/* A cache service between the frames of client.h: rounds of pipelined commands of up to BENCH_BURST connections at a time. Every
 * reply is checked for its length and its first byte, so that a miss or an error ends the run. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include "cache/cache.h"
#include "tests/bench/bench.h"

#define LOAD_PIPELINE_MAX 256

/* One round's commands of one connection. */
struct load_slot {
    uint32_t connection;
    char *bytes;
    size_t length, sent;
    uint64_t expected, received; /* reply bytes */
};

struct load {
    struct bench bench;
    struct cache_config config;
    void *shared;
    struct cache *cache;
    uint16_t *slot_of; /* by connection */
    struct load_slot slot[BENCH_BURST];
    unsigned slots;
    char first;        /* byte of every reply of this round */
    uint64_t unit;     /* bytes of each */
    uint64_t commands; /* answered */
    uint64_t connection_next, key_next;
    char *value;
    size_t slot_bytes;
};

/* What a round asks for. */
struct load_kind {
    bool set;
    unsigned pipeline, value_bytes;
    uint64_t keys;         /* chosen among so many, as if at random; 1: one hot key */
    bool ascending;        /* key_next counts up instead: keys not seen before */
    unsigned key_bytes;    /* "key:" and digits, 16 as redis-benchmark's; "k" and digits below 12 */
    const char *arguments; /* behind the value of SET: "$2\r\nPX\r\n..."; NULL: none */
    unsigned arguments_count;
};

/* Memory and durability are the caller's to choose in `l->config` between the two. */
void load_prepare(struct load *l);
void load_start(struct load *l, struct rte_mempool *pool, uint32_t connections);
void load_end(struct load *l);

/* One round; `turn` is bench_turn or one that measures. */
void load_round(struct load *l, const struct load_kind *k, void (*turn)(struct bench *b));
/* SETs every key of `k->keys` once. */
void load_fill(struct load *l, const struct load_kind *k);

#endif
