/* The trie of routes against a plain list that is searched from end to end: random prefixes of both families are put,
 * replaced and removed, and every lookup must agree. */
#include "tests/support/cmocka.h"

#include <millrace/random.h>
#include <stdlib.h>

#include "stack/route/route_trie.h"

#define OPERATIONS 40000

struct model_route {
    struct route_key key;
    unsigned bits;
    int value;
};

static struct model_route model[ROUTE_MAX];
static unsigned model_count;
static struct route_trie trie;

static int model_index(struct route_key key, unsigned bits)
{
    for (unsigned i = 0; i < model_count; i++)
        if (model[i].bits == bits && model[i].key.high == key.high && model[i].key.low == key.low)
            return (int)i;
    return -1;
}

/* Bit by bit, so that it shares no arithmetic with what it tests. */
static bool model_contains(const struct model_route *r, struct route_key key)
{
    for (unsigned i = 0; i < r->bits; i++) {
        uint64_t ours = i < 64 ? r->key.high >> (63 - i) : r->key.low >> (127 - i);
        uint64_t theirs = i < 64 ? key.high >> (63 - i) : key.low >> (127 - i);
        if ((ours ^ theirs) & 1)
            return false;
    }
    return true;
}

static int model_find(struct route_key key)
{
    int best = -1;
    for (unsigned i = 0; i < model_count; i++)
        if (model_contains(&model[i], key) && (best < 0 || model[i].bits > model[best].bits))
            best = (int)i;
    return best < 0 ? -1 : model[best].value;
}

/* Few distinct bits, so that prefixes nest and collide. */
static struct route_key random_key(struct mr_random *r)
{
    if (mr_random_below(r, 2))
        return (struct route_key){0, 0xffffull << 32 | (mr_random_next(r) & 0xc0a83f07)};
    return (struct route_key){mr_random_next(r) & 0x2001ull << 48, mr_random_next(r) & 0x8000000000000103};
}

static void put(struct mr_random *r)
{
    unsigned bits = mr_random_below(r, 129);
    struct route_key key = route_key_mask(random_key(r), bits);
    int value = (int)mr_random_below(r, ROUTE_MAX), at = model_index(key, bits);
    if (at < 0 && model_count == ROUTE_MAX)
        return;
    assert_true(route_trie_put(&trie, key, bits, value));
    if (at < 0)
        at = (int)model_count++;
    model[at] = (struct model_route){key, bits, value};
    assert_int_equal(route_trie_get(&trie, key, bits), value);
}

static void remove_one(struct mr_random *r)
{
    unsigned bits = mr_random_below(r, 129);
    struct route_key key = route_key_mask(random_key(r), bits);
    if (model_count && mr_random_below(r, 2)) {
        const struct model_route *chosen = &model[mr_random_below(r, model_count)];
        key = chosen->key;
        bits = chosen->bits;
    }
    int at = model_index(key, bits);
    assert_int_equal(route_trie_remove(&trie, key, bits), at < 0 ? -1 : model[at].value);
    if (at >= 0)
        model[at] = model[--model_count];
}

static void run(uint64_t seed, unsigned put_share)
{
    struct mr_random r;
    mr_random_seed(&r, seed);
    route_trie_init(&trie);
    model_count = 0;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (mr_random_below(&r, 100) < put_share)
            put(&r);
        else
            remove_one(&r);
        struct route_key key = random_key(&r);
        assert_int_equal(route_trie_find(&trie, key), model_find(key));
        if (i % 64 == 0)
            route_trie_check(&trie);
    }
    while (model_count)
        remove_one(&r);
    route_trie_check(&trie);
    assert_int_equal(trie.used, 0);
}

static void trie_agrees_with_a_list_under_random_operations(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    uint64_t first = given ? strtoull(given, NULL, 0) : 1;
    for (uint64_t seed = first; seed < first + (given ? 1 : 4); seed++) {
        print_message("route_trie: SEED=%lu\n", (unsigned long)seed);
        run(seed, 45 + 10 * (unsigned)(seed % 4)); /* from mostly empty to full */
    }
}

static void trie_holds_as_many_prefixes_as_there_may_be_routes(void **state)
{
    (void)state;
    route_trie_init(&trie);
    for (unsigned i = 0; i < ROUTE_MAX; i++)
        assert_true(route_trie_put(&trie, (struct route_key){0, (uint64_t)i << 8}, 120, (int)i));
    route_trie_check(&trie);
    for (unsigned i = 0; i < ROUTE_MAX; i++)
        assert_int_equal(route_trie_find(&trie, (struct route_key){0, (uint64_t)i << 8 | 0x55}), (int)i);
    assert_int_equal(route_trie_find(&trie, (struct route_key){1, 0}), -1);
    assert_false(route_trie_put(&trie, (struct route_key){1, 0}, 128, 0) &&
                 route_trie_put(&trie, (struct route_key){2, 0}, 128, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trie_agrees_with_a_list_under_random_operations),
        cmocka_unit_test(trie_holds_as_many_prefixes_as_there_may_be_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
