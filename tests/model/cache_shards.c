/* Several workers, each with its shard, turned in random order, and clients on all of them: whatever is forwarded, held, blocked or
 * published, each client's replies come in order and whole, accounts keep their sum in the eyes of everybody, no element of a queue
 * is lost or doubled, and at the end no byte is left with anyone. */
#include <assert.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/command/table.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"
#include "tests/support/seed.h"
#include "tests/support/service_group.h"

#define WORKERS_MAX 4
#define CLIENTS     12
#define ACCOUNTS    16
#define STEPS       60000
#define SUM         (ACCOUNTS * 1000)

static struct mr_worker *workers[WORKERS_MAX];
static struct cache *caches[WORKERS_MAX];
static unsigned worker_count;
static struct mr_random random_numbers;
static uint64_t pushed, popped, transfers, sums, forwarded, waits, echoes, large;
static uint64_t pushed_sum, popped_sum;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&random_numbers, bound);
}

/* What a client has asked and not yet been answered, in order. */
enum expected {
    EXPECT_ECHO,
    EXPECT_OK,
    EXPECT_INTEGER,
    EXPECT_SUM,
    EXPECT_POP,
    EXPECT_BLOCK,
    EXPECT_QUEUED,
    EXPECT_TRANSFER,
    EXPECT_LARGE,
    EXPECT_ANY_BULK
};
struct question {
    enum expected kind;
    uint32_t number;
};
struct client {
    struct mr_stream *stream;
    struct question asked[64];
    unsigned first, count;
    size_t read; /* of fake_output */
    bool blocked;
};
static struct client clients[CLIENTS];

static void ask(struct client *c, enum expected kind, uint32_t number)
{
    assert(c->count < 64);
    c->asked[(c->first + c->count++) % 64] = (struct question){kind, number};
}

/* -- requests ------------------------------------------------------------------------------------------------------------ */

static char query[1 << 20];
static size_t query_used;

static void word(const void *data, size_t n)
{
    query_used += (size_t)sprintf(query + query_used, "$%zu\r\n", n);
    memcpy(query + query_used, data, n);
    query_used += n;
    memcpy(query + query_used, "\r\n", 2);
    query_used += 2;
}

static void command(unsigned argc, const char *const *argv)
{
    query_used += (size_t)sprintf(query + query_used, "*%u\r\n", argc);
    for (unsigned i = 0; i < argc; i++)
        word(argv[i], strlen(argv[i]));
}
#define COMMAND(...) command(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static const char *account(unsigned n)
{
    static char text[4][16];
    static unsigned at;
    char *t = text[at++ % 4];
    sprintf(t, "account:%u", n);
    return t;
}

static void ask_sum(struct client *c)
{
    const char *argv[ACCOUNTS + 1] = {"MGET"};
    char names[ACCOUNTS][16];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        sprintf(names[i], "account:%u", i);
        argv[i + 1] = names[i];
    }
    command(ACCOUNTS + 1, argv);
    ask(c, EXPECT_SUM, 0);
}

static void ask_transfer(struct client *c)
{
    char amount[16];
    unsigned from = below(ACCOUNTS), to = below(ACCOUNTS);
    sprintf(amount, "%u", below(100));
    if (below(3) == 0) {
        COMMAND("WATCH", account(from));
        ask(c, EXPECT_OK, 0);
    }
    COMMAND("MULTI");
    ask(c, EXPECT_OK, 0);
    COMMAND("DECRBY", account(from), amount);
    ask(c, EXPECT_QUEUED, 0);
    COMMAND("INCRBY", account(to), amount);
    ask(c, EXPECT_QUEUED, 0);
    COMMAND("EXEC");
    ask(c, EXPECT_TRANSFER, 0);
}

static void ask_large(struct client *c)
{
    static char value[100000];
    char key[16];
    unsigned n = below(4), size = 20000 + below(80000);
    sprintf(key, "large:%u", n);
    memset(value, 'a' + (int)below(26), size);
    query_used += (size_t)sprintf(query + query_used, "*3\r\n");
    word("SET", 3);
    word(key, strlen(key));
    word(value, size);
    ask(c, EXPECT_OK, 0);
    COMMAND("GET", key);
    ask(c, EXPECT_LARGE, 0);
}

