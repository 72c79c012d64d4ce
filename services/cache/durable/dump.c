#include "cache/durable/dump.h"

#include <stdio.h>

#include "cache/command/command.h"
#include "cache/type/hash.h"
#include "cache/type/list.h"
#include "cache/type/set.h"
#include "cache/type/zset.h"

static void out_text(struct cache_log_out *o, const char *text, int n)
{
    log_out_argument(o, text, (size_t)n);
}

static void out_word(struct cache_log_out *o, struct mr_span word)
{
    log_out_argument(o, word.data, word.length);
}

static void out_number(struct cache_log_out *o, uint64_t value)
{
    char text[24];
    out_text(o, text, snprintf(text, sizeof text, "%lu", (unsigned long)value));
}

/* Begins `name key`, `more` arguments follow. */
static void out_command(struct cache_log_out *o, const struct cache_entry *e, struct mr_span name, uint64_t more)
{
    log_out_command(o, o->databases[e->database], 2 + (unsigned)more);
    out_word(o, name);
    out_word(o, cache_entry_key(e));
}

static void string_write(struct cache_log_out *o, const struct cache_entry *e)
{
    uint64_t length = cache_string_length(e), expires = cache_entry_expires_ms(e);
    out_command(o, e, CACHE_SPAN("SET"), expires ? 3 : 1);
    log_out_varint(o, length);
    for (uint64_t at = 0; at < length;) {
        char digits[24];
        struct cache_extent *x = NULL;
        struct mr_span s = cache_string_at(e, at, digits, &x);
        log_out_extent(o, s, x);
        at += s.length;
    }
    if (expires) {
        out_word(o, CACHE_SPAN("PXAT"));
        out_number(o, expires);
    }
}

static bool list_piece(struct cache_log_out *o, const struct cache_entry *e, struct cache_dump_at *d,
                       uint64_t *elements)
{
    const struct cache_list *l = cache_list_of(e);
    struct cache_list_at at = cache_list_first(l);
    if (d->begun)
        at = (struct cache_list_at){(struct cache_list_node *)(uintptr_t)d->position[0], (uint32_t)d->position[1]};
    uint64_t n = 0;
    for (struct cache_list_at a = at; a.node && n < DUMP_PIECE_ELEMENTS; a = cache_list_next(a))
        n++;
    out_command(o, e, CACHE_SPAN("RPUSH"), n);
    for (uint64_t i = 0; i < n; i++, at = cache_list_next(at)) {
        struct cache_list_element x = cache_list_get(at);
        if (x.rope)
            log_out_rope(o, x.rope);
        else
            out_word(o, x.span);
    }
    d->position[0] = (uintptr_t)at.node;
    d->position[1] = at.offset;
    *elements += n;
    return at.node == NULL;
}

static bool zset_piece(struct cache_log_out *o, struct cache_store *s, struct cache_entry *e, struct cache_dump_at *d,
                       uint64_t *elements)
{
    struct cache_zset z = cache_zset_of(s, e);
    cache_zset_at at = d->begun ? (cache_zset_at)d->position[0] : cache_zset_at_rank(&z, 0);
    uint64_t n = 0;
    for (cache_zset_at a = at; a && n < DUMP_PIECE_ELEMENTS; a = cache_zset_next(&z, a))
        n++;
    out_command(o, e, CACHE_SPAN("ZADD"), n * 2);
    for (uint64_t i = 0; i < n; i++, at = cache_zset_next(&z, at)) {
        struct cache_zset_element x = cache_zset_get(&z, at);
        char text[40];
        out_text(o, text, (int)cache_double_text(x.score, text));
        out_word(o, x.member);
    }
    d->position[0] = at;
    *elements += n;
    return at == 0;
}

static void out_pair(const struct cache_hash_pair *p, void *argument)
{
    struct cache_log_out *o = argument;
    out_word(o, p->field);
    if (p->value.rope)
        log_out_rope(o, p->value.rope);
    else
        out_word(o, p->value.bytes);
}

