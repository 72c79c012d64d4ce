/* Frames in, frames out, through the proxy: cycles that it spends on a request, with software checksums, both connections'.
 *
 *   bench_proxy [--mode http|tcp|cached] [--backends N] [--connections N] [--body BYTES] [--requests N] [--runs N]
 *
 *   client (frames) --link-- proxy's worker --pipe-- another worker: the backends, one address each
 *
 * Only the turns of the proxy's worker are measured (see bench_stack.c). Requests come in bursts of 32, each of another connection. */
#include <getopt.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "proxy/proxy.h"
#include "stack/core/layers.h"
#include "stack/core/mailbox.h"
#include "stack/core/worker.h"
#include "stack/route/route.h"
#include "tests/bench/bench.h"
#include "tests/bench/pipe.h"
#include "tests/support/support.h"
#include "tools/millrace/config.h"

#define RUNS_MAX     32
#define BACKENDS_MAX 8
#define PACKETS      65535
#define REQUEST      "GET /64 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
#define PROXY_SIDE   0x0a090001u /* 10.9.0.1; backends are 10.9.0.2 and following */

enum mode { MODE_HTTP, MODE_TCP, MODE_CACHED };
static const char *const mode_names[] = {"http", "tcp", "cached"};

struct options {
    enum mode mode;
    unsigned backends, connections, body, runs;
    uint64_t requests;
};

static struct proxy_bench {
    struct bench bench; /* first: `beside` is given it */
    struct bench_pipe pipe;
    struct mr_worker *backend;
    struct worker_group *group;
    char *response;
    size_t response_bytes;
    uint64_t *received; /* bytes of each connection since the last request */
    uint64_t whole, expected;
} pb;

/* -- the backends ---------------------------------------------------------------------------------------------------------- */

static void response_given_back(void *argument)
{
}

static void backend_data(struct mr_stream *s)
{
    mr_stream_consume(s, mr_stream_readable(s));
    if (!mr_stream_lend(s, pb.response, pb.response_bytes, response_given_back, NULL)) {
        fprintf(stderr, "bench: a backend has no room for a response\n");
        exit(1);
    }
}

static void backend_close(struct mr_stream *s, enum mr_close_reason reason)
{
}

static int backend_start(struct mr_worker *w, const void *config, uint64_t *counters, void **state)
{
    static const struct mr_stream_handler handler = {.on_data = backend_data, .on_close = backend_close};
    const struct mr_stream_options options = {.send_budget = 1 << 20, .nodelay = true};
    const struct mr_endpoint local = {.port = 80};
    struct mr_listener *listener;
    return mr_listen(w, &local, &handler, &options, NULL, &listener);
}

static const struct mr_service backend_service = {.name = "backend", .start = backend_start};

/* Without Date what is cached is as old as its arrival, and stays fresh. */
static void response_make(unsigned body, enum mode mode)
{
    pb.response = malloc(body + 512);
    if (!pb.response)
        exit(99);
    int head = snprintf(
        pb.response, 512,
        "HTTP/1.1 200 OK\r\nServer: backend\r\n%sContent-Type: text/plain\r\n"
        "Cache-Control: max-age=3600\r\nContent-Length: %u\r\n\r\n",
        mode == MODE_CACHED ? "" : "Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n", body);
    memset(pb.response + head, 'x', body);
    pb.response_bytes = (size_t)head + body;
}

static void backends_start(struct rte_mempool *pool, const struct options *o)
{
    struct netif *n;
    pb.backend = worker_create(&(struct worker_options){.seed = 2,
                                                        .secret = {3, 4},
                                                        .pool = pool,
                                                        .clock = &pb.bench.clock,
                                                        .limits = {.connections = 2 * o->connections + 1024}});
    pb.group = worker_group_create(1, 0);
    if (!pb.backend || !pb.group || worker_add_link(pb.backend, &pb.pipe.end[1].link, &n))
        exit(99);
    worker_group_join(pb.group, pb.backend);
    for (unsigned i = 1; i <= o->backends; i++) {
        struct mr_address a = mr_address_ip4(PROXY_SIDE + i);
        netif_add_address(pb.backend, n, &a, 24);
    }
    if (worker_start_service(pb.backend, &backend_service, NULL, NULL))
        exit(99);
}

