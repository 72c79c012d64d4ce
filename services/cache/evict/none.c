/* Nothing is evicted: commands that need room are refused. Entries are counted, and their idle time is known. */
#include "cache/evict/evict_node.h"
#include "cache/evict/policies.h"

static struct cache_evict_node *victim(struct cache_evict *e)
{
    return NULL;
}

const struct cache_evict_policy evict_noeviction = {
    .name = "noeviction",
    .also = (const char *const[]){"none", NULL},
    .sentence = "nothing goes: commands that need room are refused",
    .state_bytes = evict_plain_state_bytes,
    .init = evict_plain_init,
    .insert = evict_plain_insert,
    .hit = evict_plain_hit,
    .remove = evict_plain_remove,
    .victim = victim,
    .idle = evict_idle_by_clock,
    .check = evict_plain_check,
};