static bool known(const char *name)
{
    return cache_command_find(name, strlen(name)) != NULL;
}

static void ask_something(struct client *c)
{
    char key[24], text[24];
    sprintf(key, "key:%u", below(200));
    sprintf(text, "%u", below(1u << 30));
    switch (below(13)) {
    case 0:
    case 1:
        if (!known("ECHO"))
            break;
        COMMAND("ECHO", text);
        ask(c, EXPECT_ECHO, (uint32_t)atoi(text));
        break;
    case 2:
    case 3:
        COMMAND("SET", key, text);
        ask(c, EXPECT_OK, 0);
        break;
    case 4:
        COMMAND("GET", key);
        ask(c, EXPECT_ANY_BULK, 0);
        break;
    case 5:
        COMMAND("INCRBY", "counter", "1");
        ask(c, EXPECT_INTEGER, 0);
        break;
    case 6:
        if (known("MULTI"))
            ask_transfer(c);
        break;
    case 7:
        ask_sum(c);
        break;
    case 8:
        sprintf(key, "queue:%u", below(3));
        COMMAND(below(2) ? "RPUSH" : "LPUSH", key, text);
        pushed++;
        pushed_sum += (uint64_t)atoi(text);
        ask(c, EXPECT_INTEGER, 0);
        break;
    case 9:
        sprintf(key, "queue:%u", below(3));
        COMMAND("LPOP", key);
        ask(c, EXPECT_POP, 0);
        break;
    case 10:
        COMMAND("BLPOP", "queue:0", "queue:1", "queue:2", "0.05");
        ask(c, EXPECT_BLOCK, 0);
        break;
    case 11:
        COMMAND("PUBLISH", "channel", text);
        ask(c, EXPECT_INTEGER, 0);
        break;
    case 12:
        if (below(8) == 0)
            ask_large(c);
        else {
            COMMAND("DEL", key, "key:1", "key:2", "key:3");
            ask(c, EXPECT_INTEGER, 0);
        }
        break;
    }
}

/* In random pieces. */
static void send_query(struct client *c)
{
    size_t at = 0;
    while (at < query_used) {
        size_t left = query_used - at, n = below(4) ? left : 1 + below((uint32_t)(left < 2000 ? left : 2000));
        fake_input(c->stream, query + at, n);
        at += n;
    }
    query_used = 0;
}

/* -- replies -------------------------------------------------------------------------------------------------------------- */

/* Bytes of one whole reply at `text`, 0: not all there. */
static size_t reply_length(const char *text, size_t n)
{
    const char *end = memchr(text, '\n', n);
    if (!end)
        return 0;
    size_t line = (size_t)(end - text) + 1;
    long count = strtol(text + 1, NULL, 10);
    if (*text == '$')
        return count < 0 ? line : line + (size_t)count + 2 <= n ? line + (size_t)count + 2 : 0;
    if (*text != '*' || count < 0)
        return line;
    for (long i = 0; i < count; i++) {
        size_t one = reply_length(text + line, n - line);
        if (!one)
            return 0;
        line += one;
    }
    return line;
}

static uint32_t bulk_number(const char *text)
{
    return (uint32_t)strtoul(strchr(text, '\n') + 1, NULL, 10);
}

static void check_sum(const char *text)
{
    long sum = 0;
    const char *at = strchr(text, '\n') + 1;
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        assert(*at == '$' && at[1] != '-');
        at = strchr(at, '\n') + 1;
        sum += strtol(at, NULL, 10);
        at = strchr(at, '\n') + 1;
    }
    assert(sum == SUM);
    sums++;
}

static void check_large(const char *text)
{
    size_t n = strtoul(text + 1, NULL, 10);
    const char *bytes = strchr(text, '\n') + 1;
    assert(*text == '$' && n >= 20000);
    for (size_t i = 1; i < n; i++) /* whose ever it is: one value, not pieces of two */
        assert(bytes[i] == bytes[0]);
    large++;
}

