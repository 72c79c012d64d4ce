/* The entry that expires first goes first, as the owner's wheel of expiries knows it (nearly: by the slot of the wheel). */
#include "cache/evict/evict_node.h"
#include "cache/evict/policies.h"

/* While policies are exchanged the wheel may name an entry that is not here yet. */
static struct cache_evict_node *victim(struct cache_evict *e)
{
    struct cache_evict_node *n = e->entries ? e->owner.next_dead(e->owner.owner) : NULL;
    return n && cache_evict_holds(e, n) ? n : NULL;
}

const struct cache_evict_policy evict_volatile_ttl = {
    .name = "volatile-ttl",
    .also = (const char *const[]){"ttl", NULL},
    .volatile_only = true,
    .sentence = "the key that expires first goes",
    .state_bytes = evict_plain_state_bytes,
    .init = evict_plain_init,
    .insert = evict_plain_insert,
    .hit = evict_plain_hit,
    .remove = evict_plain_remove,
    .victim = victim,
    .idle = evict_idle_by_clock,
    .check = evict_plain_check,
};
