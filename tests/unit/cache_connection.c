/* The machine of a connection over a fake stack: hostile peers, limits, and values that are changed while they are sent. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"
#include "tests/support/service_group.h"

#define WORKERS_MAX SERVICE_GROUP_MAX

struct fixture {
    unsigned workers;
    struct service_group group;
    struct mr_worker *w[WORKERS_MAX];
    struct cache *cache[WORKERS_MAX];
    struct cache_config config;
};

static struct fixture *begin(unsigned workers, void (*change)(struct cache_config *config))
{
    struct fixture *f = calloc(1, sizeof *f);
    f->workers = workers;
    f->config = (struct cache_config){.memory_max = 16 << 20,
                                      .memcached.port = 11211,
                                      .policy = (char *)(uintptr_t) "noeviction",
                                      .connections_max = 8,
                                      .client_memory_max = 8 << 20,
                                      .query_bytes_max = 1 << 20,
                                      .reply_bytes_max = 1 << 20,
                                      .push_bytes_max = 64 << 10,
                                      .reply_timeout = 10 * MR_SECOND,
                                      .commands_per_turn = 16,
                                      .item_bytes_max = 1 << 20};
    if (change)
        change(&f->config);
    service_group_start(&f->group, &cache_service, &f->config, workers);
    for (unsigned i = 0; i < workers; i++) {
        f->w[i] = f->group.w[i];
        f->cache[i] = f->group.state[i];
    }
    return f;
}

static void pass(struct fixture *f, mr_time duration)
{
    for (mr_time done = 0; done < duration; done += MR_MILLISECOND * 100)
        for (unsigned i = 0; i < f->workers; i++)
            fake_pass(f->w[i], duration < 100 * MR_MILLISECOND ? duration : 100 * MR_MILLISECOND);
}

static void turns(struct fixture *f)
{
    for (unsigned n = 0; n < 12 * f->workers; n++)
        fake_turn(f->w[n % f->workers]);
}

static void check_all(struct fixture *f)
{
    for (unsigned i = 0; i < f->workers; i++) {
        cache_store_check(&f->cache[i]->store);
        memory_check(&f->cache[i]->clients);
        for (uint32_t k = 0; k < f->cache[i]->connections_used; k++)
            cache_connection_check(&f->cache[i]->connections[k]);
    }
}

/* Every stream has been closed by its peer or by us; nothing of a connection may be left. */
static void end(struct fixture *f)
{
    service_group_stop(&f->group);
    pass(f, 60 * MR_SECOND);
    check_all(f);
    for (unsigned i = 0; i < f->workers; i++) {
        assert_int_equal(f->cache[i]->connections_open, 0);
        for (uint32_t k = 0; k < f->cache[i]->connections_used; k++)
            assert_int_equal(f->cache[i]->connections[k].state, CACHE_CONNECTION_FREE);
    }
    service_group_end(&f->group);
    free(f);
}

static void say(struct mr_stream *s, const char *text)
{
    fake_input(s, text, strlen(text));
}

static void assert_output(struct mr_stream *s, const char *wanted)
{
    assert_string_equal(fake_output(s, NULL), wanted);
    fake_output_clear(s);
}

/* SET of `bytes` times `fill`, answered. */
static void set_value(struct mr_stream *s, const char *key, size_t bytes, int fill)
{
    char *query = malloc(bytes + 200);
    size_t head = (size_t)sprintf(query, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, bytes);
    memset(query + head, fill, bytes);
    memcpy(query + head + bytes, "\r\n", 2);
    fake_input(s, query, head + bytes + 2);
    free(query);
    assert_output(s, "+OK\r\n");
}

static uint64_t counter(const struct fixture *f, enum cache_counter which)
{
    return f->group.counters[0][which];
}

/* -- pieces ---------------------------------------------------------------------------------------------------------------- */

static const char pipeline[] =
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nPING\r\n"
    "*2\r\n$4\r\nNOPE\r\n$0\r\n\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n";
