/* The eviction policies on traces written by hand: who goes, and why. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include <millrace/random.h>

#include "cache/evict/evict.h"
#include "cache/evict/evict_ghost.h"
#include "cache/evict/evict_node.h"
#include "cache/evict/evict_sketch.h"

#define PLACES 256

/* Keys are letters; each has a place in memory, or 0. */
struct fixture {
    struct cache_evict evict;
    struct mr_random random;
    struct place {
        _Alignas(16) struct cache_evict_node node;
        char key;
    } places[PLACES];
    int place_of[128], places_used;
    const char *draws; /* what sample() gives, letter by letter */
};

static uint64_t hash_of_key(char key)
{
    return (uint64_t)key * 0x9e3779b97f4a7c15u;
}

static uint64_t owner_hash(void *owner, const struct cache_evict_node *n)
{
    return hash_of_key(((const struct place *)n)->key);
}

static struct cache_evict_node *node_of(struct fixture *f, char key)
{
    return f->place_of[(int)key] ? &f->places[f->place_of[(int)key]].node : NULL;
}

static struct cache_evict_node *owner_sample(void *owner)
{
    struct fixture *f = owner;
    return f->draws && *f->draws ? node_of(f, *f->draws++) : NULL;
}

/* In the order of the alphabet. */
static struct cache_evict_node *owner_next_dead(void *owner)
{
    for (char key = 0; key < 127; key++)
        if (node_of(owner, key))
            return node_of(owner, key);
    return NULL;
}

static struct fixture *fixture_new(const char *policy, bool odd)
{
    struct fixture *f = aligned_alloc(16, (sizeof *f + 15) & ~(size_t)15);
    memset(f, 0, sizeof *f);
    mr_random_seed(&f->random, 1);
    struct cache_evict_owner owner = {.base = (const uint8_t *)f->places,
                                      .random = &f->random,
                                      .sample = owner_sample,
                                      .next_dead = owner_next_dead,
                                      .hash_of = owner_hash,
                                      .owner = f,
                                      .odd = odd};
    assert_non_null(cache_evict_find(policy));
    assert_true(cache_evict_init(&f->evict, cache_evict_find(policy), &owner, 64));
    return f;
}

static void fixture_free(struct fixture *f)
{
    cache_evict_release(&f->evict);
    free(f);
}

static void key_insert(struct fixture *f, char key, uint32_t bytes)
{
    struct place *p = &f->places[++f->places_used];
    assert_true(f->places_used < PLACES);
    p->key = key;
    f->place_of[(int)key] = f->places_used;
    f->evict.policy->insert(&f->evict, &p->node, hash_of_key(key), bytes);
}

static void key_hit(struct fixture *f, char key)
{
    f->evict.policy->hit(&f->evict, node_of(f, key), hash_of_key(key));
}

static void key_remove(struct fixture *f, char key, bool evicted)
{
    f->evict.policy->remove(&f->evict, node_of(f, key), hash_of_key(key), evicted);
    f->place_of[(int)key] = 0;
}

static void key_move(struct fixture *f, char key)
{
    struct cache_evict_node *from = node_of(f, key);
    struct place *to = &f->places[++f->places_used];
    *to = *(struct place *)from;
    memset(from, 0xa5, sizeof *from);
    f->place_of[(int)key] = f->places_used;
    cache_evict_moved(&f->evict, from, &to->node);
}

static char key_evict(struct fixture *f)
{
    struct cache_evict_node *n = f->evict.policy->victim(&f->evict);
    if (!n)
        return '0';
    char key = ((struct place *)n)->key;
    key_remove(f, key, true);
    return key;
}

/* A trace: `A` inserts A, or hits it when it is there; `-A` deletes it; `~A` moves it in memory; `!A` evicts, and it must be A
 * that goes, `!0` if nobody does; `^` lets a minute pass. */
