/* Commands of one set; those that combine several are in set_algebra.c. */
#include "cache/command/set.h"

#include <string.h>

#include "cache/cache.h"
#include "cache/command/scan_options.h"
#include "cache/command/string.h"
#include "cache/type/sample.h"
#include "cache/type/set.h"

/* Room */

uint64_t cache_set_command_room(const struct cache_call *call, struct cache_store *s, struct mr_span key,
                                uint64_t members, uint64_t member_costs)
{
    const struct cache_entry *e = cache_store_peek(s, call->database, key);
    if (e && e->type != CACHE_SET)
        e = NULL;
    return cache_store_string_cost(s, key.length, 0) + member_costs + cache_set_room(s, e, members);
}

static uint64_t sadd_room(const struct cache_call *call)
{
    uint64_t costs = 0;
    if (call->argv[1].rope)
        return 0; /* refused by the function */
    for (unsigned i = 2; i < call->argc; i++)
        costs += cache_set_member_cost(call->argv[i].rope ? 0 : call->argv[i].length);
    return cache_set_command_room(call, call->store, cache_argument_span(&call->argv[1]), call->argc - 2, costs);
}

/* Writing */

static void set_changed(struct cache_call *call, uint64_t changes)
{
    if (!changes)
        return;
    cache_call_changed(call, call->store, cache_argument_span(&call->argv[1]));
    call->changes += changes - 1;
}

static bool members_valid(struct cache_call *call)
{
    struct mr_span member;
    for (unsigned i = 2; i < call->argc; i++)
        if (!cache_call_key(call, &call->argv[i], &member))
            return false;
    return true;
}

static enum cache_outcome sadd(struct cache_call *call)
{
    struct cache_entry *e;
    uint64_t added = 0;
    if (!cache_call_write(call, &call->argv[1], CACHE_SET, &e) || !members_valid(call))
        return CACHE_DONE;
    if (!e && !(e = cache_set_create(call->store, call->database, cache_argument_span(&call->argv[1])))) {
        cache_reply_out_of_memory(call->reply);
        return CACHE_DONE;
    }
    for (unsigned i = 2; i < call->argc; i++) {
        enum cache_set_outcome outcome = cache_set_add(call->store, e, cache_argument_span(&call->argv[i]));
        added += outcome == CACHE_SET_ADDED;
        if (outcome == CACHE_SET_NO_MEMORY) {
            if (!cache_set_length(e))
                cache_store_delete_entry(call->store, e);
            set_changed(call, added);
            cache_reply_out_of_memory(call->reply);
            return CACHE_DONE;
        }
    }
    set_changed(call, added);
    cache_reply_integer(call->reply, (int64_t)added);
    return CACHE_DONE;
}

static enum cache_outcome srem(struct cache_call *call)
{
    struct cache_entry *e;
    uint64_t removed = 0;
    if (!cache_call_write(call, &call->argv[1], CACHE_SET, &e) || !members_valid(call))
        return CACHE_DONE;
    for (unsigned i = 2; e && i < call->argc; i++) {
        removed += cache_set_remove(call->store, e, cache_argument_span(&call->argv[i]));
        if (!cache_set_length(e)) {
            cache_store_delete_entry(call->store, e);
            break;
        }
    }
    set_changed(call, removed);
    cache_reply_integer(call->reply, (int64_t)removed);
    return CACHE_DONE;
}

