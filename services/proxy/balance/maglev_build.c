/* Population of the table (Eisenbud et al., NSDI 2016, section 3.4): each member has a permutation of all slots that follows from its
 * key alone; in turn, each takes the first slot of its own that is still free, until all are taken. Heavier members have more turns:
 * in round n a member has had n x weight / heaviest of them, rounded up. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/balance/balance.h"
#include "proxy/balance/maglev_hash.h"

#define SIZE_SMALL 65537u
#define SIZE_LARGE 655373u
#define PER_MEMBER 100u /* slots, at least */
#define NOBODY     UINT16_MAX

struct candidate {
    uint64_t key, turns; /* turns x heaviest, so that nothing is rounded */
    uint32_t slot, skip; /* where its permutation is, and its step */
    uint32_t member, weight;
};

/* In the order of keys: the list's order must not matter. */
static int candidate_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->member < y->member ? -1 : x->member > y->member;
}

static uint32_t candidates_list(struct candidate *c, const uint64_t *keys, const uint32_t *weights, uint32_t members,
                                uint32_t size)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < members; i++)
        if (weights[i] > 0)
            c[n++] = (struct candidate){
                .key = keys[i],
                .slot = (uint32_t)(maglev_hash(keys[i], 1) % size),
                .skip = (uint32_t)(maglev_hash(keys[i], 2) % (size - 1) + 1),
                .member = i,
                .weight = weights[i],
            };
    qsort(c, n, sizeof *c, candidate_compare);
    return n;
}

/* The next free slot of its permutation: `size` is a prime, so every step reaches all slots. */
static void slot_take(struct maglev_table *t, struct candidate *c)
{
    while (t->slots[c->slot] != NOBODY)
        c->slot = (c->slot + c->skip) % t->size;
    t->slots[c->slot] = (uint16_t)c->member;
}

static void populate(struct maglev_table *t, struct candidate *c, uint32_t n)
{
    uint64_t heaviest = 0;
    for (uint32_t i = 0; i < n; i++)
        heaviest = c[i].weight > heaviest ? c[i].weight : heaviest;
    uint32_t filled = 0;
    for (uint64_t round = 1; filled < t->size; round++)
        for (uint32_t i = 0; i < n && filled < t->size; i++)
            if (c[i].turns < round * c[i].weight) {
                c[i].turns += heaviest;
                slot_take(t, &c[i]);
                filled++;
            }
}

struct maglev_table *maglev_build(const uint64_t *keys, const uint32_t *weights, uint32_t members)
{
    uint32_t size = (uint64_t)members * PER_MEMBER <= SIZE_SMALL ? SIZE_SMALL : SIZE_LARGE;
    assert((uint64_t)members * PER_MEMBER <= SIZE_LARGE);
    size_t weights_at = (sizeof(struct maglev_table) + size * sizeof(uint16_t) + 3) & ~(size_t)3;
    struct maglev_table *t = malloc(weights_at + members * sizeof *weights);
    struct candidate *c = malloc((members + 1) * sizeof *c);
    if (t && c) {
        uint32_t *kept = (uint32_t *)((uint8_t *)t + weights_at);
        if (members > 0)
            memcpy(kept, weights, members * sizeof *weights);
        *t = (struct maglev_table){.size = size, .members = members, .weights = kept};
        memset(t->slots, 0xff, size * sizeof *t->slots);
        uint32_t n = candidates_list(c, keys, weights, members, size);
        if (n > 0)
            populate(t, c, n);
    } else {
        free(t);
        t = NULL;
    }
    free(c);
    return t;
}
