/* The wheel of expiries against a list that is searched whole: random adding, removing, moving and passing of time, from a
 * millisecond to ages, with budgets that end in the middle. After every step the wheel checks itself. */
#include "cache/store/expire.h"

#include <assert.h>
#include <millrace/random.h>
#include <string.h>

#include "tests/support/seed.h"

#define ENTRIES 200
#define STEPS   60000
#define BYTES   (sizeof(struct cache_entry) + sizeof(struct cache_expiry))

static struct memory memory;
static struct cache_expire wheel;
static struct cache_entry *armed[ENTRIES]; /* NULL: not in the wheel */
static struct mr_random random_numbers;
static uint64_t now;
static unsigned died;

static unsigned below(unsigned n)
{
    return mr_random_below(&random_numbers, n);
}

/* Any magnitude up to `bits` bits is equally likely. */
static uint64_t random_ms(unsigned bits)
{
    return mr_random_next(&random_numbers) >> (63 - below(bits));
}

static uint64_t random_at_ms(void)
{
    switch (below(20)) {
    case 0:
        return UINT64_MAX - below(3);
    case 1:
        return now - (now >> below(64)); /* the past, and now */
    case 2:
        return (now | ((UINT64_C(1) << below(50)) - 1)) + below(3); /* the end of a slot, the begin of one */
    case 3: {
        const struct cache_entry *other = armed[below(ENTRIES)];
        return other ? cache_entry_expiry(other)->at_ms : now + 1;
    }
    default:
        return now + random_ms(50);
    }
}

static void entry_add(unsigned i)
{
    struct cache_entry *e = memory_alloc(&memory, BYTES);
    memset(e, 0, BYTES);
    e->flags = CACHE_ENTRY_EXPIRES;
    cache_entry_expiry(e)->at_ms = random_at_ms();
    armed[i] = e;
    cache_expire_add(&wheel, e);
}

static void entry_free(unsigned i)
{
    memset(armed[i], 0xee, BYTES);
    memory_free(&memory, armed[i], BYTES);
    armed[i] = NULL;
}

static void entry_move(unsigned i)
{
    struct cache_entry *from = armed[i], *to = memory_alloc(&memory, BYTES);
    memcpy(to, from, BYTES);
    entry_free(i);
    armed[i] = to;
    cache_expire_moved(&wheel, from, to);
}

static uint64_t soonest_ms(void)
{
    uint64_t soonest = UINT64_MAX;
    for (unsigned i = 0; i < ENTRIES; i++)
        if (armed[i] && cache_entry_expiry(armed[i])->at_ms < soonest)
            soonest = cache_entry_expiry(armed[i])->at_ms;
    return soonest;
}

static void entry_died(const struct cache_entry *e)
{
    unsigned i = 0;
    while (i < ENTRIES && armed[i] != e)
        i++;
    assert(i < ENTRIES);
    assert(cache_entry_expiry(e)->at_ms <= now);
    entry_free(i);
    died++;
}

/* Short ways, long ways, and to just where something happens. */
static void time_pass(void)
{
    unsigned dice = below(10);
    uint64_t soonest = soonest_ms(), wake = cache_expire_next_ms(&wheel);
    if (dice < 2 && wake != UINT64_MAX && wake > now)
        now = wake;
    else if (dice < 4 && soonest > now && soonest < UINT64_MAX / 2)
        now = soonest - below(2);
    else
        now += random_ms(dice == 9 ? 46 : 16);
}

/* Kills what is due; with little budget some may be left, without limit none. */
static void expire(void)
{
    bool all = below(3);
    unsigned budget = all ? 100000 : below(8), given = budget, dead = 0;
    for (struct cache_entry *e; (e = cache_expire_next(&wheel, now, &budget)); dead++) {
        entry_died(e);
        cache_expire_check(&wheel);
    }
    assert(dead <= given - budget);
    assert(!all || soonest_ms() > now);
    assert(!all || (budget > 0 && wheel.now_ms == now));
}

static void agreement_check(void)
{
    uint64_t count = 0, soonest = soonest_ms();
    for (unsigned i = 0; i < ENTRIES; i++)
        count += armed[i] != NULL;
    cache_expire_check(&wheel);
    assert(wheel.count == count);
    uint64_t wake = cache_expire_next_ms(&wheel);
    assert(count == 0 ? wake == UINT64_MAX : wake <= (soonest > wheel.now_ms ? soonest : wheel.now_ms));
    struct cache_entry *first = cache_expire_soonest(&wheel);
    assert((first == NULL) == (count == 0));
}

int main(int argument_count, char **arguments)
{
    mr_random_seed(&random_numbers, support_seed(arguments[0]));
    bool started = memory_init(&memory, 1 << 20, 1 << 20);
    assert(started);
    for (unsigned round = 0; round < 8; round++) {
        now = round % 2 ? (UINT64_C(1) << 48) - random_ms(46) : random_ms(48); /* odd: the last level comes around */
        cache_expire_init(&wheel, memory.base, now);
        for (unsigned step = 0; step < STEPS / 8; step++) {
            unsigned i = below(ENTRIES), dice = below(10);
            if (dice == 0)
                time_pass();
            else if (dice == 1)
                expire();
            else if (!armed[i])
                entry_add(i);
            else if (dice < 5) {
                cache_expire_remove(&wheel, armed[i]);
                entry_free(i);
            } else {
                entry_move(i);
            }
            agreement_check();
        }
        for (unsigned i = 0; i < ENTRIES; i++)
            if (armed[i])
                entry_free(i);
    }
    printf("%u entries died\n", died);
    memory_release(&memory);
    return died > 100 ? 0 : 1;
}
