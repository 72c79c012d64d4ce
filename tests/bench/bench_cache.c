/* Frames in, frames out: what the server spends on a command of the cache, with the real stack and the real service in process,
 * with software checksums.
 *
 *   bench_cache [--command get|set]... [--pipeline N]... [--value BYTES]... [--connections N]... [--keys N]... [--commands N]
 *               [--runs N] [--policy NAME]
 *   bench_cache --overhead      bytes of memory that a small key takes
 *   bench_cache --turns FOLDER  how long turns are during eviction, expiry, table growth and a snapshot (written to FOLDER)
 *
 * Only worker_turn is measured, by the time stamp counter, or by callgrind with --toggle-collect=measured_turn (see
 * instructions.sh). Commands come of up to 32 connections a turn; keys in an order that a cache cannot guess. */
#include <getopt.h>
#include <rte_cycles.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <x86intrin.h>

#include "cache/durability.h"
#include "cache/durable/log.h"
#include "tests/bench/load.h"
#include "tests/support/support.h"

#define RUNS_MAX 32
#define PACKETS  32767
#define LIST_MAX 8

struct list {
    unsigned long value[LIST_MAX];
    unsigned count;
};

struct plan {
    struct list set, pipeline, value, connections, keys;
    uint64_t commands;
    unsigned runs;
    char *policy;
};

static double nanoseconds(double cycles)
{
    return cycles * 1e9 / (double)rte_get_tsc_hz();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* -- speed --------------------------------------------------------------------------------------------------------------- */

static void speed_run(struct load *l, const struct load_kind *k, const struct plan *plan)
{
    double cycles[RUNS_MAX];
    uint64_t end = l->commands + plan->commands;
    while (l->commands < end) /* warm: caches, congestion windows */
        load_round(l, k, bench_turn);
    uint64_t hits = l->cache->store.stat.hits, misses = l->cache->store.stat.misses;
    for (unsigned r = 0; r < plan->runs; r++) {
        uint64_t before = l->commands;
        l->bench.cycles = l->bench.turns = 0;
        while (l->commands - before < plan->commands)
            load_round(l, k, bench_turn_measured);
        cycles[r] = (double)l->bench.cycles / (double)(l->commands - before);
    }
    hits = l->cache->store.stat.hits - hits;
    misses = l->cache->store.stat.misses - misses;
    qsort(cycles, plan->runs, sizeof *cycles, compare);
    double median = cycles[plan->runs / 2];
    printf("%s, %u bytes, %u pipelined, %u connections, %lu keys: cycles min %.0f median %.0f (ns %.0f, %.0f)",
           k->set ? "SET" : "GET", k->value_bytes, k->pipeline, l->bench.client.connections, (unsigned long)k->keys,
           cycles[0], median, nanoseconds(cycles[0]), nanoseconds(median));
    if (!k->set)
        printf(", %.1f%% hits", 100. * (double)hits / (double)(hits + misses));
    printf("; %u runs of %lu commands\n", plan->runs, (unsigned long)plan->commands);
    fflush(stdout);
}

static void bench_speed(struct rte_mempool *pool, const struct plan *p)
{
    for (unsigned n = 0; n < p->connections.count; n++)
        for (unsigned v = 0; v < p->value.count; v++)
            for (unsigned keys = 0; keys < p->keys.count; keys++) {
                struct load l;
                struct load_kind k = {
                    .key_bytes = 16, .value_bytes = (unsigned)p->value.value[v], .keys = p->keys.value[keys]};
                load_prepare(&l);
                l.config.policy = p->policy;
                load_start(&l, pool, (uint32_t)p->connections.value[n]);
                load_fill(&l, &k);
                for (unsigned i = 0; i < p->pipeline.count; i++)
                    for (unsigned s = 0; s < p->set.count; s++) {
                        k.pipeline = (unsigned)p->pipeline.value[i];
                        k.set = p->set.value[s];
                        speed_run(&l, &k, p);
                    }
                load_end(&l);
            }
}

/* -- bytes of a small key ------------------------------------------------------------------------------------------------- */

static void overhead_print(struct rte_mempool *pool, unsigned key_bytes, unsigned value_bytes, uint64_t keys)
{
    struct load l;
    struct load_kind k = {.key_bytes = key_bytes, .value_bytes = value_bytes, .keys = keys};
    load_prepare(&l);
    load_start(&l, pool, 1);
    uint64_t before = l.cache->store.memory.used;
    load_fill(&l, &k);
    uint64_t count = l.cache->store.database[0].count;
    double each = (double)(l.cache->store.memory.used - before) / (double)count;
    printf(
        "overhead: %lu keys of %u bytes with values of %u: %.1f bytes each, %.1f beyond key and value; %.1f resident\n",
        (unsigned long)count, key_bytes, value_bytes, each, each - key_bytes - value_bytes,
        (double)l.cache->store.memory.resident / (double)count);
    fflush(stdout);
    load_end(&l);
}

static void bench_overhead(struct rte_mempool *pool)
{
    static const uint64_t keys[] = {100000, 800000, 1000000};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        overhead_print(pool, 8, 8, keys[i]);
        overhead_print(pool, 16, 64, keys[i]);
    }
}

