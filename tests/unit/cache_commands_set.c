/* Commands of sets: replies in both protocols, errors, encodings, the algebra, chance. */
#include "tests/support/cache_exchange.h"

#include <stdio.h>
#include <stdlib.h>

/* Integers stay in order: so replies of intsets are known. */
static void replies_are_those_of_redis(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"SADD s 3 1 2 2", ":3"},
        {"SADD s 1", ":0"},
        {"SCARD s", ":3"},
        {"SCARD none", ":0"},
        {"SMEMBERS s", "*3 $1 1 $1 2 $1 3"},
        {"SMEMBERS none", "*0"},
        {"SISMEMBER s 2", ":1"},
        {"SISMEMBER s 02", ":0"},
        {"SISMEMBER none 2", ":0"},
        {"SMISMEMBER s 1 x 3", "*3 :1 :0 :1"},
        {"SMISMEMBER none 1", "*1 :0"},
        {"SREM s 1 1 7", ":1"},
        {"SREM none 1", ":0"},
        {"SREM s 2 3 4", ":2"},
        {"SCARD s", ":0"},
        {"SADD s 1", ":1"},
        {"SMOVE s t 1", ":1"},
        {"SMOVE s t 1", ":0"},
        {"SMOVE t t 1", ":1"},
        {"SMOVE t t 2", ":0"},
        {"SMEMBERS t", "*1 $1 1"},
        {"SSCAN t 0", "*2 $1 0 *1 $1 1"},
        {"SSCAN t x", "-ERR invalid cursor"},
        {"SSCAN none 0", "*2 $1 0 *0"},
        {NULL, NULL},
    });
    assert_string_equal(run("EXISTS s t none"), ":1");
}

static void resp3_has_sets(void **state)
{
    (void)state;
    session->protocol = 3;
    converse((const struct exchange[]){
        {"SADD s 1 2", ":2"},
        {"SMEMBERS s", "~2 $1 1 $1 2"},
        {"SMEMBERS none", "~0"},
        {"SINTER s s", "~2 $1 1 $1 2"},
        {"SINTER s none", "~0"},
        {"SUNION none", "~0"},
        {"SDIFF s", "~2 $1 1 $1 2"},
        {"SRANDMEMBER none", "_"},
        {"SRANDMEMBER s 5", "*2 $1 1 $1 2"},
        {"SPOP none", "_"},
        {"SPOP none 2", "~0"},
        {"SPOP s 0", "~0"},
        {"SPOP s 5", "~2 $1 1 $1 2"},
        {NULL, NULL},
    });
}

static void algebra_of_integers(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"SADD a 1 2 3 4", ":4"},
        {"SADD b 2 3 9", ":3"},
        {"SADD c 3", ":1"},
        {"SINTER a b", "*2 $1 2 $1 3"},
        {"SINTER a b c", "*1 $1 3"},
        {"SINTER a none b", "*0"},
        {"SUNION c b", "*3 $1 3 $1 2 $1 9"},
        {"SUNION none c c", "*1 $1 3"},
        {"SDIFF a b", "*2 $1 1 $1 4"},
        {"SDIFF a a", "*0"},
        {"SDIFF none a", "*0"},
        {"SINTERCARD 2 a b", ":2"},
        {"SINTERCARD 2 a b LIMIT 1", ":1"},
        {"SINTERCARD 2 a b LIMIT 0", ":2"},
        {"SINTERCARD 2 a none", ":0"},
        {"SINTERCARD 0 a", "-ERR numkeys should be greater than 0"},
        {"SINTERCARD x a", "-ERR numkeys should be greater than 0"},
        {"SINTERCARD 2 a", "-ERR Number of keys can't be greater than number of args"},
        {"SINTERCARD 1 a LIMIT", "-ERR syntax error"},
        {"SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative"},
        {"SINTERCARD 1 a b", "-ERR syntax error"},
        {"SINTERSTORE d a b", ":2"},
        {"SMEMBERS d", "*2 $1 2 $1 3"},
        {"SUNIONSTORE d a b", ":5"},
        {"SMEMBERS d", "*5 $1 1 $1 2 $1 3 $1 4 $1 9"},
        {"SDIFFSTORE a a b", ":2"},
        {"SMEMBERS a", "*2 $1 1 $1 4"},
        {"SINTERSTORE d none b", ":0"},
        {"SCARD d", ":0"},
        {NULL, NULL},
    });
}

