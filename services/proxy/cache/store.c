/* Entries: found, linked, unlinked, freed; and the blocks they are made of. */
#include <assert.h>
#include <string.h>

#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"

static struct hcache_entry *entry_at(const struct hcache *c, uint32_t block)
{
    return hcache_block(&c->pool, block);
}

static uint8_t *part(const struct hcache_entry *e, unsigned at)
{
    return (uint8_t *)(uintptr_t)e + at;
}

uint32_t *hcache_entry_tags(const struct hcache_entry *e)
{
    return (uint32_t *)(uintptr_t)part(e, e->tags_at);
}

struct mr_span hcache_entry_vary(const struct hcache_entry *e)
{
    return (struct mr_span){part(e, e->vary_at), e->vary_length};
}

struct mr_span hcache_entry_etag(const struct hcache_entry *e)
{
    return (struct mr_span){part(e, e->etag_at), e->etag_length};
}

bool hcache_entry_is(const struct hcache_entry *e, uint64_t key, const struct hcache_url *u)
{
    const uint8_t *p = part(e, e->url_at);
    return e->key == key && e->scheme_length == u->scheme.length && e->host_length == u->host.length &&
           e->target_length == u->target.length && memcmp(p, u->scheme.data, u->scheme.length) == 0 &&
           memcmp(p + e->scheme_length, u->host.data, u->host.length) == 0 &&
           memcmp(p + e->scheme_length + e->host_length, u->target.data, u->target.length) == 0;
}

/* The gauges of the proxy's table. */
static void gauge(struct hcache *c)
{
    c->counters[PROXY_CACHE_ENTRIES] = c->entries;
    c->counters[PROXY_CACHE_BYTES] = (uint64_t)c->pool.used * HCACHE_BLOCK_BYTES;
}

static void entry_free(struct hcache_entry *e)
{
    struct hcache *c = e->cache;
    uint32_t *tags = hcache_entry_tags(e);
    for (unsigned i = 0; i < e->tag_count; i++)
        hcache_tag_release(&c->tags, tags[i]);
    for (unsigned i = 0; i < HCACHE_DIRECT && e->direct[i]; i++)
        hcache_pool_give(&c->pool, e->direct[i]);
    for (unsigned i = 0; i < HCACHE_INDEXES && e->index[i]; i++) {
        const uint32_t *blocks = hcache_block(&c->pool, e->index[i]);
        for (unsigned j = 0; j < HCACHE_BLOCK_BYTES / sizeof *blocks && blocks[j]; j++)
            hcache_pool_give(&c->pool, blocks[j]);
        hcache_pool_give(&c->pool, e->index[i]);
    }
    if (e->head_block)
        hcache_pool_give(&c->pool, e->head_block);
    hcache_pool_give(&c->pool, hcache_block_of(&c->pool, e));
    gauge(c);
}

void hcache_entry_hold(struct hcache_entry *e)
{
    e->holds++;
}

void hcache_entry_release(void *entry)
{
    struct hcache_entry *e = entry;
    assert(e->holds);
    if (--e->holds == 0)
        entry_free(e);
}

/* Which sums an entry is part of follows from its sequence alone, so a purge need not visit it. */
static void count_live(struct hcache_entry *e, int by)
{
    struct hcache *c = e->cache;
    const uint32_t *tags = hcache_entry_tags(e);
    for (unsigned i = 0; i < e->tag_count; i++)
        if (e->sequence >= c->tags.slots[tags[i]].hard)
            c->tags.slots[tags[i]].live += (uint32_t)by;
    if (e->sequence >= c->hard)
        c->live += (uint64_t)(int64_t)by;
}

void hcache_entry_link(struct hcache_entry *e)
{
    struct hcache *c = e->cache;
    uint32_t *bucket = &c->buckets[e->key & c->bucket_mask], block = hcache_block_of(&c->pool, e);
    uint64_t bytes = (uint64_t)e->blocks * HCACHE_BLOCK_BYTES;
    assert(!e->linked);
    e->linked = true;
    e->holds++;
    e->chain = *bucket;
    *bucket = block;
    c->pool.next[block] = HCACHE_BLOCK_ENTRY;
    c->entries++;
    count_live(e, 1);
    c->evict.policy->insert(&c->evict, &e->evict, e->policy_hash, (uint32_t)bytes);
    gauge(c);
}

void hcache_entry_unlink(struct hcache_entry *e, bool evicted)
{
    struct hcache *c = e->cache;
    uint32_t block = hcache_block_of(&c->pool, e), *link = &c->buckets[e->key & c->bucket_mask];
    if (!e->linked)
        return;
    while (*link != block)
        link = &entry_at(c, *link)->chain;
    *link = e->chain;
    c->pool.next[block] = HCACHE_BLOCK_DATA;
    c->entries--;
    count_live(e, -1);
    if (evicted)
        c->counters[PROXY_CACHE_EVICTIONS]++;
    e->linked = false;
    c->evict.policy->remove(&c->evict, &e->evict, e->policy_hash, evicted);
    gauge(c);
    hcache_entry_release(e);
}