static void backends_turn(struct bench *b)
{
    bench_pipe_carry(&pb.pipe);
    worker_turn(pb.backend, b->now);
    bench_pipe_carry(&pb.pipe);
}

/* -- the proxy ------------------------------------------------------------------------------------------------------------- */

static struct config *configuration(const struct options *o)
{
    static const struct mr_service *const services[] = {&proxy_service, NULL};
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "interfaces: [{name: bench0, address: 10.0.0.2/24}]\n"
                     "services:\n"
                     "  - proxy:\n"
                     "      listeners: [{name: front, listen: \":80\", mode: %s, upstream: app}]\n"
                     "      routes: [{name: all, upstream: app, cache: %s}]\n"
                     "      cache: {bytes: %s}\n"
                     "      limits: {sessions: %u, connections: %u}\n"
                     "      upstreams:\n"
                     "        - name: app\n"
                     "          idle_max: 65536\n"
                     "          backends:\n",
                     o->mode == MODE_TCP ? "tcp" : "http", o->mode == MODE_CACHED ? "true" : "false",
                     o->mode == MODE_CACHED ? "16MiB" : "0", o->connections + 64, o->connections + 64);
    for (unsigned i = 1; i <= o->backends; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "            - {address: 10.9.0.%u:80}\n", 1 + i);
    static struct config_report report;
    config_report_init(&report, "bench");
    struct config *c = config_parse("bench", text, (size_t)n, services, &report);
    if (!c) {
        config_report_print(&report, stderr);
        exit(99);
    }
    return c;
}

static void payload_in(void *context, uint32_t connection, const uint8_t *data, unsigned n)
{
    if ((pb.received[connection] += n) == pb.expected)
        pb.whole++;
}

static void proxy_start(struct rte_mempool *pool, const struct options *o, struct config *c, void **shared)
{
    struct netif *n;
    bench_start_worker(&pb.bench, pool, 2 * o->connections, 80, REQUEST);
    pb.bench.client.connections = o->connections;
    pb.bench.client.payload = payload_in;
    if (worker_add_link(pb.bench.worker, &pb.pipe.end[0].link, &n))
        exit(99);
    struct mr_address side = mr_address_ip4(PROXY_SIDE);
    netif_add_address(pb.bench.worker, n, &side, 24);
    backends_start(pool, o);
    pb.bench.beside = backends_turn;
    if (proxy_service.open(c->service[0].values, 1, shared))
        exit(99);
    bench_start_service(&pb.bench, &proxy_service, c->service[0].values, *shared);
}

/* Address detection and neighbours first, each backend's by a request of its own; the last tells how long a response is: of the
 * cache, when there is one. */
static void learn(const struct options *o)
{
    for (int i = 0; i < 1000; i++) {
        pb.bench.now += 10 * MR_MILLISECOND;
        bench_turn(&pb.bench);
    }
    bench_connections_open(&pb.bench);
    pb.expected = UINT64_MAX;
    for (unsigned k = 0; k < o->backends + (o->mode == MODE_CACHED); k++) {
        pb.received[0] = 0;
        bench_client_request(&pb.bench.client, 0);
        for (int i = 0; i < 2000; i++)
            bench_turn(&pb.bench);
    }
    pb.expected = pb.received[0];
    if (pb.expected < pb.response_bytes || pb.bench.client.bad) {
        fprintf(stderr, "bench: no response through the proxy (%lu bytes)\n", (unsigned long)pb.expected);
        exit(1);
    }
}

/* -- measuring ------------------------------------------------------------------------------------------------------------- */

