/* Frames in, frames out: cycles that the server spends on a keep-alive HTTP request, with software checksums and the real
 * HTTP service answering a 64-byte file from its cache; and the memory of an idle connection.
 *
 *   bench_stack [--connections N]... [--requests N] [--runs N] [--memory N]
 *
 * Only worker_turn is measured, by the time stamp counter, or by callgrind with --toggle-collect=measured_turn (see
 * instructions.sh). Requests come in bursts of 32, each of another connection, in an order that a cache cannot guess. */
#include <getopt.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "http/connection.h"
#include "http/http.h"
#include "stack/core/layers.h"
#include "stack/core/mailbox.h"
#include "stack/core/worker.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"
#include "tests/bench/client.h"
#include "tests/support/support.h"

#define REQUEST "GET /64 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
#define TURN (10 * MR_MICROSECOND) /* virtual time that passes from turn to turn */
#define RUNS_MAX 32

struct bench {
    struct mr_worker *worker;
    struct worker_group *group;
    struct bench_client client;
    struct mr_clock clock;
    mr_time now;
    uint64_t cycles, turns;
};

static mr_time clock_now(void *self)
{
    return ((struct bench *)self)->now;
}

static void turn(struct bench *b)
{
    b->now += TURN;
    worker_turn(b->worker, b->now);
    bench_client_collect(&b->client);
}

/* A function of its own for callgrind's --toggle-collect: setting up is not measured. */
__attribute__((noinline)) void measured_turn(struct mr_worker *w, mr_time now);
void measured_turn(struct mr_worker *w, mr_time now)
{
    worker_turn(w, now);
}

static void turn_measured(struct bench *b)
{
    b->now += TURN;
    uint64_t start = __rdtsc();
    measured_turn(b->worker, b->now);
    b->cycles += __rdtsc() - start;
    b->turns++;
    bench_client_collect(&b->client);
}

static void http_config_fill(struct http_config *c, char *root)
{
    *c = (struct http_config){
        .listen = {.port = 80},
        .root = root,
        .connections_max = 4 << 20,
        .requests_per_turn = 128,
        .line_bytes_max = 8192,
        .header_bytes_max = 16384,
        .header_count_max = 64,
        .body_bytes_max = 1 << 20,
        .buffers_max = 64,
        .header_timeout = 10 * MR_SECOND,
        .idle_timeout = 3600 * MR_SECOND,
        .body_timeout = 30 * MR_SECOND,
        .send_timeout = 30 * MR_SECOND,
        .linger_timeout = 5 * MR_SECOND,
        .cache_bytes = 1 << 20,
        .cache_file_bytes = 65536,
        .cache_entries = 64,
        .open_files_max = 4,
        .loads_max = 4,
        .stream_bytes = 1 << 20,
    };
}

static void root_make(char *root)
{
    char path[64];
    if (!mkdtemp(root))
        exit(99);
    snprintf(path, sizeof path, "%s/64", root);
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < 64; i++)
        fputc('x', f);
    if (!f || fclose(f))
        exit(99);
}

static void root_remove(const char *root)
{
    char path[64];
    snprintf(path, sizeof path, "%s/64", root);
    unlink(path);
    rmdir(root);
}

static void bench_start(struct bench *b, struct rte_mempool *pool, uint32_t connections, char *root)
{
    struct netif *n;
    struct http_config config;
    *b = (struct bench){.now = MR_SECOND};
    b->clock = (struct mr_clock){.self = b, .now = clock_now};
    if (!bench_client_init(&b->client, pool, connections, REQUEST))
        exit(99);
    b->worker = worker_create(&(struct worker_options){
        .seed = 1, .secret = {1, 2}, .pool = pool, .clock = &b->clock, .limits = {.connections = connections + 64}});
    b->group = worker_group_create(1, 0);
    worker_group_join(b->group, b->worker);
    if (!b->worker || worker_add_link(b->worker, &b->client.link, &n))
        exit(99);
    struct mr_address server = mr_address_ip4(BENCH_SERVER_IP), gateway = mr_address_ip4(BENCH_GATEWAY_IP);
    struct mr_address clients = mr_address_ip4(0x0a010000);
    netif_add_address(b->worker, n, &server, 24);
    route_add(b->worker, &clients, 16, &gateway, n);
    http_config_fill(&config, root);
    int error = worker_start_service(b->worker, &http_service, &config);
    if (error) {
        fprintf(stderr, "bench: http does not start: %s\n", mr_error_text(error));
        exit(99);
    }
}

