/* Commands and what answers them, where line ends in replies would only hide what they say: a space stands for each, none for
 * the last. Every test of a file runs on one shard and on three. */
#ifndef TESTS_SUPPORT_CACHE_EXCHANGE_H
#define TESTS_SUPPORT_CACHE_EXCHANGE_H

#include "tests/support/cmocka.h"

#include <string.h>

#include "tests/support/cache_session.h"

static struct cache_session *session;
static unsigned session_shards = 1;

static inline int session_start(void **state)
{
    (void)state;
    session = cache_session_start(&(struct cache_session_options){.shards = session_shards});
    return 0;
}

static inline int session_stop(void **state)
{
    (void)state;
    cache_session_check(session);
    cache_session_stop(session);
    return 0;
}

/* Good until the next command. */
static inline const char *run(const char *command)
{
    size_t n, end = 0;
    char *reply = (char *)(uintptr_t)cache_session_run(session, command, &n);
    for (size_t i = 0; i < n; i++) {
        i += reply[i] == '\r' && i + 1 < n && reply[i + 1] == '\n';
        reply[end++] = reply[i] == '\n' ? ' ' : reply[i];
    }
    if (end)
        reply[end - 1] = 0;
    return reply;
}

struct exchange {
    const char *command, *reply;
};

static inline void converse(const struct exchange *e)
{
    for (; e->command; e++) {
        const char *reply = run(e->command);
        if (strcmp(reply, e->reply))
            fail_msg("%s: %s instead of %s", e->command, reply, e->reply);
    }
}

/* Where the only shard is looked into: such a test has nothing to say of several, and ends when there are. */
static inline bool several_shards(void)
{
    return session_shards > 1;
}

static inline struct cache_store *only_store(void)
{
    assert_int_equal(session_shards, 1);
    return &session->cache->store;
}

#define WRONG_TYPE    "-WRONGTYPE Operation against a key holding the wrong kind of value"
#define OUT_OF_MEMORY "-OOM command not allowed when used memory > 'maxmemory'."

#define exchange_tests_run(tests)                 \
    (cmocka_run_group_tests(tests, NULL, NULL) || \
     (session_shards = 3, cmocka_run_group_tests_name("three shards", tests, NULL, NULL)))

#endif
