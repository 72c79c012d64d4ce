/* The keyspace of one shard: what commands work on. Sans-I/O: time is a number that the owner sets, a change is told to a
 * listener of functions. Everything here is O(1) or says its bound; work that could be long is cut and goes on in
 * cache_store_background.
 *
 * Room. A command that grows memory asks first, cache_store_reserve with an upper bound; it evicts and answers. What then
 * is allocated cannot fail. A pointer to an entry must not be kept over a reserve.
 *
 * A snapshot. Whoever takes one counts `snapshot_epoch` on (never to 0; 0 again at the end) and copies `color_database`, which
 * says what database an entry of each color was in. It scans color after color, some buckets a turn, since SWAPDB moves tables
 * (`database[color_database[color]]`), writes each entry whose `snapshot` is not the epoch, and sets it.
 * The store calls before_change once for each entry that changes or goes before that; new entries bear the epoch. Entries
 * that FLUSHDB drops stay as they were until they are taken apart, and before_change is called then: a snapshot is whole
 * when its scan has ended and cache_store_flushing says false. */
#ifndef SERVICES_CACHE_STORE_H
#define SERVICES_CACHE_STORE_H

#include "cache/limits.h"
#include "cache/store/entry.h"
#include "cache/store/expire.h"
#include "cache/store/table.h"

struct cache_store;
struct cache_type_limits;

/* What happens to a key, told to whoever must know: WATCH, blocked clients, the log, keyspace statistics. NULL members are
 * skipped. `key` is valid during the call. */
struct cache_store_listener {
    void (*changed)(void *owner, unsigned database, struct mr_span key); /* any change, removal included */
    /* Removed by time or by eviction: nobody's command did, so the log must be told. */
    void (*removed)(void *owner, unsigned database, struct mr_span key, bool expired);
    /* A snapshot runs and this entry, not yet part of it, is about to change or go: write it now. */
    void (*before_change)(void *owner, struct cache_entry *e);
    void *owner;
};

/* Counted here, shown by INFO and `stat`. */
struct cache_store_stat {
    uint64_t hits, misses, expired, evicted, reserve_refused;
    uint64_t evictions_deferred; /* room was asked for beyond CACHE_EVICTIONS_PER_TURN: the command waited a turn */
};

struct cache_trash; /* deleted collections, ropes and tables, being taken apart */

struct cache_store {
    struct memory memory;
    uint64_t secret[2];
    struct mr_random random;
    struct cache_table database[CACHE_DATABASES];
    struct cache_expire expire;
    struct cache_evict evict;
    struct cache_evict *evict_next;                /* while policies are exchanged: entries move over, some a turn */
    const struct cache_evict_policy *evict_wanted; /* exchanged for this one when that has ended; NULL: none */
    uint64_t evict_cursor;
    unsigned evict_database; /* `evict_cursor` is in */
    struct cache_trash *trash;
    struct cache_store_listener listener;
    struct cache_store_stat stat;
    const struct cache_type_limits *type_limits; /* type/encoding_limits.h; NULL: the defaults */
    uint64_t now_ms;                             /* Unix time, set by the owner each turn */
    uint64_t keys_expiring[CACHE_DATABASES];
    uint8_t color[CACHE_DATABASES];          /* what entries of a database call it */
    uint8_t color_database[CACHE_DATABASES]; /* the opposite */
    uint8_t generation[CACHE_DATABASES];     /* by color: of entries that are not flushed */
    uint64_t limit;                          /* wanted; memory.limit is larger while that much is still used */
    uint64_t memcached_parts;                /* entries that have one */
    uint64_t cas;                            /* last one given */
    uint64_t changes;                        /* since the last save: INFO's rdb_changes_since_last_save */
    uint8_t snapshot_epoch;                  /* 0: none runs */
    unsigned evictions_left;                 /* of this turn */
    unsigned frees_left;                     /* likewise */
    bool evicting;                           /* false: `limit` is enforced by refusing (noeviction) */
    bool expire_paused;                      /* no active expiry: DEBUG SET-ACTIVE-EXPIRE */
};

/* The database that an entry lies in; its own `database` is a color, which SWAPDB does not change. */
static inline unsigned cache_store_database_of(const struct cache_store *s, const struct cache_entry *e)
{
    return s->color_database[e->database];
}

bool cache_store_init(struct cache_store *s, uint64_t memory_limit, const char *policy, const uint64_t secret[2],
                      uint64_t seed);
