/* Replies of memcached's text protocol. */
#include <stdio.h>
#include <string.h>

#include "cache/memcached/memcached.h"
#include "cache/resp/decimal.h"

static void answer(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   enum cache_memcached_answer a, const struct cache_memcached_hit *hit)
{
    if (r->quiet || (r->op == CACHE_MEMCACHED_GET && a == CACHE_MEMCACHED_NOT_FOUND))
        return;
    cache_reply_text(reply, cache_memcached_answers[a].text);
    cache_reply_raw(reply, "\r\n", 2);
}

static void number_add(struct cache_reply *reply, char before, uint64_t value)
{
    uint8_t text[1 + CACHE_DECIMAL_MAX], *end = cache_decimal_write(text + 1, value);
    text[0] = (uint8_t)before;
    cache_reply_raw(reply, text, (size_t)(end - text));
}

static void value(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                  const struct cache_memcached_hit *hit)
{
    uint64_t length = cache_string_length(hit->entry);
    cache_reply_raw(reply, "VALUE ", 6);
    cache_reply_raw(reply, key.data, key.length);
    number_add(reply, ' ', hit->flags);
    number_add(reply, ' ', length);
    if (r->with_cas)
        number_add(reply, ' ', hit->cas);
    cache_reply_raw(reply, "\r\n", 2);
    cache_reply_value_raw(reply, hit->entry, 0, length);
    cache_reply_raw(reply, "\r\n", 2);
}

static void number(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   const struct cache_memcached_hit *hit)
{
    uint8_t text[CACHE_DECIMAL_MAX + 2], *end = cache_decimal_write(text, hit->number);
    memcpy(end, "\r\n", 2);
    if (!r->quiet)
        cache_reply_raw(reply, text, (size_t)(end + 2 - text));
}

static void statistic(struct cache_reply *reply, const struct cache_memcached_request *r, const char *name,
                      const char *text)
{
    if (!name) {
        cache_reply_text(reply, "END\r\n");
        return;
    }
    if (r->op == CACHE_MEMCACHED_STATS)
        cache_reply_text(reply, "STAT ");
    cache_reply_text(reply, name);
    cache_reply_raw(reply, " ", 1);
    cache_reply_text(reply, text);
    cache_reply_raw(reply, "\r\n", 2);
}

const struct cache_memcached_writer cache_memcached_text = {answer, value, number, statistic};
