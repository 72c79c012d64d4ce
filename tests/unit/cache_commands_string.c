/* String and bit commands: the replies of redis-server 7.0.15 to the same commands, byte for byte; then what only shows from
 * inside: extents, room, time. */
#include "tests/support/cache_steps.h"

#include <stdlib.h>

/* Values whole, of every encoding. */
static const struct step get_and_set[] = {
    STEP("GET a", "$-1\r\n"),
    STEP("SET a b", "+OK\r\n"),
    STEP("GET a", "$1\r\nb\r\n"),
    STEP("STRLEN a", ":1\r\n"),
    STEP("SET a 12345", "+OK\r\n"),
    STEP("GET a", "$5\r\n12345\r\n"),
    STEP("STRLEN a", ":5\r\n"),
    STEP("OBJECT ENCODING a", "$3\r\nint\r\n"),
    STEP("SET a -9223372036854775808", "+OK\r\n"),
    STEP("GET a", "$20\r\n-9223372036854775808\r\n"),
    STEP("STRLEN a", ":20\r\n"),
    STEP("OBJECT ENCODING a", "$3\r\nint\r\n"),
    STEP("SET a 9223372036854775808", "+OK\r\n"),
    STEP("OBJECT ENCODING a", "$6\r\nembstr\r\n"),
    STEP("SET a 007", "+OK\r\n"),
    STEP("OBJECT ENCODING a", "$6\r\nembstr\r\n"),
    STEP("SET a \"\"", "+OK\r\n"),
    STEP("GET a", "$0\r\n\r\n"),
    STEP("STRLEN a", ":0\r\n"),
    STEP("SET a \"\\x00\\xff\\r\\n\"", "+OK\r\n"),
    STEP("GET a", "$4\r\n\x00\xff\r\n\r\n"),
    STEP("STRLEN a", ":4\r\n"),
    STEP("STRLEN none", ":0\r\n"),
    STEP("SET \"\" empty", "+OK\r\n"),
    STEP("GET \"\"", "$5\r\nempty\r\n"),
    STEP("GETSET a new", "$4\r\n\x00\xff\r\n\r\n"),
    STEP("GETSET none x", "$-1\r\n"),
    STEP("GET none", "$1\r\nx\r\n"),
    STEP("GETDEL a", "$3\r\nnew\r\n"),
    STEP("GETDEL a", "$-1\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    STEP("SET a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK\r\n"),
    STEP("OBJECT ENCODING a", "$6\r\nembstr\r\n"),
    STEP("SET a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK\r\n"),
    STEP("OBJECT ENCODING a", "$3\r\nraw\r\n"),
    {0},
};

/* Conditions, what is returned, what contradicts. */
static const struct step set_options[] = {
    STEP("SET a 1 NX", "+OK\r\n"),
    STEP("SET a 2 NX", "$-1\r\n"),
    STEP("GET a", "$1\r\n1\r\n"),
    STEP("SET a 2 XX", "+OK\r\n"),
    STEP("SET b 2 XX", "$-1\r\n"),
    STEP("GET a", "$1\r\n2\r\n"),
    STEP("SET a 3 GET", "$1\r\n2\r\n"),
    STEP("SET c 3 GET", "$-1\r\n"),
    STEP("SET a 4 NX GET", "$1\r\n3\r\n"),
    STEP("GET a", "$1\r\n3\r\n"),
    STEP("SET a 5 XX GET", "$1\r\n3\r\n"),
    STEP("SET d 5 XX GET", "$-1\r\n"),
    STEP("EXISTS d", ":0\r\n"),
    STEP("SET a b NX XX", "-ERR syntax error\r\n"),
    STEP("SET a b XX NX", "-ERR syntax error\r\n"),
    STEP("SET a b EX", "-ERR syntax error\r\n"),
    STEP("SET a b EX 10 PX 10", "-ERR syntax error\r\n"),
    STEP("SET a b EX 10 KEEPTTL", "-ERR syntax error\r\n"),
    STEP("SET a b KEEPTTL EX 10", "-ERR syntax error\r\n"),
    STEP("SET a b EX 10 EX 20", "+OK\r\n"),
    STEP("SET a b PERSIST", "-ERR syntax error\r\n"),
    STEP("SET a b foo", "-ERR syntax error\r\n"),
    STEP("SET a b nx get px", "-ERR syntax error\r\n"),
    STEP("SET a b ex 0", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b ex -1", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b ex x", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET a b ex 1.5", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET a b px 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b ex 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b exat 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b pxat 0", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("SET a b pxat -5", "-ERR invalid expire time in 'set' command\r\n"),
    STEP("GET a", "$1\r\nb\r\n"),
    STEP("SETNX a x", ":0\r\n"),
    STEP("SETNX n x", ":1\r\n"),
    STEP("SETEX a 0 b", "-ERR invalid expire time in 'setex' command\r\n"),
    STEP("SETEX a x b", "-ERR value is not an integer or out of range\r\n"),
    STEP("SETEX a -1 b", "-ERR invalid expire time in 'setex' command\r\n"),
    STEP("SETEX a 9223372036854775807 b", "-ERR invalid expire time in 'setex' command\r\n"),
    STEP("PSETEX a 0 b", "-ERR invalid expire time in 'psetex' command\r\n"),
    STEP("PSETEX a 9223372036854775807 b", "-ERR invalid expire time in 'psetex' command\r\n"),
    STEP("SETEX a 100 b", "+OK\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("SET a c KEEPTTL", "+OK\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("SET a c", "+OK\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("PSETEX a 100000 b", "+OK\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("GETSET a b", "$1\r\nb\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("SET a b EXAT 1", "+OK\r\n"),
    STEP("GET a", "$-1\r\n"),
    STEP("GETEX a", "$-1\r\n"),
    STEP("SET a b", "+OK\r\n"),
    STEP("GETEX a", "$1\r\nb\r\n"),
    STEP("GETEX a EX 100", "$1\r\nb\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("GETEX a", "$1\r\nb\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("GETEX a PERSIST", "$1\r\nb\r\n"),
    STEP("TTL a", ":-1\r\n"),
    STEP("GETEX a PX 100000", "$1\r\nb\r\n"),
    STEP("TTL a", ":100\r\n"),
    STEP("GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n"),
    STEP("GETEX a EXAT 0", "-ERR invalid expire time in 'getex' command\r\n"),
    STEP("GETEX a foo", "-ERR syntax error\r\n"),
    STEP("GETEX a PERSIST EX 1", "-ERR syntax error\r\n"),
    STEP("GETEX a EX 1 PERSIST", "-ERR syntax error\r\n"),
    STEP("GETEX a KEEPTTL", "-ERR syntax error\r\n"),
    STEP("GETEX a NX", "-ERR syntax error\r\n"),
    STEP("GETEX none EX x", "$-1\r\n"),
    STEP("GETEX none foo", "-ERR syntax error\r\n"),
    STEP("GETEX a PX 9223372036854775807", "-ERR invalid expire time in 'getex' command\r\n"),
    STEP("GETEX a EXAT 1", "$1\r\nb\r\n"),
    STEP("EXISTS a", ":0\r\n"),
    {0},
};

/* Several keys at once. */
static const struct step many[] = {
    STEP("MSET a 1 b 2 c 3", "+OK\r\n"),
    STEP("MGET a b c none a", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n$1\r\n1\r\n"),
    STEP("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
    STEP("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n"),
    STEP("MSETNX d 1 a 2", ":0\r\n"),
    STEP("EXISTS d", ":0\r\n"),
    STEP("MSETNX d 1 e 2", ":1\r\n"),
    STEP("MGET d e", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
    STEP("MSET a x a y", "+OK\r\n"),
    STEP("GET a", "$1\r\ny\r\n"),
    STEP("MSETNX f 1 f 2", ":1\r\n"),
    STEP("GET f", "$1\r\n2\r\n"),
    STEP("SETBIT bits 0 1", ":0\r\n"),
    STEP("SETEX a 100 x", "+OK\r\n"),
    STEP("MSET a z", "+OK\r\n"),
    STEP("TTL a", ":-1\r\n"),
    {0},
};

/* Parts of values. */
static const struct step ranges[] = {
    STEP("SET a \"Hello World\"", "+OK\r\n"),
    STEP("GETRANGE a 0 4", "$5\r\nHello\r\n"),
    STEP("GETRANGE a -5 -1", "$5\r\nWorld\r\n"),
    STEP("GETRANGE a 0 -1", "$11\r\nHello World\r\n"),
    STEP("GETRANGE a 5 3", "$0\r\n\r\n"),
    STEP("GETRANGE a -3 -5", "$0\r\n\r\n"),
    STEP("GETRANGE a 10 100", "$1\r\nd\r\n"),
    STEP("GETRANGE a 100 200", "$0\r\n\r\n"),
    STEP("GETRANGE a -100 3", "$4\r\nHell\r\n"),
    STEP("GETRANGE a -100 -200", "$0\r\n\r\n"),
    STEP("GETRANGE a -9223372036854775808 9223372036854775807", "$11\r\nHello World\r\n"),
    STEP("GETRANGE none 0 -1", "$0\r\n\r\n"),
    STEP("GETRANGE a x 1", "-ERR value is not an integer or out of range\r\n"),
    STEP("GETRANGE a 1 x", "-ERR value is not an integer or out of range\r\n"),
    STEP("SUBSTR a 0 2", "$3\r\nHel\r\n"),
    STEP("SET n 1234567", "+OK\r\n"),
    STEP("GETRANGE n 1 3", "$3\r\n234\r\n"),
    STEP("SETRANGE a 6 Redis", ":11\r\n"),
    STEP("GET a", "$11\r\nHello Redis\r\n"),
    STEP("SETRANGE a 20 !", ":21\r\n"),
    STEP("GET a", "$21\r\nHello Redis\x00\x00\x00\x00\x00\x00\x00\x00\x00!\r\n"),
    STEP("SETRANGE none 0 \"\"", ":0\r\n"),
    STEP("EXISTS none", ":0\r\n"),
    STEP("SETRANGE none 3 x", ":4\r\n"),
    STEP("GET none", "$4\r\n\x00\x00\x00x\r\n"),
    STEP("SETRANGE a -1 x", "-ERR offset is out of range\r\n"),
    STEP("SETRANGE a x x", "-ERR value is not an integer or out of range\r\n"),
    STEP("SETRANGE a 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
    STEP("SETRANGE a 9223372036854775807 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
    STEP("SETRANGE a 536870911 xx", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
    STEP("SETRANGE n 3 x", ":7\r\n"),
    STEP("GET n", "$7\r\n123x567\r\n"),
    STEP("SET n 1234567", "+OK\r\n"),
    STEP("SETRANGE n 2 99", ":7\r\n"),
    STEP("GET n", "$7\r\n1299567\r\n"),
    STEP("INCR n", ":1299568\r\n"),
    STEP("APPEND n 1", ":8\r\n"),
    STEP("GET n", "$8\r\n12995681\r\n"),
    STEP("APPEND new value", ":5\r\n"),
    STEP("GET new", "$5\r\nvalue\r\n"),
    STEP("APPEND new \"\"", ":5\r\n"),
    STEP("APPEND none2 \"\"", ":0\r\n"),
    STEP("EXISTS none2", ":1\r\n"),
    STEP("APPEND num 12", ":2\r\n"),
    STEP("SETEX t 100 x", "+OK\r\n"),
    STEP("APPEND t y", ":2\r\n"),
    STEP("TTL t", ":100\r\n"),
    STEP("SETRANGE t 0 z", ":2\r\n"),
    STEP("TTL t", ":100\r\n"),
    STEP("GET t", "$2\r\nzy\r\n"),
    {0},
};

/* Integers and floats. */
static const struct step counters[] = {
    STEP("INCR n", ":1\r\n"),
    STEP("INCR n", ":2\r\n"),
    STEP("DECR n", ":1\r\n"),
    STEP("INCRBY n 10", ":11\r\n"),
    STEP("DECRBY n 5", ":6\r\n"),
    STEP("DECRBY n -5", ":11\r\n"),
    STEP("INCRBY n -9223372036854775808", ":-9223372036854775797\r\n"),
    STEP("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"),
    STEP("INCRBY n x", "-ERR value is not an integer or out of range\r\n"),
    STEP("INCRBY n 1.5", "-ERR value is not an integer or out of range\r\n"),
    STEP("INCRBY n \"\"", "-ERR value is not an integer or out of range\r\n"),
    STEP("INCRBY n \" 1\"", "-ERR value is not an integer or out of range\r\n"),
    STEP("GET n", "$20\r\n-9223372036854775797\r\n"),
    STEP("SET n 9223372036854775807", "+OK\r\n"),
    STEP("INCR n", "-ERR increment or decrement would overflow\r\n"),
    STEP("GET n", "$19\r\n9223372036854775807\r\n"),
    STEP("SET n -9223372036854775808", "+OK\r\n"),
    STEP("DECR n", "-ERR increment or decrement would overflow\r\n"),
    STEP("SET n abc", "+OK\r\n"),
    STEP("INCR n", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET n \"\"", "+OK\r\n"),
    STEP("INCR n", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET n \" 1\"", "+OK\r\n"),
    STEP("INCR n", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET n 1.5", "+OK\r\n"),
    STEP("INCR n", "-ERR value is not an integer or out of range\r\n"),
    STEP("SET n 99999999999999999999", "+OK\r\n"),
    STEP("INCR n", "-ERR value is not an integer or out of range\r\n"),
    STEP("DECR d", ":-1\r\n"),
    STEP("OBJECT ENCODING d", "$3\r\nint\r\n"),
    STEP("INCRBYFLOAT f 10.5", "$4\r\n10.5\r\n"),
    STEP("INCRBYFLOAT f 0.1", "$4\r\n10.6\r\n"),
    STEP("INCRBYFLOAT f -5", "$3\r\n5.6\r\n"),
    STEP("SET f 5.0e3", "+OK\r\n"),
    STEP("INCRBYFLOAT f 200", "$4\r\n5200\r\n"),
    STEP("INCRBYFLOAT f 1e-30", "$4\r\n5200\r\n"),
    STEP("SET f 0", "+OK\r\n"),
    STEP("INCRBYFLOAT f 0.1", "$3\r\n0.1\r\n"),
    STEP("INCRBYFLOAT f 0.2", "$3\r\n0.3\r\n"),
    STEP("SET f 3", "+OK\r\n"),
    STEP("INCRBYFLOAT f -3", "$1\r\n0\r\n"),
    STEP("SET f abc", "+OK\r\n"),
    STEP("INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n"),
    STEP("SET f 1", "+OK\r\n"),
    STEP("INCRBYFLOAT f x", "-ERR value is not a valid float\r\n"),
    STEP("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n"),
    STEP("INCRBYFLOAT f nan", "-ERR value is not a valid float\r\n"),
    STEP("INCRBYFLOAT f \" 1\"", "-ERR value is not a valid float\r\n"),
    STEP("INCRBYFLOAT f 1.", "$1\r\n2\r\n"),
    STEP("INCRBYFLOAT f 1e5", "$6\r\n100002\r\n"),
    STEP("INCRBYFLOAT f 1e20", "$21\r\n100000000000000100000\r\n"),
    STEP("INCRBYFLOAT f 0x10", "$21\r\n100000000000000100016\r\n"),
    STEP("SET f \" 11\"", "+OK\r\n"),
    STEP("INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n"),
    STEP("SET f \"11 \"", "+OK\r\n"),
    STEP("INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n"),
    STEP("SET f -0.0", "+OK\r\n"),
    STEP("INCRBYFLOAT f -0.0", "$1\r\n0\r\n"),
    STEP("SET n 10", "+OK\r\n"),
    STEP("INCRBYFLOAT n 1", "$2\r\n11\r\n"),
    STEP("SETEX t 100 1", "+OK\r\n"),
    STEP("INCR t", ":2\r\n"),
    STEP("TTL t", ":100\r\n"),
    STEP("INCRBYFLOAT t 1.5", "$3\r\n3.5\r\n"),
    STEP("TTL t", ":100\r\n"),
    {0},
};

/* Longest common subsequences. */
static const struct step lcs[] = {
    STEP("MSET a ohmytext b mynewtext", "+OK\r\n"),
    STEP("LCS a b", "$6\r\nmytext\r\n"),
    STEP("LCS a b LEN", ":6\r\n"),
    STEP("LCS a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:2\r\n:"
                        "3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n"),
    STEP("LCS a b IDX MINMATCHLEN 4",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:6\r\n"),
    STEP("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n"),
    STEP("LCS a b IDX WITHMATCHLEN", "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n*"
                                     "3\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n:2\r\n$3\r\nlen\r\n:6\r\n"),
    STEP("LCS a b MINMATCHLEN -1", "$6\r\nmytext\r\n"),
    STEP("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range\r\n"),
    STEP("LCS a b MINMATCHLEN", "-ERR syntax error\r\n"),
    STEP("LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX.\r\n"),
    STEP("LCS a b foo", "-ERR syntax error\r\n"),
    STEP("LCS a none", "$0\r\n\r\n"),
    STEP("LCS none none IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"),
    STEP("LCS a a", "$8\r\nohmytext\r\n"),
    STEP("LCS a a IDX", "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:7\r\n*2\r\n:0\r\n:7\r\n$3\r\nlen\r\n:8\r\n"),
    STEP("MSET x AGGTAB y GXTXAYB", "+OK\r\n"),
    STEP("LCS x y", "$4\r\nGTAB\r\n"),
    STEP("LCS x y IDX WITHMATCHLEN",
         "*4\r\n$7\r\nmatches\r\n*4\r\n*3\r\n*2\r\n:5\r\n:5\r\n*2\r\n:6\r\n:6\r\n:1\r\n*3\r\n*2\r\n:4\r\n:4\r\n*2\r\n:"
         "4\r\n:4\r\n:1\r\n*3\r\n*2\r\n:3\r\n:3\r\n*2\r\n:2\r\n:2\r\n:1\r\n*3\r\n*2\r\n:2\r\n:2\r\n*2\r\n:0\r\n:0\r\n:"
         "1\r\n$3\r\nlen\r\n:4\r\n"),
    STEP(
        "LCS y x IDX",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*2\r\n*2\r\n:6\r\n:6\r\n*2\r\n:5\r\n:5\r\n*2\r\n*2\r\n:4\r\n:4\r\n*2\r\n:4\r\n:"
        "4\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:3\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:1\r\n:1\r\n$3\r\nlen\r\n:4\r\n"),
    STEP("MSET x aaaa y aa", "+OK\r\n"),
    STEP("LCS x y IDX", "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:2\r\n"),
    STEP("LCS y x IDX", "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:1\r\n*2\r\n:2\r\n:3\r\n$3\r\nlen\r\n:2\r\n"),
    STEP("MSET x abcabcabc y cbacbacba", "+OK\r\n"),
    STEP("LCS x y", "$5\r\ncbabc\r\n"),
    STEP("LCS y x", "$5\r\nabcba\r\n"),
    STEP("LCS x y IDX", "*4\r\n$7\r\nmatches\r\n*5\r\n*2\r\n*2\r\n:8\r\n:8\r\n*2\r\n:6\r\n:6\r\n*2\r\n*2\r\n:7\r\n:"
                        "7\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:6\r\n:6\r\n*2\r\n:2\r\n:2\r\n*2\r\n*2\r\n:4\r\n:4\r\n*"
                        "2\r\n:1\r\n:1\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:5\r\n"),
    STEP("LCS y x IDX", "*4\r\n$7\r\nmatches\r\n*5\r\n*2\r\n*2\r\n:8\r\n:8\r\n*2\r\n:6\r\n:6\r\n*2\r\n*2\r\n:7\r\n:"
                        "7\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:6\r\n:6\r\n*2\r\n:2\r\n:2\r\n*2\r\n*2\r\n:4\r\n:4\r\n*"
                        "2\r\n:1\r\n:1\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:5\r\n"),
    {0},
};

/* Single bits, counts, positions. */
static const struct step bits[] = {
    STEP("SETBIT b 7 1", ":0\r\n"),
    STEP("GET b", "$1\r\n\x01\r\n"),
    STEP("SETBIT b 7 0", ":1\r\n"),
    STEP("SETBIT b 100 1", ":0\r\n"),
    STEP("STRLEN b", ":13\r\n"),
    STEP("GETBIT b 100", ":1\r\n"),
    STEP("GETBIT b 101", ":0\r\n"),
    STEP("GETBIT b 100000", ":0\r\n"),
    STEP("GETBIT none 0", ":0\r\n"),
    STEP("SETBIT b -1 1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("SETBIT b 4294967296 1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("SETBIT b x 1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("SETBIT b 0 2", "-ERR bit is not an integer or out of range\r\n"),
    STEP("SETBIT b 0 -1", "-ERR bit is not an integer or out of range\r\n"),
    STEP("SETBIT b 0 x", "-ERR bit is not an integer or out of range\r\n"),
    STEP("GETBIT b -1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("GETBIT b #1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("SET n 1", "+OK\r\n"),
    STEP("SETBIT n 6 1", ":0\r\n"),
    STEP("GET n", "$1\r\n3\r\n"),
    STEP("SET s foobar", "+OK\r\n"),
    STEP("BITCOUNT s", ":26\r\n"),
    STEP("BITCOUNT s 0 0", ":4\r\n"),
    STEP("BITCOUNT s 1 1", ":6\r\n"),
    STEP("BITCOUNT s 0 -1", ":26\r\n"),
    STEP("BITCOUNT s -2 -1", ":7\r\n"),
    STEP("BITCOUNT s -1 -2", ":0\r\n"),
    STEP("BITCOUNT s 5 30 BIT", ":17\r\n"),
    STEP("BITCOUNT s 0 -1 BIT", ":26\r\n"),
    STEP("BITCOUNT s 5 5 BIT", ":1\r\n"),
    STEP("BITCOUNT s -8 -1 bit", ":4\r\n"),
    STEP("BITCOUNT s 1 -2 BYTE", ":18\r\n"),
    STEP("BITCOUNT s 0", "-ERR syntax error\r\n"),
    STEP("BITCOUNT s 0 1 foo", "-ERR syntax error\r\n"),
    STEP("BITCOUNT s 0 x", "-ERR value is not an integer or out of range\r\n"),
    STEP("BITCOUNT s 0 1 BIT x", "-ERR syntax error\r\n"),
    STEP("BITCOUNT none 0", ":0\r\n"),
    STEP("BITCOUNT none", ":0\r\n"),
    STEP("BITCOUNT s 100 200", ":0\r\n"),
    STEP("BITCOUNT n", ":4\r\n"),
    STEP("SET p \"\\xff\\xf0\\x00\"", "+OK\r\n"),
    STEP("BITPOS p 0", ":12\r\n"),
    STEP("BITPOS p 1", ":0\r\n"),
    STEP("BITPOS p 1 2", ":-1\r\n"),
    STEP("BITPOS p 1 2 2", ":-1\r\n"),
    STEP("BITPOS p 0 0 0", ":-1\r\n"),
    STEP("BITPOS p 0 1", ":12\r\n"),
    STEP("BITPOS p 0 0", ":12\r\n"),
    STEP("BITPOS p 1 -1", ":-1\r\n"),
    STEP("BITPOS p 0 -1", ":16\r\n"),
    STEP("BITPOS p 1 0 -1 BIT", ":0\r\n"),
    STEP("BITPOS p 1 7 15 BIT", ":7\r\n"),
    STEP("BITPOS p 0 7 11 BIT", ":-1\r\n"),
    STEP("BITPOS p 0 7 12 BIT", ":12\r\n"),
    STEP("BITPOS p 1 12 -1 BIT", ":-1\r\n"),
    STEP("BITPOS p 1 8 8 BIT", ":8\r\n"),
    STEP("BITPOS p 0 3 3 BIT", ":-1\r\n"),
    STEP("SET p \"\\xff\\xff\\xff\"", "+OK\r\n"),
    STEP("BITPOS p 0", ":24\r\n"),
    STEP("BITPOS p 0 0", ":24\r\n"),
    STEP("BITPOS p 0 0 -1", ":-1\r\n"),
    STEP("BITPOS p 0 3", ":-1\r\n"),
    STEP("BITPOS p 0 5", ":-1\r\n"),
    STEP("BITPOS p 1 5", ":-1\r\n"),
    STEP("SET p \"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x10\"", "+OK\r\n"),
    STEP("BITPOS p 1", ":91\r\n"),
    STEP("BITPOS p 1 4", ":91\r\n"),
    STEP("SET p \"\"", "+OK\r\n"),
    STEP("BITPOS p 0", ":-1\r\n"),
    STEP("BITPOS p 1", ":-1\r\n"),
    STEP("BITCOUNT p", ":0\r\n"),
    STEP("BITPOS none 0", ":0\r\n"),
    STEP("BITPOS none 1", ":-1\r\n"),
    STEP("BITPOS none 0 x", ":0\r\n"),
    STEP("BITPOS p 2", "-ERR The bit argument must be 1 or 0.\r\n"),
    STEP("BITPOS p x", "-ERR value is not an integer or out of range\r\n"),
    STEP("BITPOS p 1 0 1 foo", "-ERR syntax error\r\n"),
    STEP("BITPOS p 1 0 1 BIT x", "-ERR syntax error\r\n"),
    STEP("BITPOS p 1 x", "-ERR value is not an integer or out of range\r\n"),
    STEP("BITPOS s 1 -100 -200", ":1\r\n"),
    STEP("BITPOS s 0 -100 -200", ":0\r\n"),
    {0},
};

/* Values into a key. */
static const struct step bitop[] = {
    STEP("SET a \"\\xf0\\x0f\\xff\"", "+OK\r\n"),
    STEP("SET b \"\\x33\"", "+OK\r\n"),
    STEP("BITOP AND d a b", ":3\r\n"),
    STEP("GET d", "$3\r\n0\x00\x00\r\n"),
    STEP("BITOP OR d a b", ":3\r\n"),
    STEP("GET d", "$3\r\n\xf3\x0f\xff\r\n"),
    STEP("BITOP XOR d a b", ":3\r\n"),
    STEP("GET d", "$3\r\n\xc3\x0f\xff\r\n"),
    STEP("BITOP NOT d a", ":3\r\n"),
    STEP("GET d", "$3\r\n\x0f\xf0\x00\r\n"),
    STEP("BITOP AND d a none", ":3\r\n"),
    STEP("GET d", "$3\r\n\x00\x00\x00\r\n"),
    STEP("BITOP OR d a none b", ":3\r\n"),
    STEP("GET d", "$3\r\n\xf3\x0f\xff\r\n"),
    STEP("BITOP NOT d none", ":0\r\n"),
    STEP("EXISTS d", ":0\r\n"),
    STEP("BITOP AND a a a", ":3\r\n"),
    STEP("GET a", "$3\r\n\xf0\x0f\xff\r\n"),
    STEP("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n"),
    STEP("BITOP foo d a", "-ERR syntax error\r\n"),
    STEP("BITOP AND d", "-ERR wrong number of arguments for 'bitop' command\r\n"),
    STEP("SETEX d 100 x", "+OK\r\n"),
    STEP("BITOP OR d a", ":3\r\n"),
    STEP("TTL d", ":-1\r\n"),
    STEP("SET i 12345", "+OK\r\n"),
    STEP("BITOP OR d i", ":5\r\n"),
    STEP("GET d", "$5\r\n12345\r\n"),
    {0},
};

/* Integers inside a value. */
static const struct step bitfield[] = {
    STEP("BITFIELD k SET u8 0 255 GET u8 0 GET i8 0", "*3\r\n:0\r\n:255\r\n:-1\r\n"),
    STEP("BITFIELD k INCRBY u8 0 10", "*1\r\n:9\r\n"),
    STEP("BITFIELD k OVERFLOW SAT INCRBY u8 0 300", "*1\r\n:255\r\n"),
    STEP("BITFIELD k OVERFLOW FAIL INCRBY u8 0 1", "*1\r\n$-1\r\n"),
    STEP("BITFIELD k OVERFLOW WRAP INCRBY u8 0 1", "*1\r\n:0\r\n"),
    STEP("BITFIELD k SET i5 100 -15 GET i5 100 GET u5 100", "*3\r\n:0\r\n:-15\r\n:17\r\n"),
    STEP("BITFIELD k SET i64 3 -1 GET i64 3 GET u63 3", "*3\r\n:0\r\n:-1\r\n:9223372036854775807\r\n"),
    STEP("BITFIELD k INCRBY i64 3 -9223372036854775808", "*1\r\n:9223372036854775807\r\n"),
    STEP("BITFIELD k OVERFLOW SAT INCRBY i64 3 -9223372036854775808", "*1\r\n:-1\r\n"),
    STEP("BITFIELD k OVERFLOW FAIL INCRBY i64 3 -1", "*1\r\n:-2\r\n"),
    STEP("BITFIELD k OVERFLOW SAT SET u4 8 100 GET u4 8", "*2\r\n:15\r\n:15\r\n"),
    STEP("BITFIELD k OVERFLOW SAT SET u4 8 -1 GET u4 8", "*2\r\n:15\r\n:15\r\n"),
    STEP("BITFIELD k OVERFLOW FAIL SET u4 8 100 GET u4 8", "*2\r\n$-1\r\n:15\r\n"),
    STEP("BITFIELD k SET u4 8 100 GET u4 8", "*2\r\n:15\r\n:4\r\n"),
    STEP("BITFIELD k OVERFLOW SAT SET i4 8 100 GET i4 8", "*2\r\n:4\r\n:7\r\n"),
    STEP("BITFIELD k OVERFLOW SAT SET i4 8 -100 GET i4 8", "*2\r\n:7\r\n:-8\r\n"),
    STEP("BITFIELD k SET i4 8 -100 GET i4 8", "*2\r\n:-8\r\n:-4\r\n"),
    STEP("BITFIELD k SET i8 #2 7 GET i8 16 GET i8 #2", "*3\r\n:-1\r\n:7\r\n:7\r\n"),
    STEP("BITFIELD k GET u8 1000000", "*1\r\n:0\r\n"),
    STEP("STRLEN k", ":14\r\n"),
    STEP("BITFIELD k OVERFLOW FAIL INCRBY u63 0 9223372036854775807 OVERFLOW WRAP INCRBY u63 0 9223372036854775807",
         "*2\r\n$-1\r\n:1146029765723947006\r\n"),
    STEP("BITFIELD k INCRBY i1 0 1 INCRBY i1 0 1 INCRBY u1 0 1", "*3\r\n:-1\r\n:0\r\n:1\r\n"),
    STEP("BITFIELD k", "*0\r\n"),
    STEP("BITFIELD none GET u8 0", "*1\r\n:0\r\n"),
    STEP("EXISTS none", ":0\r\n"),
    STEP("BITFIELD k GET u64 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET u0 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET i65 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET x8 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET 8 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET i 0",
         "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
    STEP("BITFIELD k GET u8 -1", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("BITFIELD k GET u8 x", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("BITFIELD k GET u8 #x", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("BITFIELD k GET u8 4294967296", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("BITFIELD k GET u8 #536870912", "-ERR bit offset is not an integer or out of range\r\n"),
    STEP("BITFIELD k OVERFLOW foo", "-ERR Invalid OVERFLOW type specified\r\n"),
    STEP("BITFIELD k OVERFLOW", "-ERR syntax error\r\n"),
    STEP("BITFIELD k GET u8", "-ERR syntax error\r\n"),
    STEP("BITFIELD k SET u8 0", "-ERR syntax error\r\n"),
    STEP("BITFIELD k INCRBY u8 0", "-ERR syntax error\r\n"),
    STEP("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range\r\n"),
    STEP("BITFIELD k foo", "-ERR syntax error\r\n"),
    STEP("BITFIELD_RO k GET u8 0", "*1\r\n:159\r\n"),
    STEP("BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
    STEP("BITFIELD_RO k GET u8 0 SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
    STEP("BITFIELD_RO none GET i64 0", "*1\r\n:0\r\n"),
    STEP("BITFIELD_RO k", "*0\r\n"),
    {0},
};

static void whole_values_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(get_and_set);
}

static void options_of_set_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(set_options);
}

static void several_keys_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(many);
}

static void ranges_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(ranges);
}

static void counters_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(counters);
}

static void lcs_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(lcs);
}

static void bits_answer_as_redis_does(void **state)
{
    (void)state;
    steps_run(bits);
}

static void bitop_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(bitop);
}

static void bitfield_answers_as_redis_does(void **state)
{
    (void)state;
    steps_run(bitfield);
}

/* -- long values ------------------------------------------------------------------------------------------------------------- */

#define LONG (300u << 10) /* a rope of several extents */

static char *pattern(size_t n, unsigned seed)
{
    char *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + (i * 7 + i / 251 + seed) % 26);
    return bytes;
}

static void assert_value(struct cache_session *s, const char *command, const char *bytes, size_t length)
{
    size_t n, header;
    char line[32];
    const char *reply = cache_session_run(s, command, &n);
    header = (size_t)snprintf(line, sizeof line, "$%zu\r\n", length);
    assert_int_equal(n, header + length + 2);
    assert_memory_equal(reply, line, header);
    assert_memory_equal(reply + header, bytes, length);
}

static void long_value_is_taken_over_and_read_back(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    char *bytes = pattern(LONG, 0);
    for (size_t length = 100; length <= LONG; length = length * 3 + 1) {
        assert_string_equal(cache_session_run_bytes(s, "SET key %s", bytes, length, NULL), "+OK\r\n");
        assert_value(s, "GET key", bytes, length);
        if (length > 200)
            assert_value(s, "GETRANGE key 17 -3", bytes + 17, length - 19);
    }
    assert_string_equal(cache_session_run_bytes(s, "SET key %s EX 100", bytes, LONG, NULL), "+OK\r\n");
    assert_reply(s, "TTL key", ":100\r\n");
    assert_value(s, "GETDEL key", bytes, LONG);
    cache_session_settle(s);
    cache_session_check(s);
    free(bytes);
    cache_session_stop(s);
}

static void long_value_changes_where_it_is_written_and_copies_do_not(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    char *bytes = pattern(LONG, 0), *added = pattern(LONG, 5), *sum = malloc(2 * LONG);
    assert_non_null(sum);
    memcpy(sum, bytes, LONG);
    memcpy(sum + LONG, added, LONG);
    assert_string_equal(cache_session_run_bytes(s, "SET key %s", bytes, LONG, NULL), "+OK\r\n");
    assert_reply(s, "COPY key other", ":1\r\n");
    assert_string_equal(cache_session_run_bytes(s, "APPEND key %s", added, LONG, NULL), ":614400\r\n");
    assert_value(s, "GET key", sum, 2 * LONG);
    assert_value(s, "GET other", bytes, LONG);

    assert_string_equal(cache_session_run_bytes(s, "SETRANGE key 1000 %s", added, LONG, NULL), ":614400\r\n");
    memcpy(sum + 1000, added, LONG);
    assert_value(s, "GET key", sum, 2 * LONG);
    assert_value(s, "GET other", bytes, LONG);
    assert_reply(s, "SETBIT other 800000 1", bytes[100000] & 0x80 ? ":1\r\n" : ":0\r\n");
    bytes[100000] |= (char)0x80;
    assert_value(s, "GET other", bytes, LONG);
    assert_value(s, "GET key", sum, 2 * LONG);
    cache_session_check(s);
    free(sum);
    free(added);
    free(bytes);
    cache_session_stop(s);
}

static unsigned ones(const char *bytes, size_t n)
{
    unsigned count = 0;
    for (size_t i = 0; i < n; i++)
        count += (unsigned)__builtin_popcount((unsigned char)bytes[i]);
    return count;
}

static void bits_of_long_values_are_those_of_short_ones(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    char *a = pattern(LONG, 0), *b = pattern(LONG, 3), *c = malloc(LONG), wanted[32];
    assert_non_null(c);
    cache_session_run_bytes(s, "SET a %s", a, LONG, NULL);
    cache_session_run_bytes(s, "SET b %s", b, LONG / 2, NULL);
    snprintf(wanted, sizeof wanted, ":%u\r\n", ones(a, LONG));
    assert_reply(s, "BITCOUNT a", wanted);
    snprintf(wanted, sizeof wanted, ":%u\r\n", ones(a + 65000, 70001));
    assert_reply(s, "BITCOUNT a 65000 135000", wanted);

    assert_reply(s, "BITOP XOR c a b", ":307200\r\n");
    for (size_t i = 0; i < LONG; i++)
        c[i] = (char)(a[i] ^ (i < LONG / 2 ? b[i] : 0));
    assert_value(s, "GET c", c, LONG);
    assert_reply(s, "BITOP NOT c a", ":307200\r\n");
    for (size_t i = 0; i < LONG; i++)
        c[i] = (char)~a[i];
    assert_value(s, "GET c", c, LONG);

    assert_reply(s, "SETBIT z 2000000 1", ":0\r\n");
    assert_reply(s, "BITPOS z 1", ":2000000\r\n");
    assert_reply(s, "BITPOS z 1 250001", ":-1\r\n");
    assert_reply(s, "BITPOS z 0 250000", ":2000001\r\n");
    assert_reply(s, "BITFIELD z SET u32 524270 4042322160 GET u32 524270 GET u16 524278",
                 "*3\r\n:0\r\n:4042322160\r\n:61680\r\n");
    cache_session_check(s);
    free(a);
    free(b);
    free(c);
    cache_session_stop(s);
}

static void subsequence_of_values_in_several_extents_is_found(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    char *bytes = pattern(LONG, 0), needle[300];
    for (size_t i = 0; i < sizeof needle; i++)
        needle[i] = bytes[i * 1000];
    cache_session_run_bytes(s, "SET long %s", bytes, LONG, NULL);
    cache_session_run_bytes(s, "SET short %s", needle, sizeof needle, NULL);
    uint64_t used = s->cache->store.memory.used;
    assert_value(s, "LCS long short", needle, sizeof needle);
    assert_value(s, "LCS short long", needle, sizeof needle);
    assert_reply(s, "LCS long short LEN", ":300\r\n");
    assert_reply(s, "LCS long long",
                 "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    assert_int_equal(s->cache->store.memory.used, used);
    free(bytes);
    cache_session_stop(s);
}

/* -- room -------------------------------------------------------------------------------------------------------------------- */

#define OOM "-OOM command not allowed when used memory > 'maxmemory'.\r\n"

static void full_memory_refuses_and_changes_nothing(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(&(struct cache_session_options){.memory_max = 4 << 20});
    char command[64], *bytes = pattern(LONG, 0);
    unsigned keys = 0;
    do
        snprintf(command, sizeof command, "SET key:%u %%s", keys++);
    while (cache_session_run_bytes(s, command, bytes, 2000, NULL)[0] == '+');
    assert_in_range(keys, 1000, 2200); /* it was nearly full */
    assert_string_equal(s->reply, OOM);
    snprintf(command, sizeof command, "GET key:%u", keys - 1);
    assert_reply(s, command, "$-1\r\n");

    assert_string_equal(cache_session_run_bytes(s, "MSET x 1 y %s", bytes, 16000, NULL), OOM);
    assert_reply(s, "EXISTS x y", ":0\r\n");
    assert_string_equal(cache_session_run_bytes(s, "MSETNX x 1 y %s", bytes, 16000, NULL), OOM);
    assert_reply(s, "SETRANGE key:0 100000 x", OOM);
    assert_reply(s, "STRLEN key:0", ":2000\r\n");
    assert_reply(s, "SETBIT key:0 4000000 1", OOM);
    assert_reply(s, "BITFIELD key:0 SET u8 4000000 1", OOM);
    assert_reply(s, "STRLEN key:0", ":2000\r\n");
    assert_reply(s, "SETRANGE new 100000 x", OOM);
    assert_reply(s, "EXISTS new", ":0\r\n");
    assert_true(s->cache->store.memory.used <= 4 << 20);
    cache_session_check(s);

    for (unsigned i = 0; i < keys; i++) {
        snprintf(command, sizeof command, "DEL key:%u", i);
        cache_session_run(s, command, NULL);
    }
    cache_session_settle(s);
    assert_string_equal(cache_session_run_bytes(s, "SET x %s", bytes, LONG, NULL), "+OK\r\n");
    free(bytes);
    cache_session_stop(s);
}

static void eviction_makes_room_and_the_limit_holds(void **state)
{
    (void)state;
    struct cache_session *s =
        cache_session_start(&(struct cache_session_options){.memory_max = 4 << 20, .policy = "allkeys-lru"});
    char command[64], *bytes = pattern(LONG, 0);
    for (unsigned i = 0; i < 10000; i++) {
        static const char *const formats[] = {"SET key:%u %%s", "SETEX key:%u 100 %%s", "APPEND key:%u %%s",
                                              "SETRANGE key:%u 5000 %%s", "SET key:%u %%s GET"};
        snprintf(command, sizeof command, formats[i % 5], i * 7919 % 3000);
        const char *reply = cache_session_run_bytes(s, command, bytes, 1 + i * 37 % 9000, NULL);
        if (reply[0] == '-')
            fail_msg("step %u, %s: %s", i, command, reply);
        assert_true(s->cache->store.memory.used <= 4 << 20);
    }
    assert_true(s->cache->store.stat.evicted > 1000);
    assert_string_equal(cache_session_run_bytes(s, "SET long %s", bytes, LONG, NULL), "+OK\r\n");
    assert_reply(s, "SETRANGE long 1000000 x", ":1000001\r\n");
    assert_reply(s, "BITOP NOT other long", ":1000001\r\n");
    cache_session_check(s);
    free(bytes);
    cache_session_stop(s);
}

/* -- time, and what a change counts ---------------------------------------------------------------------------------------------- */

static void dead_keys_are_not_there(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    static const struct step before[] = {
        STEP("SET a 1 PX 100", "+OK\r\n"),
        STEP("SETEX b 1 1", "+OK\r\n"),
        STEP("SET c 1 EX 1 NX", "+OK\r\n"),
        STEP("SET d 1 PXAT 1700000000050", "+OK\r\n"),
        {0},
    };
    static const struct step after[] = {
        STEP("GET d", "$-1\r\n"),           STEP("GET a", "$1\r\n1\r\n"), STEP("PTTL a", ":50\r\n"),
        STEP("SET a 2 KEEPTTL", "+OK\r\n"), STEP("PTTL a", ":50\r\n"),    STEP("INCR a", ":3\r\n"),
        STEP("APPEND a 4", ":2\r\n"),       STEP("PTTL a", ":50\r\n"),    {0},
    };
    static const struct step later[] = {
        STEP("SETNX a x", ":1\r\n"),
        STEP("PTTL a", ":-1\r\n"),
        STEP("MGET b c", "*2\r\n$-1\r\n$-1\r\n"),
        STEP("STRLEN b", ":0\r\n"),
        STEP("INCR b", ":1\r\n"),
        STEP("SET c 1 XX", "$-1\r\n"),
        STEP("APPEND c x", ":1\r\n"),
        {0},
    };
    steps_run_on(s, before);
    cache_session_pass(s, 50);
    steps_run_on(s, after);
    cache_session_pass(s, 1000);
    steps_run_on(s, later);
    cache_session_stop(s);
}

static void only_what_changes_counts(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        unsigned changes;
    } cases[] = {
        {"SET a 1", 1},
        {"SET a 2 NX", 0},
        {"SETNX a 2", 0},
        {"GET a", 0},
        {"MSET a 1 b 2 c 3", 3},
        {"MSETNX a 1 z 2", 0},
        {"INCR a", 1},
        {"INCR b x", 0},
        {"GETDEL none", 0},
        {"GETDEL c", 1},
        {"GETEX a", 0},
        {"GETEX a EX 10", 1},
        {"GETEX a PERSIST", 1},
        {"GETEX a PERSIST", 0},
        {"APPEND a x", 1},
        {"INCR a", 0},
        {"SETRANGE a 0 \"\"", 0},
        {"SETBIT a 0 1", 1},
        {"GETBIT a 0", 0},
        {"BITFIELD a GET u8 0", 0},
        {"BITFIELD a SET u8 0 1", 1},
        {"BITOP AND none none", 0},
    };
    struct cache_session *s = cache_session_start(NULL);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        cache_session_run(s, cases[i].command, NULL);
        if (s->changes != cases[i].changes)
            fail_msg("%s: %u changes", cases[i].command, (unsigned)s->changes);
    }
    cache_session_stop(s);
}

static void nulls_are_those_of_the_protocol(void **state)
{
    (void)state;
    struct cache_session *s = cache_session_start(NULL);
    s->protocol = 3;
    assert_reply(s, "GET none", "_\r\n");
    assert_reply(s, "MGET none", "*1\r\n_\r\n");
    assert_reply(s, "SET a b GET", "_\r\n");
    assert_reply(s, "SET a b NX", "_\r\n");
    assert_reply(s, "BITFIELD a OVERFLOW FAIL INCRBY u1 0 9", "*1\r\n_\r\n");
    assert_reply(s, "LCS a a IDX",
                 "%2\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:1\r\n");
    cache_session_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_values_answer_as_redis_does),
        cmocka_unit_test(options_of_set_answer_as_redis_does),
        cmocka_unit_test(several_keys_answer_as_redis_does),
        cmocka_unit_test(ranges_answer_as_redis_does),
        cmocka_unit_test(counters_answer_as_redis_does),
        cmocka_unit_test(lcs_answers_as_redis_does),
        cmocka_unit_test(bits_answer_as_redis_does),
        cmocka_unit_test(bitop_answers_as_redis_does),
        cmocka_unit_test(bitfield_answers_as_redis_does),
        cmocka_unit_test(long_value_is_taken_over_and_read_back),
        cmocka_unit_test(long_value_changes_where_it_is_written_and_copies_do_not),
        cmocka_unit_test(bits_of_long_values_are_those_of_short_ones),
        cmocka_unit_test(subsequence_of_values_in_several_extents_is_found),
        cmocka_unit_test(full_memory_refuses_and_changes_nothing),
        cmocka_unit_test(eviction_makes_room_and_the_limit_holds),
        cmocka_unit_test(dead_keys_are_not_there),
        cmocka_unit_test(only_what_changes_counts),
        cmocka_unit_test(nulls_are_those_of_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
