/* What memcached's commands do to a key. Time, CAS and the token of recaching follow memcached 1.6; values are strings of the
 * keyspace, so that Redis clients see them: a number that gets shorter is not padded with spaces as memcached does. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/memcached/memcached.h"

/* Of the entry's memcached part: flags, and the Unix second of the last access above them. */
#define META_FETCHED 1u
#define META_STALE   2u
#define META_SENT    4u /* somebody has the token to make the value anew */
#define META_BASE64  8u /* the key came in base64 */
#define META_FLAGS   15u
#define META_SECONDS (UINT32_MAX >> 4)

struct execution {
    struct cache_call *call;
    struct cache_store *store;
    struct cache_memcached_request r;
    struct mr_span key;
    struct cache_argument *value;
    struct cache_memcached_hit hit;
    bool touched; /* hit.expires_before_ms is what it was before that */
};

enum { AGAIN = CACHE_MEMCACHED_ANSWERS, VALUE, NUMBER }; /* beside the answers that stand for themselves */

static uint32_t seconds_of(const struct execution *x)
{
    return (uint32_t)(x->call->now_ms / 1000) & META_SECONDS;
}

/* CACHE_MEMCACHED_OK, CACHE_MEMCACHED_NO_MEMORY, or AGAIN. */
static int room(struct execution *x, uint64_t bytes)
{
    enum cache_room got = cache_store_reserve(x->store, bytes);
    while (got == CACHE_ROOM_LATER && x->call->replaying) {
        cache_store_turn(x->store, x->store->now_ms);
        got = cache_store_reserve(x->store, bytes);
    }
    return got == CACHE_ROOM_READY ? CACHE_MEMCACHED_OK : got == CACHE_ROOM_LATER ? AGAIN : CACHE_MEMCACHED_NO_MEMORY;
}

/* Of an entry that is moved by getting a part. */
static uint64_t move_cost(const struct execution *x, const struct cache_entry *e)
{
    uint64_t embedded = e && e->type == CACHE_STRING && e->encoding == CACHE_STRING_EMBEDDED ? e->value_length : 0;
    return cache_store_string_cost(x->store, x->key.length, embedded) + 2 * CACHE_EXPIRY_COST;
}

static struct cache_entry *find(struct execution *x)
{
    return cache_store_read(x->store, x->call->database, x->key);
}

static uint64_t cas_of(const struct cache_entry *e)
{
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    return part ? part->cas : 0;
}

/* What the reply tells of `e`, before this request leaves its traces. */
static void look(struct execution *x, struct cache_entry *e)
{
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    struct cache_memcached_hit *h = &x->hit;
    h->entry = e;
    h->expires_ms = cache_entry_expires_ms(e);
    if (!x->touched)
        h->expires_before_ms = h->expires_ms;
    h->now_ms = x->call->now_ms;
    if (!part)
        return;
    h->cas = part->cas;
    h->flags = part->flags;
    h->fetched = part->meta & META_FETCHED;
    h->stale = part->meta & META_STALE;
    h->sent = part->meta & META_SENT;
    h->base64 = part->meta & META_BASE64;
    h->access_s = (seconds_of(x) - (part->meta >> 4)) & META_SECONDS;
}

static void meta_set(struct execution *x, struct cache_entry *e, uint32_t flags)
{
    struct cache_memcached_part *part = cache_entry_memcached(e);
    if (part)
        part->meta = seconds_of(x) << 4 | flags;
}

/* The new time of an entry for which there is room; it is gone when that is over already. NULL: gone. */
static struct cache_entry *expire(struct execution *x, struct cache_entry *e, uint64_t expires_ms)
{
    if (expires_ms && expires_ms <= x->call->now_ms) {
        cache_store_delete_entry(x->store, e);
        return NULL;
    }
    return expires_ms ? cache_store_expire_at(x->store, e, expires_ms) : cache_store_persist(x->store, e);
}

static void expiry_remember(struct execution *x, const struct cache_entry *e)
{
    x->hit.expires_before_ms = cache_entry_expires_ms(e);
    x->touched = true;
}

/* Only the time changes: whoever compares CAS afterwards still has the value that he read. */
static struct cache_entry *touch(struct execution *x, struct cache_entry *e)
{
    uint64_t cas = cas_of(e);
    expiry_remember(x, e);
    if (x->r.op == CACHE_MEMCACHED_GET && x->r.expires_ms == 1) /* got once more, and then no more */
        e = cache_store_expire_at(x->store, e, x->call->now_ms);
    else
        e = expire(x, e, x->r.expires_ms);
    cache_call_changed(x->call, x->store, x->key);
    if (e && cache_entry_memcached(e))
        cache_entry_memcached(e)->cas = cas;
    return e;
}