/* SMOVE between two keys that differ, `from` holding the member. */
static enum cache_outcome move_member(struct cache_call *call, struct mr_span member)
{
    struct mr_span from_key = cache_argument_span(&call->argv[1]), to_key = cache_argument_span(&call->argv[2]);
    struct cache_store *from_store = cache_call_store(call, from_key), *to_store = cache_call_store(call, to_key);
    uint64_t bytes = cache_set_command_room(call, to_store, to_key, 1, cache_set_member_cost(member.length));
    enum cache_room room = cache_call_reserve(call, to_store, bytes);
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);

    /* Looked up anew: what was there may have been evicted for it. */
    struct cache_entry *from = cache_store_write(from_store, call->database, from_key),
                       *to = cache_store_write(to_store, call->database, to_key);
    if (!from) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (!to)
        to = cache_set_create(to_store, call->database, to_key);
    enum cache_set_outcome outcome = to ? cache_set_add(to_store, to, member) : CACHE_SET_NO_MEMORY;
    if (outcome == CACHE_SET_NO_MEMORY) {
        if (to && !cache_set_length(to))
            cache_store_delete_entry(to_store, to);
        cache_reply_out_of_memory(call->reply);
        return CACHE_DONE;
    }
    cache_set_remove(from_store, from, member);
    if (!cache_set_length(from))
        cache_store_delete_entry(from_store, from);
    cache_call_changed(call, from_store, from_key);
    if (outcome == CACHE_SET_ADDED)
        cache_call_changed(call, to_store, to_key);
    cache_reply_integer(call->reply, 1);
    return CACHE_DONE;
}

