/* Commands of lists, and SORT: replies in both protocols and errors, as redis-server 7.0 gave them. */
#include "tests/support/cache_exchange.h"

static void elements_come_and_go_at_both_ends(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush l a b c", ":3"},
        {"lpush l x y", ":5"},
        {"lrange l 0 -1", "*5 $1 y $1 x $1 a $1 b $1 c"},
        {"lrange l -100 1", "*2 $1 y $1 x"},
        {"lrange l 3 1", "*0"},
        {"lrange l 7 9", "*0"},
        {"llen l", ":5"},
        {"llen none", ":0"},
        {"lpushx none a", ":0"},
        {"rpushx l d", ":6"},
        {"lpushx l z", ":7"},
        {"lindex l 0", "$1 z"},
        {"lindex l -1", "$1 d"},
        {"lindex l 100", "$-1"},
        {"lpop l", "$1 z"},
        {"rpop l", "$1 d"},
        {"lpop l 2", "*2 $1 y $1 x"},
        {"rpop l 0", "*0"},
        {"rpop l 100", "*3 $1 c $1 b $1 a"},
        {"lpop l", "$-1"},
        {"lpop l 1", "*-1"},
        {"exists l", ":0"},
        {"lpop l x", "-ERR value is out of range, must be positive"},
        {"lpop l -1", "-ERR value is out of range, must be positive"},
        {"lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command"},
        {"lindex none x", "$-1"},
        {"lrange l x 1", "-ERR value is not an integer or out of range"},
        {NULL, NULL},
    });
}

static void elements_are_edited_by_index_and_by_value(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush l a b c a b c a", ":7"},
        {"lset l 0 A", "+OK"},
        {"lset l -1 Z", "+OK"},
        {"lset l 7 x", "-ERR index out of range"},
        {"lset l x x", "-ERR value is not an integer or out of range"},
        {"lset none 0 x", "-ERR no such key"},
        {"linsert l before b new", ":8"},
        {"linsert l after c \"\"", ":9"},
        {"linsert l after q x", ":-1"},
        {"linsert none after q x", ":0"},
        {"linsert l beside q x", "-ERR syntax error"},
        {"lrange l 0 -1", "*9 $1 A $3 new $1 b $1 c $0  $1 a $1 b $1 c $1 Z"},
        {"lrem l 1 b", ":1"},
        {"lrem l -1 c", ":1"},
        {"lrem l 0 a", ":1"},
        {"lrem l 0 nothing", ":0"},
        {"lrem none 0 a", ":0"},
        {"lrem l x a", "-ERR value is not an integer or out of range"},
        {"lrange l 0 -1", "*6 $1 A $3 new $1 c $0  $1 b $1 Z"},
        {"ltrim l 1 -2", "+OK"},
        {"lrange l 0 -1", "*4 $3 new $1 c $0  $1 b"},
        {"ltrim l 5 10", "+OK"},
        {"exists l", ":0"},
        {"ltrim none 0 1", "+OK"},
        {"ltrim none x 1", "-ERR value is not an integer or out of range"},
        {NULL, NULL},
    });
}

static void positions_are_found_from_either_end(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush l a b c 1 2 3 c c", ":8"},
        {"lpos l c", ":2"},
        {"lpos l c rank 2", ":6"},
        {"lpos l c rank -1", ":7"},
        {"lpos l c count 2", "*2 :2 :6"},
        {"lpos l c count 0", "*3 :2 :6 :7"},
        {"lpos l c rank -2 count 0", "*2 :6 :2"},
        {"lpos l c rank 2 count 0 maxlen 7", "*1 :6"},
        {"lpos l q", "$-1"},
        {"lpos l q count 1", "*0"},
        {"lpos none q", "$-1"},
        {"lpos none q count 1", "*0"},
        {"lpos l c rank 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or "
                            "use negative to start from the end of the list"},
        {"lpos l c rank -9223372036854775808", ":7"},
        {"lpos l c rank x", "-ERR value is not an integer or out of range"},
        {"lpos l c count -1", "-ERR COUNT can't be negative"},
        {"lpos l c maxlen -1", "-ERR MAXLEN can't be negative"},
        {"lpos l c maxlen", "-ERR syntax error"},
        {"lpos l c foo 1", "-ERR syntax error"},
        {NULL, NULL},
    });
}