static void out_hash_item(void *item, void *argument)
{
    struct cache_hash_pair p = cache_hash_item_pair(item);
    out_pair(&p, argument);
}

static void out_set_item(void *item, void *argument)
{
    out_word(argument, cache_set_item_member(item));
}

static bool out_member(struct mr_span member, void *argument)
{
    out_word(argument, member);
    return true;
}

static void count_item(void *item, void *argument)
{
    ++*(uint64_t *)argument;
}

/* Buckets are walked twice, first to count: nothing changes in between. */
static bool table_piece(struct cache_log_out *o, const struct cache_entry *e, const struct cache_table *t,
                        struct mr_span command, unsigned words, void (*item)(void *, void *), struct cache_dump_at *d,
                        uint64_t *elements)
{
    uint64_t n = 0, begin = d->position[0], end = begin;
    do
        end = cache_table_scan(t, end, count_item, &n);
    while (end != 0 && n < DUMP_PIECE_ELEMENTS);
    if (n > 0) {
        out_command(o, e, command, n * words);
        uint64_t at = begin;
        do
            at = cache_table_scan(t, at, item, o);
        while (at != end);
    }
    d->position[0] = end;
    *elements += n;
    return end == 0;
}

static bool hash_piece(struct cache_log_out *o, const struct cache_entry *e, struct cache_dump_at *d,
                       uint64_t *elements)
{
    const struct cache_table *t = cache_hash_table(e);
    if (t)
        return table_piece(o, e, t, CACHE_SPAN("HSET"), 2, out_hash_item, d, elements);
    *elements += cache_hash_length(e);
    out_command(o, e, CACHE_SPAN("HSET"), cache_hash_length(e) * 2);
    cache_hash_each(e, out_pair, o);
    return true;
}

static bool set_piece(struct cache_log_out *o, const struct cache_entry *e, struct cache_dump_at *d, uint64_t *elements)
{
    const struct cache_table *t = cache_set_table(e);
    if (t)
        return table_piece(o, e, t, CACHE_SPAN("SADD"), 1, out_set_item, d, elements);
    *elements += cache_set_length(e);
    out_command(o, e, CACHE_SPAN("SADD"), cache_set_length(e));
    cache_set_each(e, out_member, o);
    return true;
}

/* What stands beside the value. */
static void rest_write(struct cache_log_out *o, const struct cache_entry *e)
{
    const struct cache_memcached_part *m = cache_entry_memcached(e);
    uint64_t expires = cache_entry_expires_ms(e);
    if (e->type != CACHE_STRING && expires) {
        out_command(o, e, CACHE_SPAN("PEXPIREAT"), 1);
        out_number(o, expires);
    }
    if (m) {
        out_command(o, e, CACHE_SPAN(CACHE_LOG_MEMCACHED), 3);
        out_number(o, m->flags);
        out_number(o, m->cas);
        out_number(o, m->meta);
    }
}

bool cache_dump_piece(struct cache_log_out *o, struct cache_store *s, struct cache_entry *e, struct cache_dump_at *at,
                      uint64_t *elements)
{
    bool last = true;
    if (e->type == CACHE_STRING)
        string_write(o, e);
    else if (cache_dump_elements(e) == 0)
        return true; /* being made: the log has what makes it */
    else if (e->type == CACHE_LIST)
        last = list_piece(o, e, at, elements);
    else if (e->type == CACHE_ZSET)
        last = zset_piece(o, s, e, at, elements);
    else if (e->type == CACHE_HASH)
        last = hash_piece(o, e, at, elements);
    else
        last = set_piece(o, e, at, elements);
    at->begun = true;
    if (last)
        rest_write(o, e);
    return last;
}

uint64_t cache_dump_elements(const struct cache_entry *e)
{
    return e->type == CACHE_STRING
               ? 1
               : cache_collection_types[e->type]->length(e->encoding, cache_entry_value(e)->collection);
}
