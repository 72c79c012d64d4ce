/* The whole cache over a fake stack: one to three workers, connections of either protocol, little memory. The input is a script of
 * what peers, workers and time do. Every invariant is checked after each step, the fake stack checks the rules of the API (bytes that
 * were lent stay as they were until released), and at the end nothing may be left with anyone.
 *
 * The first byte chooses the world. A step is one byte: the low 4 bits say what, the next 2 which peer or worker, the top 2 how. A
 * command line goes on to the next newline, its words are parted by spaces and sent as a RESP array; `%3` in a word stands for the
 * fourth of fill_bytes[] bytes. Raw bytes have their number first. */
#include <assert.h>
#include <millrace/cache.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"
#include "tests/support/service_group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    LINE,
    LINE_AGAIN,
    RAW,
    RAW_QUIETLY,
    TURN,
    PASS,
    ACKNOWLEDGE,
    THROTTLE,
    END,
    RESET,
    POST_HOLD,
    MEMCACHED,
    INTERFACE,
    LINE_QUIETLY,
    PIPELINE,
    TURN_ALL
};
#define PEERS        4
#define WORKERS      3
#define WORDS_MAX    24
#define FILL_BUDGET  (3u << 20) /* of one input */
#define LINE_ROOM    (1u << 20)
#define REPEATS_MAX  64
#define COMMAND_ROOM 512

static const uint32_t fill_bytes[10] = {0, 1, 64, 511, 1024, 5000, 16384, 20000, 70000, 250000};
static const char *const policies[8] = {"allkeys-s3fifo", "allkeys-lru",   "volatile-ttl",    "noeviction",
                                        "allkeys-lfu",    "allkeys-sieve", "allkeys-tinylfu", "allkeys-random"};

struct world {
    unsigned workers;
    struct mr_worker *worker[WORKERS];
    struct cache *cache[WORKERS];
    struct cache_config config;
    struct service_group group;
    struct mr_stream *peer[PEERS];
    uint32_t fill_left;
    unsigned asked, answered; /* over the C interface */
};

/* -- lines ------------------------------------------------------------------------------------------------------------- */

static uint8_t line[LINE_ROOM + COMMAND_ROOM];

/* One word as a bulk string; 0: it is too long for what room there is. */
static size_t word_write(struct world *world, uint8_t *to, const uint8_t *word, size_t n)
{
    uint8_t *at = to + 16;
    for (size_t i = 0; i < n; i++) {
        if (word[i] != '%' || i + 1 == n || word[i + 1] < '0' || word[i + 1] > '9') {
            *at++ = word[i];
            continue;
        }
        uint32_t fill = fill_bytes[word[++i] - '0'];
        if (fill > world->fill_left || (size_t)(at - line) + fill > LINE_ROOM - COMMAND_ROOM)
            fill = 1;
        world->fill_left -= fill;
        memset(at, 'a' + (int)(world->fill_left % 26), fill);
        at += fill;
    }
    size_t length = (size_t)(at - to) - 16;
    char head[16];
    int h = snprintf(head, sizeof head, "$%zu\r\n", length);
    memcpy(to, head, (size_t)h);
    memmove(to + h, to + 16, length);
    memcpy(to + h + length, "\r\n", 2);
    return (size_t)h + length + 2;
}

static size_t line_write(struct world *world, const uint8_t *text, size_t n)
{
    const uint8_t *word[WORDS_MAX];
    size_t length[WORDS_MAX], at = 0, used;
    unsigned words = 0;
    while (at < n && words < WORDS_MAX) {
        const uint8_t *space = memchr(text + at, ' ', n - at);
        word[words] = text + at;
        length[words] = space ? (size_t)(space - text) - at : n - at;
        at += length[words] + 1;
        words++;
    }
    used = (size_t)snprintf((char *)line, sizeof line, "*%u\r\n", words);
    for (unsigned i = 0; i < words; i++)
        if (used + length[i] + 64 < LINE_ROOM)
            used += word_write(world, line + used, word[i], length[i]);
    return used;
}