static const struct trace {
    const char *policy, *trace, *reason;
} traces[] = {
    {"lru", "ABCD !A !B !C !D !0", "never used again: first in, first out"},
    {"lru", "ABCD AB !C !D !A !B", "in the order of the last use"},
    {"lru", "ABCD DDDD A !B !C !D !A", "frequency does not count"},
    {"lru", "ABCD -A -C !B !D !0", "a deleted key does not go again"},
    {"lru", "ABCD ~A ~D ~B B !A !C !D !B", "moved keys keep their places"},
    {"volatile-lru", "ABC A !B !C !A", "the same policy among fewer keys"},

    {"sieve", "ABCD !A !B !C !D !0", "nobody was used"},
    {"sieve", "ABCD A !B !C !D !A", "A is spared once, and stays where it is, behind the hand"},
    {"sieve", "ABCD AB !C E !D F !E !F !A !B", "the hand goes on from where it was, then starts over"},
    {"sieve", "ABC ABC !A !B !C", "all were used: bits are cleared, then the oldest goes"},
    {"sieve", "ABCD A !B -C A !D !A", "the hand's key is deleted: it goes on behind it"},
    {"sieve", "ABCD A !B ~C ~A !C !D !A", "the hand's key is moved: the hand follows"},

    {"s3fifo", "ABCD !A !B !C !D !0", "one small queue"},
    {"s3fifo", "ABCD A !A", "one more use is not enough to stay: two are"},
    {"s3fifo", "ABCD AA !B !C !D !A", "two uses bring A into main, which is larger than its share only at last"},
    {"s3fifo", "ABCD !A A EF !B !C !D !E !F !A", "A comes back from the ghosts straight into main"},
    {"s3fifo", "ABCD -A A EF !B !C !D !A", "a key that was deleted is no ghost: A is behind D in the small queue"},
    {"s3fifo", "AB AA BB C !C !A !B", "main gives when the small queue is empty: oldest first"},
    {"s3fifo", "AB AA BB C !C A !B !A", "main spares a key that was used there"},
    {"s3fifo", "ABCD AA ~A ~B !B ~C ~A !C !D !A", "moved in either queue"},

    {"lfu", "ABCD !A !B !C !D !0", "equal counters: the oldest goes"},
    {"lfu", "ABCD A BB !C !D !A", "the first use after the insert always counts"},
    {"lfu", "AB A ^^^^^^^ C !B !A !C", "ageing: the lowest counters fall together, and who fell is before who is new"},
    {"lfu", "ABCD ~A B ~C ~B ^ ~B -D !A !C !B", "moved in any list, aged or not"},

    {"random", "A !A !0", "there is no choice"},
    {"ttl", "DBCA !A D !B !C !D !0", "the one that expires first, used or not"},
    {"tinylfu", "ABCD !C !A !B !D !0",
     "C left the window last, nobody was asked for more often: the newcomer is turned away"},
    {"tinylfu", "ABC AAA B D C !A !B", "protected is full: those least recently used there are back in probation"},
    {"noeviction", "ABCD !0 -A !0", "nothing goes"},
};

static void step(struct fixture *f, const struct trace *t, const char **at)
{
    char op = *(*at)++;
    if (op == ' ')
        return;
    if (op == '^') {
        f->evict.clock += 60;
        return;
    }
    char key = strchr("!-~", op) ? *(*at)++ : op;
    if (op == '!') {
        char gone = key_evict(f);
        if (gone != key)
            fail_msg("%s, \"%s\" (%s): %c goes at %d, expected %c", t->policy, t->trace, t->reason, gone,
                     (int)(*at - t->trace), key);
    } else if (op == '-') {
        key_remove(f, key, false);
    } else if (op == '~') {
        key_move(f, key);
    } else if (node_of(f, key)) {
        key_hit(f, key);
    } else {
        key_insert(f, key, 64);
    }
    cache_evict_check(&f->evict);
}

static void each_trace_has_its_victims(void **state)
{
    for (unsigned i = 0; i < sizeof traces / sizeof *traces; i++) {
        struct fixture *f = fixture_new(traces[i].policy, false);
        for (const char *at = traces[i].trace; *at;)
            step(f, &traces[i], &at);
        fixture_free(f);
    }
}

static void every_policy_has_redis_name_where_there_is_one(void **state)
{
    static const char *const names[] = {"noeviction",      "allkeys-lru",     "volatile-lru",    "allkeys-lfu",
                                        "volatile-lfu",    "allkeys-random",  "volatile-random", "volatile-ttl",
                                        "allkeys-s3fifo",  "volatile-s3fifo", "allkeys-sieve",   "volatile-sieve",
                                        "allkeys-tinylfu", "volatile-tinylfu"};
    unsigned known = sizeof names / sizeof *names, count = 0;
    for (unsigned i = 0; i < known; i++) {
        const struct cache_evict_policy *p = cache_evict_find(names[i]);
        assert_non_null(p);
        assert_string_equal(p->name, names[i]);
        assert_true(p->volatile_only == (strncmp(names[i], "volatile-", 9) == 0));
    }
    while (cache_evict_policies[count])
        count++;
    assert_true(count >= known); /* more may be added */
    assert_string_equal(cache_evict_policies[0]->name, "allkeys-s3fifo");
    assert_ptr_equal(cache_evict_find("w-tinylfu"), cache_evict_find("allkeys-tinylfu"));
    assert_null(cache_evict_find("allkeys"));
    assert_null(cache_evict_find(""));
}