static void round_trip(const struct options *o, uint64_t *next, void (*turn)(struct bench *b))
{
    unsigned n = o->connections < BENCH_BURST ? o->connections : BENCH_BURST;
    uint64_t wanted = pb.whole + n;
    for (unsigned i = 0; i < n; i++, *next += 7919) {
        uint32_t k = (uint32_t)(*next % o->connections);
        pb.received[k] = 0;
        bench_client_request(&pb.bench.client, k);
    }
    for (int tries = 0; pb.whole < wanted && tries < 4096; tries++)
        turn(&pb.bench);
    if (pb.whole < wanted || pb.bench.client.resets) {
        char status[8192];
        mr_worker_status(pb.bench.worker, status, sizeof status);
        fprintf(stderr, "bench: %lu responses of %lu, %lu resets\n%s", (unsigned long)pb.whole, (unsigned long)wanted,
                (unsigned long)pb.bench.client.resets, status);
        exit(1);
    }
}

static double tsc_per_ns(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint64_t start = __rdtsc();
    do
        clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec < 50000000l);
    return (double)(__rdtsc() - start) / (double)((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct options *o)
{
    double ns[RUNS_MAX], rate = tsc_per_ns();
    uint64_t next = 1, requests = 0;
    for (uint64_t warm = 0; warm < 2 * o->connections + 1000; warm += BENCH_BURST)
        round_trip(o, &next, bench_turn);
    for (unsigned r = 0; r < o->runs; r++) {
        uint64_t before = pb.whole;
        pb.bench.cycles = pb.bench.turns = 0;
        while (pb.whole - before < o->requests)
            round_trip(o, &next, bench_turn_measured);
        requests = pb.whole - before;
        ns[r] = (double)pb.bench.cycles / (double)requests / rate;
    }
    qsort(ns, o->runs, sizeof *ns, compare);
    printf("proxied request, %s, %u backends, %u connections, %u bytes: ns min %.0f median %.0f max %.0f (%u runs of "
           "%lu requests, %.1f a "
           "turn; %.2f cycles a ns)\n",
           mode_names[o->mode], o->backends, o->connections, o->body, ns[0], ns[o->runs / 2], ns[o->runs - 1], o->runs,
           (unsigned long)requests, (double)requests / (double)pb.bench.turns, rate);
}

/* -- command line ---------------------------------------------------------------------------------------------------------- */

static bool mode_of(const char *text, enum mode *out)
{
    for (unsigned i = 0; i < sizeof mode_names / sizeof *mode_names; i++)
        if (!strcmp(text, mode_names[i])) {
            *out = (enum mode)i;
            return true;
        }
    return false;
}

static bool options_read(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"mode", required_argument, NULL, 'm'},
                                            {"backends", required_argument, NULL, 'b'},
                                            {"body", required_argument, NULL, 'y'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {0}};
    *o = (struct options){.backends = 1, .connections = 100, .body = 64, .runs = 5, .requests = 100000};
    for (int k; (k = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (k == 'm' && mode_of(optarg, &o->mode))
            continue;
        if (k == 'b' && value && value <= BACKENDS_MAX)
            o->backends = (unsigned)value;
        else if (k == 'y' && value && value <= 1 << 20)
            o->body = (unsigned)value;
        else if (k == 'c' && value && value <= 100000)
            o->connections = (unsigned)value;
        else if (k == 'n' && value)
            o->requests = value;
        else if (k == 'r' && value && value <= RUNS_MAX)
            o->runs = (unsigned)value;
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct options o;
    void *shared = NULL;
    if (!options_read(argc, argv, &o)) {
        fprintf(stderr, "usage: bench_proxy [--mode http|tcp|cached] [--backends N] [--connections N] [--body BYTES] "
                        "[--requests N] "
                        "[--runs N]\n");
        return 2;
    }
    support_start_dpdk(512);
    struct rte_mempool *pool = support_pool(PACKETS);
    pb.received = calloc(2 * o.connections, sizeof *pb.received);
    bench_pipe_init(&pb.pipe, pool);
    response_make(o.body, o.mode);
    struct config *c = configuration(&o);
    proxy_start(pool, &o, c, &shared);
    learn(&o);
    measure(&o);
    bench_end(&pb.bench);
    worker_group_leave(pb.backend);
    worker_destroy(pb.backend);
    worker_group_destroy(pb.group);
    bench_pipe_release(&pb.pipe);
    proxy_service.close(shared);
    config_free(c);
    free(pb.received);
    free(pb.response);
    return 0;
}
