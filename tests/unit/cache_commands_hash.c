/* Commands of hashes: replies in both protocols, errors, encodings, what a shortage of memory leaves. */
#include "tests/support/cache_exchange.h"

#include <stdio.h>
#include <stdlib.h>

static void replies_are_those_of_redis(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"HSET h a 1 b 2", ":2"},
        {"HSET h a 3 c 4", ":1"},
        {"HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command"},
        {"HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command"},
        {"HMSET h d \"\"", "+OK"},
        {"HSETNX h a 9", ":0"},
        {"HSETNX h e 5", ":1"},
        {"HGET h a", "$1 3"},
        {"HGET h d", "$0 "},
        {"HGET h x", "$-1"},
        {"HGET none a", "$-1"},
        {"HMGET h a x b", "*3 $1 3 $-1 $1 2"},
        {"HMGET none a b", "*2 $-1 $-1"},
        {"HLEN h", ":5"},
        {"HLEN none", ":0"},
        {"HEXISTS h a", ":1"},
        {"HEXISTS h x", ":0"},
        {"HSTRLEN h a", ":1"},
        {"HSTRLEN h x", ":0"},
        {"HGETALL h", "*10 $1 a $1 3 $1 b $1 2 $1 c $1 4 $1 d $0  $1 e $1 5"},
        {"HGETALL none", "*0"},
        {"HKEYS h", "*5 $1 a $1 b $1 c $1 d $1 e"},
        {"HVALS h", "*5 $1 3 $1 2 $1 4 $0  $1 5"},
        {"HDEL h d x e d", ":2"},
        {"HDEL h a b c", ":3"},
        {"HDEL h a", ":0"},
        {"HLEN h", ":0"},
        {NULL, NULL},
    });
    assert_string_equal(run("EXISTS h"), ":0");
}

static void resp3_has_maps_and_nested_pairs(void **state)
{
    (void)state;
    session->protocol = 3;
    converse((const struct exchange[]){
        {"HSET h a 1", ":1"},
        {"HGETALL h", "%1 $1 a $1 1"},
        {"HGETALL none", "%0"},
        {"HKEYS h", "*1 $1 a"},
        {"HGET h x", "_"},
        {"HRANDFIELD h", "$1 a"},
        {"HRANDFIELD none", "_"},
        {"HRANDFIELD none 2", "*0"},
        {"HRANDFIELD h 2", "*1 $1 a"},
        {"HRANDFIELD h -2 WITHVALUES", "*2 *2 $1 a $1 1 *2 $1 a $1 1"},
        {"HSCAN h 0", "*2 $1 0 *2 $1 a $1 1"},
        {NULL, NULL},
    });
}

static void numbers_are_added_within_their_bounds(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"HINCRBY h n 5", ":5"},
        {"HINCRBY h n -7", ":-2"},
        {"HINCRBY h n x", "-ERR value is not an integer or out of range"},
        {"HSET h t abc big 9223372036854775807", ":2"},
        {"HINCRBY h t 1", "-ERR hash value is not an integer"},
        {"HINCRBY h big 1", "-ERR increment or decrement would overflow"},
        {"HGET h big", "$19 9223372036854775807"},
        {"HINCRBYFLOAT h f 10.5", "$4 10.5"},
        {"HINCRBYFLOAT h f 0.1", "$4 10.6"},
        {"HINCRBYFLOAT h f -10.6", "$1 0"},
        {"HINCRBYFLOAT h f 5.0e3", "$4 5000"},
        {"HINCRBYFLOAT h f x", "-ERR value is not a valid float"},
        {"HINCRBYFLOAT h f nan", "-ERR value is not a valid float"},
        {"HINCRBYFLOAT h f inf", "-ERR value is NaN or Infinity"},
        {"HINCRBYFLOAT h t 1", "-ERR hash value is not a float"},
        {NULL, NULL},
    });
}

