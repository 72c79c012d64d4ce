/* Cache-Status (RFC 9211): what became of a request, for whoever reads the response. */
#include <string.h>

#include "http/response.h"
#include "proxy/cache/hcache_state.h"

#define HCACHE_VIA_BYTES 32 /* of our name, which leaves room for all the rest */

static const char *const reasons[] = {
    [HCACHE_FORWARD_NONE] = "",       [HCACHE_FORWARD_BYPASS] = "bypass",       [HCACHE_FORWARD_METHOD] = "method",
    [HCACHE_FORWARD_MISS] = "miss",   [HCACHE_FORWARD_VARY_MISS] = "vary-miss", [HCACHE_FORWARD_REQUEST] = "request",
    [HCACHE_FORWARD_STALE] = "stale",
};

struct line {
    char *text;
    size_t length;
};

static void put(struct line *l, const char *text, size_t n)
{
    if (n < HCACHE_STATUS_BYTES - l->length) {
        memcpy(l->text + l->length, text, n);
        l->length += n;
    }
}

static void add(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void add_number(struct line *l, int64_t value)
{
    char text[24] = "-";
    bool negative = value < 0;
    put(l, text + !negative, negative + http_number_format(negative ? 0 - (uint64_t)value : (uint64_t)value, text + 1));
}

/* 2.2: fwd says why it went to the backend, hit that it did not have to. */
static bool went(const struct hcache_request *q)
{
    switch (q->verdict) {
    case HCACHE_MISS:
    case HCACHE_VALIDATE:
    case HCACHE_BYPASS:
    case HCACHE_WAIT:
        return true;
    case HCACHE_HIT:
        return q->validated;
    default:
        return false;
    }
}

size_t hcache_status_field(const struct hcache_request *q, const char *via, int64_t wall_seconds, char *out)
{
    struct line l = {out, 0};
    const struct hcache_entry *e = q->entry;
    put(&l, via, strnlen(via, HCACHE_VIA_BYTES));
    if (q->verdict == HCACHE_HIT && q->waited)
        add(&l, "; fwd=miss; collapsed");
    else if (went(q) && q->forward != HCACHE_FORWARD_NONE) {
        add(&l, "; fwd=");
        add(&l, reasons[q->forward]);
    } else if (q->verdict == HCACHE_HIT || q->verdict == HCACHE_STALE)
        add(&l, "; hit");
    if (went(q) && q->forward_status) {
        add(&l, "; fwd-status=");
        add_number(&l, q->forward_status);
    }
    if (q->stored && q->verdict != HCACHE_STALE)
        add(&l, "; stored");
    if (e && (q->verdict == HCACHE_HIT || q->verdict == HCACHE_STALE)) {
        add(&l, "; ttl=");
        add_number(&l, (int64_t)e->freshness.lifetime - (int64_t)hcache_freshness_age(&e->freshness, wall_seconds));
    }
    out[l.length] = 0;
    return l.length;
}
