/* Sessions of RESP clients over a fake stack: a real instance of the cache with one worker (two where several matter), whose
 * replies are compared byte for byte with what Redis 7.0 answers. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/connection.h"
#include "tests/support/service_group.h"

#define WORKERS_MAX 2

struct fixture {
    unsigned workers;
    struct service_group group;
    struct mr_worker *w[SERVICE_GROUP_MAX];
    struct cache *cache[SERVICE_GROUP_MAX];
    struct cache_config config;
};

static struct cache_config config_default(void)
{
    return (struct cache_config){.memory_max = 64 << 20,
                                 .policy = (char *)(uintptr_t) "noeviction",
                                 .connections_max = 8,
                                 .client_memory_max = 16 << 20,
                                 .query_bytes_max = 4 << 20,
                                 .reply_bytes_max = 4 << 20,
                                 .push_bytes_max = 256 << 10,
                                 .reply_timeout = 60 * MR_SECOND,
                                 .commands_per_turn = 64,
                                 .item_bytes_max = 1 << 20};
}

static struct fixture *begin_with(unsigned workers, const struct cache_config *config)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->workers = workers;
    f->config = *config;
    service_group_start(&f->group, &cache_service, &f->config, workers);
    for (unsigned i = 0; i < workers; i++) {
        f->w[i] = f->group.w[i];
        f->cache[i] = f->group.state[i];
    }
    return f;
}

static struct fixture *begin(unsigned workers)
{
    struct cache_config config = config_default();
    return begin_with(workers, &config);
}

static void turns(struct fixture *f)
{
    service_group_turns(&f->group, 24);
}

static void pass(struct fixture *f, mr_time duration)
{
    for (unsigned i = 0; i < f->workers; i++)
        fake_pass(f->w[i], duration);
    turns(f);
}

static void check(struct fixture *f)
{
    for (unsigned i = 0; i < f->workers; i++) {
        cache_store_check(&f->cache[i]->store);
        memory_check(&f->cache[i]->clients);
        for (uint32_t k = 0; k < f->cache[i]->connections_used; k++)
            cache_connection_check(&f->cache[i]->connections[k]);
    }
}

/* Every stream must have been closed by then. */
static void end(struct fixture *f)
{
    check(f);
    service_group_stop(&f->group);
    turns(f);
    for (unsigned i = 0; i < f->workers; i++) {
        assert_int_equal(fake_streams_open(f->w[i]), 0);
        assert_int_equal(f->cache[i]->connections_open, 0);
        assert_int_equal(f->cache[i]->waiters, 0);
    }
    service_group_end(&f->group);
    free(f);
}

/* -- talking ---------------------------------------------------------------------------------------------------------------- */

/* Words parted by spaces as an array of bulk strings. */
static size_t encode(const char *text, char *out)
{
    char words[256], *save, *p = out;
    unsigned n = 0;
    assert_true(strlen(text) < sizeof words);
    strcpy(words, text);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        n++;
    p += sprintf(p, "*%u\r\n", n);
    strcpy(words, text);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        p += sprintf(p, "$%zu\r\n%s\r\n", strlen(w), w);
    return (size_t)(p - out);
}

/* Sends commands, parted by '|', in one span, and returns everything that was answered since the last time. */
static const char *say(struct fixture *f, struct mr_stream *s, const char *commands)
{
    char text[1024], bytes[4096], *save;
    size_t n = 0;
    assert_true(strlen(commands) < sizeof text);
    strcpy(text, commands);
    fake_output_clear(s);
    for (char *c = strtok_r(text, "|", &save); c; c = strtok_r(NULL, "|", &save))
        n += encode(c, bytes + n);
    fake_input(s, bytes, n);
    turns(f);
    return fake_output(s, NULL);
}
#define SAID(stream, commands, expected) assert_string_equal(say(f, stream, commands), expected)

/* What came by itself since the last time. */
static void heard(struct mr_stream *s, const char *expected)
{
    assert_string_equal(fake_output(s, NULL), expected);
    fake_output_clear(s);
}

static void leave(struct fixture *f, struct mr_stream *s)
{
    fake_end(s);
    turns(f);
    assert_true(fake_closed(s));
}