static void hashes_are_copied_and_renamed_whole(void **state)
{
    (void)state;
    char line[200];
    for (unsigned fields = 3; fields < 1000; fields += 300) {
        for (unsigned i = 0; i < fields; i++) {
            snprintf(line, sizeof line, "HSET h f%u v%u", i, i);
            run(line);
        }
        for (unsigned to = 0; to < 8; to++) { /* some are in other shards */
            snprintf(line, sizeof line, "COPY h to%u", to);
            assert_string_equal(run(line), ":1");
            snprintf(line, sizeof line, "RENAME to%u again%u", to, to);
            assert_string_equal(run(line), "+OK");
            snprintf(line, sizeof line, "HLEN again%u", to);
            assert_int_equal(strtoul(run(line) + 1, NULL, 10), fields);
            snprintf(line, sizeof line, "HGET again%u f%u", to, fields - 1);
            snprintf(line + 100, sizeof line - 100, "v%u", fields - 1);
            assert_string_equal(strchr(run(line), ' ') + 1, line + 100);
            snprintf(line, sizeof line, "DEL again%u", to);
            assert_string_equal(run(line), ":1");
        }
    }
}

static void other_types_are_refused(void **state)
{
    (void)state;
    run("SADD s a");
    static const char *const commands[] = {
        "HSET s f v",     "HMSET s f v",
        "HSETNX s f v",   "HGET s f",
        "HMGET s f",      "HGETALL s",
        "HKEYS s",        "HVALS s",
        "HLEN s",         "HEXISTS s f",
        "HDEL s f",       "HSTRLEN s f",
        "HINCRBY s f 1",  "HINCRBYFLOAT s f 1",
        "HSCAN s 0",      "HRANDFIELD s",
        "HRANDFIELD s 2", NULL,
    };
    for (unsigned i = 0; commands[i]; i++)
        assert_string_equal(run(commands[i]), WRONG_TYPE);
}

static void random_fields_check_their_arguments(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"HSET h a 1", ":1"},
        {"HRANDFIELD h x", "-ERR value is not an integer or out of range"},
        {"HRANDFIELD h 1 foo", "-ERR syntax error"},
        {"HRANDFIELD h 1 withvalues x", "-ERR syntax error"},
        {"HRANDFIELD h 9223372036854775807 withvalues", "-ERR value is out of range"},
        {"HRANDFIELD h -9223372036854775808",
         "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"},
        {"HRANDFIELD h 0", "*0"},
        {"HRANDFIELD h 5 WITHVALUES", "*2 $1 a $1 1"},
        {"HRANDFIELD h -3", "*3 $1 a $1 a $1 a"},
        {NULL, NULL},
    });
}

static void scans_check_their_arguments(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"HSET h aa 1 b 2 ac 3", ":3"},
        {"HSCAN h x", "-ERR invalid cursor"},
        {"HSCAN none 0 foo", "*2 $1 0 *0"},
        {"HSCAN h 0 foo", "-ERR syntax error"},
        {"HSCAN h 0 COUNT 0", "-ERR syntax error"},
        {"HSCAN h 0 COUNT x", "-ERR value is not an integer or out of range"},
        {"HSCAN h 0 MATCH", "-ERR syntax error"},
        {"HSCAN h 0 MATCH a* COUNT 1", "*2 $1 0 *4 $2 aa $1 1 $2 ac $1 3"},
        {NULL, NULL},
    });
}

static void assert_encoding(const char *name)
{
    assert_string_equal(strchr(run("OBJECT ENCODING h"), ' ') + 1, name);
}

static void number_of_fields_and_length_of_values_leave_the_listpack(void **state)
{
    (void)state;
    char line[200];
    for (unsigned i = 0; i < 513; i++) {
        if (i)
            assert_encoding("listpack");
        snprintf(line, sizeof line, "HSET h field%u value%u", i, i);
        run(line);
    }
    assert_encoding("hashtable");
    assert_string_equal(run("HGET h field77"), "$7 value77");
    converse((const struct exchange[]){{"DEL h", ":1"}, {NULL, NULL}});
    snprintf(line, sizeof line, "HSET h f %064d", 0);
    run(line);
    assert_encoding("listpack");
    snprintf(line, sizeof line, "HSET h f %065d", 0);
    run(line);
    assert_encoding("hashtable");
}

