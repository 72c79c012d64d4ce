/* The keyspace of the cache: what a command, the listener and a turn may rely on. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/store/store.h"
#include "cache/type/hash.h"

#define LIMIT (UINT64_C(16) << 20)
#define NOW   UINT64_C(1700000000000)

struct fixture {
    struct cache_store store, other; /* another shard */
    unsigned changed, expired, evicted, written;
    unsigned database; /* of the last one told of */
    char key[64];
};

static void on_changed(void *owner, unsigned database, struct mr_span key)
{
    struct fixture *f = owner;
    f->changed++;
    f->database = database;
    snprintf(f->key, sizeof f->key, "%.*s", (int)key.length, (const char *)key.data);
}

static void on_removed(void *owner, unsigned database, struct mr_span key, bool expired)
{
    struct fixture *f = owner;
    expired ? f->expired++ : f->evicted++;
}

static void on_before_change(void *owner, struct cache_entry *e)
{
    ((struct fixture *)owner)->written++;
}

static int setup(void **state)
{
    static const uint64_t secret[2] = {5, 6};
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_true(cache_store_init(&f->store, LIMIT, "allkeys-s3fifo", secret, 1));
    assert_true(cache_store_init(&f->other, LIMIT, "allkeys-s3fifo", secret, 2));
    f->store.listener = (struct cache_store_listener){on_changed, on_removed, on_before_change, f};
    cache_store_turn(&f->store, NOW);
    cache_store_turn(&f->other, NOW);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cache_store_check(&f->store);
    cache_store_check(&f->other);
    cache_store_release(&f->store);
    cache_store_release(&f->other);
    free(f);
    return 0;
}

static struct mr_span text(const char *t)
{
    return (struct mr_span){(const uint8_t *)t, strlen(t)};
}

static struct mr_span numbered(unsigned n)
{
    static char key[32];
    snprintf(key, sizeof key, "key:%08u", n);
    return text(key);
}

static struct mr_span filled(size_t length)
{
    static uint8_t bytes[300000];
    memset(bytes, 'v', sizeof bytes);
    return (struct mr_span){bytes, length};
}

static struct cache_entry *set(struct fixture *f, const char *key, const char *value)
{
    struct cache_entry *e = cache_store_set(&f->store, 0, text(key), text(value));
    assert_non_null(e);
    return e;
}

static void fill(struct fixture *f, unsigned database, unsigned keys, size_t value_bytes)
{
    for (unsigned i = 0; i < keys; i++)
        assert_non_null(cache_store_set(&f->store, database, numbered(i), filled(value_bytes)));
}

/* Turns until nothing is left to do; how many there were. */
static unsigned settle(struct fixture *f)
{
    unsigned turns = 1;
    for (; cache_store_background(&f->store); turns++)
        cache_store_turn(&f->store, f->store.now_ms);
    return turns;
}

static void assert_string(const struct cache_entry *e, const char *expected)
{
    char digits[24];
    struct mr_span s = cache_string_span(e, digits);
    assert_int_equal(s.length, strlen(expected));
    assert_memory_equal(s.data, expected, s.length);
}

/* Strings */

/* Only what printing the number gives back is stored as an integer; every text is read back as it was given. */
static void any_set_text_integer_when_canonical(void **state)
{
    static const struct {
        const char *text;
        bool integer;
    } cases[] = {
        {"0", true},
        {"-1", true},
        {"10", true},
        {"9223372036854775807", true},
        {"-9223372036854775808", true},
        {"9223372036854775808", false},
        {"-9223372036854775809", false},
        {"18446744073709551616", false},
        {"99999999999999999999", false},
        {"", false},
        {"-", false},
        {"-0", false},
        {"00", false},
        {"01", false},
        {"+1", false},
        {" 1", false},
        {"1 ", false},
        {"1a", false},
        {"1.0", false},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct cache_entry *e = set(f, "key", cases[i].text);
        int64_t value;
        assert_int_equal(e->encoding == CACHE_STRING_INTEGER, cases[i].integer);
        assert_int_equal(cache_string_integer(e, &value), cases[i].integer);
        assert_int_equal(cache_string_length(e), strlen(cases[i].text));
        assert_string(e, cases[i].text);
    }
}