/* Ten keys of 64 bytes and one of 6400: its bytes alone exceed the tenth, so that it goes before older keys in main. */
static void s3fifo_weighs_its_small_queue_by_bytes(void **state)
{
    struct fixture *f = fixture_new("s3fifo", false);
    for (char key = 'A'; key <= 'J'; key++)
        key_insert(f, key, 64);
    for (int i = 0; i < 2; i++)
        for (char key = 'A'; key <= 'I'; key++)
            key_hit(f, key);
    assert_int_equal(key_evict(f), 'J'); /* A to I are in main now */
    key_insert(f, 'X', 6400);
    assert_int_equal(key_evict(f), 'X');
    key_insert(f, 'y', 16); /* less than a tenth: main gives */
    assert_int_equal(key_evict(f), 'A');
    fixture_free(f);
}

static void random_takes_what_the_owner_draws_if_it_is_ours(void **state)
{
    struct fixture *f = fixture_new("volatile-random", false);
    for (char key = 'A'; key <= 'E'; key++)
        key_insert(f, key, 64);
    f->places[++f->places_used].key = 'z'; /* an entry without expiry */
    f->place_of['z'] = f->places_used;
    f->draws = "zzC";
    assert_int_equal(key_evict(f), 'C');
    f->draws = "zzzzzzzz"; /* draws miss: the policy helps itself */
    for (int i = 0; i < 4; i++) {
        char key = key_evict(f);
        assert_true(key >= 'A' && key <= 'E');
        cache_evict_check(&f->evict);
    }
    assert_int_equal(key_evict(f), '0');
    fixture_free(f);
}

/* What was used often goes last, whatever came in between; and a scan does not displace it. */
static void frequent_keys_survive_a_scan(void **state)
{
    static const char *const resistant[] = {"s3fifo", "lfu", "tinylfu"};
    for (unsigned i = 0; i < 3; i++) {
        struct fixture *f = fixture_new(resistant[i], false);
        for (char key = 'A'; key <= 'H'; key++)
            key_insert(f, key, 64);
        for (int n = 0; n < 50; n++)
            for (char key = 'A'; key <= 'D'; key++)
                key_hit(f, key);
        for (char key = 'a'; key <= 'z'; key++) {
            key_evict(f);
            key_insert(f, key, 64);
        }
        for (char key = 'A'; key <= 'D'; key++)
            if (!node_of(f, key))
                fail_msg("%s: %c was displaced by a scan", resistant[i], key);
        fixture_free(f);
    }
}

/* Everything was hit: a search for what was not would pass them all. */
static void a_hand_out_of_looks_takes_what_it_is_at(void **state)
{
    static const char *const handed[] = {"sieve", "s3fifo"};
    const unsigned n = 4 * EVICT_LOOKS_SAVED;
    for (unsigned i = 0; i < 2; i++) {
        struct fixture *f = fixture_new(handed[i], false);
        struct place *many = aligned_alloc(16, (n + 1) * sizeof *many);
        f->evict.owner.base = (const uint8_t *)many;
        memset(many, 0, (n + 1) * sizeof *many);
        for (unsigned k = 1; k <= n; k++) {
            f->evict.policy->insert(&f->evict, &many[k].node, k, 64);
            for (int hits = 0; hits < 3; hits++)
                f->evict.policy->hit(&f->evict, &many[k].node, k);
        }
        unsigned looked = 0, bound = EVICT_LOOKS_SAVED;
        struct cache_evict_node *victim = f->evict.policy->victim(&f->evict);
        for (unsigned k = 1; k <= n; k++)
            looked += many[k].node.state != many[n].node.state;
        assert_non_null(victim);
        assert_int_equal(looked, bound); /* all that it had, and no more */
        assert_int_equal(f->evict.looks, bound);
        cache_evict_check(&f->evict);
        assert_ptr_equal(f->evict.policy->victim(&f->evict), victim);
        free(many);
        fixture_free(f);
    }
}

