/* The flow table: from a 4-tuple to a handle. One lookup covers connections, half-open and TIME-WAIT records: the handle
 * says which. Buckets of one cache line hold eight 16-bit tags, compared at once, and eight handles; a full bucket chains to
 * another. Keyed with the worker's secret, so that a peer cannot choose where its connections land. */
#ifndef STACK_TCP_TABLE_H
#define STACK_TCP_TABLE_H

#include <millrace/address.h>

#include "stack/base/hash.h"
#include "stack/base/slab.h"

struct flow_key {
    struct mr_address local, remote;
    uint16_t local_port, remote_port; /* host order */
};

/* Two bits of kind over a slab index. */
enum flow_kind { FLOW_CONNECTION, FLOW_HALF_OPEN, FLOW_TIME_WAIT };
#define FLOW_NONE UINT32_MAX

static inline uint32_t flow_handle(enum flow_kind kind, uint32_t index)
{
    return (uint32_t)kind << 30 | index;
}

static inline enum flow_kind flow_handle_kind(uint32_t handle)
{
    return (enum flow_kind)(handle >> 30);
}

static inline uint32_t flow_handle_index(uint32_t handle)
{
    return handle & 0x3fffffff;
}

#define TABLE_WAYS 8

struct table_bucket {
    uint16_t tag[TABLE_WAYS]; /* 0: empty */
    uint32_t handle[TABLE_WAYS];
    uint32_t overflow; /* index + 1 into `overflow`, 0: none */
    uint32_t unused[3];
} __attribute__((aligned(64)));

struct table {
    struct hash_key key;
    uint32_t mask; /* buckets - 1 */
    uint32_t count;
    struct table_bucket *bucket;
    size_t bytes;
    struct slab overflow;                                            /* of struct table_bucket */
    const struct flow_key *(*key_of)(const void *owner, uint32_t handle); /* every record starts with its key */
    const void *owner;
};

bool table_init(struct table *t, const struct hash_key *key, uint32_t entries,
                const struct flow_key *(*key_of)(const void *owner, uint32_t handle), const void *owner);
void table_release(struct table *t);

uint64_t table_hash(const struct table *t, const struct flow_key *key);
/* `hash` is table_hash(key). FLOW_NONE when absent. */
uint32_t table_lookup(const struct table *t, const struct flow_key *key, uint64_t hash);
/* The key must not be in the table. False when no overflow bucket is left. */
bool table_insert(struct table *t, uint64_t hash, uint32_t handle);
void table_remove(struct table *t, uint64_t hash, uint32_t handle);
/* In place, for a half-open record that becomes a connection. */
void table_replace(struct table *t, uint64_t hash, uint32_t before, uint32_t after);

static inline void table_prefetch(const struct table *t, uint64_t hash)
{
    __builtin_prefetch(&t->bucket[hash & t->mask]);
}

/* The first handle whose tag matches, unverified: what to prefetch next. */
uint32_t table_guess(const struct table *t, uint64_t hash);

/* The handles of one bucket and its chain, at most `max`: for walks (0 .. mask) that may remove what they meet. */
unsigned table_bucket_handles(const struct table *t, uint32_t bucket, uint32_t *handles, unsigned max);

void table_check(const struct table *t);

#endif