static void scan_of_a_table_meets_every_field_once(void **state)
{
    (void)state;
    char line[64];
    static unsigned seen[3000];
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "HSET h %u %u", i, i + 1);
        run(line);
    }
    uint64_t cursor = 0;
    unsigned steps = 0;
    do {
        snprintf(line, sizeof line, "HSCAN h %llu COUNT 100", (unsigned long long)cursor);
        const char *reply = run(line);
        char *save = NULL, *word = strtok_r(strdup(reply), " ", &save), *begin = word; /* *2 */
        strtok_r(NULL, " ", &save);                                                    /* $n */
        cursor = strtoull(strtok_r(NULL, " ", &save), NULL, 10);
        unsigned n = (unsigned)strtoul(strtok_r(NULL, " ", &save) + 1, NULL, 10);
        assert_true(n >= 200 || !cursor);
        for (; n; n -= 2) {
            strtok_r(NULL, " ", &save);
            unsigned field = (unsigned)strtoul(strtok_r(NULL, " ", &save), NULL, 10);
            strtok_r(NULL, " ", &save);
            assert_int_equal(strtoul(strtok_r(NULL, " ", &save), NULL, 10), field + 1);
            seen[field]++;
        }
        free(begin);
        steps++;
    } while (cursor);
    assert_in_range(steps, 20, 40);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(seen[i], 1);
}

static void refused_command_leaves_no_key(void **state)
{
    (void)state;
    if (several_shards())
        return;
    cache_store_set_limit(only_store(), 40 << 10);
    char line[16384] = "HSET h";
    for (unsigned i = 0, n = 6; i < 1000; i++)
        n += (unsigned)snprintf(line + n, sizeof line - n, " f%u v", i);
    assert_string_equal(run(line), OUT_OF_MEMORY);
    assert_string_equal(run("HLEN h"), ":0");
    assert_int_equal(only_store()->database[0].count, 0);
}

static void long_values_are_ropes_and_go_with_the_hash(void **state)
{
    (void)state;
    static uint8_t bytes[200000];
    if (several_shards())
        return;
    struct memory *m = &only_store()->memory;
    uint64_t before = m->used;
    size_t n;
    for (unsigned i = 0; i < 2; i++)
        assert_memory_equal(cache_session_run_bytes(session, "HSET h f %s", bytes, sizeof bytes, &n), i ? ":0" : ":1",
                            2);
    assert_string_equal(run("HSTRLEN h f"), ":200000");
    assert_string_equal(run("HINCRBY h f 1"), "-ERR hash value is not an integer");
    assert_memory_equal(run("HGET h f"), "$200000 ", 8);
    assert_encoding("hashtable");
    run("HDEL h f");
    cache_session_settle(session);
    assert_int_equal(m->used - cache_table_bytes(&only_store()->database[0]), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replies_are_those_of_redis, session_start, session_stop),
        cmocka_unit_test_setup_teardown(resp3_has_maps_and_nested_pairs, session_start, session_stop),
        cmocka_unit_test_setup_teardown(numbers_are_added_within_their_bounds, session_start, session_stop),
        cmocka_unit_test_setup_teardown(hashes_are_copied_and_renamed_whole, session_start, session_stop),
        cmocka_unit_test_setup_teardown(other_types_are_refused, session_start, session_stop),
        cmocka_unit_test_setup_teardown(random_fields_check_their_arguments, session_start, session_stop),
        cmocka_unit_test_setup_teardown(scans_check_their_arguments, session_start, session_stop),
        cmocka_unit_test_setup_teardown(number_of_fields_and_length_of_values_leave_the_listpack, session_start,
                                        session_stop),
        cmocka_unit_test_setup_teardown(scan_of_a_table_meets_every_field_once, session_start, session_stop),
        cmocka_unit_test_setup_teardown(refused_command_leaves_no_key, session_start, session_stop),
        cmocka_unit_test_setup_teardown(long_values_are_ropes_and_go_with_the_hash, session_start, session_stop),
    };
    return exchange_tests_run(tests);
}