static void bench_end(struct bench *b)
{
    worker_group_leave(b->worker);
    worker_destroy(b->worker);
    worker_group_destroy(b->group);
    bench_client_collect(&b->client);
    bench_client_release(&b->client);
}

static void connections_open(struct bench *b)
{
    for (uint32_t i = 0; i < b->client.connections; i += BENCH_BURST) {
        for (uint32_t k = i; k < i + BENCH_BURST && k < b->client.connections; k++)
            bench_client_open(&b->client, k);
        while (b->client.opened < RTE_MIN(i + BENCH_BURST, b->client.connections) || b->client.to_server_count)
            turn(b);
    }
}

/* One request of each of up to 32 connections, from `*next` on in steps of a number prime to their count. */
static void round_trip(struct bench *b, uint64_t *next)
{
    uint32_t n = RTE_MIN(b->client.connections, BENCH_BURST);
    uint64_t wanted = b->client.responses + n;
    for (uint32_t i = 0; i < n; i++, *next += 7919)
        bench_client_request(&b->client, (uint32_t)(*next % b->client.connections));
    for (int tries = 0; b->client.responses < wanted && tries < 8; tries++)
        turn_measured(b);
    if (b->client.responses < wanted || b->client.bad || b->client.resets) {
        char status[4096];
        mr_worker_status(b->worker, status, sizeof status);
        fprintf(stderr, "bench: %lu responses of %lu, %lu bad, %lu resets\n%s", (unsigned long)b->client.responses,
                (unsigned long)wanted, (unsigned long)b->client.bad, (unsigned long)b->client.resets, status);
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_requests(struct rte_mempool *pool, uint32_t connections, uint64_t requests, unsigned runs, char *root)
{
    struct bench b;
    double cycles[RUNS_MAX];
    uint64_t next = 0;
    bench_start(&b, pool, connections, root);
    connections_open(&b);
    for (unsigned r = 0; r <= runs; r++) { /* the first warms up */
        uint64_t before = b.client.responses;
        b.cycles = b.turns = 0;
        while (b.client.responses - before < requests)
            round_trip(&b, &next);
        if (r)
            cycles[r - 1] = (double)b.cycles / (double)(b.client.responses - before);
    }
    qsort(cycles, runs, sizeof *cycles, compare);
    printf("keep-alive request, %u connections: cycles min %.0f median %.0f max %.0f (%u runs of %lu requests, %.1f a turn)\n",
           connections, cycles[0], cycles[runs / 2], cycles[runs - 1], runs, (unsigned long)requests,
           (double)requests / (double)b.turns);
    fflush(stdout);
    bench_end(&b);
}

static long resident_bytes(void)
{
    long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
        exit(99);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static void bench_memory(struct rte_mempool *pool, uint32_t connections, char *root)
{
    struct bench b;
    bench_start(&b, pool, connections, root);
    memset(b.client.connection, 0xff, connections * sizeof *b.client.connection); /* ours, not the server's: touch it now */
    memset(b.client.connection, 0, connections * sizeof *b.client.connection);
    unsigned packets_before = rte_mempool_avail_count(pool);
    long before = resident_bytes();
    connections_open(&b);
    for (int i = 0; i < 8; i++)
        turn(&b);
    long used = resident_bytes() - before;
    const struct table *t = &b.worker->tcp->table;
    printf("idle connection, %u open: %.0f bytes resident in all; control block %zu, table %.1f, timer within; packets held %u\n",
           connections, (double)used / connections, sizeof(struct tcb), (double)t->bytes / connections,
           packets_before - rte_mempool_avail_count(pool));
    bench_end(&b);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"connections", required_argument, NULL, 'c'},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {0}};
    uint32_t connections[16], count = 0, memory = 0;
    uint64_t requests = 200000;
    unsigned runs = 5;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (o == 'c' && count < 16 && value)
            connections[count++] = (uint32_t)value;
        else if (o == 'n' && value)
            requests = value;
        else if (o == 'r' && value && value <= RUNS_MAX)
            runs = (unsigned)value;
        else if (o == 'm' && value)
            memory = (uint32_t)value;
        else
            return fprintf(stderr, "usage: bench_stack [--connections N]... [--requests N] [--runs N] [--memory N]\n"), 2;
    }
    char root[] = "/tmp/bench-www-XXXXXX";
    root_make(root);
    support_start_dpdk(512);
    struct rte_mempool *pool = support_pool(16383);
    for (uint32_t i = 0; i < count; i++)
        bench_requests(pool, connections[i], requests, runs, root);
    if (memory)
        bench_memory(pool, memory, root);
    root_remove(root);
    return 0;
}