/* -- bytes ------------------------------------------------------------------------------------------------------------------ */

static const char pipeline[] =
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n*2\r\n$6\r\nAPPEND\r\n$1\r\na\r\n"
    "*3\r\n$6\r\nAPPEND\r\n$1\r\na\r\n$1\r\n!\r\nGET a\r\nSET b 'x y'\r\n*1\r\n$5\r\nMULTI\r\n"
    "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n";
static const char pipeline_replies[] =
    "+OK\r\n-ERR wrong number of arguments for 'append' command\r\n:6\r\n$6\r\nhello!\r\n+OK\r\n"
    "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$3\r\nx y\r\n";

static void commands_split_anywhere_are_answered_alike(void **state)
{
    struct fixture *f = begin(1);
    for (size_t at = 0; at < sizeof pipeline - 1; at++) {
        struct mr_stream *s = fake_open(f->w[0]);
        SAID(s, "FLUSHALL", "+OK\r\n");
        fake_output_clear(s);
        if (at)
            fake_input(s, pipeline, at);
        turns(f);
        fake_input(s, pipeline + at, sizeof pipeline - 1 - at);
        turns(f);
        heard(s, pipeline_replies);
        leave(f, s);
    }
    check(f);
    end(f);
}

static void commands_byte_by_byte_are_answered_alike(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    for (size_t i = 0; i < sizeof pipeline - 1; i++) {
        fake_input(s, pipeline + i, 1);
        fake_turn(f->w[0]);
    }
    heard(s, pipeline_replies);
    leave(f, s);
    end(f);
}

static void malformed_input_is_answered_and_closed(void **state)
{
    static const struct {
        const char *input, *answer;
    } cases[] = {
        {"*a\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"*1\r\nx", "-ERR Protocol error: expected '$', got 'x'\r\n"},
        {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"SET a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
        {"*1\r\n$4\r\nPING\r\n*1\r\n+", "+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n"},
    };
    struct fixture *f = begin(1);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_stream *s = fake_open(f->w[0]);
        fake_input(s, cases[i].input, strlen(cases[i].input));
        turns(f);
        heard(s, cases[i].answer);
        assert_true(fake_shutdown_seen(s));
        assert_int_equal(f->group.counters[0][CACHE_COUNTER_PROTOCOL_ERRORS], i + 1);
        fake_end(s);
        turns(f);
    }
    end(f);
}

static void quit_is_answered_and_what_follows_is_not(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "PING|QUIT|PING", "+PONG\r\n+OK\r\n");
    assert_true(fake_shutdown_seen(s));
    fake_end(s);
    turns(f);
    end(f);
}

/* -- transactions ------------------------------------------------------------------------------------------------------------ */

static void multi_queues_and_exec_runs_in_order(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin(workers);
        struct mr_stream *s = fake_open(f->w[0]);
        SAID(s, "MULTI|SET a 1|INCR a|LPUSH a x|GET b|EXEC",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n:2\r\n"
             "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n$-1\r\n");
        SAID(s, "EXEC", "-ERR EXEC without MULTI\r\n");
        SAID(s, "DISCARD", "-ERR DISCARD without MULTI\r\n");
        SAID(s, "MULTI|MULTI|WATCH a|EXEC",
             "+OK\r\n-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n*0\r\n");
        SAID(s, "MULTI|SET a 9|DISCARD|GET a", "+OK\r\n+QUEUED\r\n+OK\r\n$1\r\n2\r\n");
        leave(f, s);
        end(f);
    }
}

