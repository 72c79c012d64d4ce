/* Commands of hashes and sets where memory is always short and keys are evicted under them: no command takes more than the
 * limit, fails half way, or keeps a pointer to what was evicted for it (with ASan). */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/random.h>

#include "tests/support/cache_session.h"
#include "tests/support/seed.h"

#define COMMANDS 6000
#define LIMIT    (300u << 10)

static struct mr_random chance;
static char line[65536];

static unsigned below(unsigned bound)
{
    return mr_random_below(&chance, bound);
}

static void word(unsigned *n, const char *prefix, unsigned bound)
{
    *n += (unsigned)snprintf(line + *n, sizeof line - *n, " %s%u", prefix, below(bound));
}

static void text(unsigned *n)
{
    static const unsigned longest[] = {8, 8, 60, 70, 1000, 9000};
    *n += (unsigned)snprintf(line + *n, sizeof line - *n, " %0*u", (int)below(longest[below(6)]) + 1, below(1000));
}

/* Hashes are h0 to h19, sets s0 to s19: no command meets the wrong type. */
static void random_command(void)
{
    static const char *const algebra[] = {"SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"};
    unsigned n = 0, elements = 1 + below(below(4) ? 4 : 60);
    switch (below(8)) {
    case 0:
    case 1:
        n = (unsigned)snprintf(line, sizeof line, "HSET h%u", below(20));
        for (unsigned i = 0; i < elements && n < sizeof line - 10000; i++)
            word(&n, "f", 300), text(&n);
        break;
    case 2:
        n = (unsigned)snprintf(line, sizeof line, "HINCRBYFLOAT h%u n%u 0.5", below(20), below(50));
        break;
    case 3:
        n = (unsigned)snprintf(line, sizeof line, "HDEL h%u f%u f%u", below(20), below(300), below(300));
        break;
    case 4:
        n = (unsigned)snprintf(line, sizeof line, "SADD s%u", below(20));
        for (unsigned i = 0, integers = below(2); i < elements; i++)
            word(&n, integers ? "" : "m", 2000);
        break;
    case 5:
        n = (unsigned)snprintf(line, sizeof line, "%s s%u", algebra[below(3)], below(20));
        for (unsigned i = 0; i < 3; i++)
            word(&n, "s", 20);
        break;
    case 6:
        n = (unsigned)snprintf(line, sizeof line, "SMOVE s%u s%u m%u", below(20), below(20), below(2000));
        break;
    default:
        n = (unsigned)snprintf(line, sizeof line, "SPOP s%u %u", below(20), below(30));
    }
}

static void run(const char *policy, unsigned shards, bool *refused, bool *evicted)
{
    struct cache_session *s =
        cache_session_start(&(struct cache_session_options){.memory_max = LIMIT, .policy = policy, .shards = shards});
    *refused = *evicted = false;
    for (unsigned i = 0; i < COMMANDS; i++) {
        random_command();
        const char *reply = cache_session_run(s, line, NULL);
        bool error = reply[0] == '-';
        if (error && strncmp(reply, "-OOM ", 5) && strncmp(reply, "-ERR hash value", 15))
            fail_msg("%.200s: %s", line, reply);
        if (error && s->changes)
            fail_msg("%.200s: refused after %u changes", line, (unsigned)s->changes);
        *refused |= error;
        for (unsigned w = 0; w < s->shared.workers; w++) {
            const struct cache_store *store = &s->shared.instance[w]->store;
            assert_true(store->memory.used <= LIMIT);
            *evicted |= store->stat.evicted > 0;
        }
        if (below(200) == 0)
            cache_session_check(s);
    }
    cache_session_run(s, "UNLINK h0 h1 h2 s0 s1 s2", NULL);
    cache_session_settle(s);
    cache_session_check(s);
    cache_session_stop(s);
}

static void commands_live_with_eviction(void **state)
{
    (void)state;
    static const char *const policies[] = {"allkeys-s3fifo", "allkeys-lru", "allkeys-random"};
    mr_random_seed(&chance, support_seed("model-cache_pressure"));
    for (unsigned i = 0; i < 3; i++) {
        bool refused, evicted;
        run(policies[i], 1 + i, &refused, &evicted);
        assert_true(evicted);
    }
}

static void commands_live_with_refusal(void **state)
{
    (void)state;
    mr_random_seed(&chance, support_seed("model-cache_pressure"));
    for (unsigned shards = 1; shards <= 2; shards++) {
        bool refused, evicted;
        run("noeviction", shards, &refused, &evicted);
        assert_true(refused);
        assert_false(evicted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_live_with_eviction),
        cmocka_unit_test(commands_live_with_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
