/* As the stack's timer wheel, with digits of 6 bits: an entry that dies at T, seen from the present C, is on the level of
 * the highest digit in which T and C differ, in the slot that this digit of T names:
 *
 *      digit:     7 (bits 42-47 and above) | ... |    1    |    0
 *      a slot:    139 years                | ... |  64 ms  |  1 ms
 *
 * So levels 0 to 6 hold only slots ahead of C's own digit, and what they hold is earlier than anything on a higher level.
 * What is past already is in C's slot of level 0. The last level is circular and takes what is further than it can name in
 * its furthest slot. When C reaches the first millisecond of a slot above level 0, the slot is "open": its entries are put
 * on lower levels, one a step, and until it is empty C stays. Meanwhile entries may come and go anywhere.
 *
 * If the clock is set back, nothing dies before it has come back to C; reads find dead entries themselves. */
#include "cache/store/expire.h"

#include <assert.h>
#include <string.h>

#define DIGIT_BITS 6
#define DIGIT_MASK (CACHE_EXPIRE_SLOTS - 1)
#define LEVEL_LAST (CACHE_EXPIRE_LEVELS - 1)
_Static_assert(CACHE_EXPIRE_SLOTS == 1 << DIGIT_BITS, "a digit names a slot, and a word has a bit for each");

struct position {
    unsigned level, slot;
};

static struct cache_entry *entry_unpack(const struct cache_expire *x, memory_link link)
{
    return memory_link_unpack(x->base, link);
}

static unsigned digit(uint64_t ms, unsigned level)
{
    return (unsigned)(ms >> (level * DIGIT_BITS)) & DIGIT_MASK;
}

static struct position position_of(const struct cache_expire *x, uint64_t at_ms)
{
    if (at_ms <= x->now_ms)
        return (struct position){0, digit(x->now_ms, 0)};
    unsigned level = (63 - (unsigned)__builtin_clzll(at_ms ^ x->now_ms)) / DIGIT_BITS;
    if (level < LEVEL_LAST)
        return (struct position){level, digit(at_ms, level)};
    uint64_t ahead = (at_ms >> (LEVEL_LAST * DIGIT_BITS)) - (x->now_ms >> (LEVEL_LAST * DIGIT_BITS));
    if (ahead > DIGIT_MASK)
        ahead = DIGIT_MASK;
    return (struct position){LEVEL_LAST, (digit(x->now_ms, LEVEL_LAST) + (unsigned)ahead) & DIGIT_MASK};
}

static bool first_is(const struct cache_expire *x, struct position at, memory_link first)
{
    return x->slot[at.level][at.slot] == first;
}

/* The slot whose first entry is `first`. It is where it would be put now, but when it waits in an open slot, or in one that
 * was the furthest when it came. */
static struct position position_of_first(const struct cache_expire *x, memory_link first, uint64_t at_ms)
{
    struct position at = position_of(x, at_ms);
    if (first_is(x, at, first))
        return at;
    for (at.level = 1; at.level < CACHE_EXPIRE_LEVELS; at.level++) {
        at.slot = digit(x->now_ms, at.level);
        if (first_is(x, at, first))
            return at;
    }
    at.level = LEVEL_LAST;
    for (at.slot = 0; at.slot < CACHE_EXPIRE_SLOTS && !first_is(x, at, first);)
        at.slot++;
    assert(at.slot < CACHE_EXPIRE_SLOTS);
    return at;
}

void cache_expire_init(struct cache_expire *x, const uint8_t *base, uint64_t now_ms)
{
    *x = (struct cache_expire){.base = base, .now_ms = now_ms};
}

static void slot_push(struct cache_expire *x, struct cache_entry *e)
{
    struct cache_expiry *expiry = cache_entry_expiry(e);
    struct position at = position_of(x, expiry->at_ms);
    memory_link *first = &x->slot[at.level][at.slot], link = memory_link_pack(x->base, e);
    expiry->previous = 0;
    expiry->next = *first;
    if (*first)
        cache_entry_expiry(entry_unpack(x, *first))->previous = link;
    *first = link;
    x->occupied[at.level] |= UINT64_C(1) << at.slot;
}

static void slot_set_first(struct cache_expire *x, struct position at, memory_link first)
{
    x->slot[at.level][at.slot] = first;
    if (!first)
        x->occupied[at.level] &= ~(UINT64_C(1) << at.slot);
}

static struct cache_entry *slot_pop(struct cache_expire *x, struct position at)
{
    struct cache_entry *e = entry_unpack(x, x->slot[at.level][at.slot]);
    memory_link next = cache_entry_expiry(e)->next;
    if (next)
        cache_entry_expiry(entry_unpack(x, next))->previous = 0;
    slot_set_first(x, at, next);
    return e;
}

void cache_expire_add(struct cache_expire *x, struct cache_entry *e)
{
    assert(e->flags & CACHE_ENTRY_EXPIRES);
    slot_push(x, e);
    x->count++;
}