static void any_set_length_decides_encoding(void **state)
{
    static const struct {
        size_t length;
        enum cache_string_encoding encoding;
    } cases[] = {
        {0, CACHE_STRING_EMBEDDED},
        {CACHE_EMBEDDED_MAX - 3, CACHE_STRING_EMBEDDED},
        {CACHE_EMBEDDED_MAX - 2, CACHE_STRING_EXTENT},
        {CACHE_EXTENT_BYTES, CACHE_STRING_EXTENT},
        {CACHE_EXTENT_BYTES + 1, CACHE_STRING_ROPE},
        {300000, CACHE_STRING_ROPE},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct cache_entry *e = cache_store_set(&f->store, 0, text("key"), filled(cases[i].length));
        assert_int_equal(e->encoding, cases[i].encoding);
        assert_int_equal(cache_string_length(e), cases[i].length);
    }
}

/* 8 bytes of key and of value cost 48 bytes beside the index. */
static void empty_set_small_one_allocation(void **state)
{
    struct fixture *f = *state;
    const struct cache_entry *e = set(f, "12345678", "abcdefgh");
#ifndef MEMORY_MALLOC
    assert_int_equal(cache_entry_bytes(&f->store, e), 48);
#endif
    assert_int_equal(f->store.memory.used, cache_entry_bytes(&f->store, e) + cache_table_bytes(&f->store.database[0]));
}

/* A value of about the same length changes in its place; the listener hears of each. */
static void string_set_same_length_in_place(void **state)
{
    struct fixture *f = *state;
    const struct cache_entry *e = set(f, "key", "before");
    assert_ptr_equal(set(f, "key", "after."), e);
    assert_string(e, "after.");
    assert_int_equal(f->changed, 2);
    assert_string_equal(f->key, "key");
}

/* SET drops the expiry, replacing keeps it. */
static void expiring_replaced_keeps_set_drops(void **state)
{
    struct fixture *f = *state;
    struct cache_entry *e = cache_store_expire_at(&f->store, set(f, "key", "1"), NOW + 100);
    assert_int_equal(f->store.keys_expiring[0], 1);
    e = cache_store_replace(&f->store, e, text("two"));
    assert_int_equal(cache_entry_expires_ms(e), NOW + 100);
    e = cache_store_replace_integer(&f->store, e, 3);
    assert_int_equal(cache_entry_expires_ms(e), NOW + 100);
    assert_int_equal(cache_entry_expires_ms(set(f, "key", "four")), 0);
    assert_int_equal(f->store.keys_expiring[0], 0);
}

/* Without room nothing is replaced. */
static void full_set_fails_old_value_stays(void **state)
{
    struct fixture *f = *state;
    set(f, "key", "old");
    f->store.memory.limit = f->store.memory.used;
    assert_null(cache_store_set(&f->store, 0, text("key"), filled(5000)));
    assert_null(cache_store_set(&f->store, 0, text("other"), filled(100)));
    assert_string(cache_store_read(&f->store, 0, text("key")), "old");
    f->store.memory.limit = LIMIT;
}

/* Bytes that a reply holds stay as they are when the value is written to. */
static void lent_extent_written_reader_keeps_old(void **state)
{
    struct fixture *f = *state;
    struct cache_entry *e = cache_store_set(&f->store, 0, text("key"), filled(5000));
    struct cache_extent *held;
    char digits[24];
    struct mr_span before = cache_string_at(e, 0, digits, &held);
    cache_extent_hold(held);
    e = cache_store_grow(&f->store, e, 5000);
    assert_true(cache_store_write_at(&f->store, e, 0, "new", 3));
    assert_int_equal(before.data[0], 'v');
    assert_int_equal(cache_string_at(e, 0, digits, NULL).data[0], 'n');
    cache_extent_drop(held);
}

