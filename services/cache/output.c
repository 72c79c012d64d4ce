#include "cache/output.h"

#include <assert.h>
#include <string.h>

#include "cache/command/effect.h"
#include "cache/shard/shard.h"

uint64_t cache_output_pending(const struct cache *cache)
{
    const struct cache_reply *r = &cache->reply;
    return (r->first ? r->scratch_used : (uint32_t)(r->at - r->scratch)) + r->bytes + r->lent;
}

/* The stack or the device needs the bytes no more. */
static void lent_released(void *argument)
{
    struct cache_reply_block *b = argument;
    cache_extent_let_go(b->sender, b);
}

/* Takes the first block off; who takes it frees it. */
static void block_take(struct cache_reply *r)
{
    struct cache_reply_block *b = r->first;
    r->bytes -= sizeof *b + b->capacity;
    r->first = b->next;
    if (!r->first) {
        r->last = NULL;
        r->at = r->end = NULL;
    }
}

static bool bytes_send(struct cache_connection *c, struct cache_reply_block *b)
{
    struct cache *cache = c->cache;
    size_t taken = b->length ? mr_stream_send(c->stream, b->data, b->length) : 0;
    c->sent += taken;
    cache->counters[CACHE_COUNTER_BYTES_OUT] += taken;
    b->data += taken;
    b->length -= (uint32_t)taken;
    if (b->length)
        return false;
    block_take(&c->output);
    cache_reply_block_free(&cache->clients, b);
    return true;
}

/* Taken off first: a peer that has gone makes the stack release it at once. */
static bool extent_lend(struct cache_connection *c, struct cache_reply_block *b)
{
    struct cache *cache = c->cache;
    uint32_t length = b->length;
    b->sender = cache;
    if (!mr_stream_lend(c->stream, b->data, length, lent_released, b))
        return false;
    c->output.lent -= length;
    c->sent += length;
    cache->counters[CACHE_COUNTER_BYTES_OUT] += length;
    cache->counters[CACHE_COUNTER_BYTES_LENT] += length;
    return true;
}

/* What is at the front of `output`, until the stream takes no more. */
static void output_send(struct cache_connection *c)
{
    struct cache_reply *r = &c->output;
    cache_reply_settle(r);
    while (r->first) {
        struct cache_reply_block *b = r->first;
        if (!b->extent) {
            if (!bytes_send(c, b))
                return;
            continue;
        }
        struct cache_reply_block *next = b->next;
        if (!extent_lend(c, b))
            return;
        r->bytes -= sizeof *b;
        r->first = next;
        if (!next) {
            r->last = NULL;
            r->at = r->end = NULL;
        }
    }
}

/* Behind what waits already. */
static void output_append(struct cache_connection *c, struct cache_reply *r, uint32_t scratch_from)
{
    struct cache_reply *o = &c->output;
    cache_reply_settle(r);
    if (r->scratch_used > scratch_from)
        cache_reply_raw(o, r->scratch + scratch_from, r->scratch_used - scratch_from);
    if (r->first) {
        cache_reply_settle(o);
        if (o->last)
            o->last->next = r->first;
        else
            o->first = r->first;
        o->last = r->last;
        o->at = r->at;
        o->end = r->end;
        o->bytes += r->bytes;
        o->lent += r->lent;
        r->first = r->last = NULL;
    }
    o->failed |= r->failed || o->bytes > o->limit;
}

/* Replies that came back from other workers, in order. */
static void requests_collect(struct cache_connection *c)
{
    while (c->requests && c->requests->done) {
        struct cache_request *r = c->requests;
        if (!r->silent)
            output_append(c, &r->reply, 0);
        if (r->gate_sequence)
            cache_output_gate(c, r->owner, r->gate_sequence);
        cache_request_free(c->cache, c);
    }
}

void cache_output_begin(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    cache_reply_init(&cache->reply, &cache->clients, cache->scratch, CACHE_SCRATCH_BYTES, c->client.protocol,
                     cache->settings.reply_bytes_max);
    if (__builtin_expect(c->requests != NULL, 0))
        requests_collect(c);
}

