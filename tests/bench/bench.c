#include "tests/bench/bench.h"

#include <millrace/stream.h>
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

#define REQUEST "GET /64 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
#define TURN    (10 * MR_MICROSECOND) /* virtual time that passes from turn to turn */

const char *const bench_service_names[2] = {[BENCH_CANNED] = "canned", [BENCH_HTTP] = "http"};

/* -- the service that keeps nothing ------------------------------------------------------------------------------------ */

/* As long as what the HTTP service answers, so that both send alike. */
static const char canned_response[] =
    "HTTP/1.1 200 OK\r\nServer: millrace\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nContent-Type: "
    "application/octet-stream\r\n"
    "Last-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\nAccept-Ranges: bytes\r\nContent-Length: 64\r\n\r\n"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

static void canned_data(struct mr_stream *s)
{
    mr_stream_consume(s, mr_stream_readable(s));
    mr_stream_send(s, canned_response, sizeof canned_response - 1);
}

static void canned_close(struct mr_stream *s, enum mr_close_reason reason)
{
}

static int canned_start(struct mr_worker *w, const void *config, uint64_t *counters, void **state)
{
    static const struct mr_stream_handler handler = {.on_data = canned_data, .on_close = canned_close};
    const struct mr_endpoint local = {.port = 80};
    struct mr_listener *listener;
    return mr_listen(w, &local, &handler, NULL, NULL, &listener);
}

const struct mr_service bench_canned_service = {.name = "canned", .start = canned_start};

/* -- the HTTP service ---------------------------------------------------------------------------------------------------- */

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

/* -- the worker -------------------------------------------------------------------------------------------------------- */

static mr_time clock_now(void *self)
{
    return ((struct bench *)self)->now;
}

void bench_start_worker(struct bench *b, struct rte_mempool *pool, uint32_t connections, uint16_t port,
                        const char *request)
{
    struct netif *n;
    b->now = MR_SECOND;
    b->clock = (struct mr_clock){.self = b, .now = clock_now};
    if (!bench_client_init(&b->client, pool, connections, port, request))
        exit(99);
    b->worker = worker_create(&(struct worker_options){
        .seed = 1, .secret = {1, 2}, .pool = pool, .clock = &b->clock, .limits = {.connections = connections + 64}});
    b->group = worker_group_create(1, b->offload_threads);
    if (!b->worker || !b->group || worker_add_link(b->worker, &b->client.link, &n))
        exit(99);
    worker_group_join(b->group, b->worker);
    struct mr_address server = mr_address_ip4(BENCH_SERVER_IP), gateway = mr_address_ip4(BENCH_GATEWAY_IP);
    struct mr_address clients = mr_address_ip4(0x0a010000);
    netif_add_address(b->worker, n, &server, 24);
    route_add(b->worker, &clients, 16, &gateway, n);
}

void bench_start_service(struct bench *b, const struct mr_service *service, const void *config, void *shared)
{
    int error = worker_start_service(b->worker, service, config, shared);
    if (error) {
        fprintf(stderr, "bench: %s does not start: %s\n", service->name, mr_error_text(error));
        exit(99);
    }
}

void bench_start(struct bench *b, struct rte_mempool *pool, uint32_t connections, enum bench_service service)
{
    struct http_config config;
    *b = (struct bench){.root = "/tmp/bench-www-XXXXXX"};
    root_make(b->root);
    http_config_fill(&config, b->root);
    bench_start_worker(b, pool, connections, 80, REQUEST);
    bench_start_service(b, service == BENCH_HTTP ? &http_service : &bench_canned_service, &config, NULL);
}

void bench_end(struct bench *b)
{
    worker_group_leave(b->worker);
    worker_destroy(b->worker);
    worker_group_destroy(b->group);
    bench_client_collect(&b->client);
    bench_client_release(&b->client);
    if (b->root[0])
        root_remove(b->root);
}

static void turn_ends(struct bench *b)
{
    if (b->beside)
        b->beside(b);
    bench_client_collect(&b->client);
}

void bench_turn(struct bench *b)
{
    b->now += TURN;
    worker_turn(b->worker, b->now);
    turn_ends(b);
}

/* A function of its own for callgrind's --toggle-collect: setting up is not measured. */
__attribute__((noinline)) void measured_turn(struct mr_worker *w, mr_time now);
void measured_turn(struct mr_worker *w, mr_time now)
{
    worker_turn(w, now);
}

void bench_turn_measured(struct bench *b)
{
    b->now += TURN;
    uint64_t start = __rdtsc();
    measured_turn(b->worker, b->now);
    b->cycles += __rdtsc() - start;
    b->turns++;
    turn_ends(b);
}

void bench_connections_open(struct bench *b)
{
    for (uint32_t i = 0; i < b->client.connections; i += BENCH_BURST) {
        for (uint32_t k = i; k < i + BENCH_BURST && k < b->client.connections; k++)
            bench_client_open(&b->client, k);
        while (b->client.opened < RTE_MIN(i + BENCH_BURST, b->client.connections) || b->client.to_server_count)
            bench_turn(b);
    }
}