/* Expiry */

static void dead_read_removed_and_reported(void **state)
{
    struct fixture *f = *state;
    cache_store_expire_at(&f->store, set(f, "key", "value"), NOW + 5);
    f->changed = 0;
    cache_store_turn(&f->store, NOW + 4);
    assert_non_null(cache_store_read(&f->store, 0, text("key")));
    cache_store_turn(&f->store, NOW + 5);
    assert_null(cache_store_peek(&f->store, 0, text("key")));
    assert_int_equal(f->expired, 0);
    assert_null(cache_store_read(&f->store, 0, text("key")));
    assert_int_equal(f->expired, 1);
    assert_int_equal(f->changed, 1);
    assert_int_equal(f->store.stat.misses, 1);
    assert_int_equal(f->store.database[0].count, 0);
}

/* Nobody asks for them: the background removes the dead, no more than its budget a turn. */
static void many_dead_background_bounded_a_turn(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 1000; i++)
        cache_store_expire_at(&f->store, cache_store_set(&f->store, 0, numbered(i), text("v")), NOW + 1);
    assert_int_equal(cache_store_next_expiry_ms(&f->store), NOW + 1);
    for (unsigned before = 0; f->expired < 1000; before = f->expired) {
        cache_store_turn(&f->store, NOW + 10);
        cache_store_background(&f->store);
        assert_in_range(f->expired - before, 1, CACHE_EXPIRIES_PER_TURN);
    }
    assert_int_equal(f->store.memory.used, 0);
    assert_int_equal(cache_store_next_expiry_ms(&f->store), UINT64_MAX);
}

/* Room */

static void any_reserve_beyond_limit_never(void **state)
{
    struct fixture *f = *state;
    set(f, "key", "value");
    assert_int_equal(cache_store_reserve(&f->store, LIMIT + 1), CACHE_ROOM_NEVER);
    assert_int_equal(cache_store_reserve(&f->store, UINT64_MAX), CACHE_ROOM_NEVER);
    assert_int_equal(f->evicted, 0);
}

/* Room for most of the memory takes turns: no more than the budget goes in each. */
static void full_reserve_much_bounded_a_turn(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 5000, 150);
    uint64_t bytes = LIMIT - f->store.memory.used / 2;
    enum cache_room room;
    for (unsigned before = 0; (room = cache_store_reserve(&f->store, bytes)) != CACHE_ROOM_READY; before = f->evicted) {
        assert_int_equal(room, CACHE_ROOM_LATER);
        assert_in_range(f->evicted - before, 1, CACHE_EVICTIONS_PER_TURN);
        cache_store_turn(&f->store, NOW);
    }
    assert_true(f->store.memory.used + bytes <= LIMIT);
    assert_in_range(f->evicted, 2000, 3000);
    assert_int_equal(f->evicted, f->store.stat.evicted);
}

static void noeviction_reserve_when_full_never(void **state)
{
    struct fixture *f = *state;
    assert_true(cache_store_set_policy(&f->store, cache_evict_find("noeviction")));
    fill(f, 0, 100, 150);
    settle(f);
    assert_int_equal(cache_store_reserve(&f->store, LIMIT - f->store.memory.used), CACHE_ROOM_READY);
    assert_int_equal(cache_store_reserve(&f->store, LIMIT - f->store.memory.used + 1), CACHE_ROOM_NEVER);
    assert_int_equal(f->evicted, 0);
}

/* A policy of expiring keys takes those and then nothing. */
static void volatile_reserve_takes_expiring_only(void **state)
{
    struct fixture *f = *state;
    assert_true(cache_store_set_policy(&f->store, cache_evict_find("volatile-lru")));
    fill(f, 0, 100, 150);
    for (unsigned i = 0; i < 50; i++)
        cache_store_expire_at(&f->store, cache_store_read(&f->store, 0, numbered(i)), NOW + 1000);
    settle(f);
    assert_int_equal(cache_store_reserve(&f->store, LIMIT), CACHE_ROOM_NEVER);
    assert_int_equal(f->evicted, 50);
    assert_int_equal(f->store.database[0].count, 50);
}

