/* Three shards' memories against plain sums: random allocations, frees, resizes, changes of hands, posts home and changes of
 * the limit. The bytes of each allocation must stay what they were, and every sum is recomputed after each step. */
#include "memory/memory.h"

#include <assert.h>
#include <millrace/random.h>
#include <string.h>

#include "tests/support/seed.h"

#define SHARDS       3
#define PIECES       700
#define STEPS        30000
#define REGION_BYTES (24 * UINT64_C(65536))

struct piece {
    uint8_t *p; /* NULL: none */
    size_t bytes;
    unsigned counted_by;
    uint8_t filled_with;
};

static struct memory shard[SHARDS];
static uint64_t used[SHARDS], allocations[SHARDS], peak[SHARDS]; /* what they should be */
static struct piece piece[PIECES];
static struct mr_random random_numbers;
static unsigned full; /* times that a region had no page left */

static unsigned below(unsigned n)
{
    return mr_random_below(&random_numbers, n);
}

/* Any magnitude is equally likely, the ends of the range included. */
static size_t random_bytes(void)
{
    if (below(50) == 0)
        return below(2) ? 1 : MEMORY_LARGEST;
    size_t bytes = 1 + below(1u << below(17));
    return bytes < MEMORY_LARGEST ? bytes : MEMORY_LARGEST;
}

static void count(unsigned s, size_t bytes)
{
    used[s] += memory_cost(bytes);
    allocations[s]++;
    if (peak[s] < used[s])
        peak[s] = used[s];
}

static void uncount(unsigned s, size_t bytes)
{
    used[s] -= memory_cost(bytes);
    allocations[s]--;
}

static void fill(struct piece *x)
{
    x->filled_with = (uint8_t)mr_random_next(&random_numbers);
    memset(x->p, x->filled_with, x->bytes);
}

static void filled_check(const struct piece *x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += i < 64 || i + 64 > bytes ? 1 : 61)
        assert(x->p[i] == x->filled_with);
    assert(x->p[bytes - 1] == x->filled_with);
}

static void piece_alloc(struct piece *x)
{
    unsigned s = below(SHARDS);
    size_t bytes = random_bytes();
    void *p = memory_alloc(&shard[s], bytes);
    bool within = used[s] + memory_cost(bytes) <= shard[s].limit;
    assert(within || !p);
    assert(p || !within || shard[s].resident == REGION_BYTES || !shard[s].base);
    full += within && !p;
    if (!p)
        return;
    assert((uintptr_t)p % 16 == 0);
    *x = (struct piece){.p = p, .bytes = bytes, .counted_by = s};
    count(s, bytes);
    fill(x);
}

static void piece_free(struct piece *x)
{
    filled_check(x, x->bytes);
    memory_free(&shard[x->counted_by], x->p, x->bytes);
    uncount(x->counted_by, x->bytes);
    x->p = NULL;
}

static void piece_resize(struct piece *x)
{
    size_t bytes = random_bytes(), kept = bytes < x->bytes ? bytes : x->bytes;
    void *p = memory_resize(&shard[x->counted_by], x->p, x->bytes, bytes);
    if (!p) {
        filled_check(x, x->bytes);
        return;
    }
    x->p = p;
    filled_check(x, kept);
    uncount(x->counted_by, x->bytes);
    count(x->counted_by, bytes);
    x->bytes = bytes;
    fill(x);
}

static void piece_hand_over(struct piece *x)
{
    unsigned to = below(SHARDS);
    memory_disown(&shard[x->counted_by], x->bytes);
    uncount(x->counted_by, x->bytes);
    bool room = used[to] + memory_cost(x->bytes) <= shard[to].limit;
    unsigned taker = room ? to : x->counted_by; /* refused: the giver takes it back */
    assert(memory_adopt(&shard[to], x->bytes) == room);
    if (!room && !memory_adopt(&shard[taker], x->bytes)) {
        shard[taker].limit = used[taker] + memory_cost(x->bytes); /* it had been lowered below what is used */
        assert(memory_adopt(&shard[taker], x->bytes));
    }
    x->counted_by = taker;
    count(taker, x->bytes);
}

static void post_home(void)
{
    unsigned from = below(SHARDS), home = below(SHARDS);
    void *list = memory_foreign_take(&shard[from], &shard[home]);
    assert(from != home || !list);
    if (list)
        memory_free_home(&shard[home], list);
}

static void step(unsigned free_share)
{
    struct piece *x = &piece[below(PIECES)];
    unsigned dice = below(100);
    if (dice < 4)
        post_home();
    else if (dice == 4)
        shard[below(SHARDS)].limit = 1 + below((unsigned)REGION_BYTES);
    else if (!x->p)
        piece_alloc(x);
    else if (dice < 5 + free_share)
        piece_free(x);
    else if (dice < 80)
        piece_resize(x);
    else
        piece_hand_over(x);
}

static void sums_check(void)
{
    int64_t elsewhere = 0;
    uint64_t foreign = 0;
    for (unsigned s = 0; s < SHARDS; s++) {
        memory_check(&shard[s]);
        assert(shard[s].used == used[s] && shard[s].allocations == allocations[s] && shard[s].used_peak == peak[s]);
        elsewhere += shard[s].elsewhere_count;
        foreign += shard[s].foreign_count;
    }
    assert(elsewhere == (int64_t)foreign); /* what is nobody's is on its way home */
}

int main(int argument_count, char **arguments)
{
    mr_random_seed(&random_numbers, support_seed(arguments[0]));
    for (unsigned s = 0; s < SHARDS; s++) {
        bool started = memory_init(&shard[s], REGION_BYTES, REGION_BYTES);
        assert(started);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step(i / 5000 % 2 ? 60 : 20); /* it fills, then it empties, and fills again with other sizes */
        sums_check();
    }
    for (unsigned i = 0; i < PIECES; i++)
        if (piece[i].p)
            piece_free(&piece[i]);
    for (unsigned i = 0; i < SHARDS * SHARDS; i++) {
        void *list = memory_foreign_take(&shard[i % SHARDS], &shard[i / SHARDS]);
        if (list)
            memory_free_home(&shard[i / SHARDS], list);
    }
    sums_check();
    for (unsigned s = 0; s < SHARDS; s++) {
        assert(shard[s].used == 0 && shard[s].elsewhere == 0 && !shard[s].foreign);
        memory_release(&shard[s]);
    }
    printf("regions were full %u times\n", full);
    return 0;
}
