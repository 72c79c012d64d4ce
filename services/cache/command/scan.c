/* SCAN: shard after shard, each walked as its table says.
 *
 *     cursor:  | position in the table of a shard, 32 bits | shard, 6 bits |      0 begins, and ends
 *
 * An element that is there from begin to end is seen: the table promises it for a shard, and no shard is left out. */
#include "cache/command/scan.h"

#include "cache/cache.h"
#include "cache/command/call.h"
#include "cache/command/scan_options.h"
#include "cache/command/string.h"

#define SHARD_BITS        6
#define COUNT_MAX         10000 /* keys of one call, so that no turn is held: the client asks again */
#define STEPS_PER_ELEMENT 10    /* a bucket may be empty: this bounds how many are looked at */
_Static_assert(CACHE_WORKERS_MAX <= 1 << SHARD_BITS, "a shard fits the cursor");

static unsigned shard_of(uint64_t cursor)
{
    return (unsigned)(cursor & ((1u << SHARD_BITS) - 1));
}

unsigned cache_scan_shard(const struct cache_argument *cursor, unsigned shards)
{
    uint64_t value;
    unsigned shard = cache_argument_unsigned(cursor, &value) ? shard_of(value) : 0;
    return shard < shards ? shard : 0;
}

struct walk {
    const struct cache_scan_options *options;
    struct cache_reply *reply; /* NULL: counts only */
    uint64_t now_ms;
    uint64_t seen, matched;
};

static bool is_wanted(const struct walk *w, const struct cache_entry *e)
{
    uint64_t at_ms = cache_entry_expires_ms(e);
    struct mr_span type = w->options->type;
    struct cache_argument a = {.data = type.data, .length = (uint32_t)type.length};
    return !(at_ms && at_ms <= w->now_ms) && cache_scan_matches(w->options, cache_entry_key(e)) &&
           (!type.data || cache_argument_is(&a, cache_collection_types[e->type]->name));
}

static void visit(void *item, void *argument)
{
    struct walk *w = argument;
    w->seen++;
    if (!is_wanted(w, item))
        return;
    w->matched++;
    if (w->reply) {
        struct mr_span key = cache_entry_key(item);
        cache_reply_bulk(w->reply, key.data, key.length);
    }
}

static uint64_t walk(struct walk *w, const struct cache_table *t, uint64_t position)
{
    uint64_t steps = w->options->count * STEPS_PER_ELEMENT;
    do
        position = cache_table_scan(t, position, visit, w);
    while (position && w->seen < w->options->count && --steps);
    return position;
}

/* The cursor comes first in the reply: so it walks twice, over a table that does not change between. */
static void step_reply(struct cache_call *call, uint64_t cursor, const struct cache_scan_options *o)
{
    unsigned shards = call->cache->workers, shard = cache_scan_shard(&call->argv[1], shards);
    const struct cache_table *t = &cache_call_each_store(call, shard)->database[call->database];
    uint64_t position = cursor >> SHARD_BITS, next = 0;
    struct walk counted = {.options = o, .now_ms = call->now_ms}, emitted = counted;
    emitted.reply = call->reply;
    bool known = shard_of(cursor) == shard; /* a cursor that we never gave may name any: it ends */
    if (known && t->count)
        next = walk(&counted, t, position);
    bool ends = !known || shard + 1 == shards;
    next = next ? next << SHARD_BITS | shard : ends ? 0 : shard + 1;

    cache_reply_array(call->reply, 2);
    char text[24];
    cache_reply_bulk(call->reply, text, cache_integer_text((int64_t)next, text));
    cache_reply_array(call->reply, counted.matched);
    if (counted.matched)
        walk(&emitted, t, position);
}

static enum cache_outcome command_scan(struct cache_call *call)
{
    uint64_t cursor;
    struct cache_scan_options o;
    if (!cache_scan_cursor(call, &call->argv[1], &cursor) || !cache_scan_options(call, 2, true, &o))
        return CACHE_DONE;
    if (o.count > COUNT_MAX)
        o.count = COUNT_MAX;
    step_reply(call, cursor, &o);
    return CACHE_DONE;
}

const struct cache_command cache_commands_scan[] = {
    {"scan", command_scan, -2, CACHE_READONLY | CACHE_CURSOR_SHARD, 0, 0, 0, "generic", "walks all keys, some a call",
     NULL, NULL, NULL},
    {0},
};