bool hcache_entry_dead(struct hcache_entry *e)
{
    const struct hcache *c = e->cache;
    const uint32_t *tags = hcache_entry_tags(e);
    if (e->checked == c->sequence)
        return false;
    if (e->sequence < c->hard)
        return true;
    e->outdated |= e->sequence < c->soft;
    for (unsigned i = 0; i < e->tag_count; i++) {
        const struct hcache_tag *tag = &c->tags.slots[tags[i]];
        if (e->sequence < tag->hard)
            return true;
        e->outdated |= e->sequence < tag->soft;
    }
    e->checked = c->sequence;
    return false;
}

struct hcache_entry *hcache_find(struct hcache *c, uint64_t key, const struct hcache_url *url,
                                 const struct http_request *r, const uint8_t *head, bool *other_variants)
{
    uint32_t block = c->buckets[key & c->bucket_mask];
    *other_variants = false;
    while (block) {
        struct hcache_entry *e = entry_at(c, block);
        block = e->chain;
        if (!hcache_entry_is(e, key, url))
            continue;
        if (hcache_entry_dead(e))
            hcache_entry_unlink(e, false);
        else if (hcache_vary_matches(hcache_entry_vary(e), r, head))
            return e; /* the newest of those that match (RFC 9111 4.1) */
        else
            *other_variants = true;
    }
    return NULL;
}

uint32_t hcache_block_take(struct hcache *c)
{
    uint32_t block = hcache_pool_take(&c->pool);
    for (unsigned i = 0; !block && i < HCACHE_EVICTIONS_MAX; i++) {
        struct cache_evict_node *n = c->evict.policy->victim(&c->evict);
        if (!n)
            break;
        hcache_entry_unlink((struct hcache_entry *)n, true);
        block = hcache_pool_take(&c->pool);
    }
    gauge(c);
    return block;
}

void hcache_sweep(struct hcache *c)
{
    for (unsigned i = 0; i < HCACHE_SWEEP_BLOCKS; i++) {
        c->sweep = c->sweep + 1 < c->pool.fresh ? c->sweep + 1 : 1;
        if (c->sweep < c->pool.fresh && c->pool.next[c->sweep] == HCACHE_BLOCK_ENTRY &&
            hcache_entry_dead(entry_at(c, c->sweep)))
            hcache_entry_unlink(entry_at(c, c->sweep), false);
    }
}

#define PER_INDEX (HCACHE_BLOCK_BYTES / sizeof(uint32_t))

uint8_t *hcache_entry_at(const struct hcache_entry *e, uint64_t offset, size_t *room)
{
    const struct hcache_pool *p = &e->cache->pool;
    size_t inside = HCACHE_BLOCK_BYTES - e->inline_at;
    uint32_t block;
    if (offset < inside) {
        *room = inside - (size_t)offset;
        return part(e, e->inline_at) + offset;
    }
    offset -= inside;
    uint64_t n = offset / HCACHE_BLOCK_BYTES;
    size_t within = offset % HCACHE_BLOCK_BYTES;
    *room = HCACHE_BLOCK_BYTES - within;
    if (n < HCACHE_DIRECT) {
        block = e->direct[n];
    } else {
        uint32_t index = e->index[(n - HCACHE_DIRECT) / PER_INDEX];
        block = index ? ((const uint32_t *)hcache_block(p, index))[(n - HCACHE_DIRECT) % PER_INDEX] : 0;
    }
    return block ? (uint8_t *)hcache_block(p, block) + within : NULL;
}

static void check_entry(const struct hcache *c, const struct hcache_entry *e)
{
    assert(e->cache == c && e->linked && e->holds >= 1);
    assert(cache_evict_holds(&c->evict, &e->evict));
    assert(e->tag_count <= HCACHE_TAGS_MAX && e->head_length <= e->head_room && e->inline_at <= HCACHE_BLOCK_BYTES);
    for (uint64_t at = 0; at < e->length; at += hcache_entry_body(e, at).length)
        assert(hcache_entry_body(e, at).length > 0);
}

void hcache_check(const struct hcache *c)
{
    uint64_t entries = 0, live = 0, blocks = 0, unused = 0;
    for (uint32_t i = 0; i <= c->bucket_mask; i++)
        for (uint32_t b = c->buckets[i]; b; b = entry_at(c, b)->chain) {
            const struct hcache_entry *e = entry_at(c, b);
            check_entry(c, e);
            assert((e->key & c->bucket_mask) == i && c->pool.next[b] == HCACHE_BLOCK_ENTRY);
            entries++;
            live += e->sequence >= c->hard;
            blocks += e->blocks;
        }
    for (uint32_t b = c->pool.free; b; b = c->pool.next[b])
        unused++;
    assert(c->pool.used + unused + 1 == c->pool.fresh && c->pool.used <= c->pool.count);
    assert(entries == c->entries && live == c->live && blocks <= c->pool.used);
    assert(entries == c->evict.entries);
    cache_evict_check(&c->evict);
}
