#include "cache/command/join.h"

#include <string.h>

#include "cache/command/client_list.h"
#include "cache/command/pubsub.h"
#include "cache/command/server.h"
#include "cache/command/slowlog.h"

void cache_reply_cursor_init(struct cache_reply_cursor *c, const struct cache_reply *r)
{
    const uint8_t *end = r->scratch_used ? r->scratch + r->scratch_used : r->scratch; /* there may be none */
    *c = (struct cache_reply_cursor){.reply = r, .at = r->scratch, .end = end};
}

/* True: there is a byte at `at`. */
static bool cursor_fill(struct cache_reply_cursor *c)
{
    while (c->at == c->end) {
        if (c->ended)
            return false;
        c->block = c->block ? c->block->next : c->reply->first;
        if (!c->block) {
            c->ended = true;
            return false;
        }
        c->at = c->block->data;
        c->end = c->at + c->block->length;
    }
    return true;
}

int cache_reply_cursor_peek(struct cache_reply_cursor *c)
{
    return cursor_fill(c) ? *c->at : -1;
}

int64_t cache_reply_cursor_number(struct cache_reply_cursor *c)
{
    uint64_t value = 0;
    bool negative = false;
    for (int byte; (byte = cache_reply_cursor_peek(c)) >= 0 && byte != '\n'; c->at++) {
        negative |= byte == '-';
        if (byte >= '0' && byte <= '9')
            value = value * 10 + (uint64_t)(byte - '0');
    }
    if (cache_reply_cursor_peek(c) == '\n')
        c->at++;
    return negative ? -(int64_t)value : (int64_t)value;
}

void cache_reply_cursor_copy(struct cache_reply_cursor *c, struct cache_reply *to, uint64_t n)
{
    while (n && cursor_fill(c)) {
        uint64_t here = (uint64_t)(c->end - c->at), k = n < here ? n : here;
        if (to)
            cache_reply_raw(to, c->at, k);
        c->at += k;
        n -= k;
    }
}

void cache_reply_cursor_copy_rest(struct cache_reply_cursor *c, struct cache_reply *to)
{
    cache_reply_cursor_copy(c, to, UINT64_MAX);
}

/* An error of any worker is the reply. */
static bool error_found(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct cache_reply_cursor c;
        cache_reply_cursor_init(&c, parts[i]);
        if (cache_reply_cursor_peek(&c) == '-') {
            cache_reply_copy(r, parts[i]);
            return true;
        }
    }
    return false;
}

void cache_join_first_error(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    if (!error_found(r, parts, n))
        cache_reply_copy(r, parts[0]);
}

void cache_join_sum(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    int64_t sum = 0;
    if (error_found(r, parts, n))
        return;
    for (unsigned i = 0; i < n; i++) {
        struct cache_reply_cursor c;
        cache_reply_cursor_init(&c, parts[i]);
        sum += cache_reply_cursor_number(&c);
    }
    cache_reply_integer(r, sum);
}

void cache_join_arrays(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    struct cache_reply_cursor c[CACHE_WORKERS_MAX];
    int64_t sum = 0;
    if (error_found(r, parts, n))
        return;
    for (unsigned i = 0; i < n; i++) {
        cache_reply_cursor_init(&c[i], parts[i]);
        sum += cache_reply_cursor_number(&c[i]);
    }
    cache_reply_array(r, (uint64_t)sum);
    for (unsigned i = 0; i < n; i++)
        cache_reply_cursor_copy_rest(&c[i], r);
}

const struct cache_join cache_joins[] = {
    {cache_command_publish, cache_join_sum},
    {cache_command_spublish, cache_join_sum},
    {cache_command_pubsub_channels, cache_join_arrays},
    {cache_command_pubsub_shardchannels, cache_join_arrays},
    {cache_command_pubsub_numsub, cache_join_counts},
    {cache_command_pubsub_shardnumsub, cache_join_counts},
    {cache_command_pubsub_numpat, cache_join_sum},
    {cache_command_slowlog_get, cache_join_arrays},
    {cache_command_slowlog_len, cache_join_sum},
    {cache_command_config_set, cache_join_first_error},
    {cache_command_client_list, cache_join_client_list},
    {cache_command_client_kill, cache_join_client_kill},
    {cache_command_client_unblock, cache_join_sum},
    {NULL, NULL},
};