/* Exchanged while running: in the end every key is in the new policy, and the last one asked for wins. */
static void full_policies_exchanged_entries_follow(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 3000, 10);
    assert_true(cache_store_set_policy(&f->store, cache_evict_find("volatile-ttl")));
    assert_true(cache_store_set_policy(&f->store, cache_evict_find("allkeys-lfu")));
    assert_ptr_equal(cache_store_policy(&f->store), cache_evict_find("allkeys-lfu"));
    assert_true(settle(f) > 4);
    assert_null(f->store.evict_next);
    assert_ptr_equal(f->store.evict.policy, cache_evict_find("allkeys-lfu"));
    assert_int_equal(f->store.evict.entries, 3000);
}

/* A lower limit is approached over turns; what has become free is not used again. */
static void full_limit_lowered_evicts_over_turns(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 5000, 150);
    cache_store_set_limit(&f->store, 200000);
    assert_true(settle(f) > 4);
    assert_true(f->store.memory.used <= 200000);
    assert_int_equal(f->store.memory.limit, 200000);
}

/* Trash */

static void hash_fill(struct fixture *f, unsigned fields)
{
    struct cache_entry *e = cache_hash_create(&f->store, 0, text("hash"));
    assert_non_null(e);
    for (unsigned i = 0; i < fields; i++) {
        struct cache_argument value = {.data = (const uint8_t *)"value", .length = 5};
        assert_int_equal(cache_hash_set(&f->store, e, numbered(i), &value), CACHE_HASH_ADDED);
    }
}

/* It is gone at once; its memory counts until it is taken apart, some pieces a turn. */
static void large_hash_deleted_freed_over_turns(void **state)
{
    struct fixture *f = *state;
    hash_fill(f, 5000);
    uint64_t used = f->store.memory.used;
    assert_true(cache_store_delete(&f->store, 0, text("hash")));
    assert_null(cache_store_peek(&f->store, 0, text("hash")));
    assert_true(f->store.memory.used > used - 10000);
    assert_true(settle(f) >= 5000 / CACHE_FREES_PER_TURN);
    assert_int_equal(f->store.memory.used, 0);
}

/* Who needs room frees what was deleted before anything is evicted. */
static void trash_reserve_frees_it_first(void **state)
{
    struct fixture *f = *state;
    hash_fill(f, 5000);
    set(f, "key", "value");
    cache_store_delete(&f->store, 0, text("hash"));
    uint64_t bytes = LIMIT - 4096;
    for (unsigned turns = 0; cache_store_reserve(&f->store, bytes) != CACHE_ROOM_READY; turns++) {
        assert_true(turns < 100);
        cache_store_turn(&f->store, NOW);
    }
    assert_int_equal(f->evicted, 0);
    assert_non_null(cache_store_peek(&f->store, 0, text("key")));
}

/* Flushed keys are not found, do not expire and are not evicted; new ones of the same names live. */
static void full_flushed_new_keys_live(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 3000, 20);
    for (unsigned i = 0; i < 1000; i++)
        cache_store_expire_at(&f->store, cache_store_read(&f->store, 0, numbered(i)), NOW + 1);
    cache_store_flush(&f->store, 0);
    assert_int_equal(f->store.database[0].count, 0);
    assert_int_equal(f->store.keys_expiring[0], 0);
    assert_null(cache_store_read(&f->store, 0, numbered(1)));
    fill(f, 0, 10, 20);
    cache_store_turn(&f->store, NOW + 10);
    cache_store_check(&f->store);
    assert_true(settle(f) > 3000 / CACHE_FREES_PER_TURN);
    assert_int_equal(f->expired + f->evicted, 0);
    assert_int_equal(f->store.database[0].count, 10);
    assert_int_equal(f->store.evict.entries, 10);
}