static void elements_move_between_lists_and_within_one(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush a 1 2 3", ":3"},
        {"lmove a b left right", "$1 1"},
        {"lmove a b right left", "$1 3"},
        {"lrange b 0 -1", "*2 $1 3 $1 1"},
        {"lmove b b left right", "$1 3"},
        {"lmove b b left left", "$1 1"},
        {"lrange b 0 -1", "*2 $1 1 $1 3"},
        {"rpoplpush a b", "$1 2"},
        {"exists a", ":0"},
        {"rpoplpush a b", "$-1"},
        {"lmove a b left left", "$-1"},
        {"lmove a b up left", "-ERR syntax error"},
        {"set s x", "+OK"},
        {"lmove s b left left", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"lmove b s left left", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"lrange b 0 -1", "*3 $1 2 $1 1 $1 3"},
        {"lmpop 2 none b left", "*2 $1 b *1 $1 2"},
        {"lmpop 1 b right count 10", "*2 $1 b *2 $1 3 $1 1"},
        {"lmpop 1 b right", "*-1"},
        {"lmpop 0 b right", "-ERR numkeys should be greater than 0"},
        {"lmpop x b right", "-ERR numkeys should be greater than 0"},
        {"lmpop 2 b right", "-ERR syntax error"},
        {"lmpop 1 b up", "-ERR syntax error"},
        {"lmpop 1 b left count 0", "-ERR count should be greater than 0"},
        {"lmpop 1 b left count", "-ERR syntax error"},
        {"lmpop 1 s left", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {NULL, NULL},
    });
}

static void blocking_pops_that_find_something_do_not_wait(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush a 1 2 3 4 5 6", ":6"},
        {"blpop none a 0", "*2 $1 a $1 1"},
        {"brpop a 1.5", "*2 $1 a $1 6"},
        {"blmove a b left right 1", "$1 2"},
        {"brpoplpush a b 1", "$1 5"},
        {"blmpop 1 2 none a left count 5", "*2 $1 a *2 $1 3 $1 4"},
        {"lrange b 0 -1", "*2 $1 5 $1 2"},
        {"blpop b x", "-ERR timeout is not a float or out of range"},
        {"blpop b -1", "-ERR timeout is negative"},
        {"blpop b 1e300", "-ERR timeout is negative"},
        {"blmove a b up left 1", "-ERR syntax error"},
        {"blmove a b left left x", "-ERR timeout is not a float or out of range"},
        {"blmpop -1 1 a left", "-ERR timeout is negative"},
        {"blmpop 1 0 a left", "-ERR numkeys should be greater than 0"},
        {"set s x", "+OK"},
        {"blpop s 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"brpoplpush s b 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"lpush s 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {NULL, NULL},
    });
}

static void sort_orders_by_value_and_by_what_keys_say(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"rpush l 3 1 2 10", ":4"},
        {"sort l", "*4 $1 1 $1 2 $1 3 $2 10"},
        {"sort l desc", "*4 $2 10 $1 3 $1 2 $1 1"},
        {"sort l alpha", "*4 $1 1 $2 10 $1 2 $1 3"},
        {"sort l limit 1 2", "*2 $1 2 $1 3"},
        {"sort l limit -5 2", "*2 $1 1 $1 2"},
        {"sort l limit 9 2", "*0"},
        {"sort l by nosort", "*4 $1 3 $1 1 $1 2 $2 10"},
        {"sort l by nosort desc", "*4 $2 10 $1 2 $1 1 $1 3"},
        {"mset w_1 9 w_2 8 w_3 7 w_10 6", "+OK"},
        {"sort l by w_*", "*4 $2 10 $1 3 $1 2 $1 1"},
        {"sort l by w_* get # get w_*", "*8 $2 10 $1 6 $1 3 $1 7 $1 2 $1 8 $1 1 $1 9"},
        {"sort l by w_* desc get none_*", "*4 $-1 $-1 $-1 $-1"},
        {"hset h_1 f 5 name one", ":2"},
        {"hset h_2 f 4 name two", ":2"},
        {"sort l by h_*->f get h_*->name", "*4 $-1 $-1 $3 two $3 one"},
        {"sort l by h_*->", "*4 $1 1 $2 10 $1 2 $1 3"},
        {"sort l store d", ":4"},
        {"lrange d 0 -1", "*4 $1 1 $1 2 $1 3 $2 10"},
        {"object encoding d", "$9 quicklist"},
        {"sort l get h_*->name store d", ":4"},
        {"lrange d 0 -1", "*4 $3 one $3 two $0  $0 "},
        {"sort none store d", ":0"},
        {"exists d", ":0"},
        {"sort_ro l desc", "*4 $2 10 $1 3 $1 2 $1 1"},
        {"sort_ro l store d", "-ERR syntax error"},
        {"sort l limit 1", "-ERR syntax error"},
        {"sort l limit x 1", "-ERR value is not an integer or out of range"},
        {"sort l foo", "-ERR syntax error"},
        {"rpush words b a c", ":3"},
        {"sort words", "-ERR One or more scores can't be converted into double"},
        {"sort words alpha desc", "*3 $1 c $1 b $1 a"},
        {"sort words by w_*", "*3 $1 a $1 b $1 c"},
        {"set w_a text", "+OK"},
        {"sort words by w_*", "-ERR One or more scores can't be converted into double"},
        {"sort words by w_* alpha", "*3 $1 b $1 c $1 a"},
        {"sadd s 3 1 2", ":3"},
        {"sort s desc", "*3 $1 3 $1 2 $1 1"},
        {"sort s by nosort store d", ":3"},
        {"lrange d 0 -1", "*3 $1 1 $1 2 $1 3"},
        {"zadd z 3 a 2 b 1 c", ":3"},
        {"sort z by nosort", "*3 $1 c $1 b $1 a"},
        {"sort z by nosort desc limit 0 2", "*2 $1 a $1 b"},
        {"sort z alpha", "*3 $1 a $1 b $1 c"},
        {"sort w_1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"rpush m 3 1 inf 0x10 -inf", ":5"},
        {"sort m", "*5 $4 -inf $1 1 $1 3 $4 0x10 $3 inf"},
        {NULL, NULL},
    });
}