static void send_pieces(struct mr_stream *s, const uint8_t *data, size_t n, unsigned how)
{
    static const size_t piece[4] = {SIZE_MAX, 1, 7, 1000};
    for (size_t at = 0; at < n && !fake_closed(s);) {
        size_t one = at < 200 || piece[how] > 100 ? piece[how] : n - at; /* long values not byte by byte */
        one = one < n - at ? one : n - at;
        fake_input(s, data + at, one);
        at += one;
    }
}

/* -- the C interface ------------------------------------------------------------------------------------------------------- */

static void answered(void *context, const struct mr_cache_answer *answer)
{
    struct world *world = context;
    world->answered++;
    for (size_t i = 0; i < answer->text.length; i++) /* every byte of it may be read */
        __asm__ volatile("" ::"r"(answer->text.data[i]));
}

static void ask(struct world *world, unsigned who, const uint8_t *text, size_t n)
{
    struct mr_span argv[WORDS_MAX];
    unsigned argc = 0;
    for (size_t at = 0; at < n && argc < WORDS_MAX;) {
        const uint8_t *space = memchr(text + at, ' ', n - at);
        argv[argc] = (struct mr_span){text + at, space ? (size_t)(space - text) - at : n - at};
        at += argv[argc++].length + 1;
    }
    if (mr_cache_command((struct mr_cache *)world->cache[who % world->workers], argc, argv, answered, world) == MR_OK)
        world->asked++;
}

/* -- steps ------------------------------------------------------------------------------------------------------------------ */

static void turn_all(struct world *world, unsigned times)
{
    for (unsigned i = 0; i < times * world->workers; i++)
        fake_turn(world->worker[i % world->workers]);
}

static bool worth_sending(const uint8_t *text, size_t n)
{
    return !memmem(text, n, "SLEEP", 5) && !memmem(text, n, "sleep", 5);
}

static size_t step(struct world *world, const uint8_t *data, size_t size)
{
    unsigned what = data[0] & 15, who = data[0] >> 4 & 3, how = data[0] >> 6;
    struct mr_worker *w = world->worker[who % world->workers];
    struct mr_stream **peer = &world->peer[who];
    const uint8_t *newline = memchr(data + 1, '\n', size - 1);
    size_t text = newline ? (size_t)(newline - data) - 1 : size - 1, n;
    if (!*peer || fake_closed(*peer))
        *peer = fake_open_listener(w, what == MEMCACHED);
    switch (what) {
    case LINE:
    case LINE_AGAIN:
        n = worth_sending(data + 1, text) ? line_write(world, data + 1, text) : 0;
        send_pieces(*peer, line, n, how);
        return text + 2;
    case LINE_QUIETLY:
        n = worth_sending(data + 1, text) ? line_write(world, data + 1, text) : 0;
        fake_input_quietly(*peer, line, n);
        return text + 2;
    case PIPELINE: /* the same many times */
        n = worth_sending(data + 1, text) ? line_write(world, data + 1, text) : 0;
        for (unsigned i = 1; i < (unsigned)REPEATS_MAX >> (2 * (3 - how)) && n < 20000; i++)
            fake_input_quietly(*peer, line, n);
        fake_input(*peer, line, n);
        return text + 2;
    case RAW:
    case RAW_QUIETLY:
        n = size > 1 ? data[1] : 0;
        n = size < 2 ? 0 : n < size - 2 ? n : size - 2;
        if (worth_sending(data + 2, n))
            (what == RAW ? fake_input : fake_input_quietly)(*peer, data + 2, n);
        return 2 + n;
    case TURN:
        fake_turn(w);
        break;
    case PASS:
        fake_pass(w, (mr_time)how * how * how * 40 * MR_MILLISECOND + MR_MILLISECOND);
        break;
    case ACKNOWLEDGE:
        fake_acknowledge(*peer, (size_t)1 << (6 * how + 4));
        break;
    case THROTTLE:
        fake_throttle(*peer, (size_t)1 << (5 * how + 3));
        break;
    case END:
        fake_end(*peer);
        break;
    case RESET:
        fake_reset(*peer);
        break;
    case POST_HOLD:
        fake_post_hold(w, how & 1);
        break;
    case MEMCACHED:
        break;
    case INTERFACE:
        ask(world, who, data + 1, text);
        return text + 2;
    case TURN_ALL:
        turn_all(world, 1 + 2 * how);
        break;
    }
    return 1;
}