void cache_store_release(struct cache_store *s);

/* Once a turn before commands; refills the budgets of the turn. */
void cache_store_turn(struct cache_store *s, uint64_t now_ms);
/* Once a turn after commands: active expiry, pieces of deleted values, exchange of policies. True: there is more, call
 * again next turn though nothing else happens. */
bool cache_store_background(struct cache_store *s);
/* When the next key dies (Unix ms), UINT64_MAX: none; may be early, never late by more than a slot of the wheel. */
uint64_t cache_store_next_expiry_ms(const struct cache_store *s);

/* The key will be looked for soon: brings its bucket near. For the commands of a pipeline, before the first of them runs. */
void cache_store_prefetch(const struct cache_store *s, unsigned database, struct mr_span key);

/* Looking. Each counts a hit or a miss and tells the policy; an entry that is dead is removed and not found. */
struct cache_entry *cache_store_read(struct cache_store *s, unsigned database, struct mr_span key);
/* For change in place: also tells the snapshot. After the change call cache_store_changed. */
struct cache_entry *cache_store_write(struct cache_store *s, unsigned database, struct mr_span key);
/* Counts nothing and tells nobody: OBJECT, TTL of dead keys, tests. Dead entries are not found, but not removed. */
struct cache_entry *cache_store_peek(const struct cache_store *s, unsigned database, struct mr_span key);
void cache_store_changed(struct cache_store *s, unsigned database, struct mr_span key);

enum cache_room { CACHE_ROOM_READY, CACHE_ROOM_LATER, CACHE_ROOM_NEVER };
/* Makes room for `bytes`: evicts, frees trash. LATER: this turn's budget is spent, ask again next turn (the caller retries
 * the command from its begin). NEVER: nothing left to evict, or noeviction: the error is OOM. */
enum cache_room cache_store_reserve(struct cache_store *s, uint64_t bytes);
/* Upper bound of what a new entry with a key and a string of these lengths takes, table growth included. */
uint64_t cache_store_string_cost(const struct cache_store *s, size_t key_bytes, uint64_t value_bytes);

/* Strings. Both make or replace the whole entry, drop expiry and whatever type was there, and tell `changed`. Room for it
 * must be reserved; if it is not, NULL and the old value stays. A rope becomes the store's on success. */
struct cache_entry *cache_store_set(struct cache_store *s, unsigned database, struct mr_span key, struct mr_span value);
struct cache_entry *cache_store_set_rope(struct cache_store *s, unsigned database, struct mr_span key,
                                         struct cache_rope *value);
struct cache_entry *cache_store_set_integer(struct cache_store *s, unsigned database, struct mr_span key,
                                            int64_t value);
/* As above but keeps the expiry (INCR, APPEND, SETRANGE, SET KEEPTTL). */
struct cache_entry *cache_store_replace(struct cache_store *s, struct cache_entry *e, struct mr_span value);
struct cache_entry *cache_store_replace_integer(struct cache_store *s, struct cache_entry *e, int64_t value);
/* Turns a string into one that may be written at any offset below `length`, zero-filled: room reserved with
 * cache_store_grow_cost. Returns the entry, maybe moved. */
uint64_t cache_store_grow_cost(const struct cache_entry *e, uint64_t length);
struct cache_entry *cache_store_grow(struct cache_store *s, struct cache_entry *e, uint64_t length);
/* Room for more than CACHE_SMALL_MAX bytes over what was there must be reserved besides: lent extents are copied before they
 * are written to. False: there was none, and some of it is not written. */
bool cache_store_write_at(struct cache_store *s, struct cache_entry *e, uint64_t offset, const void *data, size_t n);

uint64_t cache_string_length(const struct cache_entry *e); /* of an integer too: its decimal digits */
/* The bytes at `offset` as far as they lie together; an integer is written to `digits` (24 bytes). *extent: what to hold
 * when the span is lent, NULL when it must be copied. offset < length. */
struct mr_span cache_string_at(const struct cache_entry *e, uint64_t offset, char digits[24],
                               struct cache_extent **extent);
/* Whole, when it is at most CACHE_SMALL_MAX; else data NULL. */
struct mr_span cache_string_span(const struct cache_entry *e, char digits[24]);
bool cache_string_integer(const struct cache_entry *e, int64_t *value); /* as INCR reads it */

