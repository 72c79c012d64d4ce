/* See zset_bounds.h. */
#include "cache/command/zset_bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_TEXT_MAX 512

/* As strtod reads it, with all its liberties: an empty text is 0. */
static bool score_bound(const struct cache_argument *a, struct cache_zset_bound *b)
{
    char text[SCORE_TEXT_MAX + 1], *end;
    if (!a->data || a->length > SCORE_TEXT_MAX)
        return false;
    memcpy(text, a->data, a->length);
    text[a->length] = 0;
    b->open = text[0] == '(';
    b->score = strtod(text + b->open, &end);
    return !*end && !isnan(b->score);
}

static bool lex_bound(const struct cache_argument *a, struct cache_zset_bound *b)
{
    if (!a->data || !a->length)
        return false;
    uint8_t kind = a->data[0];
    b->infinite = kind == '-' ? -1 : kind == '+';
    b->open = kind == '(';
    b->member = (struct mr_span){a->data + 1, a->length - 1};
    return b->infinite ? a->length == 1 : kind == '(' || kind == '[';
}

bool cache_zset_bounds(struct cache_call *call, enum cache_zset_by by, const struct cache_argument *min,
                       const struct cache_argument *max, struct cache_zset_bounds *b)
{
    *b = (struct cache_zset_bounds){.by = by};
    switch (by) {
    case CACHE_ZSET_BY_RANK:
        if (cache_argument_integer(min, &b->first) && cache_argument_integer(max, &b->last))
            return true;
        cache_reply_not_integer(call->reply);
        return false;
    case CACHE_ZSET_BY_SCORE:
        if (score_bound(min, &b->min) && score_bound(max, &b->max))
            return true;
        cache_reply_error(call->reply, "ERR min or max is not a float");
        return false;
    case CACHE_ZSET_BY_LEX:
        if (lex_bound(min, &b->min) && lex_bound(max, &b->max))
            return true;
        cache_reply_error(call->reply, "ERR min or max not valid string range item");
        return false;
    }
    return false;
}

static bool score_less(const void *bound, struct cache_zset_element x)
{
    return x.score < ((const struct cache_zset_bound *)bound)->score;
}

static bool score_less_or_equal(const void *bound, struct cache_zset_element x)
{
    return x.score <= ((const struct cache_zset_bound *)bound)->score;
}

static int lex_compare(struct cache_zset_element x, const struct cache_zset_bound *b)
{
    if (b->infinite)
        return -b->infinite;
    size_t common = x.member.length < b->member.length ? x.member.length : b->member.length;
    int order = common ? memcmp(x.member.data, b->member.data, common) : 0;
    return order ? order : (x.member.length > b->member.length) - (x.member.length < b->member.length);
}

static bool lex_less(const void *bound, struct cache_zset_element x)
{
    return lex_compare(x, bound) < 0;
}

static bool lex_less_or_equal(const void *bound, struct cache_zset_element x)
{
    return lex_compare(x, bound) <= 0;
}

static void rank_interval(const struct cache_zset_bounds *b, int64_t count, bool reverse, uint64_t *first,
                          uint64_t *end)
{
    int64_t from = b->first < 0 ? (b->first + count < 0 ? 0 : b->first + count) : b->first;
    int64_t to = b->last < 0 ? b->last + count : b->last < count ? b->last : count - 1;
    *first = *end = 0;
    if (from > to || from >= count)
        return;
    *first = (uint64_t)(reverse ? count - 1 - to : from);
    *end = (uint64_t)(reverse ? count - from : to + 1);
}

void cache_zset_bounds_ranks(const struct cache_zset_bounds *b, const struct cache_zset *z, bool reverse,
                             uint64_t *first, uint64_t *end)
{
    if (b->by == CACHE_ZSET_BY_RANK) {
        rank_interval(b, (int64_t)cache_zset_count(z), reverse, first, end);
        return;
    }
    bool score = b->by == CACHE_ZSET_BY_SCORE;
    *first = cache_zset_count_while(
        z, b->min.open ? (score ? score_less_or_equal : lex_less_or_equal) : (score ? score_less : lex_less), &b->min);
    *end = cache_zset_count_while(
        z, b->max.open ? (score ? score_less : lex_less) : (score ? score_less_or_equal : lex_less_or_equal), &b->max);
    if (*end < *first)
        *end = *first;
}