/* A new value with all that belongs to it: room is reserved. */
static int put(struct execution *x, struct cache_argument *value, uint32_t client_flags, uint64_t expires_ms,
               uint32_t meta)
{
    struct cache_entry *e;
    if (value->data)
        e = cache_store_set(x->store, x->call->database, x->key, cache_argument_span(value));
    else
        e = cache_store_set_rope(x->store, x->call->database, x->key, value->rope);
    if (!e)
        return CACHE_MEMCACHED_NO_MEMORY;
    if (!value->data)
        value->rope = NULL;
    struct cache_entry *with_part = cache_store_memcached(x->store, e);
    if (with_part) {
        e = with_part;
        cache_entry_memcached(e)->flags = client_flags;
        meta_set(x, e, meta);
    }
    e = expire(x, e, expires_ms);
    cache_call_changed(x->call, x->store, x->key);
    if (e)
        look(x, e);
    return CACHE_MEMCACHED_STORED;
}

/* An item that a miss makes: before, it had no expiry. */
static int put_bytes(struct execution *x, const void *data, size_t n, uint64_t expires_ms, uint32_t meta)
{
    x->touched = true;
    x->r.expiry_before = x->r.expiry_before_vivify;
    int got = room(x, cache_store_string_cost(x->store, x->key.length, n) + 2 * CACHE_EXPIRY_COST);
    if (got != CACHE_MEMCACHED_OK)
        return got;
    struct cache_argument value = {data, (uint32_t)n, NULL};
    return put(x, &value, 0, expires_ms, meta);
}

/* -- storing ---------------------------------------------------------------------------------------------------------------- */

/* `old` not NULL: an older value than the one that is there. It goes in, stale, with the time and the token of that one. */
static int put_whole(struct execution *x, const struct cache_entry *old)
{
    uint64_t bytes = x->value->data ? x->value->length : 0;
    int got = room(x, cache_store_string_cost(x->store, x->key.length, bytes) + 2 * CACHE_EXPIRY_COST);
    if (got != CACHE_MEMCACHED_OK)
        return got;
    uint32_t meta = x->r.key_base64 ? META_BASE64 : 0;
    uint64_t expires_ms = x->r.expires_ms;
    if (old) {
        old = find(x); /* making room may have taken it */
        const struct cache_memcached_part *part = old ? cache_entry_memcached(old) : NULL;
        meta |= META_STALE | (part ? part->meta & META_SENT : 0);
        expires_ms = old ? cache_entry_expires_ms(old) : expires_ms;
    }
    return put(x, x->value, x->r.flags, expires_ms, meta);
}

static bool append_argument(struct cache_rope *to, const struct cache_argument *a)
{
    if (a->data)
        return cache_rope_append(to, a->data, a->length);
    for (uint64_t at = 0; at < a->length;) {
        struct mr_span span = cache_rope_at(a->rope, at, &(struct cache_extent *){NULL});
        if (!cache_rope_append(to, span.data, span.length))
            return false;
        at += span.length;
    }
    return true;
}

static bool append_entry(struct cache_rope *to, const struct cache_entry *e)
{
    char digits[24];
    for (uint64_t at = 0, n = cache_string_length(e); at < n;) {
        struct mr_span span = cache_string_at(e, at, digits, &(struct cache_extent *){NULL});
        if (!cache_rope_append(to, span.data, span.length))
            return false;
        at += span.length;
    }
    return true;
}

static void rope_drop(struct cache_rope *rope)
{
    unsigned budget = UINT32_MAX;
    cache_rope_free_step(rope, &budget);
}