static enum cache_outcome smove(struct cache_call *call)
{
    struct cache_entry *from, *to;
    struct mr_span member;
    if (!cache_call_write(call, &call->argv[1], CACHE_SET, &from))
        return CACHE_DONE;
    if (!from) {
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    if (!cache_call_read(call, &call->argv[2], CACHE_SET, &to) || !cache_call_key(call, &call->argv[3], &member))
        return CACHE_DONE;
    bool present = cache_set_contains(from, member);
    if (!present || from == to) {
        cache_reply_integer(call->reply, present);
        return CACHE_DONE;
    }
    return move_member(call, member);
}

/* Reading */

static enum cache_outcome sismember(struct cache_call *call)
{
    struct cache_entry *e;
    struct mr_span member;
    if (cache_call_read(call, &call->argv[1], CACHE_SET, &e) && cache_call_key(call, &call->argv[2], &member))
        cache_reply_integer(call->reply, e && cache_set_contains(e, member));
    return CACHE_DONE;
}

static enum cache_outcome smismember(struct cache_call *call)
{
    struct cache_entry *e;
    if (!cache_call_read(call, &call->argv[1], CACHE_SET, &e) || !members_valid(call))
        return CACHE_DONE;
    cache_reply_array(call->reply, call->argc - 2);
    for (unsigned i = 2; i < call->argc; i++)
        cache_reply_integer(call->reply, e && cache_set_contains(e, cache_argument_span(&call->argv[i])));
    return CACHE_DONE;
}

static enum cache_outcome scard(struct cache_call *call)
{
    struct cache_entry *e;
    if (cache_call_read(call, &call->argv[1], CACHE_SET, &e))
        cache_reply_integer(call->reply, e ? (int64_t)cache_set_length(e) : 0);
    return CACHE_DONE;
}

static void emit_member(struct cache_reply *r, struct mr_span member)
{
    cache_reply_bulk(r, member.data, member.length);
}

static bool emit_each(struct mr_span member, void *reply)
{
    emit_member(reply, member);
    return true;
}

static enum cache_outcome smembers(struct cache_call *call)
{
    struct cache_entry *e;
    if (!cache_call_read(call, &call->argv[1], CACHE_SET, &e))
        return CACHE_DONE;
    cache_reply_set(call->reply, e ? cache_set_length(e) : 0);
    if (e)
        cache_set_each(e, emit_each, call->reply);
    return CACHE_DONE;
}

/* SSCAN */

static void emit_item(struct cache_reply *r, void *item)
{
    emit_member(r, cache_set_item_member(item));
}

struct scan {
    const struct cache_scan_options *options;
    struct cache_reply *reply; /* NULL: counts only */
    uint64_t matched;
};

static bool scan_member(struct mr_span member, void *argument)
{
    struct scan *s = argument;
    if (!cache_scan_matches(s->options, member))
        return true;
    s->matched++;
    if (s->reply)
        emit_member(s->reply, member);
    return true;
}

static enum cache_outcome sscan(struct cache_call *call)
{
    struct cache_entry *e;
    struct cache_scan_options options;
    uint64_t cursor;
    if (!cache_scan_cursor(call, &call->argv[2], &cursor) || !cache_call_read(call, &call->argv[1], CACHE_SET, &e))
        return CACHE_DONE;
    if (!e) {
        cache_scan_empty(call);
        return CACHE_DONE;
    }
    if (!cache_scan_options(call, 3, false, &options))
        return CACHE_DONE;
    if (cache_set_table(e)) {
        cache_scan_table(call, cache_set_table(e), cursor, &options, 1, emit_item);
        return CACHE_DONE;
    }
    struct scan counted = {.options = &options}, emitted = {.options = &options, .reply = call->reply};
    cache_set_each(e, scan_member, &counted);
    cache_reply_array(call->reply, 2);
    cache_reply_bulk_text(call->reply, "0");
    cache_reply_array(call->reply, counted.matched);
    cache_set_each(e, scan_member, &emitted);
    return CACHE_DONE;
}

/* Members at random */

struct picked {
    struct mr_random *random;
    struct cache_sample sample;
    unsigned count;
    struct mr_span word[2 + CACHE_SAMPLE_MAX]; /* "SREM", the key, the members */
    char digits[CACHE_SAMPLE_MAX][CACHE_SET_DIGITS];
};

static void pick_item(void *item, void *argument)
{
    struct picked *p = argument;
    p->word[2 + p->count++] = cache_set_item_member(item);
}

static bool pick_sampled(struct mr_span member, void *argument)
{
    struct picked *p = argument;
    if (!cache_sample_take(&p->sample, p->random))
        return true;
    if (member.length <= CACHE_SET_DIGITS) { /* of an intset: good until the next only */
        memcpy(p->digits[p->count], member.data, member.length);
        member.data = (const uint8_t *)p->digits[p->count];
    }
    p->word[2 + p->count++] = member;
    return p->sample.wanted > 0;
}

/* `n` different members, at most CACHE_SAMPLE_MAX and fewer than there are. When they are too many to be drawn, the set is
 * not much larger: a pass over it is short. */
static void pick(struct picked *p, const struct cache_entry *e, unsigned n)
{
    const struct cache_table *t = cache_set_table(e);
    p->count = 0;
    if (t && cache_sample_sparse(t, n)) {
        cache_sample_table(t, p->random, n, pick_item, p);
        return;
    }
    p->sample = (struct cache_sample){.left = cache_set_length(e), .wanted = n};
    cache_set_each(e, pick_sampled, p);
}

/* The set goes whole. */
static void pop_all(struct cache_call *call, struct cache_entry *e)
{
    struct mr_span key = cache_argument_span(&call->argv[1]);
    uint64_t n = cache_set_length(e);
    cache_set_each(e, emit_each, call->reply);
    cache_call_propagate(call, 2, (const struct mr_span[]){CACHE_SPAN("DEL"), key});
    cache_store_delete_entry(call->store, e);
    set_changed(call, n);
}

#define LOGGED_BYTES 64 /* that a member takes beside its bytes where commands are kept for the log */

/* Whether the log can be told of `n` members: by the longest that they can be, or by all that the set takes. */
static bool pops_can_be_logged(const struct cache_call *call, const struct cache_entry *e, uint64_t n)
{
    if (!call->cache->log || call->replaying)
        return true;
    uint64_t room = memory_room(&call->cache->clients);
    uint64_t all = cache_set_type.bytes(e->encoding, cache_entry_value(e)->collection);
    return n <= room / 2 / (CACHE_SMALL_MAX + LOGGED_BYTES) || (room / 2 > all && n <= (room / 2 - all) / LOGGED_BYTES);
}

/* Fewer than there are, some at a time: what is replied and logged is what is removed then. */
static void pop_some(struct cache_call *call, struct cache_entry *e, uint64_t n)
{
    struct picked p = {.random = &call->store->random};
    p.word[0] = CACHE_SPAN("SREM");
    p.word[1] = cache_argument_span(&call->argv[1]);
    for (uint64_t left = n; left; left -= p.count) {
        pick(&p, e, left < CACHE_SAMPLE_MAX ? (unsigned)left : CACHE_SAMPLE_MAX);
        cache_call_propagate(call, 2 + p.count, p.word);
        for (unsigned i = 0; i < p.count; i++) {
            emit_member(call->reply, p.word[2 + i]);
            cache_set_remove(call->store, e, p.word[2 + i]);
        }
    }
    set_changed(call, n);
}

static enum cache_outcome spop_count(struct cache_call *call)
{
    struct cache_entry *e;
    int64_t count;
    if (call->argc > 3) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (!cache_argument_integer(&call->argv[2], &count) || count < 0) {
        cache_reply_error(call->reply, "ERR value is out of range, must be positive");
        return CACHE_DONE;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_SET, &e))
        return CACHE_DONE;
    uint64_t length = e ? cache_set_length(e) : 0, n = (uint64_t)count < length ? (uint64_t)count : length;
    if (n && n < length && !pops_can_be_logged(call, e, n)) {
        cache_reply_out_of_memory(call->reply);
        return CACHE_DONE;
    }
    cache_reply_set(call->reply, n);
    if (n && n == length)
        pop_all(call, e);
    else if (n)
        pop_some(call, e, n);
    return CACHE_DONE;
}

