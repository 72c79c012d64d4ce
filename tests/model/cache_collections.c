/* Hashes and sets against plain arrays: random operations with small and large limits, so that every encoding is met and
 * left; copies into another shard; no byte left when they are gone. Memory is limited to what the room functions asked for,
 * so an operation that takes more than it said fails. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/type/encoding_limits.h"
#include "cache/type/hash.h"
#include "cache/type/sample.h"
#include "cache/type/set.h"
#include "tests/support/seed.h"

#define ROUNDS     12
#define OPERATIONS 2000
#define NAMES      1500
#define PLENTY     (256u << 20)
#define NAME_MAX   600
#define VALUE_MAX  200000

static struct cache_store store, other;
static struct cache_type_limits limits;
static struct mr_random chance;
static const struct mr_span key = {(const uint8_t *)"key", 3};
static uint8_t value_bytes[VALUE_MAX];

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&chance, bound);
}

static bool store_start(struct cache_store *s, uint64_t seed)
{
    uint64_t secret[2] = {seed, ~seed};
    if (!cache_store_init(s, PLENTY, "noeviction", secret, seed))
        return false;
    cache_store_turn(s, 1);
    s->type_limits = &limits;
    return true;
}

static int start(void **state)
{
    (void)state;
    uint64_t seed = support_seed("model-cache_collections");
    mr_random_seed(&chance, seed);
    return store_start(&store, seed) && store_start(&other, seed + 1) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    cache_store_check(&store);
    cache_store_check(&other);
    cache_store_release(&store);
    cache_store_release(&other);
    return 0;
}

/* A name by its number: integers of every width, and texts short and long. */
static struct mr_span name_of(unsigned id, bool integers)
{
    static char text[NAME_MAX + 1];
    static const int64_t scale[] = {1, -1, 100, -100000, INT64_C(5000000000), INT64_C(-6148914691236)};
    int n;
    if (integers)
        n = snprintf(text, sizeof text, "%lld", (long long)((int64_t)id * scale[id % 6]));
    else
        n = snprintf(text, sizeof text, "%u-%0*u", id, id % 50 ? (int)(id % 40) : NAME_MAX - 10, id);
    return (struct mr_span){(const uint8_t *)text, (size_t)n};
}

static unsigned id_of(struct mr_span name, bool integers)
{
    for (unsigned id = 0; id < NAMES; id++) {
        struct mr_span known = name_of(id, integers);
        if (known.length == name.length && memcmp(known.data, name.data, name.length) == 0)
            return id;
    }
    fail_msg("a name that was never given");
    return 0;
}

/* The limit is what is in use and what was asked for, while an operation runs. */
static void limit_to(uint64_t room)
{
    store.memory.limit = store.memory.used + room;
}

static void assert_gone(struct cache_store *s)
{
    s->memory.limit = PLENTY;
    assert_null(cache_store_peek(s, 0, key));
    while (s->memory.used) {
        uint64_t used = s->memory.used;
        cache_store_turn(s, s->now_ms + 1);
        cache_store_background(s);
        if (s->memory.used == used)
            break;
    }
    struct cache_table *t = &s->database[0];
    assert_int_equal(t->count, 0);
    assert_int_equal(s->memory.used, cache_table_bytes(t));
    memory_check(&s->memory);
}

/* Sets. */

static bool member_present[NAMES];
static unsigned member_count, members_seen[NAMES];

static bool see_member(struct mr_span member, void *integers)
{
    members_seen[id_of(member, integers != NULL)]++;
    return true;
}

static void assert_set(const struct cache_entry *e, bool integers)
{
    memset(members_seen, 0, sizeof members_seen);
    cache_set_check(e);
    assert_int_equal(cache_set_length(e), member_count);
    cache_set_each(e, see_member, integers ? &limits : NULL);
    for (unsigned id = 0; id < NAMES; id++)
        assert_int_equal(members_seen[id], member_present[id]);
}