/* -- how long turns are ----------------------------------------------------------------------------------------------------- */

#define TURNS_MAX (1u << 21)

/* Of each turn, as long as the process was not made to wait for its core meanwhile: those are counted only. */
static struct {
    double *cycles;
    uint32_t count, interrupted;
} timed;

static long interruptions(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nivcsw;
}

static void bench_turn_timed(struct bench *b)
{
    uint64_t before = b->cycles;
    long interrupted = interruptions();
    bench_turn_measured(b);
    if (interruptions() != interrupted)
        timed.interrupted++;
    else if (timed.count < TURNS_MAX)
        timed.cycles[timed.count++] = (double)(b->cycles - before);
}

static void turns_print(const char *what)
{
    uint32_t n = timed.count, over = 0;
    qsort(timed.cycles, n, sizeof *timed.cycles, compare);
    for (uint32_t i = n; i-- && nanoseconds(timed.cycles[i]) > 100000;)
        over++;
#define AT(fraction) (nanoseconds(timed.cycles[(uint32_t)((double)(n - 1) * (fraction))]) / 1000)
    printf("turns, %s: %u, us p50 %.1f p99 %.1f p99.9 %.1f p99.99 %.1f max %.1f; %u over 100 us (%u interrupted, left "
           "out)\n",
           what, n, AT(.5), AT(.99), AT(.999), AT(.9999), AT(1), over, timed.interrupted);
#undef AT
    fflush(stdout);
    timed.count = timed.interrupted = 0;
}

/* GETs of one connection, 16 at a time, unless said otherwise; each scenario has a cache of its own. */
static const struct load_kind turn_get = {.pipeline = 16, .key_bytes = 16, .value_bytes = 64, .keys = 1000000};

static void turns_plain(struct rte_mempool *pool)
{
    struct load l;
    load_prepare(&l);
    load_start(&l, pool, 1);
    load_fill(&l, &turn_get);
    for (unsigned i = 0; i < 200000; i++)
        load_round(&l, &turn_get, bench_turn_timed);
    turns_print("GET alone, a million keys");
    load_end(&l);
}

static void turns_eviction(struct rte_mempool *pool, unsigned value_bytes, const char *what)
{
    struct load l;
    struct load_kind fill = {.key_bytes = 16, .value_bytes = 64, .keys = 1000000}, set = fill;
    load_prepare(&l);
    l.config.memory_max = 128 << 20;
    load_start(&l, pool, 1);
    load_fill(&l, &fill);
    l.key_next = 1000000;
    set.set = set.ascending = true;
    set.value_bytes = value_bytes;
    set.pipeline = 16;
    uint64_t evicted = l.cache->store.stat.evicted;
    for (unsigned i = 0; i < 30000; i++)
        load_round(&l, &set, bench_turn_timed);
    printf("%.1f evictions a command: ", (double)(l.cache->store.stat.evicted - evicted) / (16 * 30000));
    turns_print(what);
    load_end(&l);
}

static void turns_expiry(struct rte_mempool *pool)
{
    struct load l;
    struct load_kind get = turn_get, due = {.key_bytes = 15,
                                            .value_bytes = 64,
                                            .keys = 100000,
                                            .arguments = "$2\r\nPX\r\n$5\r\n10000\r\n",
                                            .arguments_count = 2};
    load_prepare(&l);
    load_start(&l, pool, 1);
    load_fill(&l, &turn_get);
    load_fill(&l, &due);
    l.bench.now += 11 * MR_SECOND;
    get.pipeline = 1;
    for (unsigned i = 0; i < 100000 && l.cache->store.stat.expired < 100000; i++)
        load_round(&l, &get, bench_turn_timed);
    printf("%lu expired: ", (unsigned long)l.cache->store.stat.expired);
    turns_print("100,000 keys expire at once, a GET a turn");
    load_end(&l);
}