/* Flushed entries leave the policy that they are in, even when others take its place meanwhile. */
static void flushing_policies_exchanged_entries_leave(void **state)
{
    static const char *const names[] = {"allkeys-lru", "allkeys-sieve", "allkeys-lfu", "allkeys-s3fifo"};
    struct fixture *f = *state;
    fill(f, 0, 3000, 20);
    cache_store_flush(&f->store, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(cache_store_set_policy(&f->store, cache_evict_find(names[i])));
        fill(f, 0, 100, 20);
        cache_store_background(&f->store);
        cache_store_turn(&f->store, NOW);
        cache_store_check(&f->store);
    }
    settle(f);
    assert_int_equal(f->store.evict.entries, 100);
    assert_ptr_equal(f->store.evict.policy, cache_evict_find("allkeys-s3fifo"));
}

/* More flushes than can wait: the oldest is taken apart by who flushes. */
static void flushing_flushed_often_bounded(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 300; i++) {
        fill(f, i % 2, 3, 20);
        cache_store_flush(&f->store, i % 2);
        cache_store_check(&f->store);
    }
    settle(f);
    assert_int_equal(f->store.memory.used, 0);
}

/* Databases */

static void two_databases_swapped_keys_follow(void **state)
{
    struct fixture *f = *state;
    set(f, "key", "zero");
    cache_store_expire_at(&f->store, cache_store_set(&f->store, 3, text("key"), text("three")), NOW + 1);
    cache_store_swap(&f->store, 0, 3);
    assert_string(cache_store_read(&f->store, 0, text("key")), "three");
    assert_string(cache_store_read(&f->store, 3, text("key")), "zero");
    assert_int_equal(f->store.keys_expiring[0], 1);
    set(f, "new", "in 0");
    cache_store_turn(&f->store, NOW + 1);
    cache_store_background(&f->store);
    assert_int_equal(f->expired, 1);
    assert_int_equal(f->database, 0);
    assert_non_null(cache_store_read(&f->store, 0, text("new")));
}

/* Snapshots */

/* Once for each entry that was there, and not for new ones. */
static void snapshot_changed_told_once(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    set(f, "b", "2");
    f->store.snapshot_epoch = 7;
    set(f, "a", "3");
    cache_store_write(&f->store, 0, text("a"));
    cache_store_delete(&f->store, 0, text("a"));
    set(f, "new", "1");
    cache_store_delete(&f->store, 0, text("new"));
    assert_int_equal(f->written, 1);
    cache_store_read(&f->store, 0, text("b"));
    assert_int_equal(f->written, 1);
    cache_store_expire_at(&f->store, cache_store_write(&f->store, 0, text("b")), NOW + 10);
    assert_int_equal(f->written, 2);
}

/* What FLUSHDB drops is told over turns; a snapshot that begins after it hears nothing. */
static void snapshot_flushed_told_until_not_flushing(void **state)
{
    struct fixture *f = *state;
    fill(f, 0, 2000, 20);
    f->store.snapshot_epoch = 1;
    cache_store_flush(&f->store, 0);
    assert_true(cache_store_flushing(&f->store));
    assert_int_equal(f->written, 0);
    settle(f);
    assert_false(cache_store_flushing(&f->store));
    assert_int_equal(f->written, 2000);
    fill(f, 0, 2000, 20);
    cache_store_flush(&f->store, 0);
    f->store.snapshot_epoch = 2;
    settle(f);
    assert_int_equal(f->written, 2000);
}

/* memcached */

static void memcached_changed_new_cas(void **state)
{
    struct fixture *f = *state;
    struct cache_entry *e = cache_store_memcached(&f->store, set(f, "key", "1"));
    uint64_t cas = cache_entry_memcached(e)->cas;
    cache_entry_memcached(e)->flags = 99;
    cache_store_changed(&f->store, 0, text("key"));
    assert_true(cache_entry_memcached(e)->cas > cas);
    cas = cache_entry_memcached(e)->cas;
    e = set(f, "key", "2");
    assert_true(cache_entry_memcached(e)->cas > cas);
    assert_int_equal(cache_entry_memcached(e)->flags, 0);
}

