/* See scan_options.h. */
#include "cache/command/scan_options.h"

#define COUNT_DEFAULT     10
#define STEPS_PER_ELEMENT 10 /* a bucket may be empty: this bounds how many are looked at */

/* As strtoul reads it, which is what clients of Redis meet: a sign is taken, nothing at all is 0. */
bool cache_scan_cursor(struct cache_call *call, const struct cache_argument *a, uint64_t *cursor)
{
    uint32_t i = a->data && a->length && (a->data[0] == '-' || a->data[0] == '+');
    bool negative = i && a->data[0] == '-', valid = a->data && (!i || a->length > 1);
    uint64_t value = 0;
    for (; valid && i < a->length; i++) {
        unsigned digit = (unsigned)a->data[i] - '0';
        valid =
            digit < 10 && !__builtin_mul_overflow(value, 10, &value) && !__builtin_add_overflow(value, digit, &value);
    }
    if (!valid)
        cache_reply_error(call->reply, "ERR invalid cursor");
    *cursor = negative ? -value : value;
    return valid;
}

static bool read_count(struct cache_call *call, const struct cache_argument *a, struct cache_scan_options *o)
{
    int64_t count;
    if (!cache_argument_integer(a, &count)) {
        cache_reply_not_integer(call->reply);
        return false;
    }
    if (count < 1) {
        cache_reply_syntax_error(call->reply);
        return false;
    }
    o->count = (uint64_t)count;
    return true;
}

bool cache_scan_options(struct cache_call *call, unsigned first, bool with_type, struct cache_scan_options *o)
{
    *o = (struct cache_scan_options){.count = COUNT_DEFAULT};
    for (unsigned i = first; i < call->argc; i += 2) {
        const struct cache_argument *name = &call->argv[i], *value = name + 1;
        bool known = i + 1 < call->argc;
        if (known && cache_argument_is(name, "count")) {
            if (!read_count(call, value, o))
                return false;
        } else if (known && value->data && cache_argument_is(name, "match")) {
            bool all = value->length == 1 && value->data[0] == '*';
            o->match = all ? (struct mr_span){0} : cache_argument_span(value);
        } else if (known && value->data && with_type && cache_argument_is(name, "type")) {
            o->type = cache_argument_span(value);
        } else {
            cache_reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

bool cache_scan_matches(const struct cache_scan_options *o, struct mr_span key)
{
    return !o->match.data || cache_glob_match(o->match, key, false);
}

struct walk {
    const struct cache_table *table;
    const struct cache_scan_options *options;
    struct cache_reply *reply; /* NULL: counts only */
    void (*emit)(struct cache_reply *r, void *item);
    uint64_t seen, matched;
};

static void visit(void *item, void *argument)
{
    struct walk *w = argument;
    w->seen++;
    if (!cache_scan_matches(w->options, w->table->type->key(item)))
        return;
    w->matched++;
    if (w->reply)
        w->emit(w->reply, item);
}

static uint64_t walk(struct walk *w, uint64_t cursor)
{
    uint64_t count = w->options->count, steps;
    if (__builtin_mul_overflow(count, STEPS_PER_ELEMENT, &steps))
        steps = UINT64_MAX;
    do
        cursor = cache_table_scan(w->table, cursor, visit, w);
    while (cursor && w->seen < count && --steps);
    return cursor;
}

/* The cursor and the number come first in the reply: so it walks twice, over a table that does not change between. */
void cache_scan_table(struct cache_call *call, const struct cache_table *t, uint64_t cursor,
                      const struct cache_scan_options *o, unsigned replies,
                      void (*emit)(struct cache_reply *r, void *item))
{
    struct walk counted = {.table = t, .options = o};
    uint64_t next = walk(&counted, cursor);
    char digits[24];
    unsigned n = 0;
    for (uint64_t rest = next; rest || !n; rest /= 10)
        digits[sizeof digits - ++n] = (char)('0' + rest % 10);

    cache_reply_array(call->reply, 2);
    cache_reply_bulk(call->reply, digits + sizeof digits - n, n);
    cache_reply_array(call->reply, counted.matched * replies);
    struct walk emitted = {.table = t, .options = o, .reply = call->reply, .emit = emit};
    walk(&emitted, cursor);
}

void cache_scan_empty(struct cache_call *call)
{
    cache_reply_array(call->reply, 2);
    cache_reply_bulk_text(call->reply, "0");
    cache_reply_array(call->reply, 0);
}