static void exec_after_a_command_that_cannot_be_queued_aborts(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "MULTI|SET a 1|GET|EXEC|GET a",
         "+OK\r\n+QUEUED\r\n-ERR wrong number of arguments for 'get' command\r\n"
         "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
    SAID(s, "MULTI|PING|EXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    leave(f, s);
    end(f);
}

static void exec_without_room_for_all_changes_nothing(void **state)
{
    struct cache_config config = config_default();
    config.memory_max = 1 << 20;
    struct fixture *f = begin_with(1, &config);
    struct mr_stream *s = fake_open(f->w[0]);
    char value[6 * 1024 + 1], command[7 * 1024];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    SAID(s, "MULTI", "+OK\r\n");
    for (unsigned i = 0; i < 200; i++) {
        int n = snprintf(command, sizeof command, "*3\r\n$3\r\nSET\r\n$4\r\nk%03u\r\n$%zu\r\n%s\r\n", i,
                         sizeof value - 1, value);
        fake_output_clear(s);
        fake_input(s, command, (size_t)n);
        turns(f);
        heard(s, "+QUEUED\r\n");
    }
    SAID(s, "EXEC|DBSIZE",
         "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > "
         "'maxmemory'.\r\n:0\r\n");
    leave(f, s);
    end(f);
}

/* What another client does to a watched key, and whether EXEC runs then. */
static void exec_runs_only_if_no_watched_key_changed(void **state)
{
    static const struct {
        const char *before, *watch, *meanwhile;
        bool runs;
    } cases[] = {
        {"SET a 1", "WATCH a", "GET a", true},
        {"SET a 1", "WATCH a", "SET b 1", true},
        {"SET a 1", "WATCH a", "SET a 1", false},
        {"SET a 1", "WATCH b a", "DEL a", false},
        {"SET a 1", "WATCH a", "EXPIRE a 100", false},
        {"SET a 1", "WATCH a", "FLUSHALL", false},
        {"SET a 1", "WATCH a", "FLUSHDB", false},
        {"SET a 1", "WATCH b", "FLUSHALL", true}, /* it was not there */
        {"SET a 1", "WATCH a", "SWAPDB 0 1", false},
        {"SET a 1", "WATCH b", "SWAPDB 0 1", true},
        {"SET a 1", "WATCH b", "RENAME a b", false},
        {"SET a 1", "WATCH a", "SELECT 1|SET a 2", true}, /* another database */
        {"SET a 1", "WATCH a|UNWATCH", "DEL a", true},
        {"SET a 1", "WATCH a|MULTI|DISCARD", "DEL a", true},
        {"SET a 1", "WATCH a", "MULTI|LPUSH l 1|DEL a|EXEC", false},
    };
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin(workers);
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[workers - 1]);
            SAID(a, "FLUSHALL", "+OK\r\n");
            say(f, a, cases[i].before);
            say(f, a, cases[i].watch);
            say(f, b, cases[i].meanwhile);
            SAID(a, "MULTI|PING|EXEC",
                 cases[i].runs ? "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n" : "+OK\r\n+QUEUED\r\n*-1\r\n");
            SAID(a, "MULTI|PING|EXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"); /* EXEC forgot what was watched */
            leave(f, a);
            leave(f, b);
        }
        end(f);
    }
}

static void a_watched_key_whose_time_is_over_has_changed(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "SET a 1 PX 50|WATCH a", "+OK\r\n+OK\r\n");
    pass(f, 100 * MR_MILLISECOND);
    SAID(s, "MULTI|PING|EXEC", "+OK\r\n+QUEUED\r\n*-1\r\n");
    f->cache[0]->settings.active_expire = false;
    f->cache[0]->store.expire_paused = true;
    SAID(s, "SET a 1 PX 50", "+OK\r\n");
    pass(f, 100 * MR_MILLISECOND);
    SAID(s, "WATCH a", "+OK\r\n"); /* dead when it was watched: that it goes is no change */
    SAID(s, "EXISTS a|MULTI|PING|EXEC", ":0\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    leave(f, s);
    end(f);
}

static void a_client_that_goes_leaves_no_watch_and_no_queue(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin(workers);
        struct mr_stream *first = fake_open(f->w[0]);
        SAID(first, "PING", "+PONG\r\n");
        uint64_t before = f->cache[0]->clients.allocations;
        struct mr_stream *s = fake_open(f->w[0]);
        SAID(s, "WATCH a b c d|MULTI|SET a 1", "+OK\r\n+OK\r\n+QUEUED\r\n");
        assert_true(f->cache[0]->clients.allocations > before);
        fake_reset(s);
        turns(f);
        assert_int_equal(f->cache[0]->clients.allocations, before);
        SAID(first, "SET a 1|SET b 1|SET c 1|SET d 1", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
        leave(f, first);
        end(f);
    }
}