static enum cache_outcome spop(struct cache_call *call)
{
    struct cache_entry *e;
    if (call->argc > 2)
        return spop_count(call);
    if (!cache_call_write(call, &call->argv[1], CACHE_SET, &e))
        return CACHE_DONE;
    if (!e) {
        cache_reply_null(call->reply);
        return CACHE_DONE;
    }
    if (cache_set_length(e) == 1) {
        pop_all(call, e);
        return CACHE_DONE;
    }
    char digits[CACHE_SET_DIGITS];
    struct mr_span member = cache_set_random(e, &call->store->random, digits);
    emit_member(call->reply, member);
    cache_call_propagate(call, 3,
                         (const struct mr_span[]){CACHE_SPAN("SREM"), cache_argument_span(&call->argv[1]), member});
    cache_set_remove(call->store, e, member);
    set_changed(call, 1);
    return CACHE_DONE;
}

struct random_reply {
    struct cache_call *call;
    struct cache_sample sample;
};

static bool random_emit_sampled(struct mr_span member, void *argument)
{
    struct random_reply *x = argument;
    if (cache_sample_take(&x->sample, &x->call->store->random))
        emit_member(x->call->reply, member);
    return x->sample.wanted > 0;
}

static void random_emit_item(void *item, void *reply)
{
    emit_item(reply, item);
}

static void random_distinct(struct cache_call *call, const struct cache_entry *e, uint64_t n)
{
    const struct cache_table *t = cache_set_table(e);
    uint64_t length = cache_set_length(e);
    if (n > length)
        n = length;
    cache_reply_array(call->reply, n);
    if (t && cache_sample_sparse(t, n)) {
        cache_sample_table(t, &call->store->random, (unsigned)n, random_emit_item, call->reply);
        return;
    }
    struct random_reply x = {.call = call, .sample = {.left = length, .wanted = n}};
    cache_set_each(e, random_emit_sampled, &x);
}

/* Some may come twice. */
static void random_repeated(struct cache_call *call, const struct cache_entry *e, uint64_t n)
{
    char digits[CACHE_SET_DIGITS];
    cache_reply_array(call->reply, n);
    for (; n && !call->reply->failed; n--)
        emit_member(call->reply, cache_set_random(e, &call->store->random, digits));
}

