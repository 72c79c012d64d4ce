/* What the files of the store share; nobody else includes it. */
#ifndef SERVICES_CACHE_STORE_PRIVATE_H
#define SERVICES_CACHE_STORE_PRIVATE_H

#include "cache/store/store.h"

/* Constants */

#define STORE_FREES_AT_ONCE 4u   /* pieces of a value that are taken apart where it is deleted; more become trash */
#define STORE_FLUSHED_MAX   120u /* flushed tables waiting: fewer than there are generations */

/* Structs */

struct store_flushed {
    struct cache_table table;
    uint8_t epoch; /* of the snapshot that ran and wants its entries; 0: none did */
};

/* Values that were deleted lie in the entries that they had, chained by `evict.older`. */
struct cache_trash {
    memory_link first;
    uint64_t values;
    struct store_flushed flushed[STORE_FLUSHED_MAX]; /* a ring */
    unsigned flushed_first, flushed_count;
};

/* What an entry is given. */
struct store_value {
    enum cache_type type;
    unsigned encoding;
    uint32_t length;         /* value_length */
    union cache_value value; /* unless embedded */
    const uint8_t *embedded; /* else; `length` bytes */
};

/* Where an entry is, or would be. */
struct store_place {
    unsigned database;
    struct mr_span key;
    uint64_t hash;
};

enum store_cause { STORE_COMMANDED, STORE_EXPIRED, STORE_EVICTED };

/* Entries: store_entry.c */

size_t store_entry_bytes(const struct cache_entry *e); /* of its allocation */
size_t store_entry_bytes_for(unsigned flags, size_t key_bytes, size_t embedded_bytes);
static inline size_t store_embedded_bytes(const struct cache_entry *e)
{
    return e->flags & CACHE_ENTRY_VALUE ? 0 : e->value_length;
}
/* In no table, wheel or policy yet; with its parts and its key, but no value. NULL: no memory. */
struct cache_entry *store_entry_create(struct cache_store *s, const struct store_place *p, unsigned flags,
                                       size_t embedded_bytes);
void store_entry_free(struct cache_store *s, struct cache_entry *e); /* the allocation alone */
void store_entry_assign(struct cache_entry *e, const struct store_value *v);
/* `to`, made with the same key, takes the place of `from` in table, wheel and policy; parts of both are carried over. A
 * snapshot has been told of `from`. The value and the allocation of `from` are the caller's. */
void store_entry_substitute(struct cache_store *s, const struct store_place *p, struct cache_entry *from,
                            struct cache_entry *to);
/* Into table, wheel and policy. False: no memory for the table. */
bool store_entry_enter(struct cache_store *s, const struct store_place *p, struct cache_entry *e);
/* Into wheel and policy, of an entry that is in its table. */
void store_entry_enlist(struct cache_store *s, const struct store_place *p, struct cache_entry *e);
void store_entry_unlist(struct cache_store *s, const struct store_place *p, struct cache_entry *e, bool evicted);
/* Out of table, wheel and policy. */
void store_entry_leave(struct cache_store *s, const struct store_place *p, struct cache_entry *e, bool evicted);
/* The entry with other parts, its value in it; may move. NULL: no memory. */
struct cache_entry *store_entry_with_flags(struct cache_store *s, struct cache_entry *e, unsigned flags);
/* Makes or replaces the entry at `p`; `old` is what is there. NULL: no memory, nothing changed. Tells nobody but a snapshot. */
struct cache_entry *store_entry_put(struct cache_store *s, const struct store_place *p, struct cache_entry *old,
                                    const struct store_value *v, bool keep_expiry);
struct store_value store_entry_value(const struct cache_entry *e);

/* Keyspace: store.c */

struct store_place store_place_of(const struct cache_store *s, unsigned database, struct mr_span key);
struct store_place store_place_of_entry(const struct cache_store *s, const struct cache_entry *e);
static inline bool store_dead(const struct cache_store *s, const struct cache_entry *e)
{
    return e->flags & CACHE_ENTRY_EXPIRES && cache_entry_expiry(e)->at_ms <= s->now_ms;
}
/* Flushed, and waiting in the trash. */
static inline bool store_flushed(const struct cache_store *s, const struct cache_entry *e)
{
    return e->generation != s->generation[e->database];
}
/* A live entry or NULL; a dead one is removed. */
struct cache_entry *store_find(struct cache_store *s, const struct store_place *p);
void store_remove(struct cache_store *s, const struct store_place *p, struct cache_entry *e, enum store_cause cause);
void store_before_change(struct cache_store *s, struct cache_entry *e);
/* `e` is the entry, NULL: it is gone. */
void store_tell_changed(struct cache_store *s, const struct store_place *p, struct cache_entry *e);

/* Trash: store_trash.c */

bool store_trash_init(struct cache_store *s);
void store_trash_release(struct cache_store *s);
bool store_trash_empty(const struct cache_store *s);
/* What is in the value part goes at once or, when it is large and false is returned, is for store_trash_add. */
bool store_value_free(struct cache_store *s, struct cache_entry *e, unsigned *budget);
void store_trash_add(struct cache_store *s, struct cache_entry *e);     /* out of everything; it becomes the store's */
void store_entry_dispose(struct cache_store *s, struct cache_entry *e); /* value and allocation, now or as trash */
void store_trash_flush(struct cache_store *s, unsigned database);
/* Takes trash apart, for `budget` pieces at most. */
void store_trash_drain(struct cache_store *s, unsigned *budget);

/* Eviction: store_evict.c */

bool store_evict_init(struct cache_store *s, const struct cache_evict_policy *policy);
void store_evict_release(struct cache_store *s);
void store_evict_enter(struct cache_store *s, struct cache_entry *e, uint64_t hash);
void store_evict_leave(struct cache_store *s, struct cache_entry *e, uint64_t hash, bool evicted);
void store_evict_hit(struct cache_store *s, struct cache_entry *e, uint64_t hash);
void store_evict_moved(struct cache_store *s, struct cache_entry *from, struct cache_entry *to);
/* The entry got or lost its expiry. */
void store_evict_expiry_changed(struct cache_store *s, struct cache_entry *e, uint64_t hash);
void store_evict_set_clock(struct cache_store *s);
bool store_evict_background(struct cache_store *s); /* true: there is more to do */

/* Expiry: store_expiry.c */

bool store_expiry_background(struct cache_store *s); /* true: there is more to do */

#endif
