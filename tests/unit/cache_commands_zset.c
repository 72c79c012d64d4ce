/* Commands of sorted sets: replies in both protocols and errors, as redis-server 7.0 gave them. */
#include "tests/support/cache_exchange.h"

#include <stdio.h>
#include <stdlib.h>

static void members_are_added_and_scores_changed(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 1 a 2 b 3 c", ":3"},
        {"zadd z 1 a 5 d", ":1"},
        {"zadd z ch 2 a 6 d", ":2"},
        {"zadd z nx 9 a 9 e", ":1"},
        {"zadd z xx 9 f 8 e", ":0"},
        {"zadd z gt ch 1 e 10 d", ":1"},
        {"zadd z lt ch 1 e 11 d", ":1"},
        {"zadd z incr 1.5 a", "$3 3.5"},
        {"zadd z xx incr 1 none", "$-1"},
        {"zadd z nx incr 1 a", "$-1"},
        {"zadd z gt incr -1 a", "$-1"},
        {"zadd none xx 1 a", ":0"},
        {"exists none", ":0"},
        {"zrange z 0 -1 withscores", "*10 $1 e $1 1 $1 b $1 2 $1 c $1 3 $1 a $3 3.5 $1 d $2 10"},
        {"zadd z 1 a 2", "-ERR syntax error"},
        {"zadd z nx xx 1 a", "-ERR XX and NX options at the same time are not compatible"},
        {"zadd z nx gt 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"},
        {"zadd z gt lt 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"},
        {"zadd z incr 1 a 2 b", "-ERR INCR option supports a single increment-element pair"},
        {"zadd z x a", "-ERR value is not a valid float"},
        {"zadd z nan a", "-ERR value is not a valid float"},
        {"zadd z inf i", ":1"},
        {"zadd z incr -inf i", "-ERR resulting score is not a number (NaN)"},
        {"zincrby z -inf i", "-ERR resulting score is not a number (NaN)"},
        {"zincrby z 2 c", "$1 5"},
        {"zincrby z x c", "-ERR value is not a valid float"},
        {"zincrby new 2.5 c", "$3 2.5"},
        {"zcard z", ":6"},
        {"zcard none", ":0"},
        {"zscore z a", "$3 3.5"},
        {"zscore z none", "$-1"},
        {"zmscore z a none b", "*3 $3 3.5 $-1 $1 2"},
        {"zmscore none a b", "*2 $-1 $-1"},
        {"zrem z a b none", ":2"},
        {"zrem none a", ":0"},
        {"zrem new c", ":1"},
        {"exists new", ":0"},
        {"set s x", "+OK"},
        {"zadd s 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"zscore s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {NULL, NULL},
    });
}

static void scores_are_printed_as_redis_prints_them(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 0.1 a 3.0000000000000001 b 1e21 c 1e-7 d 123456789012345678 e -0 f 1e17 g -inf h 0.30000000000000004 "
         "i",
         ":9"},
        {"zrange z 0 -1 withscores",
         "*18 $1 h $4 -inf $1 f $1 0 $1 d $22 9.9999999999999995e-08 $1 a $19 0.10000000000000001 $1 i $19 "
         "0.30000000000000004 $1 b $1 3 $1 g $5 1e+17 $1 e $22 1.2345678901234568e+17 $1 c $5 1e+21"},
        {"zscan z 0",
         "*2 $1 0 *18 $1 h $4 -inf $1 f $1 0 $1 d $22 9.9999999999999995e-08 $1 a $19 0.10000000000000001 $1 i $19 "
         "0.30000000000000004 $1 b $1 3 $1 g $18 100000000000000000 $1 e $18 123456789012345680 $1 c $5 1e+21"},
        {NULL, NULL},
    });
}

