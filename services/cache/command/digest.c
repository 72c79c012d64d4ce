/* DEBUG DIGEST: one number for all that the keyspace holds, whatever the order, the encoding, or the number of shards: tests
 * compare two servers, or one before and after a restart. Not against an adversary. */
#include "cache/command/digest.h"

#include <string.h>

#include "cache/cache.h"
#include "cache/type/hash.h"
#include "cache/type/list.h"
#include "cache/type/set.h"
#include "cache/type/zset.h"

#define LANES CACHE_DIGEST_LANES

/* FNV-1a, with a seed and a factor for each lane. */
static const uint64_t seeds[LANES] = {0xcbf29ce484222325, 0x84222325cbf29ce4, 0x9ae16a3b2f90404f};
static const uint64_t factors[LANES] = {0x100000001b3, 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};

static struct cache_digest begun(void)
{
    struct cache_digest d;
    memcpy(d.lane, seeds, sizeof d.lane);
    return d;
}

static void add_bytes(struct cache_digest *d, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < LANES; k++)
            d->lane[k] = (d->lane[k] ^ p[i]) * factors[k];
}

/* With its length, so that "ab" "c" is not "a" "bc". */
static void add_span(struct cache_digest *d, struct mr_span s)
{
    uint64_t length = s.length;
    add_bytes(d, s.data, s.length);
    add_bytes(d, &length, sizeof length);
}

static void add_rope(struct cache_digest *d, const struct cache_rope *rope)
{
    uint64_t length = rope->length;
    for (uint64_t at = 0; at < length;) {
        struct cache_extent *extent;
        struct mr_span s = cache_rope_at(rope, at, &extent);
        add_bytes(d, s.data, s.length);
        at += s.length;
    }
    add_bytes(d, &length, sizeof length);
}

/* The finish of SplitMix64: every bit of a lane depends on all that went in, so that sums of many tell them apart. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Into a sum whose order does not matter. */
static void sum(struct cache_digest *to, const struct cache_digest *d)
{
    for (unsigned k = 0; k < LANES; k++)
        to->lane[k] += mixed(d->lane[k]);
}

/* -- values ------------------------------------------------------------------------------------------------------------------ */

static void add_string(struct cache_digest *d, const struct cache_entry *e)
{
    char digits[24];
    uint64_t length = cache_string_length(e);
    for (uint64_t at = 0; at < length;) {
        struct cache_extent *extent;
        struct mr_span s = cache_string_at(e, at, digits, &extent);
        add_bytes(d, s.data, s.length);
        at += s.length;
    }
    add_bytes(d, &length, sizeof length);
}

static void add_list(struct cache_digest *d, const struct cache_entry *e)
{
    for (struct cache_list_at at = cache_list_first(cache_list_of(e)); at.node; at = cache_list_next(at)) {
        struct cache_list_element x = cache_list_get(at);
        if (x.span.data || !x.rope)
            add_span(d, x.span);
        else
            add_rope(d, x.rope);
    }
}

static bool sum_member(struct mr_span member, void *argument)
{
    struct cache_digest d = begun();
    add_span(&d, member);
    sum(argument, &d);
    return true;
}

static void sum_pair(const struct cache_hash_pair *pair, void *argument)
{
    struct cache_digest d = begun();
    add_span(&d, pair->field);
    if (pair->value.rope)
        add_rope(&d, pair->value.rope);
    else
        add_span(&d, pair->value.bytes);
    sum(argument, &d);
}

static void sum_zset(struct cache_digest *total, struct cache_store *s, struct cache_entry *e)
{
    struct cache_zset z = cache_zset_of(s, e);
    for (cache_zset_at at = cache_zset_at_rank(&z, 0); at; at = cache_zset_next(&z, at)) {
        struct cache_zset_element x = cache_zset_get(&z, at);
        struct cache_digest d = begun();
        double score = x.score == 0 ? 0 : x.score; /* -0 is 0 */
        add_span(&d, x.member);
        add_bytes(&d, &score, sizeof score);
        sum(total, &d);
    }
}

struct cache_digest cache_digest_value(struct cache_store *s, struct cache_entry *e)
{
    struct cache_digest d = begun(), members = {0};
    uint8_t type = e->type;
    uint64_t expires_ms = cache_entry_expires_ms(e);
    add_bytes(&d, &type, 1);
    add_bytes(&d, &expires_ms, sizeof expires_ms);
    if (type == CACHE_STRING)
        add_string(&d, e);
    else if (type == CACHE_LIST)
        add_list(&d, e);
    else if (type == CACHE_SET)
        cache_set_each(e, sum_member, &members);
    else if (type == CACHE_HASH)
        cache_hash_each(e, sum_pair, &members);
    else
        sum_zset(&members, s, e);
    add_bytes(&d, &members, sizeof members);
    return d;
}

/* -- the keyspace ---------------------------------------------------------------------------------------------------------------- */

struct walk {
    struct cache_digest total;
    struct cache_store *store;
    unsigned database;
};

static void sum_entry(void *item, void *argument)
{
    struct walk *w = argument;
    struct cache_entry *e = item;
    uint64_t at_ms = cache_entry_expires_ms(e), database = w->database;
    if (at_ms && at_ms <= w->store->now_ms)
        return; /* dead, only not removed yet */
    struct cache_digest d = cache_digest_value(w->store, e);
    add_span(&d, cache_entry_key(e));
    add_bytes(&d, &database, sizeof database);
    sum(&w->total, &d);
}

struct cache_digest cache_digest_keyspace(const struct cache_call *call)
{
    struct walk w = {.total = {{0}}};
    for (unsigned i = 0; (w.store = cache_call_each_store(call, i)); i++)
        for (w.database = 0; w.database < CACHE_DATABASES; w.database++)
            if (w.store->database[w.database].count)
                cache_table_each(&w.store->database[w.database], sum_entry, &w);
    return w.total;
}

void cache_digest_reply(struct cache_reply *r, const struct cache_digest *d)
{
    static const char hex[] = "0123456789abcdef";
    char text[41];
    for (unsigned i = 0; i < 40; i++)
        text[i] = hex[d->lane[i / 16] >> (60 - 4 * (i % 16)) & 15];
    text[40] = 0;
    cache_reply_simple(r, text);
}
