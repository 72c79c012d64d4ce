/* Room, and the policy that says who leaves. While policies are exchanged there are two: `evict` has the entries that have
 * not moved over yet, `evict_next` all others and every new one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/store/store_private.h"

#define ENTRY_BYTES_TYPICAL  160 /* with its place in the index: for the size of sketches and ghosts */
#define ENTRIES_EXPECTED_MIN 1024
#define ENTRIES_EXPECTED_MAX (UINT64_C(1) << 24)
#define SAMPLES_MAX          16 /* entries looked at for one that expires */
#define BUCKETS_PER_TURN     48 /* of entries moved from policy to policy: some 250 */

/* What policies ask of the store */

static struct cache_evict_node *next_dead(void *owner)
{
    struct cache_store *s = owner;
    struct cache_entry *e = cache_expire_soonest(&s->expire);
    return e ? &e->evict : NULL;
}

/* A database in proportion to its keys. */
static struct cache_table *database_random(struct cache_store *s)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < CACHE_DATABASES; i++)
        all += s->database[i].count;
    if (!all)
        return NULL;
    uint64_t n = mr_random_next(&s->random) % all;
    unsigned i = 0;
    for (; n >= s->database[i].count; i++)
        n -= s->database[i].count;
    return &s->database[i];
}

static struct cache_entry *entry_random(struct cache_store *s)
{
    struct cache_table *t = database_random(s);
    return t ? cache_table_random(t, &s->random) : NULL;
}

static struct cache_evict_node *sample(void *owner)
{
    struct cache_entry *e = entry_random(owner);
    return e ? &e->evict : NULL;
}

/* Where few keys expire, the one that dies first must do. */
static struct cache_evict_node *sample_expiring(void *owner)
{
    for (unsigned i = 0; i < SAMPLES_MAX; i++) {
        struct cache_entry *e = entry_random(owner);
        if (e && e->flags & CACHE_ENTRY_EXPIRES)
            return &e->evict;
    }
    return next_dead(owner);
}

static uint64_t hash_of(void *owner, const struct cache_evict_node *n)
{
    return store_place_of_entry(owner, cache_entry_of_node(n)).hash;
}

static bool evict_begin(struct cache_store *s, struct cache_evict *e, const struct cache_evict_policy *policy, bool odd)
{
    uint64_t expected = s->limit / ENTRY_BYTES_TYPICAL;
    if (expected < ENTRIES_EXPECTED_MIN)
        expected = ENTRIES_EXPECTED_MIN;
    if (expected > ENTRIES_EXPECTED_MAX)
        expected = ENTRIES_EXPECTED_MAX;
    const struct cache_evict_owner owner = {.base = s->memory.base,
                                            .random = &s->random,
                                            .sample = policy->volatile_only ? sample_expiring : sample,
                                            .next_dead = next_dead,
                                            .hash_of = hash_of,
                                            .owner = s,
                                            .odd = odd};
    if (!cache_evict_init(e, policy, &owner, expected))
        return false;
    e->clock = (uint32_t)(s->now_ms / 1000);
    return true;
}

static bool policy_evicts(const struct cache_evict_policy *policy)
{
    return policy != cache_evict_find("noeviction");
}

bool store_evict_init(struct cache_store *s, const struct cache_evict_policy *policy)
{
    s->evicting = policy_evicts(policy);
    return evict_begin(s, &s->evict, policy, false);
}

void store_evict_release(struct cache_store *s)
{
    cache_evict_release(&s->evict);
    if (s->evict_next)
        cache_evict_release(s->evict_next);
    free(s->evict_next);
    s->evict_next = NULL;
}

void store_evict_set_clock(struct cache_store *s)
{
    s->evict.clock = (uint32_t)(s->now_ms / 1000);
    if (s->evict_next)
        s->evict_next->clock = s->evict.clock;
}

/* What the store tells policies */