static void ranks_and_ranges_by_rank(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 1 a 2 b 3 c 4 d 5 e", ":5"},
        {"zrank z a", ":0"},
        {"zrank z e", ":4"},
        {"zrevrank z a", ":4"},
        {"zrank z none", "$-1"},
        {"zrank none a", "$-1"},
        {"zrange z 1 2", "*2 $1 b $1 c"},
        {"zrange z -2 -1 withscores", "*4 $1 d $1 4 $1 e $1 5"},
        {"zrange z 1 2 rev", "*2 $1 d $1 c"},
        {"zrevrange z 0 1 withscores", "*4 $1 e $1 5 $1 d $1 4"},
        {"zrange z 3 1", "*0"},
        {"zrange z 9 10", "*0"},
        {"zrange none 0 -1", "*0"},
        {"zrange z x 1", "-ERR value is not an integer or out of range"},
        {"zrange z 0 1 limit 0 1",
         "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"},
        {"zrange z 0 1 foo", "-ERR syntax error"},
        {"zrevrange z 0 1 rev", "-ERR syntax error"},
        {"zremrangebyrank z 1 -2", ":3"},
        {"zrange z 0 -1", "*2 $1 a $1 e"},
        {"zremrangebyrank z 0 -1", ":2"},
        {"exists z", ":0"},
        {"zremrangebyrank z a 1", "-ERR value is not an integer or out of range"},
        {NULL, NULL},
    });
}

static void ranges_by_score_and_by_member(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 1 a 2 b 3 c 4 d 5 e", ":5"},
        {"zcount z 2 4", ":3"},
        {"zcount z (2 (4", ":1"},
        {"zcount z -inf +inf", ":5"},
        {"zcount z 4 2", ":0"},
        {"zcount z \"\" 2", ":2"},
        {"zcount z x 2", "-ERR min or max is not a float"},
        {"zcount z nan 2", "-ERR min or max is not a float"},
        {"zrangebyscore z (1 3", "*2 $1 b $1 c"},
        {"zrangebyscore z -inf +inf limit 1 2", "*2 $1 b $1 c"},
        {"zrangebyscore z -inf +inf withscores limit 3 -1", "*4 $1 d $1 4 $1 e $1 5"},
        {"zrangebyscore z -inf +inf limit -1 2", "*0"},
        {"zrevrangebyscore z 4 2 withscores", "*6 $1 d $1 4 $1 c $1 3 $1 b $1 2"},
        {"zrange z 4 (1 byscore rev limit 0 2", "*2 $1 d $1 c"},
        {"zrange z 0 1 byscore limit 1", "-ERR syntax error"},
        {"zrange z 0 1 byscore limit a 1", "-ERR value is not an integer or out of range"},
        {"zrangebyscore z 0 1 rev", "-ERR syntax error"},
        {"zremrangebyscore z (1 (3", ":1"},
        {"zremrangebyscore z x 1", "-ERR min or max is not a float"},
        {"zadd w 0 a 0 b 0 c 0 d", ":4"},
        {"zlexcount w - +", ":4"},
        {"zlexcount w [b (d", ":2"},
        {"zlexcount w + -", ":0"},
        {"zlexcount w a b", "-ERR min or max not valid string range item"},
        {"zrangebylex w [b +", "*3 $1 b $1 c $1 d"},
        {"zrangebylex w - + limit 1 2", "*2 $1 b $1 c"},
        {"zrevrangebylex w + (b", "*2 $1 d $1 c"},
        {"zrange w (d [b bylex rev", "*2 $1 c $1 b"},
        {"zrange w - + bylex withscores", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX"},
        {"zrange w a b bylex", "-ERR min or max not valid string range item"},
        {"zremrangebylex w [b [c", ":2"},
        {"zrange w 0 -1", "*2 $1 a $1 d"},
        {"zremrangebylex w a b", "-ERR min or max not valid string range item"},
        {"zrangestore d z -inf +inf byscore limit 1 2", ":2"},
        {"zrange d 0 -1 withscores", "*4 $1 c $1 3 $1 d $1 4"},
        {"zrangestore d z 5 9", ":0"},
        {"exists d", ":0"},
        {"zrangestore d z 0 1 withscores", "-ERR syntax error"},
        {"zrangestore z z 0 1 rev", ":2"},
        {"zrange z 0 -1", "*2 $1 d $1 e"},
        {"set s x", "+OK"},
        {"zrangestore d s 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"zrange s 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {NULL, NULL},
    });
}