static void set_add(unsigned id, bool integers)
{
    struct mr_span member = name_of(id, integers);
    struct cache_entry *e = cache_store_write(&store, 0, key);
    limit_to(cache_store_string_cost(&store, key.length, 0) + cache_set_member_cost(member.length) +
             cache_set_room(&store, e, 1));
    if (!e)
        e = cache_set_create(&store, 0, key);
    assert_non_null(e);
    assert_int_equal(cache_set_add(&store, e, member), member_present[id] ? CACHE_SET_PRESENT : CACHE_SET_ADDED);
    member_count += !member_present[id];
    member_present[id] = true;
    store.memory.limit = PLENTY;
}

static void set_remove(unsigned id, bool integers)
{
    struct cache_entry *e = cache_store_write(&store, 0, key);
    if (!e)
        return;
    assert_int_equal(cache_set_remove(&store, e, name_of(id, integers)), member_present[id]);
    member_count -= member_present[id];
    member_present[id] = false;
    if (!cache_set_length(e))
        cache_store_delete_entry(&store, e);
}

static void set_copy_equals(bool integers)
{
    struct cache_entry *e = cache_store_read(&store, 0, key);
    if (!e)
        return;
    void *copy = cache_set_type.copy(&other, e->encoding, cache_entry_value(e)->collection);
    assert_non_null(copy);
    assert_true(cache_set_type.bytes(e->encoding, copy) > 0);
    assert_set(cache_store_add_collection(&other, 0, key, CACHE_SET, e->encoding, copy), integers);
    cache_store_delete(&other, 0, key);
    assert_gone(&other);
}

static void set_round(bool integers)
{
    memset(member_present, 0, sizeof member_present);
    member_count = 0;
    unsigned names = below(2) ? NAMES : 40, adds = 30 + below(60);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        unsigned id = below(names);
        if (below(100) < adds)
            set_add(id, integers);
        else
            set_remove(id, integers);
        struct cache_entry *e = cache_store_read(&store, 0, key);
        assert_int_equal(e != NULL, member_count != 0);
        id = below(names);
        if (e)
            assert_int_equal(cache_set_contains(e, name_of(id, integers)), member_present[id]);
        if (e && below(400) == 0)
            assert_set(e, integers);
    }
    set_copy_equals(integers);
    if (member_count)
        assert_set(cache_store_read(&store, 0, key), integers);
    cache_store_delete(&store, 0, key);
    assert_gone(&store);
}

static void sets_agree_with_an_array_of_flags(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        static const uint64_t entries[] = {0, 5, 512, 100000};
        limits = CACHE_TYPE_LIMITS_DEFAULT;
        limits.set_max_intset_entries = entries[round % 4];
        set_round(round / 4 % 2);
    }
}

/* Hashes. A value is its length: bytes are (length + position) in turn. */

static uint32_t value_length[NAMES]; /* 0: not there; else length + 1 */
static unsigned field_count, fields_seen[NAMES];

static void value_fill(uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        value_bytes[i] = (uint8_t)(length + i);
}

static void assert_value(const struct cache_hash_value *v, uint32_t length)
{
    value_fill(length);
    assert_int_equal(cache_hash_value_length(v), length);
    if (v->rope)
        assert_true(cache_rope_equal(v->rope, value_bytes, length));
    else
        assert_memory_equal(v->bytes.data, value_bytes, length);
}

static void see_pair(const struct cache_hash_pair *pair, void *argument)
{
    (void)argument;
    unsigned id = id_of(pair->field, false);
    fields_seen[id]++;
    assert_int_not_equal(value_length[id], 0);
    assert_value(&pair->value, value_length[id] - 1);
}

static void assert_hash(const struct cache_entry *e)
{
    memset(fields_seen, 0, sizeof fields_seen);
    cache_hash_check(e);
    assert_int_equal(cache_hash_length(e), field_count);
    cache_hash_each(e, see_pair, NULL);
    for (unsigned id = 0; id < NAMES; id++)
        assert_int_equal(fields_seen[id], value_length[id] != 0);
}

