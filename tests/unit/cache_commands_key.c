/* Commands of keys and SCAN: the replies of redis-server 7.0.15 to the same commands, byte for byte; then what only shows from
 * inside: several shards, walks while keys come and go, time. */
#include "tests/support/cache_steps.h"

#include <stdlib.h>

/* Keys that are there or not. */
static const struct step deletion[] = {
    STEP("MSET a 1 b 2 c 3", "+OK\r\n"), STEP("EXISTS a b none a", ":3\r\n"),
    STEP("TOUCH a none", ":1\r\n"),      STEP("DEL a none a", ":1\r\n"),
    STEP("UNLINK b c c", ":2\r\n"),      STEP("EXISTS a b c", ":0\r\n"),
    STEP("TYPE none", "+none\r\n"),      STEP("SET a 1", "+OK\r\n"),
    STEP("TYPE a", "+string\r\n"),       {0},
};

/* Times, conditions, errors. */
static const struct step expiry[] = {
    STEP("EXPIRE none 10", ":0\r\n"),
    STEP("SET a 1", "+OK\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("PTTL a", ":-1\r\n"),
    STEP("EXPIRETIME a", ":-1\r\n"),
    STEP("PEXPIRETIME a", ":-1\r\n"),
    STEP("TTL none", ":-2\r\n"),
    STEP("PTTL none", ":-2\r\n"),
    STEP("EXPIRETIME none", ":-2\r\n"),
    STEP("PEXPIRETIME none", ":-2\r\n"),
    STEP("EXPIRE a 100", ":1\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("PERSIST a", ":1\r\n"),
    STEP("PERSIST a", ":0\r\n"),
    STEP("PERSIST none", ":0\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("EXPIRE a 100 XX", ":0\r\n"),
    STEP("EXPIRE a 100 GT", ":0\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("EXPIRE a 100 LT", ":1\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("EXPIRE a 200 NX", ":0\r\n"),
    STEP("EXPIRE a 200 LT", ":0\r\n"),
    STEP("EXPIRE a 200 GT", ":1\r\n"),
    STEP("TTL a", ":200\r\n"),
    STEP("EXPIRE a 50 GT", ":0\r\n"),
    STEP("EXPIRE a 50 LT XX", ":1\r\n"),
    STEP("TTL a", ":50\r\n"),
    STEP("EXPIRE a 60 GT XX", ":1\r\n"),
    STEP("TTL a", ":60\r\n"),
    STEP("EXPIRE a 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
    STEP("EXPIRE a 10 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
    STEP("EXPIRE a 10 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"),
    STEP("EXPIRE a 10 foo", "-ERR Unsupported option foo\r\n"),
    STEP("EXPIRE a 10 NX foo", "-ERR Unsupported option foo\r\n"),
    STEP("EXPIRE a x", "-ERR value is not an integer or out of range\r\n"),
    STEP("EXPIRE none x", "-ERR value is not an integer or out of range\r\n"),
    STEP("EXPIRE a 1.5", "-ERR value is not an integer or out of range\r\n"),
    STEP("EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"),
    STEP("EXPIRE a -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n"),
    STEP("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"),
    STEP("EXPIREAT a 9223372036854775807", "-ERR invalid expire time in 'expireat' command\r\n"),
    STEP("EXPIREAT a 9223372036854775", ":1\r\n"),
    STEP("EXPIRETIME a", ":9223372036854775\r\n"),
    STEP("PEXPIREAT a 33177117420000", ":1\r\n"),
    STEP("PEXPIRETIME a", ":33177117420000\r\n"),
    STEP("EXPIRETIME a", ":33177117420\r\n"),
    STEP("PEXPIREAT a 33177117420499", ":1\r\n"),
    STEP("EXPIRETIME a", ":33177117420\r\n"),
    STEP("PEXPIREAT a 33177117420500", ":1\r\n"),
    STEP("EXPIRETIME a", ":33177117421\r\n"),
    STEP("PERSIST a", ":1\r\n"),
    STEP("EXPIRE a -1", ":1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("SET a 1", "+OK\r\n"),
    STEP("EXPIRE a 0", ":1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("SET a 1", "+OK\r\n"),
    STEP("PEXPIREAT a 1", ":1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("SET a 1", "+OK\r\n"),
    STEP("PEXPIRE a -9223372036854775808", ":1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("SET a 1 EX 100", "+OK\r\n"),
    STEP("EXPIRE a 10 x y", "-ERR Unsupported option x\r\n"),
    STEP("EXPIRE a -1 GT", ":0\r\n"),
    STEP("EXISTS a", ":1\r\n"),
    STEP("EXPIRE a -1 LT", ":1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    {0},
};

/* Names and databases. */
static const struct step renaming[] = {
    STEP("RENAME none b", "-ERR no such key\r\n"),
    STEP("RENAMENX none b", "-ERR no such key\r\n"),
    STEP("SET a 1 EX 100", "+OK\r\n"),
    STEP("SET b 2", "+OK\r\n"),
    STEP("RENAME a b", "+OK\r\n"),
    STEP("GET b", "$1\r\n1\r\n"),
    STEP("TTL b", ":100\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("RENAME b b", "+OK\r\n"),
    STEP("RENAMENX b b", ":0\r\n"),
    STEP("SET c 3", "+OK\r\n"),
    STEP("RENAMENX b c", ":0\r\n"),
    STEP("RENAMENX b d", ":1\r\n"),
    STEP("MGET b d", "*2\r\n$-1\r\n$1\r\n1\r\n"),
    STEP("TTL d", ":100\r\n"),
    STEP("RENAME none none", "-ERR no such key\r\n"),
    STEP("MOVE d 0", "-ERR source and destination objects are the same\r\n"),
    STEP("MOVE d 99", "-ERR DB index is out of range\r\n"),
    STEP("MOVE d -1", "-ERR DB index is out of range\r\n"),
    STEP("MOVE d x", "-ERR value is not an integer or out of range\r\n"),
    STEP("MOVE none 3", ":0\r\n"),
    STEP("MOVE d 3", ":1\r\n"),
    STEP("EXISTS d", ":0\r\n"),
    STEP("SET d x", "+OK\r\n"),
    STEP("MOVE d 3", ":0\r\n"),
    STEP("GET d", "$1\r\nx\r\n"),
    {0},
};

/* Values twice. */
static const struct step copies[] = {
    STEP("SET a value EX 100", "+OK\r\n"),
    STEP("COPY a b", ":1\r\n"),
    STEP("GET b", "$5\r\nvalue\r\n"),
    STEP("TTL b", ":100\r\n"),
    STEP("COPY a b", ":0\r\n"),
    STEP("COPY a b REPLACE", ":1\r\n"),
    STEP("COPY none b", ":0\r\n"),
    STEP("COPY a a", "-ERR source and destination objects are the same\r\n"),
    STEP("COPY a a DB 1", ":1\r\n"),
    STEP("COPY a a DB 1", ":0\r\n"),
    STEP("COPY a a DB 1 REPLACE", ":1\r\n"),
    STEP("COPY a b DB x", "-ERR value is not an integer or out of range\r\n"),
    STEP("COPY a b DB 99", "-ERR DB index is out of range\r\n"),
    STEP("COPY a b DB -1", "-ERR DB index is out of range\r\n"),
    STEP("COPY a b DB", "-ERR syntax error\r\n"),
    STEP("COPY a b foo", "-ERR syntax error\r\n"),
    STEP("COPY a a DB 0", "-ERR source and destination objects are the same\r\n"),
    STEP("SET n 12", "+OK\r\n"),
    STEP("COPY n m", ":1\r\n"),
    STEP("OBJECT ENCODING m", "$3\r\nint\r\n"),
    STEP("APPEND m x", ":3\r\n"),
    STEP("GET n", "$2\r\n12\r\n"),
    STEP("GET m", "$3\r\n12x\r\n"),
    {0},
};

/* How values are kept. */
static const struct step objects[] = {
    STEP("SET a 1", "+OK\r\n"),
    STEP("OBJECT ENCODING a", "$3\r\nint\r\n"),
    STEP("OBJECT ENCODING none", "$-1\r\n"),
    STEP("OBJECT REFCOUNT a", ":2147483647\r\n"),
    STEP("OBJECT REFCOUNT none", "$-1\r\n"),
    STEP("SET a 10000", "+OK\r\n"),
    STEP("OBJECT REFCOUNT a", ":1\r\n"),
    STEP("SET a x", "+OK\r\n"),
    STEP("OBJECT REFCOUNT a", ":1\r\n"),
    STEP("OBJECT IDLETIME none", "$-1\r\n"),
    STEP("OBJECT FREQ none", "$-1\r\n"),
    STEP("OBJECT HELP",
         "*15\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+ENCODING <key>\r\n+    Return "
         "the kind of internal representation used in order to store the value\r\n+    associated with a "
         "<key>.\r\n+FREQ <key>\r\n+    Return the access frequency index of the <key>. The returned integer is\r\n+   "
         " proportional to the logarithm of the recent access frequency of the key.\r\n+IDLETIME <key>\r\n+    Return "
         "the idle time of the <key>, that is the approximated number of\r\n+    seconds elapsed since the last access "
         "to the key.\r\n+REFCOUNT <key>\r\n+    Return the number of references of the value associated with the "
         "specified\r\n+    <key>.\r\n+HELP\r\n+    Prints this help.\r\n"),
    STEP("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n"),
    STEP("OBJECT", "-ERR wrong number of arguments for 'object' command\r\n"),
    {0},
};

/* Names. */
static const struct step listing[] = {
    STEP("KEYS *", "*0\r\n"),
    STEP("RANDOMKEY", "$-1\r\n"),
    STEP("SET abc 1", "+OK\r\n"),
    STEP("KEYS *", "*1\r\n$3\r\nabc\r\n"),
    STEP("KEYS a*", "*1\r\n$3\r\nabc\r\n"),
    STEP("KEYS ab?", "*1\r\n$3\r\nabc\r\n"),
    STEP("KEYS a", "*0\r\n"),
    STEP("KEYS [^b]*", "*1\r\n$3\r\nabc\r\n"),
    STEP("KEYS", "-ERR wrong number of arguments for 'keys' command\r\n"),
    STEP("RANDOMKEY", "$3\r\nabc\r\n"),
    {0},
};

/* One step over one shard. */
static const struct step scanning[] = {
    STEP("SET abc 1", "+OK\r\n"),
    STEP("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nabc\r\n"),
    STEP("SCAN 0 COUNT 100", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nabc\r\n"),
    STEP("SCAN 0 MATCH b*", "*2\r\n$1\r\n0\r\n*0\r\n"),
    STEP("SCAN 0 MATCH a* COUNT 10 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nabc\r\n"),
    STEP("SCAN 0 TYPE STRING", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nabc\r\n"),
    STEP("SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n"),
    STEP("SCAN 0 TYPE foo", "*2\r\n$1\r\n0\r\n*0\r\n"),
    STEP("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
    STEP("SCAN 0 COUNT -1", "-ERR syntax error\r\n"),
    STEP("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n"),
    STEP("SCAN 0 foo", "-ERR syntax error\r\n"),
    STEP("SCAN 0 MATCH", "-ERR syntax error\r\n"),
    STEP("SCAN 0 COUNT", "-ERR syntax error\r\n"),
    STEP("SCAN 0 TYPE", "-ERR syntax error\r\n"),
    STEP("SCAN x", "-ERR invalid cursor\r\n"),
    STEP("SCAN 1x", "-ERR invalid cursor\r\n"),
    STEP("SCAN 18446744073709551616", "-ERR invalid cursor\r\n"),
    {0},
};

static void deletion_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(deletion);
}

static void expiry_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(expiry);
}

static void renaming_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(renaming);
}

static void copies_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(copies);
}

static void objects_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(objects);
}

static void lists_of_names_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(listing);
}

static void scan_answers_as_redis_does(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    steps_run_on(s, scanning);
    cache_session_stop(s);
}

/* -- several shards ------------------------------------------------------------------------------------------------------------ */

#define KEYS 2000

static void keys_set(struct cache_session *s, unsigned first, unsigned n)
{
    char command[64];
    for (unsigned i = first; i < first + n; i++) {
        snprintf(command, sizeof command, "SET key:%u %u", i, i);
        assert_string_equal(cache_session_run(s, command, NULL), "+OK\r\n");
    }
}

/* Reads the reply of a SCAN: the next cursor, and a count a key that it names. */
static uint64_t scan_read(const char *reply, unsigned *seen)
{
    char *at;
    uint64_t cursor = strtoull(strchr(reply + 4, '\n') + 1, &at, 10);
    unsigned long n = strtoul(at + 3, &at, 10);
    for (; n; n--) {
        at = strchr(at + 2, '\n') + 1; /* behind the length */
        unsigned long key = strtoul(at + strlen("key:"), &at, 10);
        assert_in_range(key, 0, 2 * KEYS);
        seen[key]++;
    }
    return cursor;
}

static void walk_sees_every_key_that_was_there_throughout(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 64; shards *= 4) {
        struct cache_session *s =
            cache_session_start(&(struct cache_session_options){.shards = shards, .memory_max = 16 << 20});
        unsigned *seen = calloc(2 * KEYS + 1, sizeof *seen), calls = 0;
        uint64_t cursor = 0;
        char command[64];
        assert_non_null(seen);
        keys_set(s, 0, KEYS);
        do { /* tables grow, and then shrink, while it goes on */
            snprintf(command, sizeof command, "SCAN %llu COUNT %u", (unsigned long long)cursor, 1 + calls % 30);
            cursor = scan_read(cache_session_run(s, command, NULL), seen);
            if (calls < 40)
                keys_set(s, KEYS + calls * 50, 50);
            for (unsigned i = 0; i < 100 && calls >= 60 && calls < 80; i++) {
                snprintf(command, sizeof command, "DEL key:%u", KEYS + (calls - 60) * 100 + i);
                cache_session_run(s, command, NULL);
            }
            assert_true(calls++ < 100000);
        } while (cursor);
        for (unsigned i = 0; i < KEYS; i++)
            if (!seen[i])
                fail_msg("key:%u was not seen, %u shards", i, shards);
        cache_session_check(s);
        free(seen);
        cache_session_stop(s);
    }
}

static void lists_of_names_span_the_shards(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(&(struct cache_session_options){.shards = 5});
    unsigned seen[100] = {0};
    keys_set(s, 0, 100);
    assert_memory_equal(cache_session_run(s, "KEYS *", NULL), "*100\r\n", 6);
    assert_memory_equal(cache_session_run(s, "KEYS key:?", NULL), "*10\r\n", 5);
    assert_memory_equal(cache_session_run(s, "KEYS *[13579]", NULL), "*50\r\n", 5);
    for (unsigned i = 0; i < 3000; i++) {
        const char *at = strstr(cache_session_run(s, "RANDOMKEY", NULL), "key:");
        assert_non_null(at);
        seen[strtoul(at + 4, NULL, 10)]++;
    }
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(seen[i], 1, 200);
    cache_session_stop(s);
}

static void values_move_and_are_copied_between_shards(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(&(struct cache_session_options){.shards = 7});
    size_t length = 200000;
    char *bytes = malloc(length), command[64];
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)('a' + i * 11 % 26);
    for (size_t n = 1; n <= length; n = n * 6 + 3) {
        cache_session_run_bytes(s, "SET from %s EX 100", bytes, n, NULL);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(command, sizeof command, "COPY from to:%u REPLACE", i);
            assert_reply(s, command, ":1\r\n");
            snprintf(command, sizeof command, "RENAME to:%u there:%u", i, i);
            assert_reply(s, command, "+OK\r\n");
            snprintf(command, sizeof command, "TTL there:%u", i);
            assert_reply(s, command, ":100\r\n");
            snprintf(command, sizeof command, "GET there:%u", i);
            assert_memory_equal(strchr(cache_session_run(s, command, NULL), '\n') + 1, bytes, n);
        }
    }
    assert_reply(s, "EXISTS to:0 to:1 to:2 to:3 to:4 to:5 to:6 to:7 to:8 to:9", ":0\r\n");
    cache_session_settle(s);
    cache_session_check(s);
    free(bytes);
    cache_session_stop(s);
}

/* -- time ------------------------------------------------------------------------------------------------------------------------ */

static void dead_keys_are_not_seen_by_any_command(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    static const struct step before[] = {
        STEP("SET a 1", "+OK\r\n"),
        STEP("PEXPIRE a 1500", ":1\r\n"),
        STEP("TTL a", ":2\r\n"),
        STEP("PEXPIRETIME a", ":1700000001500\r\n"),
        STEP("EXPIRETIME a", ":1700000002\r\n"),
        {0},
    };
    static const struct step after[] = {
        STEP("TTL a", ":-2\r\n"),
        STEP("EXISTS a", ":0\r\n"),
        STEP("KEYS *", "*0\r\n"),
        STEP("RANDOMKEY", "$-1\r\n"),
        STEP("SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        STEP("TYPE a", "+none\r\n"),
        STEP("RENAME a b", "-ERR no such key\r\n"),
        STEP("COPY a b", ":0\r\n"),
        STEP("MOVE a 1", ":0\r\n"),
        STEP("OBJECT ENCODING a", "$-1\r\n"),
        STEP("PERSIST a", ":0\r\n"),
        STEP("EXPIRE a 1", ":0\r\n"),
        STEP("TOUCH a", ":0\r\n"),
        STEP("DEL a", ":0\r\n"),
        {0},
    };
    steps_run_on(s, before);
    cache_session_pass(s, 1499);
    assert_reply(s, "PTTL a", ":1\r\n");
    assert_reply(s, "TTL a", ":0\r\n");
    cache_session_pass(s, 1);
    steps_run_on(s, after);
    cache_session_stop(s);
}

static void only_what_changes_counts(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        unsigned changes;
    } cases[] = {
        {"MSET a 1 b 2 c 3", 3}, {"DEL none", 0},  {"DEL a none b", 2}, {"EXPIRE none 1", 0}, {"EXPIRE c 100", 1},
        {"EXPIRE c 50 GT", 0},   {"PERSIST c", 1}, {"PERSIST c", 0},    {"RENAME c c", 0},    {"RENAME c d", 2},
        {"RENAMENX d d", 0},     {"COPY d e", 1},  {"COPY d e", 0},     {"MOVE e 1", 2},      {"MOVE e 1", 0},
        {"EXPIRE d -1", 1},      {"TOUCH d", 0},   {"KEYS *", 0},
    };
    struct cache_session *s = cache_session_start(NULL);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        cache_session_run(s, cases[i].command, NULL);
        if (s->changes != cases[i].changes)
            fail_msg("%s: %u changes", cases[i].command, (unsigned)s->changes);
    }
    cache_session_stop(s);
}

static void databases_are_apart(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    assert_reply(s, "SET a 1 EX 100", "+OK\r\n");
    assert_reply(s, "COPY a b DB 3", ":1\r\n");
    assert_reply(s, "MOVE a 15", ":1\r\n");
    assert_reply(s, "KEYS *", "*0\r\n");
    s->database = 3;
    assert_reply(s, "TTL b", ":100\r\n");
    s->database = 15;
    assert_reply(s, "TTL a", ":100\r\n");
    assert_reply(s, "KEYS *", "*1\r\n$1\r\na\r\n");
    cache_session_check(s);
    cache_session_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deletion_answers_as_redis_does),
        cmocka_unit_test(expiry_answers_as_redis_does),
        cmocka_unit_test(renaming_answers_as_redis_does),
        cmocka_unit_test(copies_answer_as_redis_does),
        cmocka_unit_test(objects_answer_as_redis_does),
        cmocka_unit_test(lists_of_names_answer_as_redis_does),
        cmocka_unit_test(scan_answers_as_redis_does),
        cmocka_unit_test(walk_sees_every_key_that_was_there_throughout),
        cmocka_unit_test(lists_of_names_span_the_shards),
        cmocka_unit_test(values_move_and_are_copied_between_shards),
        cmocka_unit_test(dead_keys_are_not_seen_by_any_command),
        cmocka_unit_test(only_what_changes_counts),
        cmocka_unit_test(databases_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