static void pops_take_from_either_end(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 1 a 2 b 3 c 4 d 5 e 6 f", ":6"},
        {"zpopmin z", "*2 $1 a $1 1"},
        {"zpopmax z", "*2 $1 f $1 6"},
        {"zpopmin z 2", "*4 $1 b $1 2 $1 c $1 3"},
        {"zpopmin z 0", "*0"},
        {"zpopmin none", "*0"},
        {"zpopmin none 2", "*0"},
        {"zpopmin z x", "-ERR value is out of range, must be positive"},
        {"zpopmin z -1", "-ERR value is out of range, must be positive"},
        {"zpopmin z 1 2", "-ERR syntax error"},
        {"zmpop 2 none z max", "*2 $1 z *1 *2 $1 e $1 5"},
        {"zmpop 1 z min count 9", "*2 $1 z *1 *2 $1 d $1 4"},
        {"exists z", ":0"},
        {"zmpop 1 z min", "*-1"},
        {"zmpop 0 z min", "-ERR numkeys should be greater than 0"},
        {"zmpop 1 z up", "-ERR syntax error"},
        {"zmpop 1 z min count 0", "-ERR count should be greater than 0"},
        {"zadd z 1 a 2 b 3 c", ":3"},
        {"bzpopmin none z 0", "*3 $1 z $1 a $1 1"},
        {"bzpopmax z 0.5", "*3 $1 z $1 c $1 3"},
        {"bzmpop 1 1 z min count 3", "*2 $1 z *1 *2 $1 b $1 2"},
        {"bzpopmin z x", "-ERR timeout is not a float or out of range"},
        {"bzmpop 0 0 z min", "-ERR numkeys should be greater than 0"},
        {"set s x", "+OK"},
        {"bzpopmin s 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {NULL, NULL},
    });
}

static void algebra_of_sorted_sets_and_sets(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd a 1 x 2 y 3 z", ":3"},
        {"zadd b 10 y 20 z 30 w", ":3"},
        {"sadd s x w q", ":3"},
        {"zunion 2 a b", "*4 $1 x $1 y $1 z $1 w"},
        {"zunion 3 a b s withscores", "*10 $1 q $1 1 $1 x $1 2 $1 y $2 12 $1 z $2 23 $1 w $2 31"},
        {"zunion 2 a b weights 2 0.5 aggregate max withscores", "*8 $1 x $1 2 $1 y $1 5 $1 z $2 10 $1 w $2 15"},
        {"zinter 2 a b withscores", "*4 $1 y $2 12 $1 z $2 23"},
        {"zinter 2 a s weights -0 1 withscores", "*2 $1 x $1 1"},
        {"zinter 2 a b aggregate min withscores", "*4 $1 y $1 2 $1 z $1 3"},
        {"zdiff 2 a b withscores", "*2 $1 x $1 1"},
        {"zdiff 2 a none", "*3 $1 x $1 y $1 z"},
        {"zunionstore d 2 a s weights 1 5", ":5"},
        {"zrange d 0 -1 withscores", "*10 $1 y $1 2 $1 z $1 3 $1 q $1 5 $1 w $1 5 $1 x $1 6"},
        {"zinterstore d 2 a b aggregate sum", ":2"},
        {"zrange d 0 -1 withscores", "*4 $1 y $2 12 $1 z $2 23"},
        {"zdiffstore a 2 a b", ":1"},
        {"zrange a 0 -1 withscores", "*2 $1 x $1 1"},
        {"zdiffstore d 2 a a", ":0"},
        {"exists d", ":0"},
        {"zintercard 2 b s", ":1"},
        {"zintercard 2 b b limit 2", ":2"},
        {"zintercard 2 b b limit 0", ":3"},
        {"zadd i inf p", ":1"},
        {"zadd j -inf p", ":1"},
        {"zunion 2 i j withscores", "*2 $1 p $1 0"},
        {"zinter 1 i weights 0 withscores", "*2 $1 p $1 0"},
        {"zunion 0 a", "-ERR at least 1 input key is needed for 'zunion' command"},
        {"zunion x a", "-ERR value is not an integer or out of range"},
        {"zunion 3 a b", "-ERR syntax error"},
        {"zunion 1 a foo", "-ERR syntax error"},
        {"zunion 1 a weights", "-ERR syntax error"},
        {"zunion 1 a weights x", "-ERR weight value is not a float"},
        {"zunion 1 a aggregate foo", "-ERR syntax error"},
        {"zunionstore d 0 a", "-ERR at least 1 input key is needed for 'zunionstore' command"},
        {"zunionstore d 1 a withscores", "-ERR syntax error"},
        {"zdiff 1 a weights 1", "-ERR syntax error"},
        {"zdiffstore d 0 a", "-ERR at least 1 input key is needed for 'zdiffstore' command"},
        {"zintercard 1 b limit -1", "-ERR LIMIT can't be negative"},
        {"zintercard 1 b limit", "-ERR syntax error"},
        {"zintercard 0 b", "-ERR at least 1 input key is needed for 'zintercard' command"},
        {"set str x", "+OK"},
        {"zunion 2 a str", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"zunionstore str 1 b", ":3"},
        {"type str", "+zset"},
        {NULL, NULL},
    });
}

