/* Workers of the cache on threads of their own, over fake streams and mailboxes with a lock: what one worker touches of another's is
 * for ThreadSanitizer to see (meson setup -Db_sanitize=thread). DPDK's rings would hide it. The sum of the accounts stays what it is. */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/connection.h"
#include "tests/support/seed.h"
#include "tests/support/service_group.h"

#define WORKERS  3
#define CLIENTS  4    /* of each worker */
#define COMMANDS 3000 /* of each worker */
#define PATIENCE 300  /* visits to a client that has not been answered, until it gets the next command all the same */
#define ACCOUNTS 8
#define EACH     1000

struct thread {
    pthread_t id;
    unsigned index;
    struct mr_worker *w;
    struct cache *cache;
    struct mr_random random;
    struct mr_stream *client[CLIENTS];
    unsigned patience[CLIENTS];
    uint64_t replies;
};

static struct thread threads[WORKERS];
static atomic_uint running; /* threads that have not ended: who has ended turns on for the others */

static uint32_t below(struct thread *t, uint32_t bound)
{
    return mr_random_below(&t->random, bound);
}

/* %a: an account, %k: a key, %q: a queue. */
static const char *const commands[] = {
    "MULTI\r\nDECRBY %a 5\r\nINCRBY %b 5\r\nEXEC\r\n",
    "WATCH %a\r\nMULTI\r\nDECRBY %a 7\r\nINCRBY %b 7\r\nEXEC\r\n",
    "SET %k %v PX 3\r\n",
    "SET %k %v\r\n",
    "GET %k\r\n",
    "APPEND %k tail\r\n",
    "MGET %k %a %b\r\n",
    "MSET %k 1 %j 2\r\n",
    "RENAME %k %j\r\n",
    "COPY %k %j REPLACE\r\n",
    "DEL %k %j\r\n",
    "RPUSH %q x\r\n",
    "LPOP %q\r\n",
    "BLPOP %q %p 0.003\r\n",
    "BLMOVE %q %p LEFT RIGHT 0.002\r\n",
    "PUBLISH ch hello\r\n",
    "SCAN 0 COUNT 20\r\n",
    "DBSIZE\r\n",
    "INFO\r\n",
    "CLIENT LIST\r\n",
    "CONFIG SET maxmemory-policy allkeys-lru\r\n",
    "CONFIG SET maxmemory-policy allkeys-s3fifo\r\n",
    "WATCH %k %a\r\n",
    "UNWATCH\r\n",
    "RANDOMKEY\r\n",
    "MEMORY STATS\r\n",
    "CLIENT KILL TYPE pubsub\r\n",
};

static size_t write_command(struct thread *t, const char *format, char *to)
{
    char *at = to;
    unsigned a = below(t, ACCOUNTS);
    for (; *format; format++) {
        if (*format != '%') {
            *at++ = *format;
            continue;
        }
        switch (*++format) {
        case 'a':
        case 'b':
            at += sprintf(at, "account:%u", *format == 'a' ? a : (a + 3) % ACCOUNTS);
            break;
        case 'k':
        case 'j':
            at += sprintf(at, "key:%u", below(t, 40));
            break;
        case 'q':
        case 'p':
            at += sprintf(at, "queue:%u", below(t, 6));
            break;
        case 'v':
            memset(at, 'v', 2000);
            at += below(t, 4) ? 20 : 2000;
            break;
        }
    }
    return (size_t)(at - to);
}

/* A long value in two pieces, its end now or with the client's next visit. */
static void send_long(struct thread *t, struct mr_stream *s)
{
    static const size_t bytes = 30000;
    char *query = malloc(bytes + 100);
    assert(query);
    size_t n = (size_t)sprintf(query, "*3\r\n$3\r\nSET\r\n$6\r\nlong:%u\r\n$%zu\r\n", below(t, 10), bytes);
    memset(query + n, 'l', bytes);
    memcpy(query + n + bytes, "\r\n", 2);
    fake_input(s, query, n + bytes / 2);
    fake_turn(t->w);
    if (!fake_closed(s))
        fake_input(s, query + n + bytes / 2, bytes - bytes / 2 + 2);
    free(query);
}