/* The client's flags and the time stay those of the item. */
static int put_joined(struct execution *x, struct cache_entry *e)
{
    bool append = x->r.mode == CACHE_MEMCACHED_APPEND;
    uint64_t n = cache_string_length(e) + x->value->length;
    const struct cache_config *config = x->call->cache->config;
    if (n + x->key.length + CACHE_MEMCACHED_OVERHEAD > config->item_bytes_max)
        return x->r.dialect == CACHE_MEMCACHED_BINARY ? CACHE_MEMCACHED_TOO_LARGE : CACHE_MEMCACHED_NO_MEMORY;
    int got = room(x, cache_rope_cost(n) + move_cost(x, e) + 2 * (uint64_t)CACHE_ALLOC_MAX);
    if (got != CACHE_MEMCACHED_OK)
        return got;
    e = find(x); /* making room may have taken it */
    if (!e)
        return CACHE_MEMCACHED_NOT_STORED;
    struct cache_rope *rope = cache_rope_create(&x->store->memory);
    if (!rope)
        return CACHE_MEMCACHED_NO_MEMORY;
    bool joined = append ? append_entry(rope, e) && append_argument(rope, x->value)
                         : append_argument(rope, x->value) && append_entry(rope, e);
    if (!joined) {
        rope_drop(rope);
        return CACHE_MEMCACHED_NO_MEMORY;
    }
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    uint32_t flags = part ? part->flags : 0, meta = x->r.key_base64 ? META_BASE64 : 0;
    uint64_t expires_ms = cache_entry_expires_ms(e);
    uint8_t bytes[CACHE_SMALL_MAX];
    struct cache_argument value = {NULL, (uint32_t)n, rope};
    if (n <= sizeof bytes) { /* as short values are kept */
        cache_rope_copy_out(rope, 0, bytes, n);
        value.data = bytes;
    }
    got = put(x, &value, flags, expires_ms, meta);
    if (value.data || value.rope)
        rope_drop(rope);
    return got;
}

static int store(struct execution *x)
{
    const struct cache_memcached_request *r = &x->r;
    bool joins = r->mode == CACHE_MEMCACHED_APPEND || r->mode == CACHE_MEMCACHED_PREPEND;
    bool compares = r->has_cas && !joins && (r->mode != CACHE_MEMCACHED_ADD || r->dialect == CACHE_MEMCACHED_BINARY);
    struct cache_entry *e = find(x);
    if (!e && compares)
        return CACHE_MEMCACHED_NOT_FOUND;
    if (!e)
        return r->mode == CACHE_MEMCACHED_SET || r->mode == CACHE_MEMCACHED_ADD ? put_whole(x, NULL)
                                                                                : CACHE_MEMCACHED_NOT_STORED;
    bool same = r->has_cas && r->cas == cas_of(e), older = r->invalidates && r->cas < cas_of(e);
    if (compares && !same && !older)
        return CACHE_MEMCACHED_EXISTS;
    if (compares)
        return put_whole(x, same ? NULL : e);
    if (r->mode == CACHE_MEMCACHED_ADD || (joins && e->type != CACHE_STRING))
        return CACHE_MEMCACHED_NOT_STORED;
    if (joins)
        return r->has_cas && !same ? CACHE_MEMCACHED_EXISTS : put_joined(x, e);
    return put_whole(x, NULL);
}

/* -- getting ---------------------------------------------------------------------------------------------------------------- */

/* The token goes to one client only: of a stale item, of one that will soon be gone, of one that it made. */
static uint32_t token_give(struct execution *x)
{
    const struct cache_memcached_request *r = &x->r;
    struct cache_memcached_hit *h = &x->hit;
    uint64_t expires_ms = r->recaches_before ? h->expires_before_ms : h->expires_ms;
    if (r->dialect != CACHE_MEMCACHED_META)
        return 0; /* the classic commands know of no token */
    bool soon = r->recaches && expires_ms && expires_ms < h->now_ms + (uint64_t)r->recache_s * 1000;
    h->won = !h->sent && (h->stale || soon);
    return h->won ? META_SENT : 0;
}

static int vivify(struct execution *x)
{
    int got = put_bytes(x, "", 0, x->r.vivify_ms, META_SENT | META_FETCHED);
    if (got != CACHE_MEMCACHED_STORED)
        return got;
    x->hit.sent = x->hit.fetched = false; /* what is so for the next */
    x->hit.won = true;
    return x->hit.entry ? VALUE : CACHE_MEMCACHED_NOT_FOUND;
}

/* Redis clients make items without a part: who asks for CAS or for the past of an item makes it have one. */
static bool needs_part(const struct execution *x, const struct cache_entry *e)
{
    return !cache_entry_memcached(e) && (x->r.with_cas || x->r.recaches || memchr(x->r.wants, 'c', x->r.wants_count));
}