static void result_takes_the_place_of_any_type(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"HSET h f v", ":1"},
        {"SADD s 1", ":1"},
        {"SUNIONSTORE h s none", ":1"},
        {"SMEMBERS h", "*1 $1 1"},
        {"HSET g f v", ":1"},
        {"SDIFFSTORE g s s", ":0"},
        {"HLEN g", ":0"},
        {NULL, NULL},
    });
}

static void members_move_and_results_are_stored_between_any_two_keys(void **state)
{
    (void)state;
    char line[100];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(line, sizeof line, "SADD from%u m n %u", i, i);
        assert_string_equal(run(line), ":3");
        snprintf(line, sizeof line, "SMOVE from%u to%u m", i, i * 7);
        assert_string_equal(run(line), ":1");
        snprintf(line, sizeof line, "SUNIONSTORE sum%u from%u to%u", i * 13, i, i * 7);
        assert_string_equal(run(line), ":3");
        snprintf(line, sizeof line, "COPY sum%u copy%u", i * 13, i);
        assert_string_equal(run(line), ":1");
        snprintf(line, sizeof line, "SINTERCARD 2 sum%u copy%u", i * 13, i);
        assert_string_equal(run(line), ":3");
        snprintf(line, sizeof line, "SDIFFSTORE from%u copy%u sum%u", i, i, i * 13);
        assert_string_equal(run(line), ":0");
        snprintf(line, sizeof line, "EXISTS from%u to%u sum%u copy%u", i, i * 7, i * 13, i);
        assert_string_equal(run(line), ":3");
    }
}

static void other_types_are_refused(void **state)
{
    (void)state;
    run("HSET h f v");
    run("SADD s a");
    static const char *const commands[] = {
        "SADD h a",
        "SREM h a",
        "SISMEMBER h a",
        "SMISMEMBER h a",
        "SCARD h",
        "SMEMBERS h",
        "SPOP h",
        "SPOP h 0",
        "SRANDMEMBER h",
        "SMOVE h s a",
        "SMOVE s h a",
        "SMOVE s h zz",
        "SINTER s none h",
        "SINTER none h",
        "SUNION h s",
        "SDIFF none h",
        "SINTERSTORE d none h",
        "SDIFFSTORE d s h",
        "SUNIONSTORE d h",
        "SINTERCARD 2 s h",
        "SSCAN h 0",
        NULL,
    };
    for (unsigned i = 0; commands[i]; i++)
        assert_string_equal(run(commands[i]), WRONG_TYPE);
    assert_string_equal(run("SMOVE none h a"), ":0");
}

static void chance_checks_its_arguments(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"SADD s 1", ":1"},
        {"SPOP s x", "-ERR value is out of range, must be positive"},
        {"SPOP s -1", "-ERR value is out of range, must be positive"},
        {"SPOP s 1 2", "-ERR syntax error"},
        {"SPOP none", "$-1"},
        {"SPOP none 2", "*0"},
        {"SRANDMEMBER s x", "-ERR value is not an integer or out of range"},
        {"SRANDMEMBER s 1 2", "-ERR syntax error"},
        {"SRANDMEMBER s -9223372036854775808",
         "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"},
        {"SRANDMEMBER none", "$-1"},
        {"SRANDMEMBER none 3", "*0"},
        {"SRANDMEMBER s -3", "*3 $1 1 $1 1 $1 1"},
        {"SPOP s", "$1 1"},
        {"SCARD s", ":0"},
        {NULL, NULL},
    });
}

static void assert_encoding(const char *key, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "OBJECT ENCODING %s", key);
    assert_string_equal(strchr(run(line), ' ') + 1, name);
}

static void texts_and_numbers_of_members_leave_the_intset(void **state)
{
    (void)state;
    char line[64];
    run("SADD t 1 2 -9223372036854775808");
    assert_encoding("t", "intset");
    run("SADD t a");
    assert_encoding("t", "hashtable");
    assert_string_equal(run("SISMEMBER t -9223372036854775808"), ":1");
    for (unsigned i = 0; i < 513; i++) {
        if (i)
            assert_encoding("s", "intset");
        snprintf(line, sizeof line, "SADD s %u", i * 1000);
        run(line);
    }
    assert_encoding("s", "hashtable");
}

static void fill(const char *key, unsigned n, const char *prefix)
{
    char line[64];
    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, "SADD %s %s%u", key, prefix, i);
        run(line);
    }
}