static uint32_t random_length(void)
{
    static const uint32_t longest[] = {8, 8, 64, 100, 3000, CACHE_SMALL_MAX, VALUE_MAX};
    return below(longest[below(below(30) ? 4 : 7)] + 1);
}

static void hash_set(unsigned id)
{
    uint32_t length = random_length();
    struct mr_span field = name_of(id, false);
    struct cache_argument value = {.data = value_bytes, .length = length};
    value_fill(length);
    if (length > CACHE_SMALL_MAX) {
        value = (struct cache_argument){NULL, length, cache_rope_create(&store.memory)};
        assert_true(cache_rope_append(value.rope, value_bytes, length));
    }
    struct cache_entry *e = cache_store_write(&store, 0, key);
    uint64_t cost = cache_hash_pair_cost(field.length, &value);
    limit_to(cache_store_string_cost(&store, key.length, 0) + cost + cache_hash_room(&store, e, 1, cost));
    if (!e)
        e = cache_hash_create(&store, 0, key);
    assert_non_null(e);
    assert_int_equal(cache_hash_set(&store, e, field, &value),
                     value_length[id] ? CACHE_HASH_REPLACED : CACHE_HASH_ADDED);
    assert_null(value.rope);
    field_count += !value_length[id];
    value_length[id] = length + 1;
    store.memory.limit = PLENTY;
}

static void hash_remove(unsigned id)
{
    struct cache_entry *e = cache_store_write(&store, 0, key);
    if (!e)
        return;
    assert_int_equal(cache_hash_remove(&store, e, name_of(id, false)), value_length[id] != 0);
    field_count -= value_length[id] != 0;
    value_length[id] = 0;
    if (!cache_hash_length(e))
        cache_store_delete_entry(&store, e);
}

static void hash_look(unsigned id)
{
    const struct cache_entry *e = cache_store_read(&store, 0, key);
    struct cache_hash_value v;
    assert_int_equal(e != NULL, field_count != 0);
    if (!e)
        return;
    assert_int_equal(cache_hash_get(e, name_of(id, false), &v), value_length[id] != 0);
    if (value_length[id])
        assert_value(&v, value_length[id] - 1);
}

/* Into another shard, and into its own, where ropes are shared. */
static void hash_copy_equals(struct cache_store *to)
{
    static const struct mr_span copy_key = {(const uint8_t *)"copy", 4};
    const struct cache_entry *e = cache_store_read(&store, 0, key);
    if (!e)
        return;
    void *copy = cache_hash_type.copy(to, e->encoding, cache_entry_value(e)->collection);
    assert_non_null(copy);
    assert_hash(cache_store_add_collection(to, 0, copy_key, CACHE_HASH, e->encoding, copy));
    cache_store_delete(to, 0, copy_key);
    if (to == &other)
        assert_gone(to);
}

/* A piece or two at a time, which a free of a whole shard would hardly meet. */
static void hash_copy_goes_in_pieces(void)
{
    const struct cache_entry *e = cache_store_read(&store, 0, key);
    if (!e)
        return;
    uint64_t used = store.memory.used, steps = 0;
    void *copy = cache_hash_type.copy(&store, e->encoding, cache_entry_value(e)->collection);
    assert_non_null(copy);
    unsigned budget = 1 + below(3);
    while (!cache_hash_type.free_step(&store, e->encoding, copy, &budget)) {
        assert_int_equal(budget, 0);
        budget = 1 + below(3);
        steps++;
    }
    assert_int_equal(store.memory.used, used);
    if (e->encoding == CACHE_HASH_TABLE)
        assert_true(steps >= field_count / 4);
}