/* Values on their way to another key */

static void any_taken_put_into_other_shard_same(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {0, 20, 189, 190, 5000, 65000, 200000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct cache_taken taken;
        cache_store_expire_at(&f->store, cache_store_set(&f->store, 0, text("key"), filled(lengths[i])), NOW + 9);
        assert_true(cache_store_take(&f->store, 0, text("key"), &taken));
        assert_true(cache_store_put(&f->other, 2, text("a longer name"), &taken));
        const struct cache_entry *e = cache_store_peek(&f->other, 2, text("a longer name"));
        assert_int_equal(cache_string_length(e), lengths[i]);
        assert_int_equal(cache_entry_expires_ms(e), NOW + 9);
        settle(f);
        assert_int_equal(f->store.memory.used, 0);
        assert_int_equal(f->other.memory.used,
                         cache_entry_bytes(&f->other, e) + cache_table_bytes(&f->other.database[2]));
    }
}

static void hash_taken_put_into_other_shard_same(void **state)
{
    struct fixture *f = *state;
    struct cache_taken taken;
    hash_fill(f, 1000);
    assert_true(cache_store_take(&f->store, 0, text("hash"), &taken));
    assert_true(cache_store_put(&f->other, 0, text("hash"), &taken));
    settle(f);
    assert_int_equal(f->store.memory.used, 0);
    const struct cache_entry *e = cache_store_peek(&f->other, 0, text("hash"));
    struct cache_hash_value value;
    assert_int_equal(cache_hash_length(e), 1000);
    assert_true(cache_hash_get(e, numbered(999), &value));
}

/* Without room it stays the caller's, and can be put back. */
static void full_put_fails_value_stays(void **state)
{
    struct fixture *f = *state;
    struct cache_taken taken;
    cache_store_set(&f->store, 0, text("key"), filled(200000));
    assert_true(cache_store_take(&f->store, 0, text("key"), &taken));
    f->other.memory.limit = 100000;
    assert_false(cache_store_put(&f->other, 0, text("key"), &taken));
    assert_int_equal(f->other.memory.used, 0);
    f->other.memory.limit = LIMIT;
    assert_true(cache_store_put(&f->store, 0, text("key"), &taken));
    assert_int_equal(cache_string_length(cache_store_peek(&f->store, 0, text("key"))), 200000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_set_text_integer_when_canonical),
        TEST(any_set_length_decides_encoding),
        TEST(empty_set_small_one_allocation),
        TEST(string_set_same_length_in_place),
        TEST(expiring_replaced_keeps_set_drops),
        TEST(full_set_fails_old_value_stays),
        TEST(lent_extent_written_reader_keeps_old),
        TEST(dead_read_removed_and_reported),
        TEST(many_dead_background_bounded_a_turn),
        TEST(any_reserve_beyond_limit_never),
        TEST(full_reserve_much_bounded_a_turn),
        TEST(noeviction_reserve_when_full_never),
        TEST(volatile_reserve_takes_expiring_only),
        TEST(full_policies_exchanged_entries_follow),
        TEST(full_limit_lowered_evicts_over_turns),
        TEST(large_hash_deleted_freed_over_turns),
        TEST(trash_reserve_frees_it_first),
        TEST(full_flushed_new_keys_live),
        TEST(flushing_policies_exchanged_entries_leave),
        TEST(flushing_flushed_often_bounded),
        TEST(two_databases_swapped_keys_follow),
        TEST(snapshot_changed_told_once),
        TEST(snapshot_flushed_told_until_not_flushing),
        TEST(memcached_changed_new_cas),
        TEST(any_taken_put_into_other_shard_same),
        TEST(hash_taken_put_into_other_shard_same),
        TEST(full_put_fails_value_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
