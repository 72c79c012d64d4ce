/* A worker's cache is made and freed. All memory is taken here: on the packet path nothing can fail for want of it but by the cache's own
 * rules. */
#include <assert.h>
#include <stdlib.h>

#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"

/* Policies that draw by lot or by expiry look at some places from a random one on. */
#define SAMPLE_BLOCKS 64
#define SAMPLES       8

static struct cache_evict_node *sample(void *owner)
{
    struct hcache *c = owner;
    uint32_t used = c->pool.fresh - 1;
    if (!used)
        return NULL;
    uint32_t block = 1 + mr_random_below(&c->random, used);
    for (unsigned i = 0; i < SAMPLE_BLOCKS; i++) {
        if (c->pool.next[block] == HCACHE_BLOCK_ENTRY)
            return &((struct hcache_entry *)hcache_block(&c->pool, block))->evict;
        block = block < used ? block + 1 : 1;
    }
    return NULL;
}

static int64_t expires(const struct cache_evict_node *n)
{
    const struct hcache_freshness *f = &((const struct hcache_entry *)n)->freshness;
    return f->arrived + (int64_t)f->lifetime - f->initial_age;
}

/* Nearly: the first to expire of those that were drawn. */
static struct cache_evict_node *next_dead(void *owner)
{
    struct cache_evict_node *first = NULL;
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct cache_evict_node *n = sample(owner);
        if (n && (!first || expires(n) < expires(first)))
            first = n;
    }
    return first;
}

static uint64_t hash_of(void *owner, const struct cache_evict_node *n)
{
    return ((const struct hcache_entry *)n)->policy_hash;
}

static uint32_t seconds_of(mr_time t)
{
    return t / MR_SECOND < HCACHE_DELTA_MAX ? (uint32_t)(t / MR_SECOND) : HCACHE_DELTA_MAX;
}

#define OBJECT_BYTES_MAX ((UINT64_C(16) << 10) * HCACHE_BLOCK_BYTES) /* what index blocks reach, and a little less */

#define BLOCKS_MAX ((UINT64_C(63) << 30) / HCACHE_BLOCK_BYTES) /* what links of policies reach */

static void configure(struct hcache *c, const struct proxy_cache_config *config)
{
    c->object_bytes_max = config->object_bytes_max < OBJECT_BYTES_MAX ? config->object_bytes_max : OBJECT_BYTES_MAX;
    c->waiting_max = config->waiting_max;
    c->presets = (struct hcache_presets){seconds_of(config->heuristic_max), seconds_of(config->stale_while_revalidate)};
}

static bool make_tables(struct hcache *c, const struct proxy_cache_config *config)
{
    const struct cache_evict_policy *policy =
        config->policy ? cache_evict_find(config->policy) : cache_evict_policies[0];
    uint64_t blocks = config->bytes / HCACHE_BLOCK_BYTES;
    uint32_t buckets = 1;
    if (!policy || blocks < 2 || blocks > BLOCKS_MAX)
        return false;
    while (buckets < blocks)
        buckets *= 2;
    c->bucket_mask = buckets - 1;
    if (!hcache_pool_init(&c->pool, (uint32_t)blocks) || !hcache_tags_init(&c->tags, (uint32_t)blocks) ||
        !(c->buckets = calloc(buckets, sizeof *c->buckets)))
        return false;
    const struct cache_evict_owner owner = {.base = c->pool.memory,
                                            .random = &c->random,
                                            .sample = sample,
                                            .next_dead = next_dead,
                                            .hash_of = hash_of,
                                            .owner = c};
    return cache_evict_init(&c->evict, policy, &owner, blocks);
}

struct hcache *hcache_create(struct mr_worker *w, const struct proxy_cache_config *config, uint64_t *counters)
{
    struct hcache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->worker = w;
    c->counters = counters;
    c->secret[0] = mr_random(w);
    c->secret[1] = mr_random(w);
    mr_random_seed(&c->random, mr_random(w));
    c->wake = (struct mr_deferred){.run = hcache_fetch_wake, .context = c};
    configure(c, config);
    if (make_tables(c, config))
        return c;
    hcache_free(c);
    return NULL;
}

void hcache_free(struct hcache *c)
{
    if (c->evict.policy)
        cache_evict_release(&c->evict);
    hcache_tags_release(&c->tags);
    hcache_pool_release(&c->pool);
    free(c->buckets);
    free(c);
}

int hcache_start(struct proxy *p)
{
    const struct proxy_cache_config *config = &p->plan->config->cache;
    if (config->bytes == 0) {
        p->cache = NULL;
        return MR_OK;
    }
    p->cache = hcache_create(p->worker, config, p->counters);
    return p->cache ? MR_OK : MR_ERROR_NO_MEMORY;
}

void hcache_release(struct proxy *p)
{
    if (p->cache)
        hcache_free(p->cache);
    p->cache = NULL;
}

void hcache_statistics(const struct hcache *c, struct hcache_statistics *out)
{
    const uint64_t *n = c->counters;
    *out = (struct hcache_statistics){.entries = c->entries,
                                      .bytes = (uint64_t)c->pool.used * HCACHE_BLOCK_BYTES,
                                      .hits = n[PROXY_CACHE_HITS],
                                      .stale = n[PROXY_CACHE_STALE],
                                      .misses = n[PROXY_CACHE_MISSES],
                                      .validations = n[PROXY_CACHE_VALIDATIONS],
                                      .waits = n[PROXY_CACHE_WAITS],
                                      .bypasses = n[PROXY_CACHE_BYPASSES],
                                      .stores = n[PROXY_CACHE_STORES],
                                      .evictions = n[PROXY_CACHE_EVICTIONS],
                                      .purged = n[PROXY_CACHE_PURGED]};
}