static void random_members_check_their_arguments(void **state)
{
    (void)state;
    converse((const struct exchange[]){
        {"zadd z 1 a", ":1"},
        {"zrandmember z", "$1 a"},
        {"zrandmember z 5", "*1 $1 a"},
        {"zrandmember z 5 withscores", "*2 $1 a $1 1"},
        {"zrandmember z -3", "*3 $1 a $1 a $1 a"},
        {"zrandmember z -2 withscores", "*4 $1 a $1 1 $1 a $1 1"},
        {"zrandmember z 0", "*0"},
        {"zrandmember none", "$-1"},
        {"zrandmember none 2", "*0"},
        {"zrandmember z x", "-ERR value is not an integer or out of range"},
        {"zrandmember z 1 foo", "-ERR syntax error"},
        {"zrandmember z -9223372036854775808",
         "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"},
        {"zrandmember z -9223372036854775807 withscores", "-ERR value is out of range"},
        {"zscan z 0 match b*", "*2 $1 0 *0"},
        {"zscan none 0", "*2 $1 0 *0"},
        {"zscan z x", "-ERR invalid cursor"},
        {"zscan z 0 count 0", "-ERR syntax error"},
        {"zscan z 0 foo bar", "-ERR syntax error"},
        {NULL, NULL},
    });
}

static void resp3_has_doubles_and_nested_pairs(void **state)
{
    (void)state;
    session->protocol = 3;
    converse((const struct exchange[]){
        {"zadd z 1.5 a 2 b 3 c 4 d 5 e", ":5"},
        {"zrange z 0 1 withscores", "*2 *2 $1 a ,1.5 *2 $1 b ,2"},
        {"zrangebyscore z 2 3 withscores", "*2 *2 $1 b ,2 *2 $1 c ,3"},
        {"zrevrange z 0 0 withscores", "*1 *2 $1 e ,5"},
        {"zscore z a", ",1.5"},
        {"zscore z none", "_"},
        {"zmscore z a none", "*2 ,1.5 _"},
        {"zincrby z 1 a", ",2.5"},
        {"zadd z incr 1 a", ",3.5"},
        {"zpopmin z", "*2 $1 b ,2"},
        {"zpopmin z 1", "*1 *2 $1 c ,3"},
        {"zpopmax z 0", "*0"},
        {"zmpop 1 z min", "*2 $1 z *1 *2 $1 a ,3.5"},
        {"bzpopmin z 0", "*3 $1 z $1 d ,4"},
        {"zunion 1 z withscores", "*1 *2 $1 e ,5"},
        {"zrandmember z -1 withscores", "*1 *2 $1 e ,5"},
        {"zscan z 0", "*2 $1 0 *2 $1 e $1 5"},
        {"zinter 1 z withscores", "*1 *2 $1 e ,5"},
        {"zmpop 1 none min", "_"},
        {"zrank z none", "_"},
        {"zrandmember none", "_"},
        {NULL, NULL},
    });
}