static int get(struct execution *x)
{
    struct cache_entry *e = find(x);
    if (!e || e->type != CACHE_STRING)
        return !e && x->r.vivifies ? vivify(x) : CACHE_MEMCACHED_NOT_FOUND;
    if (x->r.touches || needs_part(x, e)) {
        int got = room(x, move_cost(x, e));
        if (got == AGAIN)
            return got;
        e = find(x);
        if (!e)
            return CACHE_MEMCACHED_NOT_FOUND;
        struct cache_entry *with_part =
            got == CACHE_MEMCACHED_OK && needs_part(x, e) ? cache_store_memcached(x->store, e) : e;
        e = with_part ? with_part : e;
        if (x->r.touches && got == CACHE_MEMCACHED_OK)
            e = touch(x, e);
        if (!e)
            return CACHE_MEMCACHED_NOT_FOUND;
    }
    look(x, e);
    uint32_t token = token_give(x);
    if (cache_entry_memcached(e) && (!x->r.no_update || token))
        meta_set(x, e, (cache_entry_memcached(e)->meta & META_FLAGS) | META_FETCHED | token);
    return VALUE;
}

static int touch_only(struct execution *x)
{
    struct cache_entry *e = find(x);
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    int got = room(x, move_cost(x, e));
    if (got != CACHE_MEMCACHED_OK)
        return got;
    e = find(x);
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    e = touch(x, e);
    if (e) {
        look(x, e);
        const struct cache_memcached_part *part = cache_entry_memcached(e);
        meta_set(x, e, META_FETCHED | (part ? part->meta & META_FLAGS : 0));
    }
    return CACHE_MEMCACHED_TOUCHED;
}

/* -- numbers ---------------------------------------------------------------------------------------------------------------- */

/* As strtoull reads it, and as memcached takes it: space in front, and anything behind a space or a zero byte. */
static bool number_read(const struct cache_entry *e, uint64_t *value)
{
    char digits[24];
    struct mr_span span =
        cache_string_at(e, 0, digits, &(struct cache_extent *){NULL}); /* a number ends within its first piece */
    const uint8_t *p = span.data, *end = p + span.length;
    while (p < end && isspace(*p))
        p++;
    const uint8_t *first = p;
    for (*value = 0; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
            return false;
    return p > first && (p == end || !*p || isspace(*p));
}

static int number_make(struct execution *x)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)x->r.initial);
    int got = put_bytes(x, text, (size_t)n, x->r.vivify_ms, x->r.key_base64 ? META_BASE64 : 0);
    if (got != CACHE_MEMCACHED_STORED)
        return got;
    x->hit.number = x->r.initial;
    x->r.quiet = x->r.quiet && x->r.dialect != CACHE_MEMCACHED_META; /* that it was made is always told */
    return NUMBER;
}

static int arithmetic(struct execution *x)
{
    struct cache_entry *e = find(x);
    if (!e)
        return x->r.vivifies ? number_make(x) : CACHE_MEMCACHED_NOT_FOUND;
    if (e->type != CACHE_STRING || cache_string_length(e) == 0)
        return CACHE_MEMCACHED_NON_NUMERIC;
    if (x->r.has_cas && x->r.cas != cas_of(e))
        return CACHE_MEMCACHED_EXISTS;
    uint64_t value;
    if (!number_read(e, &value))
        return CACHE_MEMCACHED_NON_NUMERIC;
    value = !x->r.decrements ? value + x->r.delta : value > x->r.delta ? value - x->r.delta : 0;
    int got = room(x, cache_store_string_cost(x->store, x->key.length, 24) + 2 * CACHE_EXPIRY_COST);
    if (got != CACHE_MEMCACHED_OK)
        return got;
    e = find(x);
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    bool longer = (uint64_t)n > cache_string_length(e);
    e = cache_store_replace(x->store, e, (struct mr_span){(const uint8_t *)text, (size_t)n});
    if (e && needs_part(x, e)) {
        struct cache_entry *with_part = cache_store_memcached(x->store, e);
        e = with_part ? with_part : e;
    }
    if (!e)
        return CACHE_MEMCACHED_NO_MEMORY;
    const struct cache_memcached_part *part = cache_entry_memcached(e);
    meta_set(x, e, part && !longer ? part->meta & META_FLAGS : 0); /* a longer number makes another item */
    if (x->r.touches) {
        expiry_remember(x, e);
        e = expire(x, e, x->r.expires_ms);
    }
    cache_call_changed(x->call, x->store, x->key);
    if (e)
        look(x, e);
    x->hit.number = value;
    return NUMBER;
}

