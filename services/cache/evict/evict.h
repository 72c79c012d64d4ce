/* Eviction: which entry goes when room is needed. A policy is a const table of functions over intrusive nodes, one file a
 * policy; it never sees keys' values, so that `millrace lab cache` runs the very same code over traces.
 *
 * Every live entry is in the policy from insert to remove. `victim` names the next to go without removing it: the caller
 * deletes the entry, which calls `remove`. Each call is O(1), or looks at no more than a constant number of nodes
 * (amortised over inserts); a policy that could search longer returns NULL to be asked again in the next turn. */
#ifndef SERVICES_CACHE_EVICT_H
#define SERVICES_CACHE_EVICT_H

#include <millrace/random.h>
#include <millrace/types.h>

#include "memory/memory.h"

/* Embedded in each entry; the owner zeroes a new one. */
struct cache_evict_node {
    memory_link older, newer; /* the policy's lists */
    uint32_t state;           /* the policy's own: weight, queue, frequency, clock; see evict_node.h */
};

struct cache_evict;

struct cache_evict_policy {
    const char *name;        /* "allkeys-s3fifo": as CONFIG SET maxmemory-policy and the configuration take it */
    const char *const *also; /* further names, NULL-terminated; may be NULL */
    bool volatile_only;      /* takes entries with an expiry only: others are never inserted */
    const char *sentence;    /* for the reference: what it does, with its source */
    size_t (*state_bytes)(uint64_t entries_expected); /* of the policy's own state; sketches and ghosts included */
    void (*init)(struct cache_evict *e);
    /* `hash` is the key's, `bytes` what the entry takes. */
    void (*insert)(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, uint32_t bytes);
    /* Read or written. Of an entry that was not inserted (volatile_only) it notes the time only. */
    void (*hit)(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash);
    void (*remove)(struct cache_evict *e, struct cache_evict_node *n, uint64_t hash, bool evicted);
    struct cache_evict_node *(*victim)(struct cache_evict *e); /* NULL: nothing to evict (or not in this turn) */
    /* The entry moved in memory: its neighbours in lists must follow. `to` is the copy, `from` is not read. NULL: the
     * policy has no lists. Call cache_evict_moved instead. */
    void (*moved)(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to);
    bool (*idle)(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *seconds); /* may be NULL */
    bool (*frequency)(const struct cache_evict *e, const struct cache_evict_node *n,
                      uint32_t *counter);       /* may be NULL */
    void (*check)(const struct cache_evict *e); /* the policy's part of cache_evict_check */
};

/* What the owner of the entries tells a policy. */
struct cache_evict_owner {
    const uint8_t *base; /* for links */
    struct mr_random *random;
    /* For policies by sampling and by time to live. May return NULL when there is none. */
    struct cache_evict_node *(*sample)(void *owner);    /* a random entry */
    struct cache_evict_node *(*next_dead)(void *owner); /* the entry that expires first, nearly */
    uint64_t (*hash_of)(void *owner, const struct cache_evict_node *n);
    void *owner;
    bool odd; /* of two policies between which entries move, one says true: cache_evict_holds tells them apart */
};

struct cache_evict {
    const struct cache_evict_policy *policy;
    struct cache_evict_owner owner;
    uint64_t entries, bytes; /* of what is inserted; bytes are rounded down, by less than 1/8 */
    uint64_t entries_expected;
    uint64_t looks; /* nodes that victims passed over, ever: each may be a cache miss, so that a turn can count them */
    void *state;    /* the policy's, of state_bytes */
    size_t state_bytes;
    uint32_t
        clock; /* coarse time in seconds, kept by the owner from before the first insert; for idle times and ageing */
};

/* By name, any of a policy's names; NULL: no such. */
const struct cache_evict_policy *cache_evict_find(const char *name);
extern const struct cache_evict_policy *const cache_evict_policies[]; /* ends with NULL; the first is the default */

/* Takes its state by calloc: done at start and when the policy is exchanged, on whatever thread. False: no memory.
 * After an exchange the owner inserts its entries again, some a turn. */
bool cache_evict_init(struct cache_evict *e, const struct cache_evict_policy *policy,
                      const struct cache_evict_owner *owner, uint64_t entries_expected);
void cache_evict_release(struct cache_evict *e);

/* Whether the entry is in this policy: false for those never inserted, and for those that are in the other one while
 * policies are exchanged (when the two owners differ in `odd`). */
bool cache_evict_holds(const struct cache_evict *e, const struct cache_evict_node *n);
/* The entry was copied from `from` to `to`, which is no longer read; entries in no policy may be told of, too. */
void cache_evict_moved(struct cache_evict *e, struct cache_evict_node *from, struct cache_evict_node *to);

/* Idle seconds and access frequency as OBJECT IDLETIME and FREQ show them, where the policy knows them; else false. */
bool cache_evict_idle(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *seconds);
bool cache_evict_frequency(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t *frequency);

void cache_evict_check(const struct cache_evict *e);

#endif