static void idle_time_is_known_but_to_lfu(void **state)
{
    for (unsigned i = 0; cache_evict_policies[i]; i++) {
        struct fixture *f = fixture_new(cache_evict_policies[i]->name, false);
        uint32_t seconds;
        f->evict.clock = 0xfffffff0; /* wraps on the way */
        key_insert(f, 'A', 64);
        key_insert(f, 'B', 64);
        f->evict.clock += 100;
        key_hit(f, 'B');
        f->evict.clock += 11;
        bool known = strstr(cache_evict_policies[i]->name, "-lfu") == NULL;
        assert_true(cache_evict_idle(&f->evict, node_of(f, 'A'), &seconds) == known);
        assert_true(!known || seconds == 111);
        cache_evict_idle(&f->evict, node_of(f, 'B'), &seconds);
        assert_true(!known || seconds == 11);
        fixture_free(f);
    }
}

/* With volatile-lru a key without expiry is not in the policy, but OBJECT IDLETIME answers for it. */
static void idle_time_of_an_entry_that_was_not_inserted(void **state)
{
    struct fixture *f = fixture_new("volatile-lru", false);
    struct cache_evict_node *n = &f->places[1].node;
    uint32_t seconds;
    f->evict.clock = 1000;
    f->evict.policy->hit(&f->evict, n, 1);
    f->evict.clock = 1007;
    assert_true(cache_evict_idle(&f->evict, n, &seconds));
    assert_int_equal(seconds, 7);
    assert_false(cache_evict_holds(&f->evict, n));
    assert_null(f->evict.policy->victim(&f->evict));
    fixture_free(f);
}

/* Someone corrects the time of day while we run. */
static void a_clock_that_is_set_back_makes_nothing_old(void **state)
{
    struct fixture *lru = fixture_new("lru", false), *lfu = fixture_new("lfu", false);
    uint32_t seconds, counter;
    lru->evict.clock = lfu->evict.clock = 1800000000;
    key_insert(lru, 'A', 64);
    key_insert(lfu, 'A', 64);
    lru->evict.clock = lfu->evict.clock -= 2;
    assert_true(cache_evict_idle(&lru->evict, node_of(lru, 'A'), &seconds));
    assert_int_equal(seconds, 0);
    key_hit(lfu, 'A');
    assert_true(cache_evict_frequency(&lfu->evict, node_of(lfu, 'A'), &counter));
    assert_int_equal(counter, 6);
    lfu->evict.clock += 60; /* a minute by the new time */
    cache_evict_frequency(&lfu->evict, node_of(lfu, 'A'), &counter);
    assert_int_equal(counter, 5);
    fixture_free(lru);
    fixture_free(lfu);
}

/* As Redis: 5 when new, up with hits, more and more slowly, down by one a minute. */
static void frequency_is_redis_logarithmic_counter(void **state)
{
    struct fixture *f = fixture_new("allkeys-lfu", false);
    uint32_t counter;
    key_insert(f, 'A', 64);
    assert_true(cache_evict_frequency(&f->evict, node_of(f, 'A'), &counter));
    assert_int_equal(counter, 5);
    for (int i = 0; i < 1000; i++)
        key_hit(f, 'A');
    cache_evict_frequency(&f->evict, node_of(f, 'A'), &counter);
    assert_in_range(counter, 12, 28); /* Redis' own table says 18 for 1000 hits, factor 10 */
    uint32_t before = counter;
    f->evict.clock += 3 * 60;
    cache_evict_frequency(&f->evict, node_of(f, 'A'), &counter);
    assert_int_equal(counter, before - 3);
    f->evict.clock += 1000 * 60;
    cache_evict_frequency(&f->evict, node_of(f, 'A'), &counter);
    assert_int_equal(counter, 0);
    key_insert(f, 'B', 64);
    cache_evict_check(&f->evict);
    assert_int_equal(key_evict(f), 'A');
    fixture_free(f);
    f = fixture_new("lru", false);
    key_insert(f, 'A', 64);
    assert_false(cache_evict_frequency(&f->evict, node_of(f, 'A'), &counter));
    fixture_free(f);
}