static void blocking_pops_of_nothing_wait(void **state)
{
    (void)state;
    static const char *const commands[] = {"bzpopmin none 0", "bzpopmax none other 1.5", "bzmpop 0 2 none other min"};
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        size_t n;
        (void)cache_session_run(session, commands[i], &n);
        assert_true(session->waits);
        assert_int_equal(n, 0);
        assert_int_equal(session->changes, 0);
    }
}

#define MEMBERS 1000

static void fill(void)
{
    char command[64];
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(command, sizeof(command), "zadd z %u %u", i, i);
        assert_string_equal(run(command), ":1");
    }
}

/* Counts the members of a reply, whose scores are their numbers; what is no bulk string of digits is passed over. */
static void count_members(const char *reply, unsigned seen[MEMBERS])
{
    for (const char *at = strchr(reply, '$'); at; at = strchr(at + 1, '$')) {
        const char *text = strchr(at, ' ');
        if (text && text[1] >= '0' && text[1] <= '9')
            seen[atoi(text + 1) % MEMBERS]++;
    }
}

static void different_random_members_are_different(void **state)
{
    (void)state;
    fill();
    for (unsigned n = 1; n < MEMBERS; n = n * 3 + 1) {
        char command[64];
        unsigned seen[MEMBERS] = {0}, sum = 0;
        snprintf(command, sizeof(command), "zrandmember z %u", n);
        count_members(run(command), seen);
        for (unsigned i = 0; i < MEMBERS; i++) {
            assert_true(seen[i] <= 1);
            sum += seen[i];
        }
        assert_int_equal(sum, n);
    }
}

static void scan_of_a_skip_list_meets_every_member(void **state)
{
    (void)state;
    unsigned seen[MEMBERS] = {0}, cursor = 0, steps = 0;
    fill();
    do {
        char command[64];
        snprintf(command, sizeof(command), "zscan z %u count 20", cursor);
        const char *reply = run(command), *text = strchr(strchr(reply, '$'), ' ');
        cursor = (unsigned)strtoul(text, NULL, 10);
        count_members(strchr(text, '*'), seen);
        steps++;
    } while (cursor);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(seen[i], 2); /* as a member, and as its score */
    assert_true(steps > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_are_added_and_scores_changed, session_start, session_stop),
        cmocka_unit_test_setup_teardown(scores_are_printed_as_redis_prints_them, session_start, session_stop),
        cmocka_unit_test_setup_teardown(ranks_and_ranges_by_rank, session_start, session_stop),
        cmocka_unit_test_setup_teardown(ranges_by_score_and_by_member, session_start, session_stop),
        cmocka_unit_test_setup_teardown(pops_take_from_either_end, session_start, session_stop),
        cmocka_unit_test_setup_teardown(algebra_of_sorted_sets_and_sets, session_start, session_stop),
        cmocka_unit_test_setup_teardown(random_members_check_their_arguments, session_start, session_stop),
        cmocka_unit_test_setup_teardown(resp3_has_doubles_and_nested_pairs, session_start, session_stop),
        cmocka_unit_test_setup_teardown(blocking_pops_of_nothing_wait, session_start, session_stop),
        cmocka_unit_test_setup_teardown(different_random_members_are_different, session_start, session_stop),
        cmocka_unit_test_setup_teardown(scan_of_a_skip_list_meets_every_member, session_start, session_stop),
    };
    return exchange_tests_run(tests);
}