/* Collections: an entry whose value is `collection` of a type with these operations. */
struct cache_collection_type {
    const char *name; /* as TYPE prints it */
    uint64_t (*bytes)(unsigned encoding,
                      const void *collection); /* of memory, an estimate by sampling is allowed: MEMORY USAGE */
    uint64_t (*length)(unsigned encoding, const void *collection);
    const char *(*encoding_name)(const struct cache_entry *e);
    /* Takes up to `budget` pieces apart; true: gone. */
    bool (*free_step)(struct cache_store *s, unsigned encoding, void *collection, unsigned *budget);
    /* A second one with the same encoding in the memory of `s`, for COPY and for RENAME between shards. Room for twice its
     * `bytes` is reserved. NULL: no memory, nothing is left behind. */
    void *(*copy)(struct cache_store *s, unsigned encoding, const void *collection);
};
extern const struct cache_collection_type
    *const cache_collection_types[CACHE_TYPES]; /* type/types.c; [CACHE_STRING] too */

/* Replaces what is there. Tells nobody: the caller does, when its elements are in. NULL: no room. */
struct cache_entry *cache_store_add_collection(struct cache_store *s, unsigned database, struct mr_span key,
                                               enum cache_type type, unsigned encoding, void *collection);

/* Removing. Large values go to the trash in O(1). False: was not there. */
bool cache_store_delete(struct cache_store *s, unsigned database, struct mr_span key);
void cache_store_delete_entry(struct cache_store *s, struct cache_entry *e);
#define CACHE_EMBEDDED_MAX 192u /* bytes of a key and of the string embedded behind it */
/* Takes the value out and leaves no key: for RENAME, MOVE, COPY's other half. It never fails for want of room. */
struct cache_taken {
    struct cache_store *from; /* NULL: the one that it is put into */
    uint8_t type, encoding;
    uint32_t value_length;
    union cache_value value;
    uint64_t expires_ms;
    bool memcached;
    struct cache_memcached_part part;
    uint8_t embedded[CACHE_EMBEDDED_MAX]; /* CACHE_STRING_EMBEDDED: its bytes */
};
bool cache_store_take(struct cache_store *s, unsigned database, struct mr_span key, struct cache_taken *taken);
/* Puts it under another name, replacing what is there; maybe in another shard's store: what lives in pieces is adopted.
 * A collection of another shard's is copied, for which room must be reserved. False: no room, `taken` stays the caller's. */
bool cache_store_put(struct cache_store *s, unsigned database, struct mr_span key, const struct cache_taken *taken);
/* What `taken` holds goes, as if deleted. */
void cache_store_discard(struct cache_store *s, const struct cache_taken *taken);
/* Both O(1); watchers of the databases' keys are told by the caller. A flushed table is trash: its memory counts until it is
 * taken apart. */
void cache_store_flush(struct cache_store *s, unsigned database);
void cache_store_swap(struct cache_store *s, unsigned a, unsigned b); /* SWAPDB */
bool cache_store_flushing(const struct cache_store *s);               /* flushed entries are still being taken apart */

/* Expiry in Unix ms. Setting may move the entry; room for it: CACHE_EXPIRY_COST reserved. NULL: no room. */
#define CACHE_EXPIRY_COST 4096
struct cache_entry *cache_store_expire_at(struct cache_store *s, struct cache_entry *e, uint64_t at_ms);
struct cache_entry *cache_store_persist(struct cache_store *s, struct cache_entry *e);
/* Memcached's part, made when missing; may move the entry. NULL: no room. */
struct cache_entry *cache_store_memcached(struct cache_store *s, struct cache_entry *e);

/* Eviction. */
bool cache_store_set_policy(struct cache_store *s, const struct cache_evict_policy *policy); /* exchanged over turns */
const struct cache_evict_policy *cache_store_policy(const struct cache_store *s);            /* the last one set */
/* The policy that the entry is in: for OBJECT IDLETIME and FREQ. */
const struct cache_evict *cache_store_evict_of(const struct cache_store *s, const struct cache_entry *e);
void cache_store_set_limit(struct cache_store *s, uint64_t bytes); /* shrinking evicts over turns */

uint64_t cache_entry_bytes(const struct cache_store *s, const struct cache_entry *e); /* MEMORY USAGE */

/* All invariants: sums, lists, wheel, tables; for tests. O(keys). */
void cache_store_check(struct cache_store *s);

#endif