static void nulls_are_those_of_resp3(void **state)
{
    (void)state;
    session->protocol = 3;
    converse((const struct exchange[]){
        {"lpop none", "_"},
        {"lpop none 2", "_"},
        {"lmpop 1 none left", "_"},
        {"lmove none x left left", "_"},
        {"lindex none 0", "_"},
        {"lpos none x", "_"},
        {"rpush l a", ":1"},
        {"sort l by nosort get none_*", "*1 _"},
        {NULL, NULL},
    });
}

static void blocking_pops_of_nothing_wait(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "blpop none 0",
        "brpop none other 1.5",
        "blmpop 0 2 none other left",
        "brpoplpush none other 1",
        "blmove none other left right 0.1",
    };
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t n;
        (void)cache_session_run(session, commands[i], &n);
        assert_true(session->waits);
        assert_int_equal(n, 0);
        assert_int_equal(session->changes, 0);
    }
}

static void long_elements_move_whole(void **state)
{
    (void)state;
    static uint8_t bytes[CACHE_SMALL_MAX * 5];
    size_t n;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)('a' + i % 23);
    assert_string_equal(cache_session_run_bytes(session, "rpush l first %s", bytes, sizeof(bytes), &n), ":2\r\n");
    for (unsigned i = 0; i < 4; i++) { /* to another key, which may be another shard's, and within one */
        const char *reply =
            cache_session_run(session, i % 2 ? "lmove other l right right" : "lmove l other right left", &n);
        assert_memory_equal(reply, "$81920\r\n", 8);
        assert_memory_equal(reply + 8, bytes, sizeof(bytes));
        cache_session_check(session);
    }
    (void)cache_session_run(session, "lmove l l right left", &n);
    converse((const struct exchange[]){
        {"lindex l 1", "$5 first"},
        {"llen l", ":2"},
        {"del l", ":1"},
        {NULL, NULL},
    });
}

static void key_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static const char *const commands[] = {"lset %s 0 x", "linsert %s before a b", "lpush %s x",
                                           "lmove %s l left left"};
    static uint8_t key[CACHE_KEY_MAX + 1];
    memset(key, 'k', sizeof(key));
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t n;
        const char *reply = cache_session_run_bytes(session, commands[i], key, sizeof(key), &n);
        assert_int_equal(reply[0], '-');
        assert_false(session->waits);
        assert_int_equal(session->changes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(elements_come_and_go_at_both_ends, session_start, session_stop),
        cmocka_unit_test_setup_teardown(elements_are_edited_by_index_and_by_value, session_start, session_stop),
        cmocka_unit_test_setup_teardown(positions_are_found_from_either_end, session_start, session_stop),
        cmocka_unit_test_setup_teardown(elements_move_between_lists_and_within_one, session_start, session_stop),
        cmocka_unit_test_setup_teardown(blocking_pops_that_find_something_do_not_wait, session_start, session_stop),
        cmocka_unit_test_setup_teardown(sort_orders_by_value_and_by_what_keys_say, session_start, session_stop),
        cmocka_unit_test_setup_teardown(nulls_are_those_of_resp3, session_start, session_stop),
        cmocka_unit_test_setup_teardown(blocking_pops_of_nothing_wait, session_start, session_stop),
        cmocka_unit_test_setup_teardown(key_that_is_too_long_is_refused, session_start, session_stop),
        cmocka_unit_test_setup_teardown(long_elements_move_whole, session_start, session_stop),
    };
    return exchange_tests_run(tests);
}
