/* Cache-Status (RFC 9211): what became of a request, for whoever reads the response. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cache/hcache_state.h"

static const char *const reasons[] = {
    [HCACHE_FORWARD_NONE] = "",       [HCACHE_FORWARD_BYPASS] = "bypass",       [HCACHE_FORWARD_METHOD] = "method",
    [HCACHE_FORWARD_MISS] = "miss",   [HCACHE_FORWARD_VARY_MISS] = "vary-miss", [HCACHE_FORWARD_REQUEST] = "request",
    [HCACHE_FORWARD_STALE] = "stale",
};

struct line {
    char *text;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(l->text + l->length, HCACHE_STATUS_BYTES - l->length, format, arguments);
    va_end(arguments);
    if (n > 0 && (size_t)n < HCACHE_STATUS_BYTES - l->length)
        l->length += (size_t)n;
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
    add(&l, "%.32s", via);
    if (q->verdict == HCACHE_HIT && q->waited)
        add(&l, "; fwd=miss; collapsed");
    else if (went(q) && q->forward != HCACHE_FORWARD_NONE)
        add(&l, "; fwd=%s", reasons[q->forward]);
    else if (q->verdict == HCACHE_HIT || q->verdict == HCACHE_STALE)
        add(&l, "; hit");
    if (went(q) && q->forward_status)
        add(&l, "; fwd-status=%u", q->forward_status);
    if (q->stored && q->verdict != HCACHE_STALE)
        add(&l, "; stored");
    if (e && (q->verdict == HCACHE_HIT || q->verdict == HCACHE_STALE))
        add(&l, "; ttl=%lld",
            (long long)e->freshness.lifetime - (long long)hcache_freshness_age(&e->freshness, wall_seconds));
    return l.length;
}
