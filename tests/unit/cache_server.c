/* Commands about the server: the replies of redis-server 7.0.15 to the same commands, byte for byte, where both have the same to say;
 * then what a change of a parameter does, what INFO counts, and what digests tell apart. On one shard and on three. */
#include "tests/support/cache_steps.h"

#include <stdlib.h>

#include "cache/blocked.h"
#include "cache/command/server.h"
#include "cache/command/session.h"
#include "cache/command/slowlog.h"

#define MEMORY_MAX (UINT64_C(64) << 20) /* of a shard: what cache_session gives it */

static struct cache_config config = {.listen = {.port = 6379},
                                     .policy = (char *)"noeviction",
                                     .connections_max = 1000,
                                     .query_bytes_max = 1 << 30,
                                     .reply_bytes_max = 64 << 20,
                                     .push_bytes_max = 32 << 20,
                                     .fsync = CACHE_FSYNC_EVERYSEC,
                                     .rewrite_percentage = 100,
                                     .rewrite_bytes_min = 64 << 20,
                                     .folder = (char *)"/nowhere"};

static struct cache_session *begin(unsigned shards)
{
    struct cache_session *s = cache_session_start(&(struct cache_session_options){.shards = shards});
    config.memory_max = shards * MEMORY_MAX;
    s->shared.config = &config;
    for (unsigned i = 0; i < shards; i++) {
        struct cache *c = s->shared.instance[i];
        c->config = &config;
        cache_settings_init(c);
        c->settings.slowlog_slower_than_us = -1;
        assert_true(cache_blocked_start(c) && cache_watch_start(c) && cache_slowlog_start(c));
    }
    return s;
}

static void end(struct cache_session *s)
{
    for (unsigned i = 0; i < s->shared.workers; i++)
        cache_watch_release(s->shared.instance[i]);
    cache_session_stop(s);
}

static void run_steps(const struct step *steps)
{
    for (unsigned shards = 1; shards <= 3; shards += 2) {
        struct cache_session *s = begin(shards);
        steps_run_on(s, steps);
        end(s);
    }
}

#define SET_FAILED(name, why) "-ERR CONFIG SET failed (possibly related to argument '" name "') - " why "\r\n"

