/* Which entries die when: a wheel of wheels over Unix milliseconds, 8 levels of 64 slots, intrusive by the entries' expiry
 * part. Adding and removing is O(1); a slot that is due is emptied some entries at a time, so that a million keys with the
 * same expiry hold no turn. */
#ifndef SERVICES_CACHE_EXPIRE_H
#define SERVICES_CACHE_EXPIRE_H

#include "cache/store/entry.h"

#define CACHE_EXPIRE_LEVELS 8
#define CACHE_EXPIRE_SLOTS  64

struct cache_expire {
    const uint8_t *base;
    uint64_t now_ms; /* slots before it are empty, but for the one being emptied */
    uint64_t count;
    uint64_t occupied[CACHE_EXPIRE_LEVELS]; /* a bit a slot */
    memory_link slot[CACHE_EXPIRE_LEVELS][CACHE_EXPIRE_SLOTS];
};

void cache_expire_init(struct cache_expire *x, const uint8_t *base, uint64_t now_ms);
void cache_expire_add(struct cache_expire *x,
                      struct cache_entry *e); /* at its at_ms, which may not change until removed */
void cache_expire_remove(struct cache_expire *x, struct cache_entry *e);
/* `from` is compared only: it may be freed already. */
void cache_expire_moved(struct cache_expire *x, struct cache_entry *from, struct cache_entry *to);
/* An entry with at_ms <= now_ms, removed from the wheel, or NULL; costs at most a number of `budget` steps, taken off. */
struct cache_entry *cache_expire_next(struct cache_expire *x, uint64_t now_ms, unsigned *budget);
/* The entry that dies first, nearly (of the first slot that is not empty); NULL: none. */
struct cache_entry *cache_expire_soonest(const struct cache_expire *x);
uint64_t cache_expire_next_ms(const struct cache_expire *x); /* lower bound of the next death; UINT64_MAX: none */
void cache_expire_check(const struct cache_expire *x);

#endif