/* -- deleting --------------------------------------------------------------------------------------------------------------- */

static int make_stale(struct execution *x, struct cache_entry *e)
{
    int got = room(x, move_cost(x, e));
    if (got != CACHE_MEMCACHED_OK)
        return got;
    e = find(x);
    if (e)
        e = cache_store_memcached(x->store, e);
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    struct cache_memcached_part *part = cache_entry_memcached(e);
    part->meta = (part->meta | META_STALE) & ~META_SENT;
    if (x->r.touches)
        expire(x, e, x->r.expires_ms);
    cache_call_changed(x->call, x->store, x->key);
    return CACHE_MEMCACHED_DELETED;
}

static int delete (struct execution *x)
{
    struct cache_entry *e = find(x);
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    if (x->r.has_cas && x->r.cas != cas_of(e))
        return CACHE_MEMCACHED_EXISTS;
    if (x->r.invalidates)
        return make_stale(x, e);
    cache_store_delete_entry(x->store, e);
    cache_call_changed(x->call, x->store, x->key);
    return CACHE_MEMCACHED_DELETED;
}

/* What was to replace it is too large: the old value must not be taken for the new one. */
static int delete_for_too_large(struct execution *x)
{
    delete (x);
    return CACHE_MEMCACHED_TOO_LARGE;
}

static int debug(struct execution *x)
{
    struct cache_entry *e = cache_store_peek(x->store, x->call->database, x->key);
    char text[128];
    if (!e)
        return CACHE_MEMCACHED_NOT_FOUND;
    look(x, e);
    long long ttl = x->hit.expires_ms ? (long long)((x->hit.expires_ms - x->hit.now_ms + 999) / 1000) : -1;
    int n = snprintf(text, sizeof text, " exp=%lld la=%u cas=%llu fetch=%s cls=1 size=%llu\r\n", ttl, x->hit.access_s,
                     (unsigned long long)x->hit.cas, x->hit.fetched ? "yes" : "no",
                     (unsigned long long)cache_entry_bytes(x->store, e));
    cache_reply_text(x->call->reply, "ME ");
    cache_reply_raw(x->call->reply, x->key.data, x->key.length);
    cache_reply_raw(x->call->reply, text, (size_t)n);
    return CACHE_MEMCACHED_OK;
}

/* -- the one way of all of them --------------------------------------------------------------------------------------------- */

static int run(struct execution *x)
{
    switch ((enum cache_memcached_op)x->r.op) {
    case CACHE_MEMCACHED_GET:
        return get(x);
    case CACHE_MEMCACHED_STORE:
        return x->value ? store(x) : CACHE_MEMCACHED_BAD_FORMAT;
    case CACHE_MEMCACHED_DELETE:
        return x->r.answer == CACHE_MEMCACHED_TOO_LARGE ? delete_for_too_large(x) : delete (x);
    case CACHE_MEMCACHED_ARITHMETIC:
        return arithmetic(x);
    case CACHE_MEMCACHED_TOUCH:
        return touch_only(x);
    case CACHE_MEMCACHED_DEBUG:
        return debug(x);
    default:
        return CACHE_MEMCACHED_ERROR;
    }
}

static void reply(struct execution *x, int result)
{
    const struct cache_memcached_writer *w = cache_memcached_writer(&x->r);
    struct cache_reply *to = x->call->reply;
    if (result == VALUE)
        w->value(to, &x->r, x->key, &x->hit);
    else if (result == NUMBER)
        w->number(to, &x->r, x->key, &x->hit);
    else if (x->r.op != CACHE_MEMCACHED_DEBUG)
        w->answer(to, &x->r, x->key, (enum cache_memcached_answer)result, &x->hit);
    else if (result != CACHE_MEMCACHED_OK)
        cache_reply_text(to, "EN\r\n");
}

enum cache_outcome cache_memcached_execute(struct cache_call *call)
{
    struct execution x = {.call = call, .store = call->store};
    if (!cache_memcached_request_of(call, &x.r) || call->argc < 3 || !call->argv[2].data)
        return CACHE_DONE;
    x.key = cache_argument_span(&call->argv[2]);
    x.value = call->argc > 3 ? &call->argv[3] : NULL;
    int result = run(&x);
    if (result == AGAIN)
        return CACHE_AGAIN;
    if (!call->replaying)
        reply(&x, result);
    return CACHE_DONE;
}