static void popped_one(const char *text)
{
    popped++;
    popped_sum += bulk_number(text);
}

static void check_reply(struct question q, const char *text)
{
    if (*text == '-')
        printf("  to question %d: %.80s\n", (int)q.kind, text);
    assert(*text != '-');
    switch (q.kind) {
    case EXPECT_ECHO:
        assert(bulk_number(text) == q.number);
        echoes++;
        break;
    case EXPECT_OK:
        assert(!strncmp(text, "+OK", 3));
        break;
    case EXPECT_QUEUED:
        assert(!strncmp(text, "+QUEUED", 7));
        break;
    case EXPECT_INTEGER:
        assert(*text == ':');
        break;
    case EXPECT_SUM:
        check_sum(text);
        break;
    case EXPECT_POP:
        assert(*text == '$');
        if (text[1] != '-')
            popped_one(text);
        break;
    case EXPECT_BLOCK:
        assert(*text == '*');
        waits++;
        if (text[1] == '2') { /* the key, the element */
            const char *key = strchr(text, '\n') + 1;
            popped_one(key + reply_length(key, 64));
        }
        break;
    case EXPECT_TRANSFER:
        assert(!strncmp(text, "*2", 2) || !strncmp(text, "*-1", 3));
        transfers++;
        break;
    case EXPECT_LARGE:
        check_large(text);
        break;
    case EXPECT_ANY_BULK:
        assert(*text == '$');
        break;
    }
}

static void read_replies(struct client *c)
{
    size_t n, one;
    const char *text = fake_output(c->stream, &n);
    while (c->read < n && (one = reply_length(text + c->read, n - c->read))) {
        assert(c->count);
        check_reply(c->asked[c->first], text + c->read);
        c->first = (c->first + 1) % 64;
        c->count--;
        c->read += one;
    }
    if (c->read == n && n > 100000) {
        fake_output_clear(c->stream);
        c->read = 0;
    }
}

/* -- the world ------------------------------------------------------------------------------------------------------------- */

static struct cache_config config;
static struct service_group group;

static void start(void)
{
    config = (struct cache_config){.memory_max = 64 << 20,
                                   .policy = (char *)"allkeys-s3fifo",
                                   .connections_max = 64,
                                   .client_memory_max = 64 << 20,
                                   .query_bytes_max = 64 << 20,
                                   .reply_bytes_max = 64 << 20,
                                   .push_bytes_max = 32 << 20,
                                   .reply_timeout = 60 * MR_SECOND,
                                   .commands_per_turn = 16,
                                   .item_bytes_max = 1 << 20};
    service_group_start(&group, &cache_service, &config, worker_count);
    for (unsigned i = 0; i < worker_count; i++) {
        workers[i] = group.w[i];
        caches[i] = group.state[i];
    }
}

static void turn_some(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct mr_worker *w = workers[below(worker_count)];
        if (below(10) == 0)
            fake_pass(w, below(5) * MR_MILLISECOND);
        else
            fake_turn(w);
    }
}

static bool settled(void)
{
    bool all = true;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].stream)
            read_replies(&clients[i]);
        all &= clients[i].count == 0;
    }
    for (unsigned i = 0; i < worker_count; i++)
        all &= !fake_worker_busy(workers[i]);
    return all;
}

static void settle(void)
{
    for (unsigned round = 0; round < 20000 && (round < 4 || !settled()); round++)
        for (unsigned i = 0; i < worker_count; i++)
            fake_pass(workers[i], MR_MILLISECOND);
}

static void client_open(unsigned i)
{
    clients[i] = (struct client){.stream = fake_open(workers[i % worker_count])};
}

