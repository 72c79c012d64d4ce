/* What the log is told. */
#include "cache/command/effect.h"

#include "cache/cache.h"

void cache_transaction_init(struct cache_transaction *t)
{
    *t = (struct cache_transaction){.end = &t->first};
}

static struct cache_effect *effect_add(struct cache *cache, struct cache_effect ***end, unsigned database)
{
    struct cache_effect *e = cache_memory_alloc(&cache->clients, sizeof *e);
    if (!e)
        return NULL;
    *e = (struct cache_effect){.database = database};
    cache_packed_init(&e->packed, &cache->clients);
    **end = e;
    *end = &e->next;
    return e;
}

void cache_effects_free(struct cache *cache, struct cache_effect *e)
{
    while (e) {
        struct cache_effect *next = e->next;
        cache_packed_free(&e->packed);
        cache_memory_free(&cache->clients, e, sizeof *e);
        e = next;
    }
}

/* cache_effects_ready kept room for it: that an effect finds no memory cannot happen, and would lose a change. */
void cache_call_propagate(struct cache_call *call, unsigned argc, const struct mr_span *argv)
{
    if (!call->cache->log || call->replaying)
        return;
    struct cache_effect *e = effect_add(call->cache, &call->effects_end, call->database);
    for (unsigned i = 0; e && i < argc; i++)
        cache_packed_add(&e->packed,
                         &(struct cache_argument){.data = argv[i].data, .length = (uint32_t)argv[i].length});
}
