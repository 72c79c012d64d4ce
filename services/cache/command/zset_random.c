/* ZRANDMEMBER. Different members are drawn without memory: a pseudo-random permutation of the ranks is walked from its begin.
 * It is a Feistel network over the next power of four, and what falls beyond the last rank is permuted again until it
 * does not ("cycle walking", Black and Rogaway 2002). */
#include "cache/command/zset.h"

#define ROUNDS 4

struct permutation {
    uint64_t size;
    unsigned half_bits;
    uint64_t key[ROUNDS];
};

static void permutation_init(struct permutation *p, uint64_t size, struct mr_random *random)
{
    *p = (struct permutation){.size = size, .half_bits = 1};
    while (p->half_bits < 31 && UINT64_C(1) << 2 * p->half_bits < size)
        p->half_bits++;
    for (unsigned i = 0; i < ROUNDS; i++)
        p->key[i] = mr_random_next(random);
}

static uint64_t permutation_at(const struct permutation *p, uint64_t i)
{
    uint64_t mask = (UINT64_C(1) << p->half_bits) - 1;
    do {
        uint64_t left = i >> p->half_bits, right = i & mask;
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint64_t mixed = (right ^ p->key[round]) * 0x9e3779b97f4a7c15u;
            mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u;
            uint64_t next = left ^ (mixed >> 33 & mask);
            left = right;
            right = next;
        }
        i = left << p->half_bits | right;
    } while (i >= p->size);
    return i;
}

static uint64_t random_rank(struct mr_random *random, uint64_t count)
{
    return (uint64_t)(((unsigned __int128)mr_random_next(random) * count) >> 64);
}

static void reply_rank(struct cache_call *call, const struct cache_zset *z, uint64_t rank, bool with_scores)
{
    cache_zset_reply_element(call->reply, cache_zset_get(z, cache_zset_at_rank(z, rank)), with_scores);
}

/* Any, each as likely, members more than once. */
static void reply_repeating(struct cache_call *call, const struct cache_zset *z, uint64_t n, bool with_scores)
{
    cache_zset_reply_header(call->reply, n, with_scores);
    for (; n && !call->reply->failed; n--)
        reply_rank(call, z, random_rank(&z->store->random, cache_zset_count(z)), with_scores);
}

static void reply_different(struct cache_call *call, const struct cache_zset *z, uint64_t n, bool with_scores)
{
    uint64_t count = cache_zset_count(z);
    bool all = n >= count;
    n = all ? count : n;
    cache_zset_reply_header(call->reply, n, with_scores);
    if (all) {
        for (cache_zset_at at = cache_zset_at_rank(z, 0); at; at = cache_zset_next(z, at))
            cache_zset_reply_element(call->reply, cache_zset_get(z, at), with_scores);
        return;
    }
    struct permutation p;
    permutation_init(&p, count, &z->store->random);
    for (uint64_t i = 0; i < n; i++)
        reply_rank(call, z, permutation_at(&p, i), with_scores);
}

static bool random_options(struct cache_call *call, int64_t *n, bool *with_scores)
{
    *with_scores = call->argc > 3;
    if (!cache_argument_integer(&call->argv[2], n)) {
        cache_reply_not_integer(call->reply);
    } else if (*n == INT64_MIN) {
        cache_reply_error(call->reply, "ERR value is out of range, value must between -9223372036854775807 and "
                                       "9223372036854775807");
    } else if (call->argc > 4 || (*with_scores && !cache_argument_is(&call->argv[3], "withscores"))) {
        cache_reply_syntax_error(call->reply);
    } else if (*with_scores && (*n < -INT64_MAX / 2 || *n > INT64_MAX / 2)) {
        cache_reply_error(call->reply, "ERR value is out of range");
    } else {
        return true;
    }
    return false;
}

enum cache_outcome cache_zset_zrandmember(struct cache_call *call)
{
    struct cache_zset_target t;
    int64_t n = 1;
    bool with_scores = false, counted = call->argc > 2;
    if ((counted && !random_options(call, &n, &with_scores)) || !cache_zset_read(call, &call->argv[1], &t))
        return CACHE_DONE;
    if (!counted && !t.found)
        cache_reply_null(call->reply);
    else if (!counted)
        reply_rank(call, &t.zset, random_rank(&t.store->random, cache_zset_count(&t.zset)), false);
    else if (!t.found || n == 0)
        cache_reply_array(call->reply, 0);
    else if (n < 0)
        reply_repeating(call, &t.zset, (uint64_t)-n, with_scores);
    else
        reply_different(call, &t.zset, (uint64_t)n, with_scores);
    return CACHE_DONE;
}