/* One that goes in the middle of whatever it had asked: what it popped, if anything, went with it. */
static void client_replace(unsigned i)
{
    struct client *c = &clients[i];
    settle();
    assert(!c->count);
    COMMAND("MULTI");
    COMMAND("GET", "key:1", "key:2"); /* wrong arity: nothing of it stays */
    COMMAND("WATCH", "key:1");
    send_query(c);
    if (below(2)) {
        COMMAND("RESET");
        COMMAND("MGET", "account:0", "account:1", "account:2", "account:3");
        COMMAND("GET", "large:1");
        send_query(c);
    }
    if (below(2))
        fake_reset(c->stream);
    else
        fake_end(c->stream);
    fake_turn(workers[i % worker_count]);
    client_open(i);
}

static void check_all(void)
{
    for (unsigned i = 0; i < worker_count; i++) {
        cache_store_check(&caches[i]->store);
        memory_check(&caches[i]->clients);
        for (uint32_t k = 0; k < caches[i]->connections_used; k++)
            cache_connection_check(&caches[i]->connections[k]);
    }
}

static void drain_queues(void)
{
    struct client *c = &clients[0];
    for (unsigned q = 0; q < 3; q++)
        for (unsigned done = 0; !done;) {
            char key[16];
            uint64_t before = popped;
            sprintf(key, "queue:%u", q);
            for (unsigned k = 0; k < 40; k++) {
                COMMAND("LPOP", key);
                ask(c, EXPECT_POP, 0);
            }
            send_query(c);
            settle();
            done = popped == before;
        }
    assert(pushed == popped && pushed_sum == popped_sum);
}

static void stop(void)
{
    uint64_t left = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        fake_end(clients[i].stream);
    COMMAND("PING");
    query_used = 0;
    settle();
    for (unsigned i = 0; i < worker_count; i++) {
        assert(fake_streams_open(workers[i]) == 0 && caches[i]->connections_open == 0);
        assert(!caches[i]->holder && !caches[i]->stalled && !caches[i]->hold_queue && !caches[i]->waiters);
        left += caches[i]->clients.allocations;
    }
    service_group_stop(&group);
    for (unsigned i = 0; i < worker_count; i++)
        forwarded += group.counters[i][CACHE_COUNTER_COMMANDS_FORWARDED];
    service_group_end(&group);
    fflush(stdout);
    printf("  %u workers: %lu allocations of clients' memory left with the instances themselves\n", worker_count,
           (unsigned long)left);
}

static void accounts_set(void)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        COMMAND("SET", account(i), "1000");
        ask(&clients[0], EXPECT_OK, 0);
    }
    send_query(&clients[0]);
    settle();
}

static void run(unsigned n)
{
    worker_count = n;
    pushed = popped = pushed_sum = popped_sum = transfers = sums = forwarded = waits = echoes = large = 0;
    start();
    for (unsigned i = 0; i < CLIENTS; i++)
        client_open(i);
    accounts_set();
    for (unsigned step = 0; step < STEPS / n; step++) {
        struct client *c = &clients[below(CLIENTS)];
        if (c->count < 40) {
            for (unsigned k = 1 + below(4); k; k--)
                ask_something(c);
            send_query(c);
        }
        turn_some(below(4));
        read_replies(c);
        if (step % 5000 == 4999)
            client_replace(below(CLIENTS));
        if (step % 1000 == 0)
            check_all();
    }
    settle();
    for (unsigned i = 0; i < CLIENTS; i++)
        assert(clients[i].count == 0);
    ask_sum(&clients[1]);
    send_query(&clients[1]);
    settle();
    drain_queues();
    check_all();
    stop();
    printf("  %lu forwarded, %lu transfers, %lu sums, %lu elements, %lu waits, %lu echoes, %lu large values\n",
           (unsigned long)forwarded, (unsigned long)transfers, (unsigned long)sums, (unsigned long)pushed,
           (unsigned long)waits, (unsigned long)echoes, (unsigned long)large);
    assert((transfers || !known("MULTI")) && sums && pushed && waits && (echoes || !known("ECHO")) && large &&
           (n == 1 || forwarded));
}

int main(int argc, char **argv)
{
    mr_random_seed(&random_numbers, support_seed(argv[0]));
    for (unsigned n = 1; n <= WORKERS_MAX; n++)
        run(n);
    return 0;
}