static const struct step parameters[] = {
    STEP("CONFIG SET maxmemory abc", SET_FAILED("maxmemory", "argument must be a memory value")),
    STEP("CONFIG SET maxmemory -1", SET_FAILED("maxmemory", "argument must be a memory value")),
    STEP("CONFIG SET maxmemory 1gg", SET_FAILED("maxmemory", "argument must be a memory value")),
    STEP("CONFIG SET maxmemory 10%", SET_FAILED("maxmemory", "argument must be a memory value")),
    STEP("CONFIG SET maxmemory 99999999999999999999", SET_FAILED("maxmemory", "argument must be a memory value")),
    STEP("CONFIG SET appendonly foo", SET_FAILED("appendonly", "argument must be 'yes' or 'no'")),
    STEP("CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"),
    STEP("CONFIG SET maxmemory 1 maxmemory 2", SET_FAILED("maxmemory", "duplicate parameter")),
    STEP("CONFIG SET timeout 7 nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"),
    STEP("CONFIG SET port", "-ERR wrong number of arguments for 'config|set' command\r\n"),
    STEP("CONFIG SET port 1 2", "-ERR syntax error\r\n"),
    STEP("CONFIG SET databases 3", SET_FAILED("databases", "can't set immutable config")),
    STEP("CONFIG SET timeout -1", SET_FAILED("timeout", "argument must be between 0 and 2147483647 inclusive")),
    STEP("CONFIG SET timeout x", SET_FAILED("timeout", "argument couldn't be parsed into an integer")),
    STEP("CONFIG SET timeout \" 1\"", SET_FAILED("timeout", "argument couldn't be parsed into an integer")),
    STEP("CONFIG SET slowlog-log-slower-than -2",
         SET_FAILED("slowlog-log-slower-than", "argument must be between -1 and 9223372036854775807 inclusive")),
    STEP("CONFIG SET list-max-listpack-size 99999999999",
         SET_FAILED("list-max-listpack-size", "argument must be between -2147483648 and 2147483647 inclusive")),
    STEP("CONFIG SET appendfsync foo",
         SET_FAILED("appendfsync", "argument(s) must be one of the following: everysec, always, no")),
    STEP("CONFIG SET save \"1\"", SET_FAILED("save", "Invalid save parameters")),
    STEP("CONFIG SET save \"1 a\"", SET_FAILED("save", "Invalid save parameters")),
    STEP("CONFIG SET save \"\"", "+OK\r\n"),
    STEP("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    STEP("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
    STEP("CONFIG SET client-output-buffer-limit \"foo 0 0 0\"",
         SET_FAILED("client-output-buffer-limit", "Invalid client class specified in buffer limit configuration.")),
    STEP("CONFIG SET client-output-buffer-limit \"normal 0 0\"",
         SET_FAILED("client-output-buffer-limit", "Wrong number of arguments in buffer limit configuration.")),
    STEP("CONFIG SET client-output-buffer-limit \"normal a 0 0\"",
         SET_FAILED("client-output-buffer-limit",
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.")),
    STEP("CONFIG SET maxclients 0", SET_FAILED("maxclients", "argument must be between 1 and 4294967295 inclusive")),
    STEP("CONFIG SET proto-max-bulk-len 1",
         SET_FAILED("proto-max-bulk-len", "argument must be between 1048576 and 536870912 inclusive")),
    STEP("CONFIG SET lazyfree-lazy-expire x", SET_FAILED("lazyfree-lazy-expire", "argument must be 'yes' or 'no'")),
    STEP("CONFIG SET aclfile x", SET_FAILED("aclfile", "can't set immutable config")),
    STEP("CONFIG REWRITE", "-ERR The server is running without a config file\r\n"),
    STEP("CONFIG RESETSTAT", "+OK\r\n"),
    STEP("CONFIG RESETSTAT x", "-ERR wrong number of arguments for 'config|resetstat' command\r\n"),
    STEP("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
    STEP("CONFIG GET nosuch", "*0\r\n"),
    STEP("CONFIG GET TIMEOUT timeo?t t[i]meout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
    STEP("CONFIG SET TIMEOUT 5 hz 20", "+OK\r\n"),
    STEP("CONFIG GET timeout hz", "*4\r\n$7\r\ntimeout\r\n$1\r\n5\r\n$2\r\nhz\r\n$2\r\n20\r\n"),
    STEP("CONFIG SET hash-max-ziplist-entries 3", "+OK\r\n"),
    STEP("CONFIG GET hash-max-listpack-entries", "*2\r\n$25\r\nhash-max-listpack-entries\r\n$1\r\n3\r\n"),
    STEP("CONFIG GET port", "*2\r\n$4\r\nport\r\n$4\r\n6379\r\n"),
    STEP("CONFIG SET port 6379", "+OK\r\n"),
    STEP("CONFIG SET requirepass secret", "+OK\r\n"),
    STEP("CONFIG GET requirepass", "*2\r\n$11\r\nrequirepass\r\n$6\r\nsecret\r\n"),
    STEP("ACL LIST", "*1\r\n$27\r\nuser default on ~* &* +@all\r\n"),
    {0},
};

/* Commands whose whole reply is a line or two. */
static const struct step short_replies[] = {
    STEP("DBSIZE", ":0\r\n"),
    STEP("FLUSHALL foo", "-ERR syntax error\r\n"),
    STEP("FLUSHALL SYNC ASYNC", "-ERR syntax error\r\n"),
    STEP("FLUSHDB foo", "-ERR syntax error\r\n"),
    STEP("FLUSHALL ASYNC", "+OK\r\n"),
    STEP("SWAPDB 0 99", "-ERR DB index is out of range\r\n"),
    STEP("SWAPDB -1 0", "-ERR DB index is out of range\r\n"),
    STEP("SWAPDB a 1", "-ERR invalid first DB index\r\n"),
    STEP("SWAPDB 1 a", "-ERR invalid second DB index\r\n"),
    STEP("SWAPDB 1 99999999999", "-ERR invalid second DB index\r\n"),
    STEP("SWAPDB 3 3", "+OK\r\n"),
    STEP("BGSAVE foo", "-ERR syntax error\r\n"),
    STEP("SAVE foo", "-ERR wrong number of arguments for 'save' command\r\n"),
    STEP("SHUTDOWN foo", "-ERR syntax error\r\n"),
    STEP("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"),
    STEP("REPLICAOF NO ONE", "+OK\r\n"),
    STEP("SLAVEOF no one", "+OK\r\n"),
    STEP("FAILOVER", "-ERR FAILOVER requires connected replicas.\r\n"),
    STEP("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
    STEP("WAIT 1 100", ":0\r\n"),
    STEP("WAIT a 0", "-ERR value is not an integer or out of range\r\n"),
    STEP("WAIT 0 a", "-ERR timeout is not an integer or out of range\r\n"),
    STEP("WAIT 0 -1", "-ERR timeout is negative\r\n"),
    STEP("CLUSTER INFO", "-ERR This instance has cluster support disabled\r\n"),
    STEP("CLUSTER KEYSLOT a", "-ERR This instance has cluster support disabled\r\n"),
    STEP("READONLY", "-ERR This instance has cluster support disabled\r\n"),
    STEP("MODULE LIST", "*0\r\n"),
    STEP("SLOWLOG LEN", ":0\r\n"),
    STEP("SLOWLOG GET", "*0\r\n"),
    STEP("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n"),
    STEP("SLOWLOG RESET", "+OK\r\n"),
    STEP("MEMORY USAGE none", "$-1\r\n"),
    STEP("MEMORY USAGE none SAMPLES", "-ERR syntax error\r\n"),
    STEP("MEMORY USAGE none SAMPLES x", "-ERR value is not an integer or out of range\r\n"),
    STEP("MEMORY PURGE", "+OK\r\n"),
    STEP("LATENCY LATEST", "*0\r\n"),
    STEP("LATENCY RESET a b", ":0\r\n"),
    STEP("LATENCY HISTORY foo", "*0\r\n"),
    STEP("LATENCY GRAPH foo", "-ERR No samples available for event 'foo'\r\n"),
    STEP("ACL WHOAMI", "$7\r\ndefault\r\n"),
    STEP("ACL USERS", "*1\r\n$7\r\ndefault\r\n"),
    STEP("ACL LIST", "*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n"),
    STEP("ACL CAT foo", "-ERR Unknown category 'foo'\r\n"),
    STEP("ACL GETUSER foo", "$-1\r\n"),
    STEP("ACL GETUSER default",
         "*12\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$6\r\nnopass\r\n$9\r\npasswords\r\n*0\r\n$8\r\ncommands\r\n"
         "$5\r\n+@all\r\n$4\r\nkeys\r\n$2\r\n~*\r\n$8\r\nchannels\r\n$2\r\n&*\r\n$9\r\nselectors\r\n*0\r\n"),
    STEP("ACL DRYRUN default get a", "+OK\r\n"),
    STEP("ACL LOG", "*0\r\n"),
    STEP(
        "SLOWLOG HELP",
        "*12\r\n+SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+GET [<count>]\r\n"
        "+    Return top <count> entries from the slowlog (default: 10, -1 mean all).\r\n+    Entries are made of:\r\n"
        "+    id, timestamp, time in microseconds, arguments array, client IP and port,\r\n+    client name\r\n+LEN\r\n"
        "+    Return the length of the slowlog.\r\n+RESET\r\n+    Reset the slowlog.\r\n+HELP\r\n+    Prints this "
        "help.\r\n"),
    STEP("DEBUG foo", "-ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.\r\n"),
    STEP("DEBUG SLEEP", "-ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.\r\n"),
    STEP("DEBUG SLEEP 0", "+OK\r\n"),
    STEP("DEBUG OBJECT none", "-ERR no such key\r\n"),
    STEP("DEBUG ERROR \"MINE own\"", "-MINE own\r\n"),
    STEP("DEBUG DIGEST", "+0000000000000000000000000000000000000000\r\n"),
    STEP("DEBUG DIGEST-VALUE none", "*1\r\n+0000000000000000000000000000000000000000\r\n"),
    STEP("DEBUG PROTOCOL foo", "-ERR Wrong protocol type name. Please use one of the following: "
                               "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false\r\n"),
    STEP("DEBUG PROTOCOL string", "$11\r\nHello World\r\n"),
    STEP("DEBUG PROTOCOL double", "$5\r\n3.141\r\n"),
    STEP("DEBUG PROTOCOL map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n"),
    STEP("DEBUG PROTOCOL attrib", "$39\r\nSome real reply following the attribute\r\n"),
    STEP("DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command\r\n"),
    STEP("DEBUG PROTOCOL verbatim", "$25\r\nThis is a verbatim\nstring\r\n"),
    STEP("INFO foo bar", "$0\r\n\r\n"),
    STEP("INFO cluster", "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"),
    {0},
};

static const struct step resp3[] = {
    STEP("CONFIG GET timeout", "%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
    STEP("DEBUG PROTOCOL double", ",3.141\r\n"),
    STEP("DEBUG PROTOCOL null", "_\r\n"),
    STEP("DEBUG PROTOCOL set", "~3\r\n:0\r\n:1\r\n:2\r\n"),
    STEP("DEBUG PROTOCOL map", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
    STEP("DEBUG PROTOCOL attrib", "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
                                  "$39\r\nSome real reply following the attribute\r\n"),
    STEP("DEBUG PROTOCOL push",
         ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n"),
    STEP("DEBUG PROTOCOL bignum", "(1234567999999999999999999999999999999\r\n"),
    STEP("DEBUG PROTOCOL true", "#t\r\n"),
    STEP("DEBUG PROTOCOL verbatim", "=29\r\ntxt:This is a verbatim\nstring\r\n"),
    STEP("MEMORY USAGE none", "_\r\n"),
    STEP("LATENCY HISTOGRAM", "%0\r\n"),
    STEP("INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"),
    {0},
};

static void replies_are_those_of_redis(void **state)
{
    run_steps(parameters);
    run_steps(short_replies);
}

static void resp3_has_its_own_shapes(void **state)
{
    struct cache_session *s = begin(3);
    s->protocol = 3;
    steps_run_on(s, resp3);
    end(s);
}

/* On every worker, as a command that each runs for itself. */
static void on_each(struct cache_session *s, const char *command, const char *wanted)
{
    for (unsigned i = 0; i < s->shared.workers; i++) {
        s->cache = s->shared.instance[i];
        assert_reply(s, command, wanted);
    }
    s->cache = s->shared.instance[0];
}

static void a_parameter_reaches_the_store_that_it_is_about(void **state)
{
    struct cache_session *s = begin(3);
    on_each(s, "CONFIG SET maxmemory 30mb maxmemory-policy allkeys-lru", "+OK\r\n");
    for (unsigned i = 0; i < 3; i++) {
        struct cache *c = s->shared.instance[i];
        assert_int_equal(c->store.limit, 10 << 20);
        assert_string_equal(cache_store_policy(&c->store)->name, "allkeys-lru");
        assert_true(c->store.evicting);
    }
    on_each(s, "CONFIG SET maxmemory 0", "+OK\r\n"); /* there is always a limit: the configured one */
    assert_int_equal(s->cache->store.limit, MEMORY_MAX);
    on_each(s, "CONFIG SET client-output-buffer-limit \"normal 1mb 0 0 pubsub 2mb 1mb 60\"", "+OK\r\n");
    assert_int_equal(s->cache->settings.reply_bytes_max, 1 << 20);
    assert_int_equal(s->cache->settings.push_bytes_max, 2 << 20);
    assert_reply(s, "CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$4\r\n3000\r\n");
    on_each(s, "CONFIG SET maxclients 3001",
            SET_FAILED("maxclients",
                       "The operating system is not able to handle the specified number of clients, try with 3000"));
    on_each(s, "CONFIG SET maxclients 30", "+OK\r\n");
    assert_int_equal(s->cache->settings.clients_max, 10);
    end(s);
}

static void a_refused_parameter_changes_none_of_those_beside_it(void **state)
{
    struct cache_session *s = begin(1);
    assert_reply(s, "CONFIG SET timeout 9 maxmemory 20mb appendfsync sometimes",
                 SET_FAILED("appendfsync", "argument(s) must be one of the following: everysec, always, no"));
    assert_int_equal(s->cache->settings.timeout_s, 0);
    assert_int_equal(s->cache->store.limit, MEMORY_MAX);
    end(s);
}

static void an_encoding_limit_counts_from_the_next_change_on(void **state)
{
    struct cache_session *s = begin(1);
    on_each(s, "CONFIG SET hash-max-listpack-entries 1", "+OK\r\n");
    assert_reply(s, "HSET h a 1 b 2", ":2\r\n");
    assert_reply(s, "OBJECT ENCODING h", "$9\r\nhashtable\r\n");
    end(s);
}

static void databases_are_flushed_and_swapped_on_every_shard(void **state)
{
    for (unsigned shards = 1; shards <= 3; shards += 2) {
        struct cache_session *s = begin(shards);
        assert_reply(s, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", "+OK\r\n");
        assert_reply(s, "DBSIZE", ":8\r\n");
        assert_reply(s, "SWAPDB 0 5", "+OK\r\n");
        assert_reply(s, "DBSIZE", ":0\r\n");
        s->database = 5;
        assert_reply(s, "DBSIZE", ":8\r\n");
        assert_reply(s, "MGET a h", "*2\r\n$1\r\n1\r\n$1\r\n8\r\n");
        s->database = 0;
        assert_reply(s, "MSET a 1 b 2", "+OK\r\n");
        assert_reply(s, "FLUSHDB", "+OK\r\n");
        assert_int_equal(s->changes, shards);
        assert_reply(s, "DBSIZE", ":0\r\n");
        s->database = 5;
        assert_reply(s, "DBSIZE", ":8\r\n");
        assert_reply(s, "FLUSHALL", "+OK\r\n");
        assert_reply(s, "DBSIZE", ":0\r\n");
        cache_session_settle(s);
        for (unsigned i = 0; i < shards; i++)
            assert_int_equal(s->shared.instance[i]->store.memory.used, 0);
        end(s);
    }
}

/* -- INFO ---------------------------------------------------------------------------------------------------------------------- */

/* The number behind "name:" of INFO; fails when there is none. */
static long long info(struct cache_session *s, const char *name)
{
    char wanted[80];
    const char *text = cache_session_run(s, "INFO everything", NULL);
    snprintf(wanted, sizeof wanted, "\r\n%s:", name);
    const char *found = strstr(text, wanted);
    if (!found)
        fail_msg("INFO has no %s", name);
    return strtoll(found + strlen(wanted), NULL, 10);
}

static void info_is_of_all_workers_together(void **state)
{
    struct cache_session *s = begin(3);
    cache_session_run(s, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", NULL);
    cache_session_run(s, "MGET a b c d x y", NULL);
    assert_int_equal(info(s, "keyspace_hits"), 4);
    assert_int_equal(info(s, "keyspace_misses"), 2);
    cache_session_run(s, "EXPIRE a 100", NULL);
    uint64_t used = 0;
    for (unsigned i = 0; i < 3; i++)
        used += s->shared.instance[i]->store.memory.used;
    assert_int_equal(info(s, "used_memory"), used);
    assert_int_equal(info(s, "maxmemory"), 3 * MEMORY_MAX);
    assert_int_equal(info(s, "workers"), 3);
    assert_int_equal(info(s, "tcp_port"), 6379);
    assert_int_equal(info(s, "maxclients"), 3000);
    assert_non_null(strstr(cache_session_run(s, "INFO keyspace", NULL), "db0:keys=8,expires=1,"));
    assert_non_null(strstr(cache_session_run(s, "INFO commandstats", NULL), "cmdstat_mget:calls=1,"));
    on_each(s, "CONFIG RESETSTAT", "+OK\r\n");
    assert_int_equal(info(s, "keyspace_misses"), 0);
    assert_null(strstr(cache_session_run(s, "INFO commandstats", NULL), "cmdstat_mget"));
    end(s);
}

static void info_counts_each_error_once(void **state)
{
    struct cache_session *s = begin(1);
    cache_session_run(s, "LPUSH l a", NULL);
    cache_session_run(s, "GET l", NULL);
    cache_session_run(s, "INCR l", NULL);
    cache_session_run(s, "EXPIRE l x", NULL);
    cache_session_run(s, "GET nothing", NULL);
    const char *text = cache_session_run(s, "INFO errorstats", NULL);
    assert_non_null(strstr(text, "\r\nerrorstat_WRONGTYPE:count=2\r\n"));
    assert_non_null(strstr(text, "\r\nerrorstat_ERR:count=1\r\n"));
    assert_int_equal(info(s, "total_error_replies"), 3);
    end(s);
}

/* A client reads INFO by lines: each is empty, a title, or a name with a value. */
static void info_is_lines_of_name_and_value(void **state)
{
    struct cache_session *s = begin(3);
    cache_session_run(s, "SET a 1", NULL);
    const char *text = strchr(cache_session_run(s, "INFO everything", NULL), '\n') + 1;
    unsigned lines = 0, titles = 0;
    for (const char *end; (end = strstr(text, "\r\n")); text = end + 2, lines++) {
        titles += *text == '#';
        if (end != text && *text != '#' && !memchr(text, ':', (size_t)(end - text)))
            fail_msg("not a line of INFO: %.*s", (int)(end - text), text);
    }
    assert_true(lines > 80);
    assert_int_equal(titles, 12);
    end(s);
}

/* -- digests ------------------------------------------------------------------------------------------------------------------- */

static const char *const filling[] = {"SET s hello",   "SET n 12",       "SADD m 1 2 3 x",
                                      "SADD i 5 6 7",  "HSET h a 1 b 2", "ZADD z 1 a 2 b",
                                      "RPUSH l a b c", "SET t 1",        NULL};
static const char *const filling_otherwise[] = {
    "RPUSH l b c",    "LPUSH l a",   "ZADD z 2 b 1 a", "HSET h b 2",  "HSET h a 1", "SADD i 7 6 5 x", "SREM i x",
    "SADD m x 3 2 1", "INCRBY n 12", "APPEND s hel",   "APPEND s lo", "SET t 0",    "SET t 1",        NULL};

static void digest(struct cache_session *s, const char *command, char text[64])
{
    snprintf(text, 64, "%s", cache_session_run(s, command, NULL));
}

static void a_digest_is_of_the_content_alone(void **state)
{
    char one[64], other[64];
    struct cache_session *a = begin(1), *b = begin(3);
    for (unsigned i = 0; filling[i]; i++)
        cache_session_run(a, filling[i], NULL);
    for (unsigned i = 0; filling_otherwise[i]; i++)
        cache_session_run(b, filling_otherwise[i], NULL);
    digest(a, "DEBUG DIGEST", one);
    digest(b, "DEBUG DIGEST", other);
    assert_string_equal(one, other);
    end(a);
    end(b);
}

static void a_digest_tells_every_change(void **state)
{
    static const char *const changes[] = {"SET s hellp", "SADD m y",   "HSET h a 2", "ZADD z 3 a",
                                          "LSET l 0 b",  "LSET l 1 a", "RENAME s r", "EXPIRE r 99",
                                          "SWAPDB 0 1",  "SWAPDB 0 1", NULL};
    char before[64], after[64];
    struct cache_session *s = begin(3);
    for (unsigned i = 0; filling[i]; i++)
        cache_session_run(s, filling[i], NULL);
    digest(s, "DEBUG DIGEST", before);
    for (unsigned i = 0; changes[i]; i++) {
        cache_session_run(s, changes[i], NULL);
        digest(s, "DEBUG DIGEST", after);
        if (strcmp(before, after) == 0)
            fail_msg("%s has changed no digest", changes[i]);
        memcpy(before, after, sizeof before);
    }
    end(s);
}

static void sleep_asks_to_be_called_again_and_ends_with_its_time(void **state)
{
    struct cache_session *s = begin(1);
    cache_session_run(s, "DEBUG SLEEP 0.5", NULL);
    assert_true(s->waits);
    end(s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_those_of_redis),
        cmocka_unit_test(resp3_has_its_own_shapes),
        cmocka_unit_test(a_parameter_reaches_the_store_that_it_is_about),
        cmocka_unit_test(a_refused_parameter_changes_none_of_those_beside_it),
        cmocka_unit_test(an_encoding_limit_counts_from_the_next_change_on),
        cmocka_unit_test(databases_are_flushed_and_swapped_on_every_shard),
        cmocka_unit_test(info_is_of_all_workers_together),
        cmocka_unit_test(info_counts_each_error_once),
        cmocka_unit_test(info_is_lines_of_name_and_value),
        cmocka_unit_test(a_digest_is_of_the_content_alone),
        cmocka_unit_test(a_digest_tells_every_change),
        cmocka_unit_test(sleep_asks_to_be_called_again_and_ends_with_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
