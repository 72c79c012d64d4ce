/* Frames in, frames out: cycles that the server spends on a keep-alive request, with software checksums; and the memory of
 * an idle connection. With the real HTTP service, or with one that answers canned bytes: then the stack alone.
 *
 *   bench_stack [--service http|canned] [--connections N]... [--requests N] [--runs N] [--memory N]
 *
 * Only worker_turn is measured, by the time stamp counter, or by callgrind with --toggle-collect=measured_turn (see
 * instructions.sh). Requests come in bursts of 32, each of another connection, in an order that a cache cannot guess. */
#include <getopt.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stack/core/worker.h"
#include "stack/tcp/tcp.h"
#include "tests/bench/bench.h"
#include "tests/support/support.h"

#define RUNS_MAX 32
#define PACKETS  32767

/* -- requests ------------------------------------------------------------------------------------------------------------ */

static void round_trip_failed(const struct bench *b, uint64_t wanted)
{
    char status[4096];
    mr_worker_status(b->worker, status, sizeof status);
    fprintf(stderr, "bench: %lu responses of %lu, %lu bad, %lu resets\n%s", (unsigned long)b->client.responses,
            (unsigned long)wanted, (unsigned long)b->client.bad, (unsigned long)b->client.resets, status);
    exit(1);
}

/* One request of each of up to 32 connections, from `*next` on in steps of a number prime to their count. */
static void round_trip(struct bench *b, uint64_t *next, void (*turn)(struct bench *b))
{
    uint32_t n = RTE_MIN(b->client.connections, BENCH_BURST);
    uint64_t wanted = b->client.responses + n;
    for (uint32_t i = 0; i < n; i++, *next += 7919)
        bench_client_request(&b->client, (uint32_t)(*next % b->client.connections));
    for (int tries = 0; b->client.responses < wanted && tries < 8; tries++)
        turn(b);
    if (b->client.responses < wanted || b->client.bad || b->client.resets)
        round_trip_failed(b, wanted);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_requests(struct rte_mempool *pool, enum bench_service service, uint32_t connections,
                           uint64_t requests, unsigned runs)
{
    struct bench b;
    double cycles[RUNS_MAX];
    uint64_t next = 0;
    bench_start(&b, pool, connections, service);
    bench_connections_open(&b);
    /* Two of each connection, so that those measured acknowledge a response, as most do. */
    while (b.client.responses < 2 * connections || b.client.responses < requests)
        round_trip(&b, &next, bench_turn);
    for (unsigned r = 0; r < runs; r++) {
        uint64_t before = b.client.responses;
        b.cycles = b.turns = 0;
        while (b.client.responses - before < requests)
            round_trip(&b, &next, bench_turn_measured);
        cycles[r] = (double)b.cycles / (double)(b.client.responses - before);
    }
    qsort(cycles, runs, sizeof *cycles, compare);
    printf(
        "keep-alive request, %s, %u connections: cycles min %.0f median %.0f max %.0f (%u runs of %lu requests, %.1f a "
        "turn)\n",
        bench_service_names[service], connections, cycles[0], cycles[runs / 2], cycles[runs - 1], runs,
        (unsigned long)requests, (double)requests / (double)b.turns);
    fflush(stdout);
    bench_end(&b);
}

/* -- memory -------------------------------------------------------------------------------------------------------------- */

static long resident_bytes(void)
{
    long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
        exit(99);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* What the client keeps is not the server's: touched before the first measure. */
static void client_memory_touch(struct bench_client *c)
{
    for (uint32_t i = 0; i < c->connections; i++)
        c->connection[i].unused = 1;
}

static void slab_print(const char *when, const struct slab *s)
{
    printf("  %s: %-21s %8u used, %8u touched, %4u bytes each\n", when, s->name, s->used, s->touched, s->stride);
}

static void bench_memory(struct rte_mempool *pool, enum bench_service service, uint32_t connections)
{
    struct bench b;
    bench_start(&b, pool, connections, service);
    client_memory_touch(&b.client);
    const struct tcp *tcp = b.worker->tcp;
    const struct slab *const slabs[] = {&tcp->connections, &tcp->half_open, &tcp->flights, &tcp->reasms,
                                        &tcp->bindings};
    unsigned packets = rte_mempool_avail_count(pool);
    long before = resident_bytes();
    bench_connections_open(&b);
    for (int i = 0; i < 8; i++)
        bench_turn(&b);
    double used = (double)(resident_bytes() - before) / connections, table = (double)tcp->table.bytes / connections;
    printf("idle connection, %s, %u open: %.0f bytes resident (control block with its timer %zu, flow table %.0f, the "
           "rest "
           "%.0f); packets held %u of %u\n",
           bench_service_names[service], connections, used, sizeof(struct tcb), table,
           used - sizeof(struct tcb) - table, packets - rte_mempool_avail_count(pool), packets);
    for (unsigned i = 0; i < sizeof slabs / sizeof *slabs; i++)
        slab_print("open", slabs[i]);
    bench_end(&b);
    printf("  ended: packets held %u\n", packets - rte_mempool_avail_count(pool));
    fflush(stdout);
}

/* -- command line -------------------------------------------------------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr,
            "usage: bench_stack [--service http|canned] [--connections N]... [--requests N] [--runs N] [--memory N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"service", required_argument, NULL, 's'},  {"connections", required_argument, NULL, 'c'},
        {"requests", required_argument, NULL, 'n'}, {"runs", required_argument, NULL, 'r'},
        {"memory", required_argument, NULL, 'm'},   {0}};
    enum bench_service service = BENCH_HTTP;
    uint32_t connections[16], count = 0, memory = 0;
    uint64_t requests = 200000;
    unsigned runs = 5;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (o == 's' && (!strcmp(optarg, "http") || !strcmp(optarg, "canned")))
            service = *optarg == 'h' ? BENCH_HTTP : BENCH_CANNED;
        else if (o == 'c' && count < 16 && value)
            connections[count++] = (uint32_t)value;
        else if (o == 'n' && value)
            requests = value;
        else if (o == 'r' && value && value <= RUNS_MAX)
            runs = (unsigned)value;
        else if (o == 'm' && value)
            memory = (uint32_t)value;
        else
            return usage();
    }
    if (optind < argc || (!count && !memory))
        return usage();
    support_start_dpdk(512);
    struct rte_mempool *pool = support_pool(PACKETS);
    for (uint32_t i = 0; i < count; i++)
        bench_requests(pool, service, connections[i], requests, runs);
    if (memory)
        bench_memory(pool, service, memory);
    return 0;
}