static void turns_growth(struct rte_mempool *pool)
{
    struct load l;
    struct load_kind set = {.set = true, .ascending = true, .pipeline = 16, .key_bytes = 16, .value_bytes = 64};
    load_prepare(&l);
    load_start(&l, pool, 1);
    while (l.key_next < 2000000)
        load_round(&l, &set, bench_turn_timed);
    turns_print("SET of 2,000,000 new keys, the table grows");
    load_end(&l);
}

static void turns_snapshot(struct rte_mempool *pool, char *folder)
{
    struct load l;
    struct load_kind set = turn_get;
    load_prepare(&l);
    l.config.durability = CACHE_DURABLE_SNAPSHOT;
    l.config.folder = folder;
    l.bench.offload_threads = 1;
    load_start(&l, pool, 1);
    load_fill(&l, &turn_get);
    set.set = true;
    cache_turn_begin(l.cache);
    if (cache_durability_snapshot(l.cache, false) != MR_OK)
        exit(99);
    struct cache_log_status status = {.saving = true};
    while (status.saving) {
        load_round(&l, &turn_get, bench_turn_timed);
        load_round(&l, &set, bench_turn_timed);
        cache_log_status(l.cache->shared->log, &status);
    }
    if (!status.saves)
        exit(99);
    turns_print("GET and SET during a snapshot of a million keys");
    load_end(&l);
}

static void bench_turns(struct rte_mempool *pool, char *folder)
{
    timed.cycles = calloc(TURNS_MAX, sizeof *timed.cycles);
    turns_plain(pool);
    turns_eviction(pool, 64, "SET of 64 bytes, each evicts");
    turns_eviction(pool, 4096, "SET of 4 KB among 64-byte values, each evicts many");
    turns_expiry(pool);
    turns_growth(pool);
    turns_snapshot(pool, folder);
    free(timed.cycles);
}

/* -- command line ----------------------------------------------------------------------------------------------------------- */

static int usage(void)
{
    fprintf(
        stderr,
        "usage: bench_cache [--command get|set]... [--pipeline N]... [--value BYTES]... [--connections N]...\n"
        "                   [--keys N]... [--commands N] [--runs N] [--policy NAME] | --overhead | --turns FOLDER\n");
    return 2;
}

static bool list_add(struct list *l, unsigned long value, unsigned long most)
{
    if (l->count == LIST_MAX || value > most)
        return false;
    l->value[l->count++] = value;
    return true;
}

static void list_default(struct list *l, unsigned long value)
{
    if (!l->count)
        l->value[l->count++] = value;
}

static bool plan_read(int argc, char **argv, struct plan *p, bool *overhead, char **folder)
{
    static const struct option options[] = {{"command", required_argument, NULL, 'c'},
                                            {"pipeline", required_argument, NULL, 'p'},
                                            {"value", required_argument, NULL, 'v'},
                                            {"connections", required_argument, NULL, 'n'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"commands", required_argument, NULL, 'm'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"policy", required_argument, NULL, 'y'},
                                            {"overhead", no_argument, NULL, 'o'},
                                            {"turns", required_argument, NULL, 't'},
                                            {0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (o == 'c' && (!strcmp(optarg, "get") || !strcmp(optarg, "set")))
            list_add(&p->set, *optarg == 's', 1);
        else if (o == 'o')
            *overhead = true;
        else if (o == 't')
            *folder = optarg;
        else if (o == 'y')
            p->policy = optarg;
        else if (!value || (o == 'p' && !list_add(&p->pipeline, value, LOAD_PIPELINE_MAX)) ||
                 (o == 'v' && !list_add(&p->value, value, 4096)) ||
                 (o == 'n' && !list_add(&p->connections, value, 50000)) ||
                 (o == 'k' && !list_add(&p->keys, value, 10000000)) || (o == 'r' && value > RUNS_MAX))
            return false;
        else if (o == 'm')
            p->commands = value;
        else if (o == 'r')
            p->runs = (unsigned)value;
        else if (!strchr("pvnk", o))
            return false;
    }
    list_default(&p->pipeline, 1);
    list_default(&p->value, 64);
    list_default(&p->connections, 100);
    list_default(&p->keys, 100000);
    if (!p->set.count) {
        list_add(&p->set, 0, 1);
        list_add(&p->set, 1, 1);
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct plan plan = {.commands = 200000, .runs = 5, .policy = "allkeys-s3fifo"};
    bool overhead = false;
    char *folder = NULL;
    if (!plan_read(argc, argv, &plan, &overhead, &folder))
        return usage();
    support_start_dpdk(512);
    struct rte_mempool *pool = support_pool(PACKETS);
    if (overhead)
        bench_overhead(pool);
    if (folder)
        bench_turns(pool, folder);
    if (!overhead && !folder)
        bench_speed(pool, &plan);
    return 0;
}