static void blocking_commands_in_exec_do_not_block(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "MULTI|BLPOP k 0|BZPOPMIN z 0|EXEC", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n*-1\r\n");
    leave(f, s);
    end(f);
}

/* -- publish and subscribe ------------------------------------------------------------------------------------------------------ */

static void messages_reach_subscribers_of_every_worker(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin(workers);
        struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[workers - 1]);
        SAID(a, "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
        SAID(a, "PSUBSCRIBE c*", "*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:2\r\n");
        SAID(a, "GET x",
             "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
             "allowed in this context\r\n");
        SAID(a, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        fake_output_clear(a);
        SAID(b, "PUBLISH c hi", ":2\r\n");
        heard(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$"
                 "2\r\nhi\r\n");
        SAID(b, "MULTI|PUBLISH c yo|EXEC",
             workers == 1 ? "+OK\r\n+QUEUED\r\n*1\r\n:2\r\n" : "+OK\r\n+QUEUED\r\n*1\r\n:0\r\n");
        heard(a, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nyo\r\n*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$"
                 "2\r\nyo\r\n");
        SAID(b, "PUBSUB NUMSUB c d", "*4\r\n$1\r\nc\r\n:1\r\n$1\r\nd\r\n:0\r\n");
        SAID(a, "UNSUBSCRIBE|PUNSUBSCRIBE|GET x",
             "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:0\r\n$-1\r\n");
        SAID(b, "PUBLISH c gone", ":0\r\n");
        leave(f, a);
        leave(f, b);
        end(f);
    }
}

/* Longer than an argument that lies in one piece: it is a rope, of the memory of the publisher's shard. */
static void long_messages_reach_subscribers_of_every_worker(void **state)
{
    struct cache_config config = config_default();
    config.push_bytes_max = 4 << 20;
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin_with(workers, &config);
        struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[workers - 1]);
        static char command[101000], message[100001];
        memset(message, 'm', sizeof message - 1);
        int n = snprintf(command, sizeof command, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%zu\r\n%s\r\n",
                         sizeof message - 1, message);
        say(f, a, "SUBSCRIBE c");
        for (unsigned multi = 0; multi < 2; multi++) {
            size_t heard_bytes;
            if (multi)
                SAID(b, "MULTI", "+OK\r\n");
            fake_output_clear(a);
            fake_output_clear(b);
            fake_input(b, command, (size_t)n);
            turns(f);
            heard(b, multi ? "+QUEUED\r\n" : ":1\r\n");
            if (multi)
                say(f, b, "EXEC");
            assert_non_null(strstr(fake_output(a, &heard_bytes), message));
            assert_int_equal(heard_bytes,
                             strlen("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$100000\r\n\r\n") + sizeof message - 1);
        }
        leave(f, a);
        leave(f, b);
        end(f);
    }
}

static void a_subscriber_that_does_not_read_is_cut(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[0]);
    static char command[20000], value[10001];
    memset(value, 'm', sizeof value - 1);
    int n =
        snprintf(command, sizeof command, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%zu\r\n%s\r\n", sizeof value - 1, value);
    say(f, a, "SUBSCRIBE c");
    fake_throttle(a, 1000);
    unsigned sent = 0;
    for (; !fake_aborted(a) && sent < 100; sent++) {
        fake_input(b, command, (size_t)n);
        turns(f);
    }
    assert_true(sent * sizeof value > f->config.push_bytes_max / 2 && sent < 100); /* blocks count whole */
    assert_true(fake_aborted(a));
    assert_int_equal(f->group.counters[0][CACHE_COUNTER_REPLY_OVERFLOWS], 1);
    fake_output_clear(b);
    SAID(b, "PUBLISH c x", ":0\r\n");
    leave(f, b);
    end(f);
}

/* -- blocked clients ------------------------------------------------------------------------------------------------------------- */

