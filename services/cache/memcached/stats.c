/* `stats`: the names that memcached's tools look for, with what they mean here. One slab class stands for all memory. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/memcached/memcached.h"

struct sums {
    uint64_t items, bytes, limit, hits, misses, evicted, expired;
    uint64_t connections, connections_all, connections_refused, bytes_in, bytes_out;
};

struct output {
    struct cache_call *call;
    const struct cache_memcached_request *r;
    const struct cache_memcached_writer *writer;
    struct sums sums;
};

static void line(const struct output *o, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void line(const struct output *o, const char *name, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    o->writer->statistic(o->call->reply, o->r, name, text);
}

static void sum(struct output *o)
{
    struct sums *t = &o->sums;
    struct cache_store *s;
    for (unsigned i = 0; (s = cache_call_each_store(o->call, i)); i++) {
        const struct cache *owner = o->call->cache->shared->instance[i];
        t->items += s->database[o->call->database].count;
        t->bytes += s->memory.used;
        t->limit += s->memory.limit;
        t->hits += s->stat.hits;
        t->misses += s->stat.misses;
        t->evicted += s->stat.evicted;
        t->expired += s->stat.expired;
        t->connections += owner->connections_open;
        t->connections_all += owner->counters[CACHE_COUNTER_CONNECTIONS];
        t->connections_refused += owner->counters[CACHE_COUNTER_CONNECTIONS_REFUSED];
        t->bytes_in += owner->counters[CACHE_COUNTER_BYTES_IN];
        t->bytes_out += owner->counters[CACHE_COUNTER_BYTES_OUT];
    }
}

static void general(const struct output *o)
{
    const struct cache *cache = o->call->cache;
    const struct sums *t = &o->sums;
    uint64_t now_s = o->call->now_ms / 1000;
    line(o, "pid", "%ld", (long)getpid());
    line(o, "uptime", "%" PRIu64, now_s - cache->shared->started_ms / 1000);
    line(o, "time", "%" PRIu64, now_s);
    line(o, "version", "%s", CACHE_MEMCACHED_VERSION);
    line(o, "pointer_size", "%zu", 8 * sizeof(void *));
    line(o, "max_connections", "%" PRIu64, cache->settings.clients_max * cache->workers);
    line(o, "curr_connections", "%" PRIu64, t->connections);
    line(o, "total_connections", "%" PRIu64, t->connections_all);
    line(o, "rejected_connections", "%" PRIu64, t->connections_refused);
    line(o, "cmd_get", "%" PRIu64, t->hits + t->misses);
    line(o, "get_hits", "%" PRIu64, t->hits);
    line(o, "get_misses", "%" PRIu64, t->misses);
    line(o, "bytes_read", "%" PRIu64, t->bytes_in);
    line(o, "bytes_written", "%" PRIu64, t->bytes_out);
    line(o, "limit_maxbytes", "%" PRIu64, cache->settings.memory_max);
    line(o, "accepting_conns", "1");
    line(o, "threads", "%u", cache->workers);
    line(o, "bytes", "%" PRIu64, t->bytes);
    line(o, "curr_items", "%" PRIu64, t->items);
    line(o, "evictions", "%" PRIu64, t->evicted);
    line(o, "expired", "%" PRIu64, t->expired);
}

static void settings(const struct output *o)
{
    const struct cache *cache = o->call->cache;
    line(o, "maxbytes", "%" PRIu64, cache->settings.memory_max);
    line(o, "maxconns", "%" PRIu64, cache->settings.clients_max * cache->workers);
    line(o, "tcpport", "%u", cache->config->memcached.port);
    line(o, "udpport", "0");
    line(o, "evictions", "%s", strcmp(cache->settings.policy, "noeviction") == 0 ? "off" : "on");
    line(o, "domain_socket", "NULL");
    line(o, "num_threads", "%u", cache->workers);
    line(o, "cas_enabled", "yes");
    line(o, "auth_enabled_sasl", "no");
    line(o, "item_size_max", "%" PRIu64, cache->config->item_bytes_max);
    line(o, "flush_enabled", "yes");
    line(o, "shutdown_command", "no");
    line(o, "binding_protocol", "auto-negotiate");
}

static void items(const struct output *o)
{
    if (!o->sums.items)
        return;
    line(o, "items:1:number", "%" PRIu64, o->sums.items);
    line(o, "items:1:mem_requested", "%" PRIu64, o->sums.bytes);
    line(o, "items:1:evicted", "%" PRIu64, o->sums.evicted);
    line(o, "items:1:reclaimed", "%" PRIu64, o->sums.expired);
}

static void slabs(const struct output *o)
{
    line(o, "1:used_chunks", "%" PRIu64, o->sums.items);
    line(o, "1:mem_requested", "%" PRIu64, o->sums.bytes);
    line(o, "active_slabs", "1");
    line(o, "total_malloced", "%" PRIu64, o->sums.bytes);
}

static void sizes(const struct output *o)
{
    line(o, "sizes_status", "disabled");
}

static void nothing(const struct output *o)
{
}

static const struct {
    const char *name;
    void (*write)(const struct output *o);
} kinds[] = {
    {"", general},    {"settings", settings}, {"items", items},    {"slabs", slabs},
    {"sizes", sizes}, {"conns", nothing},     {"detail", nothing},
};

/* The counters are Redis's INFO as well: they are answered as reset, and go on. */
static bool reset(const struct output *o, struct mr_span name)
{
    if (name.length != 5 || memcmp(name.data, "reset", 5) != 0)
        return false;
    if (o->r->dialect == CACHE_MEMCACHED_BINARY)
        o->writer->statistic(o->call->reply, o->r, NULL, "");
    else
        o->writer->answer(o->call->reply, o->r, name, CACHE_MEMCACHED_RESET, NULL);
    return true;
}

enum cache_outcome cache_memcached_stats(struct cache_call *call)
{
    struct cache_memcached_request r;
    if (!cache_memcached_request_of(call, &r) || r.dialect == CACHE_MEMCACHED_META)
        return CACHE_DONE;
    struct output o = {.call = call, .r = &r, .writer = cache_memcached_writer(&r)};
    struct mr_span name = call->argc > 2 ? cache_argument_span(&call->argv[2]) : (struct mr_span){NULL, 0};
    if (reset(&o, name))
        return CACHE_DONE;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (name.length == strlen(kinds[i].name) &&
            memcmp(kinds[i].name, name.data ? name.data : (const uint8_t *)"", name.length) == 0) {
            sum(&o);
            kinds[i].write(&o);
            o.writer->statistic(call->reply, &r, NULL, "");
            return CACHE_DONE;
        }
    enum cache_memcached_answer unknown =
        r.dialect == CACHE_MEMCACHED_BINARY ? CACHE_MEMCACHED_NOT_FOUND : CACHE_MEMCACHED_ERROR;
    o.writer->answer(call->reply, &r, name, unknown, NULL);
    return CACHE_DONE;
}
