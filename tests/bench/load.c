#include "tests/bench/load.h"

#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT            6379
#define ROUND_BYTES_MAX (1u << 20) /* of values in one round: more connections than that have to wait */
#define COMMAND_ROOM    160        /* a command without its value */
#define TURNS_MAX       4096       /* of one round */

static void payload(void *context, uint32_t connection, const uint8_t *data, unsigned n)
{
    struct load *l = context;
    struct load_slot *s = &l->slot[l->slot_of[connection]];
    uint64_t at = s->received, first = (at + l->unit - 1) / l->unit * l->unit;
    for (; first < at + n; first += l->unit)
        l->bench.client.bad += data[first - at] != (uint8_t)l->first;
    s->received += n;
    l->commands += s->received / l->unit - at / l->unit;
    l->bench.client.bad += s->connection != connection || s->received > s->expected;
}

void load_prepare(struct load *l)
{
    *l = (struct load){.config = {.listen = {.port = PORT},
                                  .memory_max = UINT64_C(2) << 30,
                                  .policy = "allkeys-s3fifo",
                                  .connections_max = 65536,
                                  .client_memory_max = 256 << 20,
                                  .query_bytes_max = 1 << 30,
                                  .reply_bytes_max = 64 << 20,
                                  .push_bytes_max = 32 << 20,
                                  .reply_timeout = 60 * MR_SECOND,
                                  .commands_per_turn = 256,
                                  .item_bytes_max = 1 << 20,
                                  .fsync = CACHE_FSYNC_EVERYSEC}};
}

void load_start(struct load *l, struct rte_mempool *pool, uint32_t connections)
{
    if (cache_service.open(&l->config, 1, &l->shared) != MR_OK)
        exit(99);
    bench_start_worker(&l->bench, pool, connections, PORT, NULL);
    bench_start_service(&l->bench, &cache_service, &l->config, l->shared);
    l->cache = ((struct cache_shared *)l->shared)->instance[0];
    l->slot_bytes = ROUND_BYTES_MAX + (size_t)LOAD_PIPELINE_MAX * COMMAND_ROOM;
    l->slot_of = calloc(connections, sizeof *l->slot_of);
    l->value = malloc(ROUND_BYTES_MAX);
    for (unsigned i = 0; i < BENCH_BURST; i++)
        l->slot[i].bytes = malloc(l->slot_bytes);
    memset(l->value, 'x', ROUND_BYTES_MAX);
    l->bench.client.payload = payload;
    l->bench.client.context = l;
    bench_connections_open(&l->bench);
}

void load_end(struct load *l)
{
    bench_end(&l->bench);
    cache_service.close(l->shared);
    for (unsigned i = 0; i < BENCH_BURST; i++)
        free(l->slot[i].bytes);
    free(l->slot_of);
    free(l->value);
}

static void round_failed(const struct load *l)
{
    char status[4096];
    mr_worker_status(l->bench.worker, status, sizeof status);
    fprintf(stderr, "bench: replies are missing or wrong: %lu bad, %lu resets\n%s", (unsigned long)l->bench.client.bad,
            (unsigned long)l->bench.client.resets, status);
    exit(1);
}

/* Neighbours in this order lie nowhere near each other. */
static uint64_t key_choose(struct load *l, const struct load_kind *k)
{
    uint64_t n = l->key_next++;
    if (k->ascending)
        return n;
    n = (n ^ n >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return (n ^ n >> 29) % k->keys;
}

static size_t command_write(struct load *l, const struct load_kind *k, char *out)
{
    unsigned long key = key_choose(l, k);
    const char *prefix = k->key_bytes < 12 ? "k" : "key:";
    int digits = (int)(k->key_bytes - strlen(prefix)), n;
    if (!k->set)
        return (size_t)sprintf(out, "*2\r\n$3\r\nGET\r\n$%u\r\n%s%0*lu\r\n", k->key_bytes, prefix, digits, key);
    n = sprintf(out, "*%u\r\n$3\r\nSET\r\n$%u\r\n%s%0*lu\r\n$%u\r\n", 3 + k->arguments_count, k->key_bytes, prefix,
                digits, key, k->value_bytes);
    memcpy(out + n, l->value, k->value_bytes);
    n += (int)k->value_bytes;
    return (size_t)n + (size_t)sprintf(out + n, "\r\n%s", k->arguments ? k->arguments : "");
}

static void slot_fill(struct load *l, const struct load_kind *k, unsigned i)
{
    struct load_slot *s = &l->slot[i];
    s->connection = (uint32_t)(l->connection_next % l->bench.client.connections);
    l->connection_next += 7919; /* prime to any count here: an order that a cache cannot guess */
    l->slot_of[s->connection] = (uint16_t)i;
    s->length = s->sent = 0;
    for (unsigned c = 0; c < k->pipeline; c++)
        s->length += command_write(l, k, s->bytes + s->length);
    s->expected = l->unit * k->pipeline;
    s->received = 0;
}

static bool slots_send(struct load *l)
{
    bool waiting = false;
    for (unsigned i = 0; i < l->slots; i++) {
        struct load_slot *s = &l->slot[i];
        s->sent += bench_client_send(&l->bench.client, s->connection, s->bytes + s->sent, s->length - s->sent);
        waiting |= s->received < s->expected;
    }
    return waiting;
}

void load_round(struct load *l, const struct load_kind *k, void (*turn)(struct bench *b))
{
    uint64_t together = ROUND_BYTES_MAX / ((uint64_t)k->pipeline * (k->value_bytes + COMMAND_ROOM));
    char length[24];
    l->slots = (unsigned)RTE_MIN(RTE_MIN((uint64_t)l->bench.client.connections, BENCH_BURST), RTE_MAX(together, 1ul));
    l->first = k->set ? '+' : '$';
    l->unit = k->set ? 5 : (uint64_t)sprintf(length, "$%u\r\n", k->value_bytes) + k->value_bytes + 2;
    for (unsigned i = 0; i < l->slots; i++)
        slot_fill(l, k, i);
    for (int turns = 0; slots_send(l); turns++) {
        if (turns == TURNS_MAX || l->bench.client.bad || l->bench.client.resets)
            round_failed(l);
        turn(&l->bench);
    }
}

void load_fill(struct load *l, const struct load_kind *k)
{
    struct load_kind fill = *k;
    fill.set = fill.ascending = true;
    fill.pipeline = 64;
    l->key_next = 0;
    while (l->key_next < k->keys)
        load_round(l, &fill, bench_turn);
    l->key_next = 0;
}