static void a_blocked_client_gets_what_another_pushes(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        struct fixture *f = begin(workers);
        struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[workers - 1]);
        SAID(a, "BLPOP k l 0|PING", "");
        SAID(b, "RPUSH l x y", ":2\r\n");
        heard(a, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n+PONG\r\n");
        SAID(a, "BLPOP k 0", "");
        SAID(b, "MULTI|RPUSH k 1|LPOP k|EXEC", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$1\r\n1\r\n");
        heard(a, ""); /* it was gone again before anybody could see it */
        SAID(b, "MULTI|RPUSH k 1 2|LLEN k|EXEC|LLEN k", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n:2\r\n:1\r\n");
        heard(a, "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
        leave(f, a);
        leave(f, b);
        end(f);
    }
}

static void a_blocked_client_gets_null_when_its_time_is_over(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "BLPOP k 0.5", "");
    pass(f, 400 * MR_MILLISECOND);
    heard(s, "");
    pass(f, 200 * MR_MILLISECOND);
    heard(s, "*-1\r\n");
    SAID(s, "BLPOP k 0", "");
    leave(f, s);
    assert_int_equal(f->cache[0]->waiters, 0);
    end(f);
}

/* -- who one is -------------------------------------------------------------------------------------------------------------------- */

static void a_password_is_asked_for(void **state)
{
    struct cache_config config = config_default();
    config.password = (char *)(uintptr_t) "secret";
    struct fixture *f = begin_with(1, &config);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "GET a", "-NOAUTH Authentication required.\r\n");
    SAID(s, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    SAID(s, "AUTH other secret", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    SAID(s, "AUTH secret|GET a", "+OK\r\n$-1\r\n");
    SAID(s, "RESET|GET a", "+RESET\r\n-NOAUTH Authentication required.\r\n");
    SAID(s, "AUTH default secret|GET a", "+OK\r\n$-1\r\n");
    leave(f, s);
    s = fake_open(f->w[0]);
    fake_input(s, "*11\r\n", 5); /* who is nobody yet may not make us hold much */
    turns(f);
    heard(s, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    fake_end(s);
    turns(f);
    end(f);
}

static void hello_changes_the_protocol_of_what_follows(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    assert_non_null(strstr(say(f, s, "HELLO 3"), "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"));
    SAID(s, "GET a|WATCH a|SET a 1|MULTI|EXEC", "_\r\n+OK\r\n+OK\r\n+OK\r\n_\r\n");
    SAID(s, "SUBSCRIBE c|GET a", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n$1\r\n1\r\n");
    SAID(s, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    SAID(s, "RESET|GET b", "+RESET\r\n$-1\r\n");
    leave(f, s);
    end(f);
}

static void client_reply_chooses_what_is_answered(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    SAID(s, "CLIENT REPLY OFF|SET a 1|nosuch|GET|CLIENT REPLY ON|GET a", "+OK\r\n$1\r\n1\r\n");
    SAID(s, "CLIENT REPLY SKIP|GET a|GET a", "$1\r\n1\r\n");
    SAID(s, "CLIENT REPLY SKIP|nosuch|GET a", "$1\r\n1\r\n");
    SAID(s, "CLIENT REPLY SKIP|CLIENT REPLY SKIP|GET b|GET a", "$1\r\n1\r\n");
    leave(f, s);
    end(f);
}

/* -- limits ------------------------------------------------------------------------------------------------------------------------- */

static void a_command_over_the_query_limit_closes(void **state)
{
    struct cache_config config = config_default();
    config.query_bytes_max = 128 << 10;
    struct fixture *f = begin_with(1, &config);
    struct mr_stream *s = fake_open(f->w[0]);
    static char bytes[64 << 10];
    memset(bytes, 'x', sizeof bytes);
    static const char header[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10000000\r\n";
    fake_input(s, header, sizeof header - 1);
    unsigned pieces = 0;
    for (; !fake_shutdown_seen(s) && !fake_aborted(s) && pieces < 10; pieces++) {
        fake_input(s, bytes, sizeof bytes);
        turns(f);
    }
    assert_true(pieces <= 3);
    assert_int_equal(f->group.counters[0][CACHE_COUNTER_QUERY_OVERFLOWS], 1);
    fake_end(s);
    turns(f);
    end(f);
}

static void a_queue_over_the_query_limit_aborts(void **state)
{
    struct cache_config config = config_default();
    config.query_bytes_max = 64 << 10;
    struct fixture *f = begin_with(1, &config);
    struct mr_stream *s = fake_open(f->w[0]);
    bool refused = false;
    SAID(s, "MULTI", "+OK\r\n");
    for (unsigned i = 0; i < 2000 && !refused; i++)
        refused = strcmp(say(f, s, "SET a 1"), "+QUEUED\r\n") != 0;
    assert_true(refused);
    SAID(s, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    leave(f, s);
    end(f);
}

static void a_reader_that_does_not_read_is_bounded_and_cut(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]);
    static char command[20000], value[10001];
    memset(value, 'v', sizeof value - 1);
    int n = snprintf(command, sizeof command, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%zu\r\n%s\r\n", sizeof value - 1, value);
    fake_input(s, command, (size_t)n);
    turns(f);
    heard(s, "+OK\r\n");
    fake_throttle(s, 1000);
    for (unsigned i = 0; i < 2000; i++)
        fake_input_quietly(s, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", 20);
    fake_input(s, "*1\r\n$4\r\nPING\r\n", 14);
    turns(f);
    assert_false(fake_aborted(s));
    assert_true(f->cache[0]->clients.used < 4 << 20); /* no further command is run until it has read */
    pass(f, 130 * MR_SECOND);
    assert_true(fake_aborted(s));
    assert_int_equal(f->group.counters[0][CACHE_COUNTER_REPLY_TIMEOUTS], 1);
    end(f);
}

static void idle_connections_are_closed_when_so_configured(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s = fake_open(f->w[0]), *subscriber = fake_open(f->w[0]);
    SAID(s, "CONFIG SET timeout 5", "+OK\r\n");
    say(f, subscriber, "SUBSCRIBE c");
    SAID(s, "PING", "+PONG\r\n");
    pass(f, 4 * MR_SECOND);
    assert_false(fake_shutdown_seen(s));
    pass(f, 2 * MR_SECOND);
    assert_true(fake_shutdown_seen(s) && !fake_shutdown_seen(subscriber));
    assert_int_equal(f->group.counters[0][CACHE_COUNTER_IDLE_TIMEOUTS], 1);
    fake_end(s);
    leave(f, subscriber);
    end(f);
}

static void more_connections_than_allowed_are_refused(void **state)
{
    struct fixture *f = begin(1);
    struct mr_stream *s[9];
    for (unsigned i = 0; i < 9; i++)
        s[i] = fake_open(f->w[0]);
    turns(f);
    heard(s[8], "-ERR max number of clients reached\r\n");
    for (unsigned i = 0; i < 9; i++)
        fake_end(s[i]);
    turns(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_split_anywhere_are_answered_alike),
        cmocka_unit_test(commands_byte_by_byte_are_answered_alike),
        cmocka_unit_test(malformed_input_is_answered_and_closed),
        cmocka_unit_test(quit_is_answered_and_what_follows_is_not),
        cmocka_unit_test(multi_queues_and_exec_runs_in_order),
        cmocka_unit_test(exec_after_a_command_that_cannot_be_queued_aborts),
        cmocka_unit_test(exec_without_room_for_all_changes_nothing),
        cmocka_unit_test(exec_runs_only_if_no_watched_key_changed),
        cmocka_unit_test(a_watched_key_whose_time_is_over_has_changed),
        cmocka_unit_test(a_client_that_goes_leaves_no_watch_and_no_queue),
        cmocka_unit_test(blocking_commands_in_exec_do_not_block),
        cmocka_unit_test(messages_reach_subscribers_of_every_worker),
        cmocka_unit_test(long_messages_reach_subscribers_of_every_worker),
        cmocka_unit_test(a_subscriber_that_does_not_read_is_cut),
        cmocka_unit_test(a_blocked_client_gets_what_another_pushes),
        cmocka_unit_test(a_blocked_client_gets_null_when_its_time_is_over),
        cmocka_unit_test(a_password_is_asked_for),
        cmocka_unit_test(hello_changes_the_protocol_of_what_follows),
        cmocka_unit_test(client_reply_chooses_what_is_answered),
        cmocka_unit_test(a_command_over_the_query_limit_closes),
        cmocka_unit_test(a_queue_over_the_query_limit_aborts),
        cmocka_unit_test(a_reader_that_does_not_read_is_bounded_and_cut),
        cmocka_unit_test(idle_connections_are_closed_when_so_configured),
        cmocka_unit_test(more_connections_than_allowed_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