static void enter(struct cache_store *s, struct cache_evict *into, struct cache_entry *e, uint64_t hash)
{
    if (into->policy->volatile_only && !(e->flags & CACHE_ENTRY_EXPIRES))
        return;
    uint64_t bytes = memory_cost(store_entry_bytes(e));
    if (e->type == CACHE_STRING)
        bytes = cache_entry_bytes(s, e);
    into->policy->insert(into, &e->evict, hash, bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX);
}

void store_evict_enter(struct cache_store *s, struct cache_entry *e, uint64_t hash)
{
    enter(s, s->evict_next ? s->evict_next : &s->evict, e, hash);
}

static struct cache_evict *holder(const struct cache_store *s, const struct cache_entry *e)
{
    if (cache_evict_holds(&s->evict, &e->evict))
        return (struct cache_evict *)(uintptr_t)&s->evict;
    return s->evict_next && cache_evict_holds(s->evict_next, &e->evict) ? s->evict_next : NULL;
}

const struct cache_evict *cache_store_evict_of(const struct cache_store *s, const struct cache_entry *e)
{
    const struct cache_evict *in = holder(s, e);
    if (in)
        return in;
    return s->evict_next ? s->evict_next : &s->evict;
}

void store_evict_leave(struct cache_store *s, struct cache_entry *e, uint64_t hash, bool evicted)
{
    struct cache_evict *in = holder(s, e);
    if (in)
        in->policy->remove(in, &e->evict, hash, evicted);
}

void store_evict_hit(struct cache_store *s, struct cache_entry *e, uint64_t hash)
{
    struct cache_evict *in = (struct cache_evict *)(uintptr_t)cache_store_evict_of(s, e);
    in->policy->hit(in, &e->evict, hash);
}

void store_evict_moved(struct cache_store *s, struct cache_entry *from, struct cache_entry *to)
{
    cache_evict_moved(&s->evict, &from->evict, &to->evict);
    if (s->evict_next)
        cache_evict_moved(s->evict_next, &from->evict, &to->evict);
}

void store_evict_expiry_changed(struct cache_store *s, struct cache_entry *e, uint64_t hash)
{
    struct cache_evict *in = holder(s, e);
    if (!in)
        store_evict_enter(s, e, hash);
    else if (in->policy->volatile_only && !(e->flags & CACHE_ENTRY_EXPIRES))
        in->policy->remove(in, &e->evict, hash, false);
}

/* Room */

static struct cache_entry *victim(struct cache_store *s)
{
    struct cache_evict_node *n = s->evict.policy->victim(&s->evict);
    if (!n && s->evict_next)
        n = s->evict_next->policy->victim(s->evict_next);
    return n ? cache_entry_of_node(n) : NULL;
}

static uint64_t looks(const struct cache_store *s)
{
    return s->evict.looks + (s->evict_next ? s->evict_next->looks : 0);
}

/* A node that a policy passed over costs as much as one that goes: each may be a cache miss. */
static bool evict_one(struct cache_store *s)
{
    uint64_t before = looks(s);
    struct cache_entry *e = victim(s);
    if (!e)
        return false;
    uint64_t cost = 1 + looks(s) - before;
    assert(!store_flushed(s, e));
    struct store_place p = store_place_of_entry(s, e);
    store_remove(s, &p, e, STORE_EVICTED);
    s->evictions_left -= cost < s->evictions_left ? (unsigned)cost : s->evictions_left;
    return true;
}

static bool evictable(const struct cache_store *s)
{
    return s->evicting && (s->evict.entries || (s->evict_next && s->evict_next->entries));
}

/* One step towards more room. READY: there may be some now; LATER: the budget of the turn is spent; NEVER: nothing is left.
 * Trash goes first, so that the victims are never flushed entries. */
static enum cache_room room_step(struct cache_store *s)
{
    if (!store_trash_empty(s)) {
        if (!s->frees_left)
            return CACHE_ROOM_LATER;
        unsigned some = s->frees_left < 16 ? s->frees_left : 16, budget = some;
        store_trash_drain(s, &budget);
        s->frees_left -= some - budget;
        return CACHE_ROOM_READY;
    }
    if (!evictable(s))
        return CACHE_ROOM_NEVER;
    return s->evictions_left && evict_one(s) ? CACHE_ROOM_READY : CACHE_ROOM_LATER;
}