void cache_output_flush(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    struct cache_reply *r = &cache->reply;
    uint32_t sent = 0;
    cache_reply_settle(r);
    uint32_t scratch = r->scratch_used;
    if (c->state == CACHE_EXPECT_CLOSE) {
        cache_output_free(cache, r);
        return;
    }
    if (scratch && !c->output.first && !c->gate_shards) {
        sent = (uint32_t)mr_stream_send(c->stream, r->scratch, scratch);
        c->sent += sent;
        cache->counters[CACHE_COUNTER_BYTES_OUT] += sent;
    }
    if (sent < scratch || r->first || r->failed)
        output_append(c, r, sent);
    if (__builtin_expect(c->requests != NULL, 0))
        requests_collect(c);
    if (c->output.first && !c->gate_shards)
        output_send(c);
    cache_reply_init(r, &cache->clients, cache->scratch, CACHE_SCRATCH_BYTES, c->client.protocol,
                     cache->settings.reply_bytes_max);
}

/* What a connection that ends has not sent: extents of other workers' shards go home. */
void cache_output_free(struct cache *cache, struct cache_reply *r)
{
    while (r->first) {
        struct cache_reply_block *b = r->first;
        block_take(r);
        if (b->extent)
            cache_extent_let_go(cache, b);
        else
            cache_reply_block_free(r->memory, b);
    }
    r->lent = 0;
}

/* -- gates ---------------------------------------------------------------------------------------------------------------- */

static uint64_t *gates_of(const struct cache_connection *c)
{
    const struct cache *cache = c->cache;
    return cache->gates + (size_t)(c - cache->connections) * cache->workers;
}

void cache_output_gate(struct cache_connection *c, unsigned shard, uint64_t sequence)
{
    struct cache *cache = c->cache;
    if (!c->gate_shards) {
        c->gate_next = cache->gated;
        c->gate_link = &cache->gated;
        if (c->gate_next)
            c->gate_next->gate_link = &c->gate_next;
        cache->gated = c;
    }
    c->gate_shards |= UINT64_C(1) << shard;
    gates_of(c)[shard] = sequence;
}

void cache_output_ungate(struct cache_connection *c)
{
    if (!c->gate_shards)
        return;
    *c->gate_link = c->gate_next;
    if (c->gate_next)
        c->gate_next->gate_link = c->gate_link;
    c->gate_shards = 0;
}

static bool gate_open(const struct cache_connection *c)
{
    for (uint64_t left = c->gate_shards; left; left &= left - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(left);
        if (!cache_effects_durable(c->cache, shard, gates_of(c)[shard]))
            return false;
    }
    return true;
}

void cache_connections_ungate(struct cache *cache)
{
    struct cache_connection *next;
    for (struct cache_connection *c = cache->gated; c; c = next) {
        next = c->gate_next;
        if (!gate_open(c))
            continue;
        cache_output_ungate(c);
        if (c->state != CACHE_EXPECT_CLOSE)
            cache_connection_flush(c);
    }
}

/* -- extents let go ------------------------------------------------------------------------------------------------------------ */

static struct cache *extent_owner(const struct cache_extent *x)
{
    return (struct cache *)((char *)x->memory - offsetof(struct cache, store.memory));
}

/* Back at the sender, whose memory the block is. */
static void block_returned(struct cache *here, struct cache_item *item)
{
    struct cache_reply_block *b =
        (struct cache_reply_block *)((char *)item - offsetof(struct cache_reply_block, message));
    cache_reply_block_free(&here->clients, b);
}

static void extent_arrived(struct cache *here, struct cache_item *item)
{
    struct cache_reply_block *b =
        (struct cache_reply_block *)((char *)item - offsetof(struct cache_reply_block, message));
    struct cache *sender = b->sender;
    if (!cache_shard_free(here)) {
        cache_send(here, here->index, item);
        return;
    }
    cache_extent_drop(b->extent);
    b->extent = NULL;
    item->run = block_returned;
    cache_send(here, sender->index, item);
}

void cache_extent_let_go(struct cache *cache, struct cache_reply_block *b)
{
    struct cache *owner = extent_owner(b->extent);
    if (owner == cache && cache_shard_free(cache)) {
        cache_reply_block_free(&cache->clients, b);
        return;
    }
    if (owner == cache) {
        b->next = cache->drops;
        cache->drops = b;
        return;
    }
    struct cache_item *item = (struct cache_item *)b->message;
    b->sender = cache;
    item->run = extent_arrived;
    cache_send(cache, owner->index, item);
}