/* Marks the members "<prefix>n" of an array reply; how many there are. */
static unsigned mark(const char *reply, const char *prefix, unsigned *seen)
{
    unsigned n = (unsigned)strtoul(reply + 1, NULL, 10);
    for (unsigned i = 0; i < n; i++) {
        reply = strchr(strchr(reply, '$'), ' ') + 1;
        seen[strtoul(reply + strlen(prefix), NULL, 10)]++;
    }
    return n;
}

/* Every member comes out once, whether they are drawn or sampled, of both encodings. */
static void popped_members_are_gone_and_differ(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "m"};
    for (unsigned p = 0; p < 2; p++) {
        static unsigned seen[3000];
        unsigned members = p ? 3000 : 500, left = members;
        memset(seen, 0, sizeof seen);
        fill("s", members, prefixes[p]);
        for (unsigned n = 1; left; n = n * 3) {
            char line[64];
            snprintf(line, sizeof line, "SPOP s %u", n);
            unsigned popped = mark(run(line), prefixes[p], seen);
            assert_int_equal(popped, n < left ? n : left);
            left -= popped;
            snprintf(line, sizeof line, ":%u", left);
            assert_string_equal(run("SCARD s"), line);
        }
        for (unsigned i = 0; i < members; i++)
            assert_int_equal(seen[i], 1);
        assert_string_equal(run("EXISTS s"), ":0");
    }
}

static void random_members_differ_when_the_count_is_positive(void **state)
{
    (void)state;
    fill("s", 2000, "m");
    static const unsigned counts[] = {1, 100, 512, 513, 1500, 1999, 2000, 5000};
    for (unsigned c = 0; c < 8; c++) {
        static unsigned seen[2000];
        char line[64];
        memset(seen, 0, sizeof seen);
        snprintf(line, sizeof line, "SRANDMEMBER s %u", counts[c]);
        assert_int_equal(mark(run(line), "m", seen), counts[c] < 2000 ? counts[c] : 2000);
        for (unsigned i = 0; i < 2000; i++)
            assert_true(seen[i] <= 1);
    }
}

static void more_operands_than_are_kept_are_looked_up(void **state)
{
    (void)state;
    char line[2048] = "SINTER";
    for (unsigned i = 0, n = 6; i < 100; i++) {
        char add[64];
        snprintf(add, sizeof add, "SADD k%u 7 %u", i, 100 + i);
        run(add);
        n += (unsigned)snprintf(line + n, sizeof line - n, " k%u", i);
    }
    assert_string_equal(run(line), "*1 $1 7");
    memcpy(line, "SUNION", 6);
    assert_memory_equal(run(line), "*101 ", 5);
    memcpy(line, "SDIFF ", 6);
    line[5] = ' ';
    char diff[2048];
    snprintf(diff, sizeof diff, "SDIFF%s", line + 6);
    assert_string_equal(run(diff), "*1 $3 100");
}

static void stored_result_that_has_no_room_changes_nothing(void **state)
{
    (void)state;
    if (several_shards())
        return;
    fill("s", 2000, "member");
    run("SADD d old");
    struct cache_store *store = only_store();
    cache_store_set_limit(store, store->memory.used + 60000);
    assert_string_equal(run("SUNIONSTORE d s"), OUT_OF_MEMORY);
    assert_string_equal(run("SMEMBERS d"), "*1 $3 old");
    assert_true(store->memory.used <= store->memory.limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replies_are_those_of_redis, session_start, session_stop),
        cmocka_unit_test_setup_teardown(resp3_has_sets, session_start, session_stop),
        cmocka_unit_test_setup_teardown(algebra_of_integers, session_start, session_stop),
        cmocka_unit_test_setup_teardown(result_takes_the_place_of_any_type, session_start, session_stop),
        cmocka_unit_test_setup_teardown(members_move_and_results_are_stored_between_any_two_keys, session_start,
                                        session_stop),
        cmocka_unit_test_setup_teardown(other_types_are_refused, session_start, session_stop),
        cmocka_unit_test_setup_teardown(chance_checks_its_arguments, session_start, session_stop),
        cmocka_unit_test_setup_teardown(texts_and_numbers_of_members_leave_the_intset, session_start, session_stop),
        cmocka_unit_test_setup_teardown(popped_members_are_gone_and_differ, session_start, session_stop),
        cmocka_unit_test_setup_teardown(random_members_differ_when_the_count_is_positive, session_start, session_stop),
        cmocka_unit_test_setup_teardown(more_operands_than_are_kept_are_looked_up, session_start, session_stop),
        cmocka_unit_test_setup_teardown(stored_result_that_has_no_room_changes_nothing, session_start, session_stop),
    };
    return exchange_tests_run(tests);
}