static void hash_round(void)
{
    memset(value_length, 0, sizeof value_length);
    field_count = 0;
    unsigned names = below(2) ? NAMES : 40, sets = 30 + below(60);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        unsigned id = below(names);
        if (below(100) < sets)
            hash_set(id);
        else
            hash_remove(id);
        hash_look(below(names));
        if (field_count && below(400) == 0)
            assert_hash(cache_store_read(&store, 0, key));
    }
    hash_copy_equals(&store);
    hash_copy_equals(&other);
    hash_copy_goes_in_pieces();
    if (field_count)
        assert_hash(cache_store_read(&store, 0, key));
    cache_store_delete(&store, 0, key);
    assert_gone(&store);
}

static void hashes_agree_with_an_array_of_lengths(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        static const uint64_t entries[] = {0, 5, 128, 100000}, bytes[] = {64, 0, 4000};
        limits = CACHE_TYPE_LIMITS_DEFAULT;
        limits.hash_max_listpack_entries = entries[round % 4];
        limits.hash_max_listpack_value = bytes[round / 4 % 3];
        hash_round();
    }
}

/* A store without room refuses, and what it has stays as it was. */
static void refused_growth_changes_nothing(void **state)
{
    (void)state;
    limits = CACHE_TYPE_LIMITS_DEFAULT;
    limits.hash_max_listpack_entries = limits.set_max_intset_entries = 20;
    memset(member_present, 0, sizeof member_present);
    member_count = 0;
    unsigned refused = 0;
    for (unsigned id = 0; id < NAMES; id++) {
        struct cache_entry *e = cache_store_write(&store, 0, key);
        limit_to(below(3) ? below(200) : below(5000));
        if (!e && !(e = cache_set_create(&store, 0, key)))
            continue;
        if (cache_set_add(&store, e, name_of(id, true)) == CACHE_SET_ADDED)
            member_present[id] = true, member_count++;
        else
            refused++;
        if (!member_count)
            cache_store_delete_entry(&store, e);
        else if (below(100) == 0)
            assert_set(e, true);
    }
    assert_true(refused > 10 && member_count > 10);
    assert_set(cache_store_read(&store, 0, key), true);
    cache_store_delete(&store, 0, key);
    assert_gone(&store);
}

/* Samples: each element about as often as any other, and none twice. */

static unsigned drawn[100];

static void draw(void *item, void *argument)
{
    (void)argument;
    drawn[id_of(cache_set_item_member(item), false)]++;
}

static void samples_are_even_and_distinct(void **state)
{
    (void)state;
    enum { TIMES = 3000, EACH = 30 };
    limits = CACHE_TYPE_LIMITS_DEFAULT;
    memset(member_present, 0, sizeof member_present);
    for (unsigned id = 0; id < 100; id++)
        set_add(id, false);
    const struct cache_table *t = cache_set_table(cache_store_read(&store, 0, key));
    assert_true(cache_sample_sparse(t, EACH));
    unsigned chosen[100] = {0};
    memset(drawn, 0, sizeof drawn);
    for (unsigned i = 0; i < TIMES; i++) {
        unsigned before[100];
        memcpy(before, drawn, sizeof before);
        cache_sample_table(t, &chance, EACH, draw, NULL);
        struct cache_sample s = {.left = 100, .wanted = EACH};
        for (unsigned id = 0; id < 100; id++) {
            assert_true(drawn[id] - before[id] <= 1);
            chosen[id] += cache_sample_take(&s, &chance);
        }
        assert_int_equal(s.wanted, 0);
    }
    for (unsigned id = 0; id < 100; id++) {
        assert_in_range(chosen[id], TIMES * EACH / 100 * 8 / 10, TIMES * EACH / 100 * 12 / 10);
        assert_in_range(drawn[id], TIMES * EACH / 100 / 2, TIMES * EACH / 100 * 2);
    }
    cache_store_delete(&store, 0, key);
    assert_gone(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_agree_with_an_array_of_flags, start, stop),
        cmocka_unit_test_setup_teardown(hashes_agree_with_an_array_of_lengths, start, stop),
        cmocka_unit_test_setup_teardown(refused_growth_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(samples_are_even_and_distinct, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