/* True: it got a command. */
static bool visit(struct thread *t, unsigned i)
{
    char query[8192];
    struct mr_stream **peer = &t->client[i];
    size_t n;
    if (!*peer || fake_closed(*peer)) {
        *peer = fake_open(t->w);
        t->patience[i] = 0;
        if (below(t, 20) == 0)
            fake_input(*peer, "SUBSCRIBE ch\r\n", 14);
        return false;
    }
    fake_output(*peer, &n);
    fake_output_clear(*peer);
    t->replies += n != 0;
    if (!n && t->patience[i]) {
        t->patience[i]--;
        return false;
    }
    t->patience[i] = PATIENCE;
    if (below(t, 100) == 0) {
        fake_reset(*peer);
    } else if (below(t, 12) == 0) {
        send_long(t, *peer);
    } else {
        n = write_command(t, commands[below(t, sizeof commands / sizeof *commands)], query);
        fake_input(*peer, query, n);
    }
    return true;
}

static void *thread_run(void *argument)
{
    struct thread *t = argument;
    for (unsigned sent = 0; sent < COMMANDS;) {
        sent += visit(t, below(t, CLIENTS));
        if (below(t, 20) == 0)
            fake_pass(t->w, below(t, 4) * MR_MILLISECOND + 1000);
        else
            fake_turn(t->w);
        sched_yield();
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->client[i] && !fake_closed(t->client[i]))
            fake_reset(t->client[i]);
    fake_turn(t->w);
    atomic_fetch_sub(&running, 1);
    while (atomic_load(&running)) {
        fake_turn(t->w);
        sched_yield();
    }
    return NULL;
}

static struct service_group group;

static void start(struct cache_config *config)
{
    service_group_start(&group, &cache_service, config, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        threads[i].w = group.w[i];
        threads[i].cache = group.state[i];
    }
}

static void settle(void)
{
    for (unsigned i = 0; i < 200 * WORKERS; i++)
        fake_pass(threads[i % WORKERS].w, MR_MILLISECOND);
}

static void say(struct mr_stream *s, const char *text)
{
    fake_input(s, text, strlen(text));
    settle();
}

static void accounts_set(struct mr_stream *s)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char query[64];
        sprintf(query, "SET account:%u %u\r\n", i, EACH);
        say(s, query);
    }
    fake_output_clear(s);
}

static long accounts_sum(struct mr_stream *s)
{
    long sum = 0;
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char query[64];
        fake_output_clear(s);
        sprintf(query, "GET account:%u\r\n", i);
        say(s, query);
        const char *line = strchr(fake_output(s, NULL), '\n');
        assert(line);
        sum += strtol(line + 1, NULL, 10);
    }
    return sum;
}

static void stop(void)
{
    service_group_stop(&group);
    settle();
    for (unsigned i = 0; i < WORKERS; i++) {
        cache_store_check(&threads[i].cache->store);
        memory_check(&threads[i].cache->clients);
        assert(!threads[i].cache->connections_open && !threads[i].cache->waiters && !threads[i].cache->holder);
    }
    service_group_end(&group);
}

int main(int argc, char **argv)
{
    struct cache_config config = {.memory_max = 24 << 20,
                                  .policy = (char *)(uintptr_t) "allkeys-s3fifo",
                                  .connections_max = 64,
                                  .client_memory_max = 16 << 20,
                                  .query_bytes_max = 1 << 20,
                                  .reply_bytes_max = 1 << 20,
                                  .push_bytes_max = 1 << 20,
                                  .reply_timeout = 60 * MR_SECOND,
                                  .commands_per_turn = 16,
                                  .item_bytes_max = 1 << 20};
    uint64_t seed = support_seed(argv[0]), replies = 0, holds = 0, forwarded = 0;
    start(&config);
    struct mr_stream *s = fake_open(threads[0].w);
    accounts_set(s);
    atomic_store(&running, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        threads[i].index = i;
        mr_random_seed(&threads[i].random, seed + i);
        assert(pthread_create(&threads[i].id, NULL, thread_run, &threads[i]) == 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i].id, NULL);
    settle();
    assert(accounts_sum(s) == ACCOUNTS * EACH);
    fake_end(s);
    settle();
    for (unsigned i = 0; i < WORKERS; i++) {
        replies += threads[i].replies;
        holds += group.counters[i][CACHE_COUNTER_HOLDS];
        forwarded += group.counters[i][CACHE_COUNTER_COMMANDS_FORWARDED];
    }
    stop();
    printf("%lu replies, %lu holds, %lu forwarded\n", (unsigned long)replies, (unsigned long)holds,
           (unsigned long)forwarded);
    assert(replies && holds && forwarded);
    return 0;
}
