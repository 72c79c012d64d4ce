/* The less loaded, for its weight, of two members taken at random (Mitzenmacher 2001): nearly as even as the least of all, without its
 * herd: workers that do not know of each other's load do not all run to the same member. With equal loads the weights draw lots. */
#include <assert.h>

#include "proxy/balance/policy.h"

struct two_choices {
    uint32_t count;
    uint32_t members[]; /* those that can be chosen, in any order; behind room for all: place of each + 1, or 0 */
};

size_t balance_two_choices_bytes(uint32_t members)
{
    return sizeof(struct two_choices) + 2 * (size_t)members * sizeof(uint32_t);
}

void balance_two_choices_init(struct balance *b)
{
    (void)b; /* calloc has made it empty */
}

static uint32_t *place_of(const struct balance *b, uint32_t member)
{
    struct two_choices *t = b->state;
    return &t->members[b->count + member];
}

static void store(const struct balance *b, uint32_t at, uint32_t member)
{
    struct two_choices *t = b->state;
    t->members[at] = member;
    *place_of(b, member) = at + 1;
}

void balance_two_choices_changed(struct balance *b, uint32_t member)
{
    struct two_choices *t = b->state;
    uint32_t *place = place_of(b, member);
    bool takes = balance_takes(b, member);
    if (takes == (*place != 0))
        return;
    if (takes) {
        store(b, t->count++, member);
        return;
    }
    uint32_t at = *place - 1;
    *place = 0;
    if (at < --t->count)
        store(b, at, t->members[t->count]);
}

/* Moves those that were tried to the end; returns how many others are left before them. */
static uint32_t untried_first(const struct balance *b, const struct balance_query *q)
{
    struct two_choices *t = b->state;
    uint32_t n = t->count;
    for (uint32_t i = 0; i < q->tried_count; i++) {
        if (q->tried[i] >= b->count)
            continue;
        uint32_t place = *place_of(b, q->tried[i]);
        if (place == 0 || place > n) /* cannot be chosen, or moved already */
            continue;
        uint32_t other = t->members[--n];
        store(b, n, q->tried[i]);
        if (place - 1 < n)
            store(b, place - 1, other);
    }
    return n;
}

/* x with the probability of its part of both weights. */
static uint32_t lots_draw(const struct balance *b, uint32_t x, uint32_t y)
{
    uint64_t all = (uint64_t)b->members[x].weight + b->members[y].weight;
    return mr_random_below(b->random, (uint32_t)all) < b->members[x].weight ? x : y;
}

int balance_two_choices_choose(struct balance *b, const struct balance_query *q)
{
    const struct two_choices *t = b->state;
    uint32_t n = untried_first(b, q);
    uint32_t i = mr_random_below(b->random, n);
    uint32_t x = t->members[i];
    if (n == 1)
        return (int)x;
    uint32_t j = mr_random_below(b->random, n - 1);
    uint32_t y = t->members[j + (j >= i)];
    if (balance_lighter(&b->members[x], &b->members[y]))
        return (int)x;
    if (balance_lighter(&b->members[y], &b->members[x]))
        return (int)y;
    return (int)lots_draw(b, x, y);
}

void balance_two_choices_check(const struct balance *b)
{
    const struct two_choices *t = b->state;
    assert(t->count == b->fit);
    for (uint32_t m = 0; m < b->count; m++) {
        uint32_t place = *place_of(b, m);
        assert((place != 0) == balance_takes(b, m));
        assert(place == 0 || (place <= t->count && t->members[place - 1] == m));
    }
}
