/* A hash table that grows and shrinks a bucket at a time (linear hashing, Litwin 1980): no operation ever moves more than
 * one bucket, no second table is ever held, and a scan cursor stays true while it changes.
 *
 *     bucket, one cache line:  | 7 slots: 48-bit pointer + 16-bit tag of the hash | overflow |
 *     buckets live in segments, segments in a directory of two levels
 *
 * Items are pointers of the caller's; the table asks for their keys through `type`. Keys are hashed by SipHash-1-3 with the
 * instance's secret (cache_hash): a peer cannot choose chains. The keyspace, hashes, sets and sorted sets all use it.
 *
 * A cursor is a position in the bit-reversed space of hashes. A bucket that is told from others by its low k bits covers a
 * range of 2^(64-k) of it, before and after splits: an item present from begin to end of a scan is seen at least once. */
#ifndef SERVICES_CACHE_TABLE_H
#define SERVICES_CACHE_TABLE_H

#include <millrace/random.h>
#include <millrace/types.h>

#include "memory/memory.h"

struct cache_table_type {
    struct mr_span (*key)(const void *item);
};

struct cache_table_bucket;
struct cache_table_directory;

struct cache_table {
    struct memory *memory;
    const struct cache_table_type *type;
    const uint64_t *secret; /* two words */
    struct cache_table_directory *directory;
    uint64_t count;     /* items */
    uint32_t buckets;   /* in use: 2^level + split */
    uint32_t overflows; /* overflow buckets */
    uint32_t left;      /* once it is taken apart: buckets still to go */
    bool freeing;
    bool scanning; /* buckets stay where they are: `each` of a scan removes */
};

/* SipHash-1-3 (Aumasson and Bernstein, 2012). */
uint64_t cache_hash(const uint64_t secret[2], const void *key, size_t n);

/* Takes no memory until the first insert. */
void cache_table_init(struct cache_table *t, struct memory *m, const struct cache_table_type *type,
                      const uint64_t secret[2]);

static inline uint64_t cache_table_hash(const struct cache_table *t, const void *key, size_t n)
{
    return cache_hash(t->secret, key, n);
}

void cache_table_prefetch(const struct cache_table *t, uint64_t hash);
void *cache_table_find(const struct cache_table *t, uint64_t hash, const void *key, size_t n); /* NULL: not there */
/* The key must not be there. False: no memory, nothing changed. */
bool cache_table_insert(struct cache_table *t, uint64_t hash, void *item);
void *cache_table_remove(struct cache_table *t, uint64_t hash, const void *key, size_t n); /* the item, or NULL */
/* `item` moved in memory or another takes its place; same key. `old` must be there. */
void cache_table_replace(struct cache_table *t, uint64_t hash, const void *old, void *item);
/* Bytes that inserting `n` items may take beyond the items themselves, at most. */
uint64_t cache_table_insert_cost(const struct cache_table *t, uint64_t n);

/* Calls `each` for the items of one bucket and returns the next cursor; 0 begins, 0 ends. `each` may remove the item that
 * it is given, and no other. Cursors are the low bits of hashes: below twice the buckets, at most 32 bits. */
uint64_t cache_table_scan(const struct cache_table *t, uint64_t cursor, void (*each)(void *item, void *argument),
                          void *argument);
/* Any item, each with about the same probability; NULL when empty. */
void *cache_table_random(const struct cache_table *t, struct mr_random *random);

/* In any order, all: for small tables and tests. The table must not change meanwhile. */
void cache_table_each(const struct cache_table *t, void (*each)(void *item, void *argument), void *argument);

/* Takes up to `budget` items apart: `free_item` for each, then the buckets they lay in. True: the table is empty and holds
 * no memory any more. No other call is allowed once begun. */
bool cache_table_free_step(struct cache_table *t, unsigned *budget, void (*free_item)(void *item, void *argument),
                           void *argument);

uint64_t cache_table_bytes(const struct cache_table *t); /* of memory, without the items */
void cache_table_check(const struct cache_table *t);

#endif