static enum cache_outcome srandmember_count(struct cache_call *call)
{
    struct cache_entry *e;
    int64_t count;
    if (call->argc > 3) {
        cache_reply_syntax_error(call->reply);
    } else if (!cache_argument_integer(&call->argv[2], &count)) {
        cache_reply_not_integer(call->reply);
    } else if (count == INT64_MIN) {
        cache_reply_error(call->reply, "ERR value is out of range, value must between %lld and %lld",
                          (long long)-INT64_MAX, (long long)INT64_MAX);
    } else if (cache_call_read(call, &call->argv[1], CACHE_SET, &e)) {
        if (!e || !count)
            cache_reply_array(call->reply, 0);
        else if (count < 0)
            random_repeated(call, e, (uint64_t)-count);
        else
            random_distinct(call, e, (uint64_t)count);
    }
    return CACHE_DONE;
}

static enum cache_outcome srandmember(struct cache_call *call)
{
    struct cache_entry *e;
    char digits[CACHE_SET_DIGITS];
    if (call->argc > 2)
        return srandmember_count(call);
    if (!cache_call_read(call, &call->argv[1], CACHE_SET, &e))
        return CACHE_DONE;
    if (e)
        emit_member(call->reply, cache_set_random(e, &call->store->random, digits));
    else
        cache_reply_null(call->reply);
    return CACHE_DONE;
}

#define LOOK  CACHE_READONLY | CACHE_FAST
#define WALK  CACHE_READONLY
#define SET   1, 1, 1, "set"
#define SETS  1, -1, 1, "set"
#define STORE CACHE_WRITE | CACHE_DENYOOM
#define TAKE  CACHE_WRITE | CACHE_FAST

const struct cache_command cache_commands_set[] = {
    {"sadd", sadd, -3, TAKE | CACHE_DENYOOM, SET, "adds members", NULL, sadd_room, NULL},
    {"scard", scard, 2, LOOK, SET, "how many members", NULL, NULL, NULL},
    {"sdiff", cache_set_sdiff, -2, WALK, SETS, "what the first has and no other", NULL, NULL, NULL},
    {"sdiffstore", cache_set_sdiffstore, -3, STORE, SETS, "SDIFF into a key", NULL, cache_command_room_later, NULL},
    {"sinter", cache_set_sinter, -2, WALK, SETS, "what all have", NULL, NULL, NULL},
    {"sintercard", cache_set_sintercard, -3, WALK | CACHE_MOVABLE_KEYS, 0, 0, 0, "set", "how much all have",
     cache_set_sintercard_keys, NULL, NULL},
    {"sinterstore", cache_set_sinterstore, -3, STORE, SETS, "SINTER into a key", NULL, cache_command_room_later, NULL},
    {"sismember", sismember, 3, LOOK, SET, "whether it is a member", NULL, NULL, NULL},
    {"smembers", smembers, 2, WALK, SET, "all members", NULL, NULL, NULL},
    {"smismember", smismember, -3, LOOK, SET, "which are members", NULL, NULL, NULL},
    {"smove", smove, 4, TAKE, 1, 2, 1, "set", "moves a member to another set", NULL, NULL, NULL},
    {"spop", spop, -2, TAKE, SET, "removes random members", NULL, NULL, NULL},
    {"srandmember", srandmember, -2, WALK, SET, "random members", NULL, NULL, NULL},
    {"srem", srem, -3, TAKE, SET, "removes members; an empty set is deleted", NULL, NULL, NULL},
    {"sscan", sscan, -3, WALK, SET, "members from a cursor on", NULL, NULL, NULL},
    {"sunion", cache_set_sunion, -2, WALK, SETS, "what any has", NULL, NULL, NULL},
    {"sunionstore", cache_set_sunionstore, -3, STORE, SETS, "SUNION into a key", NULL, cache_command_room_later, NULL},
    {0},
};