/* -- the world --------------------------------------------------------------------------------------------------------------- */

static void world_start(struct world *world, uint8_t choice)
{
    static const uint64_t memory[4] = {3 << 20, 512 << 10, 256 << 10, 12 << 20};
    static const uint64_t client_memory[4] = {16 << 20, 1 << 20, 500 << 10, 330 << 10};
    unsigned workers = 1 + choice % 3, kind = choice / 3;
    *world = (struct world){.workers = workers,
                            .fill_left = FILL_BUDGET,
                            .config = {.memory_max = memory[kind & 3] * workers,
                                       .memcached.port = 11211,
                                       .policy = (char *)(uintptr_t)policies[kind / 3 & 7],
                                       .connections_max = 3,
                                       .client_memory_max = client_memory[kind >> 2 & 3],
                                       .query_bytes_max = 1 << 20,
                                       .reply_bytes_max = 200000,
                                       .push_bytes_max = 4000,
                                       .reply_timeout = 2 * MR_SECOND,
                                       .idle_timeout = 5 * MR_SECOND,
                                       .commands_per_turn = 5,
                                       .item_bytes_max = 100000}};
    service_group_start(&world->group, &cache_service, &world->config, workers);
    for (unsigned i = 0; i < workers; i++) {
        world->worker[i] = world->group.w[i];
        world->cache[i] = world->group.state[i];
    }
}

static void world_check(const struct world *world)
{
    for (unsigned i = 0; i < world->workers; i++) {
        cache_store_check(&world->cache[i]->store);
        memory_check(&world->cache[i]->clients);
        for (uint32_t k = 0; k < world->cache[i]->connections_used; k++)
            cache_connection_check(&world->cache[i]->connections[k]);
    }
}

static void world_pass(struct world *world, unsigned turns, mr_time each)
{
    for (unsigned i = 0; i < turns; i++)
        for (unsigned k = 0; k < world->workers; k++)
            fake_pass(world->worker[k], each);
}

static void peers_acknowledge(struct world *world)
{
    for (unsigned i = 0; i < PEERS; i++)
        if (world->peer[i])
            fake_acknowledge(world->peer[i], SIZE_MAX);
}

static void world_end(struct world *world)
{
    for (unsigned i = 0; i < world->workers; i++)
        fake_post_hold(world->worker[i], false);
    world_pass(world, 10, MR_MILLISECOND);
    service_group_stop(&world->group);
    world_pass(world, 40, 200 * MR_MILLISECOND);
    peers_acknowledge(world);
    for (unsigned i = 0; i < PEERS; i++)
        if (world->peer[i] && !fake_closed(world->peer[i]))
            fake_reset(world->peer[i]);
    world_pass(world, 40, MR_MILLISECOND);
    for (unsigned i = 0; i < world->workers; i++) {
        struct cache *cache = world->cache[i];
        assert(!fake_streams_open(world->worker[i]) && !cache->connections_open);
        assert(!cache->holder && !cache->hold_queue && !cache->stalled && !cache->waiters && !cache->drops);
        assert(!cache->gated && !cache->room_waiters && !cache->store_waiters && !cache->resumed);
        for (uint32_t k = 0; k < cache->connections_used; k++)
            assert(cache->connections[k].state == CACHE_CONNECTION_FREE);
    }
    assert(world->asked == world->answered);
    world_check(world);
    service_group_end(&world->group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    if (!size)
        return 0;
    world_start(&world, data[0]);
    for (size_t at = 1; at < size;) {
        at += step(&world, data + at, size - at);
        world_check(&world);
    }
    world_end(&world);
    return 0;
}