/* Entries move from one policy to another in the middle of everything: each knows its own. */
static void policies_are_exchanged_entry_by_entry(void **state)
{
    for (unsigned i = 0; cache_evict_policies[i]; i++)
        for (unsigned j = 0; cache_evict_policies[j]; j++) {
            struct fixture *f = fixture_new(cache_evict_policies[i]->name, false);
            struct fixture *g = fixture_new(cache_evict_policies[j]->name, true);
            g->evict.owner.base = f->evict.owner.base; /* the same entries in the same memory */
            for (char key = 'A'; key <= 'J'; key++)
                key_insert(f, key, 64);
            for (char key = 'B'; key <= 'J'; key += 2) {
                key_remove(f, key, false);
                struct cache_evict_node *n = &f->places[key - 'A' + 1].node;
                g->evict.policy->insert(&g->evict, n, hash_of_key(key), 64);
                assert_true(cache_evict_holds(&g->evict, n) && !cache_evict_holds(&f->evict, n));
            }
            cache_evict_check(&f->evict);
            cache_evict_check(&g->evict);
            assert_int_equal(f->evict.entries, 5);
            assert_int_equal(g->evict.entries, 5);
            assert_int_equal(g->evict.bytes, 320);
            fixture_free(f);
            fixture_free(g);
        }
}

static void weights_are_exact_when_small_and_near_when_large(void **state)
{
    for (uint64_t bytes = 16; bytes <= UINT32_MAX; bytes += bytes / 64 + 1) {
        struct cache_evict_node n = {.state = evict_weight_pack((uint32_t)bytes)};
        uint64_t weight = evict_weight_bytes(&n);
        assert_true(evict_inserted(&n));
        assert_true(weight <= bytes && weight + bytes / 8 + 16 > bytes);
        assert_true(bytes > 256 || weight == bytes / 16 * 16);
    }
    assert_int_equal(evict_weight_pack(0), 1); /* inserted nodes are never weightless */
}

static void a_ghost_is_forgotten_by_age(void **state)
{
    struct evict_ghost *g = calloc(1, evict_ghost_bytes(64));
    evict_ghost_init(g, 64);
    for (char key = 'A'; key <= 'J'; key++)
        evict_ghost_add(g, hash_of_key(key));
    assert_false(evict_ghost_take(g, hash_of_key('z'), 10)); /* never seen */
    assert_true(evict_ghost_take(g, hash_of_key('J'), 1));   /* the last one */
    assert_false(evict_ghost_take(g, hash_of_key('J'), 1));  /* taken already */
    assert_true(evict_ghost_take(g, hash_of_key('G'), 4));
    assert_false(evict_ghost_take(g, hash_of_key('F'), 4)); /* four came after it */
    free(g);
}

static void a_sketch_counts_saturates_and_halves(void **state)
{
    struct evict_sketch s = {0};
    void *memory = calloc(1, evict_sketch_bytes(64));
    evict_sketch_init(&s, memory, 64);
    for (int i = 0; i < 100; i++)
        evict_sketch_record(&s, hash_of_key('A'), 1000);
    for (int i = 0; i < 6; i++)
        evict_sketch_record(&s, hash_of_key('B'), 1000);
    assert_int_equal(evict_sketch_estimate(&s, hash_of_key('A')), EVICT_SKETCH_MAX);
    assert_int_equal(evict_sketch_estimate(&s, hash_of_key('B')), 6);
    assert_int_equal(evict_sketch_estimate(&s, hash_of_key('C')), 0);
    evict_sketch_record(&s, hash_of_key('D'), 100); /* the sample is full: a block with each record from now on */
    for (int i = 0; i < 8; i++)
        evict_sketch_record(&s, hash_of_key('A'), 1000);
    assert_int_equal(evict_sketch_estimate(&s, hash_of_key('B')), 3);
    assert_in_range(evict_sketch_estimate(&s, hash_of_key('A')), 7, EVICT_SKETCH_MAX);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_trace_has_its_victims),
        cmocka_unit_test(every_policy_has_redis_name_where_there_is_one),
        cmocka_unit_test(s3fifo_weighs_its_small_queue_by_bytes),
        cmocka_unit_test(random_takes_what_the_owner_draws_if_it_is_ours),
        cmocka_unit_test(frequent_keys_survive_a_scan),
        cmocka_unit_test(a_hand_out_of_looks_takes_what_it_is_at),
        cmocka_unit_test(idle_time_is_known_but_to_lfu),
        cmocka_unit_test(idle_time_of_an_entry_that_was_not_inserted),
        cmocka_unit_test(a_clock_that_is_set_back_makes_nothing_old),
        cmocka_unit_test(frequency_is_redis_logarithmic_counter),
        cmocka_unit_test(policies_are_exchanged_entry_by_entry),
        cmocka_unit_test(weights_are_exact_when_small_and_near_when_large),
        cmocka_unit_test(a_ghost_is_forgotten_by_age),
        cmocka_unit_test(a_sketch_counts_saturates_and_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