void cache_expire_remove(struct cache_expire *x, struct cache_entry *e)
{
    struct cache_expiry *expiry = cache_entry_expiry(e);
    assert(x->count > 0);
    x->count--;
    if (expiry->next)
        cache_entry_expiry(entry_unpack(x, expiry->next))->previous = expiry->previous;
    if (expiry->previous)
        cache_entry_expiry(entry_unpack(x, expiry->previous))->next = expiry->next;
    else
        slot_set_first(x, position_of_first(x, memory_link_pack(x->base, e), expiry->at_ms), expiry->next);
}

void cache_expire_moved(struct cache_expire *x, struct cache_entry *from, struct cache_entry *to)
{
    struct cache_expiry *expiry = cache_entry_expiry(to);
    memory_link link = memory_link_pack(x->base, to);
    if (expiry->next)
        cache_entry_expiry(entry_unpack(x, expiry->next))->previous = link;
    if (expiry->previous)
        cache_entry_expiry(entry_unpack(x, expiry->previous))->next = link;
    else
        slot_set_first(x, position_of_first(x, memory_link_pack(x->base, from), expiry->at_ms), link);
}

/* The first millisecond of a slot of `level` that is `ahead` of C's own, as C's digits count (the last level: around). */
static uint64_t slot_start_ms(const struct cache_expire *x, unsigned level, unsigned ahead)
{
    return ((x->now_ms >> (level * DIGIT_BITS)) + ahead) << (level * DIGIT_BITS);
}

/* The slot to be emptied next, and when it may be: an open one, else the first of the lowest level that has any. False: the
 * wheel is empty. */
static bool slot_next(const struct cache_expire *x, struct position *at, uint64_t *start_ms)
{
    struct position found = {CACHE_EXPIRE_LEVELS, 0};
    unsigned found_ahead = 0;
    for (unsigned level = CACHE_EXPIRE_LEVELS; level-- > 0;) {
        if (!x->occupied[level])
            continue;
        unsigned own = digit(x->now_ms, level);
        uint64_t ahead = x->occupied[level] >> own;
        if (level == LEVEL_LAST && own)
            ahead |= x->occupied[level] << (CACHE_EXPIRE_SLOTS - own);
        found_ahead = (unsigned)__builtin_ctzll(ahead);
        found = (struct position){level, (own + found_ahead) & DIGIT_MASK};
        if (found_ahead == 0)
            break;
    }
    if (found.level == CACHE_EXPIRE_LEVELS)
        return false;
    *at = found;
    *start_ms = slot_start_ms(x, found.level, found_ahead);
    if (*start_ms < x->now_ms)
        *start_ms = x->now_ms;
    return true;
}

struct cache_entry *cache_expire_next(struct cache_expire *x, uint64_t now_ms, unsigned *budget)
{
    struct position at;
    uint64_t start_ms;
    for (; *budget; --*budget) {
        if (!slot_next(x, &at, &start_ms) || start_ms > now_ms) {
            if (now_ms > x->now_ms)
                x->now_ms = now_ms; /* no slot starts on the way */
            return NULL;
        }
        x->now_ms = start_ms;
        struct cache_entry *e = slot_pop(x, at);
        if (at.level == 0) {
            --*budget;
            x->count--;
            return e;
        }
        slot_push(x, e);
    }
    return NULL;
}

struct cache_entry *cache_expire_soonest(const struct cache_expire *x)
{
    struct position at;
    uint64_t start_ms;
    return slot_next(x, &at, &start_ms) ? entry_unpack(x, x->slot[at.level][at.slot]) : NULL;
}

uint64_t cache_expire_next_ms(const struct cache_expire *x)
{
    struct position at;
    uint64_t start_ms;
    return slot_next(x, &at, &start_ms) ? start_ms : UINT64_MAX;
}

/* Whether an entry of time T may be in the slot: T is in the span that the slot has ahead of C, or later if it is the last
 * level's (it was the furthest once), or earlier if it is C's own of level 0 (it came late). */
static void entry_check(const struct cache_expire *x, struct position at, uint64_t at_ms)
{
    unsigned own = digit(x->now_ms, at.level), ahead = (at.slot - own) & DIGIT_MASK;
    uint64_t start_ms = slot_start_ms(x, at.level, ahead);
    uint64_t last_ms = start_ms + ((UINT64_C(1) << (at.level * DIGIT_BITS)) - 1);
    assert(at.level == LEVEL_LAST || at.slot >= own);
    assert(at_ms >= start_ms || (at.level == 0 && ahead == 0));
    assert(at_ms <= last_ms || at.level == LEVEL_LAST);
}

void cache_expire_check(const struct cache_expire *x)
{
    uint64_t count = 0;
    for (struct position at = {0, 0}; at.level < CACHE_EXPIRE_LEVELS; at.level++)
        for (at.slot = 0; at.slot < CACHE_EXPIRE_SLOTS; at.slot++) {
            memory_link link = x->slot[at.level][at.slot], previous = 0;
            assert((link != 0) == (x->occupied[at.level] >> at.slot & 1));
            for (; link; count++) {
                const struct cache_entry *e = entry_unpack(x, link);
                const struct cache_expiry *expiry = cache_entry_expiry(e);
                assert(e->flags & CACHE_ENTRY_EXPIRES);
                assert(expiry->previous == previous);
                entry_check(x, at, expiry->at_ms);
                previous = link;
                link = expiry->next;
            }
        }
    assert(count == x->count);
}
