/* See pop.h. */
#include "cache/command/pop.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool cache_pop_timeout(struct cache_call *call, const struct cache_argument *a, uint64_t *until_ms)
{
    long double seconds;
    if (!cache_argument_long_double(a, &seconds)) {
        cache_reply_error(call->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    long double ms = ceill(seconds * 1000);
    if (ms < 0 || ms >= 0x1p63L) {
        cache_reply_error(call->reply, "ERR timeout is negative");
        return false;
    }
    uint64_t whole = (uint64_t)ms;
    *until_ms = !whole ? 0 : whole < INT64_MAX - call->now_ms ? call->now_ms + whole : INT64_MAX;
    return true;
}

enum cache_outcome cache_pop_nothing(struct cache_call *call, uint64_t until_ms, bool bulk_null)
{
    if (call->may_block && !call->timed_out) {
        call->wait_until_ms = until_ms;
        return CACHE_WAIT;
    }
    if (bulk_null && !call->timed_out)
        cache_reply_null(call->reply);
    else
        cache_reply_null_array(call->reply);
    return CACHE_DONE;
}

bool cache_pop_count(struct cache_call *call, const struct cache_argument *a, uint64_t *count)
{
    int64_t n;
    if (!cache_argument_integer(a, &n) || n < 0) {
        cache_reply_error(call->reply, "ERR value is out of range, must be positive");
        return false;
    }
    *count = (uint64_t)n;
    return true;
}

static bool positive(struct cache_call *call, const struct cache_argument *a, const char *what, int64_t *n)
{
    if (cache_argument_integer(a, n) && *n > 0)
        return true;
    cache_reply_error(call->reply, "ERR %s should be greater than 0", what);
    return false;
}

bool cache_pop_request(struct cache_call *call, unsigned at, const char *first, const char *last,
                       struct cache_pop_request *request)
{
    int64_t keys, count = 1;
    if (!positive(call, &call->argv[at], "numkeys", &keys))
        return false;
    unsigned where = at + 1 + (unsigned)keys;
    if (keys >= call->argc || where >= call->argc)
        goto syntax;
    bool is_first = cache_argument_is(&call->argv[where], first);
    if (!is_first && !cache_argument_is(&call->argv[where], last))
        goto syntax;
    unsigned rest = call->argc - where - 1;
    if (rest && (rest == 1 || !cache_argument_is(&call->argv[where + 1], "count")))
        goto syntax;
    if (rest && !positive(call, &call->argv[where + 2], "count", &count))
        return false;
    if (rest > 2)
        goto syntax;
    *request = (struct cache_pop_request){at + 1, (unsigned)keys, is_first, (uint64_t)count};
    return true;

syntax:
    cache_reply_syntax_error(call->reply);
    return false;
}

int cache_numbered_keys(const struct cache_argument *argv, unsigned argc, unsigned at, unsigned *positions,
                        unsigned max)
{
    int64_t n;
    if (at >= argc || !cache_argument_integer(&argv[at], &n) || n < 1 || n > (int64_t)argc - at - 1)
        return -1;
    unsigned keys = n < max ? (unsigned)n : max;
    for (unsigned i = 0; i < keys; i++)
        positions[i] = at + 1 + i;
    return (int)keys;
}

int cache_numbered_keys_1(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max)
{
    return cache_numbered_keys(argv, argc, 1, positions, max);
}

int cache_numbered_keys_2(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max)
{
    return cache_numbered_keys(argv, argc, 2, positions, max);
}

void cache_pop_propagate(struct cache_call *call, const char *name, struct mr_span key, uint64_t count)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    struct mr_span argv[] = {{(const uint8_t *)name, strlen(name)}, key, {(const uint8_t *)digits, (size_t)n}};
    cache_call_propagate(call, count ? 3 : 2, argv);
}

void cache_reply_no_memory(struct cache_reply *r)
{
    cache_reply_error(r, "OOM command not allowed when used memory > 'maxmemory'.");
}