static const char pipeline_replies[] = "+OK\r\n$5\r\nhello\r\n+PONG\r\n+PONG\r\n"
                                       "-ERR unknown command 'NOPE', with args beginning with: '' \r\n:1\r\n";

/* However the bytes are cut in two, and byte by byte, the replies are the same. */
static void pipeline_any_split_same_replies(void **state)
{
    struct fixture *f = begin(1, NULL);
    struct mr_stream *s = fake_open(f->w[0]);
    for (size_t at = 1; at < sizeof pipeline - 1; at++) {
        fake_input(s, pipeline, at);
        fake_input(s, pipeline + at, sizeof pipeline - 1 - at);
        assert_output(s, pipeline_replies);
    }
    for (size_t at = 0; at < sizeof pipeline - 1; at++)
        fake_input(s, pipeline + at, 1);
    assert_output(s, pipeline_replies);
    fake_end(s);
    end(f);
}

/* A peer that goes in the middle of a command, short or long, leaves nothing behind. */
static void half_written_peer_goes_nothing_left(void **state)
{
    struct fixture *f = begin(2, NULL);
    static char part[30000];
    size_t head = (size_t)sprintf(part, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200000\r\n");
    memset(part + head, 'x', sizeof part - head);
    for (size_t n = 1; n < sizeof part; n += n < 60 ? 1 : 7919) {
        struct mr_stream *s = fake_open(f->w[0]);
        fake_input(s, part, n);
        fake_reset(s);
        turns(f);
        check_all(f);
    }
    assert_int_equal(f->cache[0]->store.memory.allocations, f->cache[1]->store.memory.allocations);
    end(f);
}

/* What was sent has zeros behind the name of a command, or a key that is a rope: an error each, nothing more. */
static void odd_names_and_keys_are_refused(void **state)
{
    struct fixture *f = begin(1, NULL);
    struct mr_stream *s = fake_open(f->w[0]);
    static char query[80000];
    fake_input(s, "*1\r\n$7\r\nPING\0\0\0\r\n", 17);
    assert_memory_equal(fake_output(s, NULL), "-ERR unknown command 'PING", 26);
    fake_output_clear(s);
    size_t head = (size_t)sprintf(query, "*3\r\n$3\r\nSET\r\n$70000\r\n");
    memset(query + head, 'k', 70000);
    strcpy(query + head + 70000, "\r\n$1\r\nv\r\n");
    say(s, query);
    assert_memory_equal(fake_output(s, NULL), "-ERR key is longer", 18);
    fake_output_clear(s);
    say(s, "PING\r\n");
    assert_output(s, "+PONG\r\n");
    fake_end(s);
    end(f);
}

/* -- limits ------------------------------------------------------------------------------------------------------------------ */

/* A page makes a browser post lines that would be commands: nothing of it is run. */
static void lines_of_a_browser_end_the_connection(void **state)
{
    struct fixture *f = begin(1, NULL);
    struct mr_stream *s = fake_open(f->w[0]);
    say(s, "POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n");
    turns(f);
    assert_true(fake_closed(s));
    assert_int_equal(counter(f, CACHE_COUNTER_PROTOCOL_ERRORS), 1);
    s = fake_open(f->w[0]);
    say(s, "GET k\r\n");
    turns(f);
    assert_output(s, "$-1\r\n");
    fake_end(s);
    end(f);
}

static void with_password(struct cache_config *config)
{
    config->password = (char *)(uintptr_t) "secret";
}

/* Before AUTH a command has 10 arguments of 16384 bytes at most. */
static void before_auth_limits_are_narrow(void **state)
{
    struct fixture *f = begin(1, with_password);
    struct mr_stream *s = fake_open(f->w[0]);
    say(s, "GET k\r\n");
    assert_output(s, "-NOAUTH Authentication required.\r\n");
    say(s, "*11\r\n");
    assert_output(s, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_true(fake_shutdown_seen(s));
    s = fake_open(f->w[0]);
    say(s, "*2\r\n$16385\r\n");
    assert_output(s, "-ERR Protocol error: unauthenticated bulk length\r\n");
    assert_int_equal(counter(f, CACHE_COUNTER_PROTOCOL_ERRORS), 2);
    s = fake_open(f->w[0]);
    say(s, "AUTH secret\r\n*11\r\n$3\r\nDEL\r\n");
    assert_output(s, "+OK\r\n");
    fake_end(s);
    end(f);
}

static void two_connections(struct cache_config *config)
{
    config->connections_max = 2;
    config->idle_timeout = 5 * MR_SECOND;
}

/* The third is told and closed; when one has gone there is room again. An idle one goes after its time, a busy one stays. */
static void connections_over_the_limit_are_refused_idle_ones_go(void **state)
{
    struct fixture *f = begin(1, two_connections);
    struct mr_stream *a = fake_open(f->w[0]), *b = fake_open(f->w[0]), *c = fake_open(f->w[0]);
    assert_output(c, "-ERR max number of clients reached\r\n");
    assert_int_equal(counter(f, CACHE_COUNTER_CONNECTIONS_REFUSED), 1);
    for (unsigned i = 0; i < 8; i++) {
        pass(f, MR_SECOND);
        say(b, "PING\r\n");
    }
    assert_true(fake_closed(a) && !fake_closed(b));
    assert_int_equal(counter(f, CACHE_COUNTER_IDLE_TIMEOUTS), 1);
    c = fake_open(f->w[0]);
    say(c, "PING\r\n");
    assert_output(c, "+PONG\r\n");
    fake_end(b);
    fake_end(c);
    end(f);
}

static void small_queries(struct cache_config *config)
{
    config->query_bytes_max = 64 << 10;
}

/* A command that is not whole grows over query_bytes_max: closed and counted. */
static void query_over_its_limit_is_cut(void **state)
{
    struct fixture *f = begin(1, small_queries);
    struct mr_stream *s = fake_open(f->w[0]);
    static char part[10000];
    memset(part, 'x', sizeof part);
    say(s, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n");
    for (unsigned i = 0; i < 20 && !fake_shutdown_seen(s); i++)
        fake_input(s, part, sizeof part);
    assert_true(fake_shutdown_seen(s));
    assert_int_equal(counter(f, CACHE_COUNTER_QUERY_OVERFLOWS), 1);
    end(f);
}

/* -- readers ------------------------------------------------------------------------------------------------------------------- */

/* Who does not read is bounded (no further commands run), then cut and counted; who reads slowly is not. */
static void reader_that_stands_still_is_cut_a_slow_one_is_not(void **state)
{
    struct fixture *f = begin(1, NULL);
    struct mr_stream *still = fake_open(f->w[0]), *slow = fake_open(f->w[0]);
    set_value(still, "k", 100000, 'a');
    fake_throttle(still, 1000);
    fake_throttle(slow, 1000);
    for (unsigned i = 0; i < 200; i++) {
        say(still, "GET k\r\n");
        say(slow, "GET k\r\n");
        turns(f);
    }
    struct cache_connection *c = &f->cache[0]->connections[0];
    assert_int_equal(c->state, CACHE_EXPECT_DRAIN);
    assert_in_range(c->output.bytes + c->output.lent, 1 << 20, (1 << 20) + 300000);
    for (unsigned i = 0; i < 30; i++) {
        pass(f, MR_SECOND);
        fake_acknowledge(slow, 100);
    }
    assert_true(fake_aborted(still) && !fake_aborted(slow));
    assert_int_equal(counter(f, CACHE_COUNTER_REPLY_TIMEOUTS), 1);
    fake_reset(slow);
    end(f);
}

static void idle_sooner(struct cache_config *config)
{
    config->idle_timeout = 2 * MR_SECOND;
}

/* The idle time is over while a reply is not acknowledged: no timer that is always due, and it is closed when the reply is taken. */
static void idle_with_a_reply_on_its_way_waits_for_it(void **state)
{
    struct fixture *f = begin(1, idle_sooner);
    struct mr_stream *s = fake_open(f->w[0]);
    fake_throttle(s, 1000);
    say(s, "PING\r\n");
    pass(f, 5 * MR_SECOND);
    assert_false(fake_closed(s));
    fake_acknowledge(s, SIZE_MAX);
    pass(f, 10 * MR_SECOND);
    assert_true(fake_closed(s) && !fake_aborted(s));
    assert_int_equal(counter(f, CACHE_COUNTER_IDLE_TIMEOUTS), 1);
    end(f);
}

/* A subscriber that does not read is cut when its messages are over push_bytes_max; others hear on. */
static void subscriber_that_does_not_read_is_cut(void **state)
{
    struct fixture *f = begin(1, NULL);
    struct mr_stream *deaf = fake_open(f->w[0]), *good = fake_open(f->w[0]), *from = fake_open(f->w[0]);
    static char query[6000];
    say(deaf, "SUBSCRIBE ch\r\n");
    say(good, "SUBSCRIBE ch\r\n");
    fake_throttle(deaf, 100);
    memset(query, 'm', sizeof query);
    memcpy(query, "PUBLISH ch ", 11);
    memcpy(query + 5000, "\r\n", 3);
    for (unsigned i = 0; i < 30; i++) {
        say(from, query);
        turns(f);
    }
    assert_true(fake_aborted(deaf));
    assert_int_equal(counter(f, CACHE_COUNTER_REPLY_OVERFLOWS), 1);
    size_t heard;
    fake_output(good, &heard);
    assert_true(heard > 30 * 4989);
    fake_end(good);
    fake_end(from);
    end(f);
}

/* -- lent values ----------------------------------------------------------------------------------------------------------------- */

/* A value that is being sent is replaced, appended to or deleted: what arrives is what was asked for. */
static void value_changed_in_flight_old_bytes_arrive(void **state)
{
    static const char *const changes[] = {
        "DEL k\r\n",    "SET k other\r\n", "APPEND k tail\r\n", "SETRANGE k 10 zzzz\r\n",
        "FLUSHALL\r\n", "PEXPIRE k 0\r\n", "GETSET k x\r\n",    "RENAME k l\r\n"};
    static const size_t sizes[] = {1024, 5000, 16384, 70000, 200000};
    for (unsigned i = 0; i < sizeof changes / sizeof *changes * 5; i++) {
        struct fixture *f = begin(1, NULL);
        struct mr_stream *reader = fake_open(f->w[0]), *writer = fake_open(f->w[0]);
        size_t bytes = sizes[i % 5], n;
        set_value(writer, "k", bytes, 'o');
        fake_throttle(reader, 300);
        say(reader, "GET k\r\n");
        say(writer, changes[i / 5]);
        for (unsigned round = 0; round < 2000 && (fake_output(reader, &n), n < bytes + 2); round++) {
            fake_acknowledge(reader, 300);
            turns(f);
        }
        const char *text = strchr(fake_output(reader, &n), '\n') + 1;
        for (size_t k = 0; k < bytes; k++)
            assert_int_equal(text[k], 'o');
        for (unsigned round = 0; round < 3; round++) { /* the end of the reply, which there was no room for */
            fake_acknowledge(reader, SIZE_MAX);
            turns(f);
        }
        say(writer, "FLUSHALL\r\n");
        pass(f, MR_SECOND);
        assert_int_equal(f->cache[0]->store.database[0].count, 0);
        fake_end(reader);
        fake_end(writer);
        end(f);
    }
}

/* -- several workers --------------------------------------------------------------------------------------------------------------- */

/* A key of worker 0 and one of worker 1. */
static void keys_of(const struct fixture *f, char key[2][8])
{
    for (unsigned found = 0, i = 0; found != 3; i++) {
        char name[8];
        unsigned n = (unsigned)sprintf(name, "k%u", i);
        unsigned owner = cache_slot_owner(cache_key_slot((struct mr_span){(const uint8_t *)name, n}), f->workers);
        strcpy(key[owner], name);
        found |= 1u << owner;
    }
}

/* A blocked command has its place behind a forwarded one; its client goes: the connection is free again. */
static void blocked_behind_forwarded_client_goes_connection_is_free(void **state)
{
    struct fixture *f = begin(2, NULL);
    char key[2][8], query[64];
    keys_of(f, key);
    for (unsigned i = 0; i < 20; i++) { /* more than connections_max */
        struct mr_stream *s = fake_open(f->w[0]);
        sprintf(query, "GET %s\r\nBLPOP %s 0\r\n", key[1], key[0]);
        say(s, query);
        turns(f);
        assert_output(s, "$-1\r\n");
        fake_reset(s);
        turns(f);
    }
    assert_int_equal(counter(f, CACHE_COUNTER_CONNECTIONS_REFUSED), 0);
    assert_int_equal(f->cache[0]->waiters, 0);
    end(f);
}

/* ... and CLIENT UNBLOCK is answered in its place, and what follows is answered, too. */
static void unblocked_behind_forwarded_answers_in_place(void **state)
{
    struct fixture *f = begin(2, NULL);
    struct mr_stream *s = fake_open(f->w[0]), *other = fake_open(f->w[0]);
    char key[2][8], query[96];
    keys_of(f, key);
    sprintf(query, "GET %s\r\nBLPOP %s 0\r\nECHO after\r\n", key[1], key[0]);
    say(s, query);
    turns(f);
    sprintf(query, "CLIENT UNBLOCK %llu ERROR\r\n", (unsigned long long)f->cache[0]->connections[0].client.id);
    say(other, query);
    turns(f);
    assert_output(s, "$-1\r\n-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n$5\r\nafter\r\n");
    fake_end(s);
    fake_end(other);
    end(f);
}

/* A command of two owners stands behind a local one that had to wait in its place: it runs when that one has answered. */
static void command_behind_a_waiting_place_runs(void **state)
{
    struct fixture *f = begin(2, NULL);
    struct mr_stream *s = fake_open(f->w[0]);
    char key[2][8], query[128];
    keys_of(f, key);
    sprintf(query, "GET %s\r\nBLPOP %s 0.05\r\nDEL %s %s\r\nECHO after\r\n", key[1], key[0], key[0], key[1]);
    say(s, query);
    turns(f);
    pass(f, 100 * MR_MILLISECOND);
    turns(f);
    assert_output(s, "$-1\r\n*-1\r\n:0\r\n$5\r\nafter\r\n");
    fake_end(s);
    end(f);
}

/* A blocking command with a time-out waits that long, and not a turn less. */
static void blocked_with_timeout_waits_so_long(void **state)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fixture *f = begin(workers, NULL);
        struct mr_stream *s = fake_open(f->w[0]);
        say(s, "BLPOP q r 0.5\r\n");
        turns(f);
        pass(f, 400 * MR_MILLISECOND);
        assert_output(s, "");
        pass(f, 90 * MR_MILLISECOND);
        assert_output(s, "");
        pass(f, 20 * MR_MILLISECOND);
        turns(f);
        assert_output(s, "*-1\r\n");
        fake_end(s);
        end(f);
    }
}

/* While our shard is with another worker, a client with half a long argument goes: its extents wait until the shard is back. */
static void long_argument_let_go_while_the_shard_is_away(void **state)
{
    struct fixture *f = begin(2, NULL);
    struct mr_stream *half = fake_open(f->w[0]), *holder = fake_open(f->w[1]);
    char key[2][8], query[96];
    static char part[40000];
    keys_of(f, key);
    uint64_t before = f->cache[0]->store.memory.allocations;
    memset(part, 'x', sizeof part);
    say(half, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n");
    fake_input(half, part, sizeof part);
    sprintf(query, "MGET %s %s\r\n", key[0], key[1]);
    say(holder, query);
    for (unsigned i = 0; i < 8 && cache_shard_free(f->cache[0]); i++)
        fake_turn(f->w[(i + 1) % 2]);
    assert_true(!cache_shard_free(f->cache[0]));
    uint64_t held = f->cache[0]->store.memory.allocations;
    assert_true(held > before);
    fake_reset(half);
    fake_turn(f->w[0]);
    if (!cache_shard_free(f->cache[0]))
        assert_int_equal(f->cache[0]->store.memory.allocations, held);
    turns(f);
    assert_int_equal(f->cache[0]->store.memory.allocations, before);
    assert_output(holder, "*2\r\n$-1\r\n$-1\r\n");
    fake_end(holder);
    end(f);
}

static void evicting(struct cache_config *config)
{
    config->memory_max = 1 << 20;
    config->policy = (char *)(uintptr_t) "allkeys-lru";
}

/* Memory is full and the policy evicts: long values in pieces make their room, none closes its connection. */
static void long_values_in_full_memory_make_their_room(void **state)
{
    struct fixture *f = begin(1, evicting);
    struct mr_stream *s = fake_open(f->w[0]);
    static char value[30000];
    char head[64];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 300; i++) {
        int n = sprintf(head, "*3\r\n$3\r\nSET\r\n$5\r\nk:%03u\r\n$%zu\r\n", i, sizeof value);
        fake_input_quietly(s, head, (size_t)n);
        for (size_t at = 0; at < sizeof value; at += 10000) {
            fake_input(s, value + at, 10000);
            turns(f);
        }
        say(s, "\r\n");
        turns(f);
        assert_output(s, "+OK\r\n");
    }
    assert_true(f->cache[0]->store.stat.evicted > 200);
    fake_end(s);
    end(f);
}

static void tiny_clients(struct cache_config *config)
{
    config->client_memory_max = 1 << 20;
    config->query_bytes_max = 16 << 20;
}

/* Memory of clients ends: who asks for more is closed and counted, and all recovers when it has gone. */
static void clients_memory_ends_is_counted_and_recovers(void **state)
{
    struct fixture *f = begin(1, tiny_clients);
    struct mr_stream *greedy = fake_open(f->w[0]), *s = fake_open(f->w[0]);
    static char word[16 << 10];
    memset(word, 'w', sizeof word);
    say(greedy, "*1000\r\n$4\r\nMGET\r\n");
    for (unsigned i = 0; i < 200 && !fake_shutdown_seen(greedy); i++) {
        say(greedy, "$16384\r\n");
        fake_input(greedy, word, sizeof word);
        say(greedy, "\r\n");
    }
    assert_true(fake_shutdown_seen(greedy));
    assert_int_equal(counter(f, CACHE_COUNTER_QUERY_OVERFLOWS), 1);
    say(s, "SET k v\r\nGET k\r\n");
    assert_output(s, "+OK\r\n$1\r\nv\r\n");
    fake_end(s);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipeline_any_split_same_replies),
        cmocka_unit_test(half_written_peer_goes_nothing_left),
        cmocka_unit_test(odd_names_and_keys_are_refused),
        cmocka_unit_test(lines_of_a_browser_end_the_connection),
        cmocka_unit_test(before_auth_limits_are_narrow),
        cmocka_unit_test(connections_over_the_limit_are_refused_idle_ones_go),
        cmocka_unit_test(query_over_its_limit_is_cut),
        cmocka_unit_test(reader_that_stands_still_is_cut_a_slow_one_is_not),
        cmocka_unit_test(idle_with_a_reply_on_its_way_waits_for_it),
        cmocka_unit_test(subscriber_that_does_not_read_is_cut),
        cmocka_unit_test(value_changed_in_flight_old_bytes_arrive),
        cmocka_unit_test(blocked_behind_forwarded_client_goes_connection_is_free),
        cmocka_unit_test(unblocked_behind_forwarded_answers_in_place),
        cmocka_unit_test(command_behind_a_waiting_place_runs),
        cmocka_unit_test(blocked_with_timeout_waits_so_long),
        cmocka_unit_test(long_argument_let_go_while_the_shard_is_away),
        cmocka_unit_test(long_values_in_full_memory_make_their_room),
        cmocka_unit_test(clients_memory_ends_is_counted_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
