/* An entry of the keyspace: one allocation.
 *
 *     | header 24 | [expiry 16] | [memcached 16] | [value 8] | key | [embedded string] |
 *
 * The parts in brackets are there when their flag says so. Adding a part moves the entry: a pointer to one is good until
 * the next call that may change the keyspace. Only store/ makes, moves and frees entries. */
#ifndef SERVICES_CACHE_ENTRY_H
#define SERVICES_CACHE_ENTRY_H

#include "cache/evict/evict.h"
#include "cache/store/rope.h"

enum cache_type { CACHE_STRING, CACHE_LIST, CACHE_SET, CACHE_ZSET, CACHE_HASH, CACHE_TYPES };

/* Of strings; collections number their own from 0, see type/. */
enum cache_string_encoding {
    CACHE_STRING_EMBEDDED, /* value_length bytes behind the key */
    CACHE_STRING_INTEGER,  /* value.integer: was given as canonical decimal */
    CACHE_STRING_EXTENT,   /* value.extent: value_length bytes */
    CACHE_STRING_ROPE,     /* value.rope */
};

union cache_value {
    int64_t integer;
    struct cache_extent *extent;
    struct cache_rope *rope;
    void *collection;
};

struct cache_expiry {
    uint64_t at_ms;             /* Unix time */
    memory_link next, previous; /* in a slot of the wheel; previous 0: first of it */
};

/* What only memcached knows. */
struct cache_memcached_part {
    uint64_t cas;
    uint32_t flags;
    uint32_t meta; /* see memcached/: last access, hit before, stale, win */
};

#define CACHE_ENTRY_EXPIRES   1u
#define CACHE_ENTRY_MEMCACHED 2u
#define CACHE_ENTRY_VALUE     4u /* the value part is there: always but for embedded strings */
#define CACHE_ENTRY_UNWHEELED 8u /* expires, but the wheel has already let go of it: it is about to be removed */

struct cache_entry {
    struct cache_evict_node evict;
    uint8_t type : 4, encoding : 4;
    uint8_t database : 4, flags : 4; /* database: see cache_store_database_of */
    uint8_t snapshot;                /* epoch in which it was last written to, or made after the begin of, a snapshot */
    uint8_t generation;              /* of the keys of its database: FLUSHDB begins the next one */
    uint16_t key_length;
    uint32_t value_length;       /* embedded and single-extent strings: bytes */
    _Alignas(8) uint8_t parts[]; /* also where links are wide */
};

static inline struct cache_expiry *cache_entry_expiry(const struct cache_entry *e) /* needs CACHE_ENTRY_EXPIRES */
{
    return (struct cache_expiry *)(uintptr_t)e->parts;
}

static inline uint64_t cache_entry_expires_ms(const struct cache_entry *e) /* 0: never */
{
    return e->flags & CACHE_ENTRY_EXPIRES ? cache_entry_expiry(e)->at_ms : 0;
}

static inline size_t cache_entry_expiry_bytes(const struct cache_entry *e)
{
    return e->flags & CACHE_ENTRY_EXPIRES ? sizeof(struct cache_expiry) : 0;
}

static inline struct cache_memcached_part *cache_entry_memcached(const struct cache_entry *e) /* NULL: has none */
{
    return e->flags & CACHE_ENTRY_MEMCACHED
               ? (struct cache_memcached_part *)(uintptr_t)(e->parts + cache_entry_expiry_bytes(e))
               : NULL;
}

static inline size_t cache_entry_value_offset(const struct cache_entry *e)
{
    return cache_entry_expiry_bytes(e) + (e->flags & CACHE_ENTRY_MEMCACHED ? sizeof(struct cache_memcached_part) : 0);
}

static inline union cache_value *cache_entry_value(const struct cache_entry *e) /* needs CACHE_ENTRY_VALUE */
{
    return (union cache_value *)(uintptr_t)(e->parts + cache_entry_value_offset(e));
}

static inline struct mr_span cache_entry_key(const struct cache_entry *e)
{
    size_t at = cache_entry_value_offset(e) + (e->flags & CACHE_ENTRY_VALUE ? sizeof(union cache_value) : 0);
    return (struct mr_span){e->parts + at, e->key_length};
}

static inline uint8_t *cache_entry_embedded(const struct cache_entry *e) /* needs CACHE_STRING_EMBEDDED */
{
    struct mr_span key = cache_entry_key(e);
    return (uint8_t *)(uintptr_t)(key.data + key.length);
}

static inline struct cache_entry *cache_entry_of_node(const struct cache_evict_node *n)
{
    return (struct cache_entry *)(uintptr_t)n; /* its first member */
}

#endif