enum cache_room cache_store_reserve(struct cache_store *s, uint64_t bytes)
{
    enum cache_room room = bytes > s->limit ? CACHE_ROOM_NEVER : CACHE_ROOM_READY;
    while (room == CACHE_ROOM_READY && s->memory.used + bytes > s->limit)
        room = room_step(s);
    s->stat.reserve_refused += room == CACHE_ROOM_NEVER;
    s->stat.evictions_deferred += room == CACHE_ROOM_LATER;
    return room;
}

void cache_store_set_limit(struct cache_store *s, uint64_t bytes)
{
    s->limit = bytes;
    s->memory.limit = s->memory.used > bytes ? s->memory.used : bytes;
}

/* Down to a limit that was lowered: what has become free is never given out again. True: there is more to do. */
static bool limit_approach(struct cache_store *s)
{
    enum cache_room room = CACHE_ROOM_READY;
    while (room == CACHE_ROOM_READY && s->memory.used > s->limit)
        room = room_step(s);
    s->memory.limit = s->memory.used > s->limit ? s->memory.used : s->limit;
    return room == CACHE_ROOM_LATER;
}

/* Exchange */

const struct cache_evict_policy *cache_store_policy(const struct cache_store *s)
{
    if (s->evict_wanted)
        return s->evict_wanted;
    return s->evict_next ? s->evict_next->policy : s->evict.policy;
}

static bool exchange_begin(struct cache_store *s, const struct cache_evict_policy *policy)
{
    struct cache_evict *next = malloc(sizeof *next);
    if (!next || !evict_begin(s, next, policy, !s->evict.owner.odd)) {
        free(next);
        return false;
    }
    s->evict_next = next;
    s->evict_database = 0;
    s->evict_cursor = 0;
    return true;
}

bool cache_store_set_policy(struct cache_store *s, const struct cache_evict_policy *policy)
{
    if (policy == cache_store_policy(s))
        return true;
    if (s->evict_next) { /* one exchange after the other */
        s->evict_wanted = policy == s->evict_next->policy ? NULL : policy;
    } else if (!exchange_begin(s, policy)) {
        return false;
    }
    s->evicting = policy_evicts(policy);
    return true;
}

static void entry_exchange(void *item, void *argument)
{
    struct cache_store *s = argument;
    struct cache_entry *e = item;
    struct cache_evict *in = holder(s, e);
    if (in == s->evict_next)
        return;
    uint64_t hash = store_place_of_entry(s, e).hash;
    if (in)
        in->policy->remove(in, &e->evict, hash, false);
    enter(s, s->evict_next, e, hash);
}

/* Some buckets of the databases; true: the last one was among them. */
static bool exchange_scan(struct cache_store *s)
{
    for (unsigned i = 0; i < BUCKETS_PER_TURN; i++) {
        s->evict_cursor = cache_table_scan(&s->database[s->evict_database], s->evict_cursor, entry_exchange, s);
        if (!s->evict_cursor && ++s->evict_database == CACHE_DATABASES) {
            s->evict_database = 0;
            return true;
        }
    }
    return false;
}

static void exchange_end(struct cache_store *s)
{
    struct cache_evict *next = s->evict_next;
    const struct cache_evict_policy *wanted = s->evict_wanted;
    cache_evict_release(&s->evict);
    s->evict = *next;
    free(next);
    s->evict_next = NULL;
    s->evict_wanted = NULL;
    if (wanted) /* without memory for its state the present one stays */
        exchange_begin(s, wanted);
}

/* Entries of flushed tables cannot be found by a scan: they leave the old policy when they are taken apart. */
static bool exchange_step(struct cache_store *s)
{
    if (!s->evict_next)
        return false;
    if (exchange_scan(s) && !s->evict.entries && !cache_store_flushing(s))
        exchange_end(s);
    return s->evict_next != NULL;
}

bool store_evict_background(struct cache_store *s)
{
    bool more = limit_approach(s);
    return exchange_step(s) || more;
}
