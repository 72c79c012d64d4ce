/* What is sent of an entry. */
#include "http/condition.h"
#include "proxy/cache/hcache_state.h"

struct mr_span hcache_entry_head(const struct hcache_entry *e)
{
    return (struct mr_span){e->head, e->head_length - 2u};
}

int hcache_entry_status(const struct hcache_entry *e)
{
    return e->status;
}

uint64_t hcache_entry_length(const struct hcache_entry *e)
{
    return e->length;
}

uint64_t hcache_entry_age(const struct hcache_entry *e, int64_t wall_seconds)
{
    return hcache_freshness_age(&e->freshness, wall_seconds);
}

struct mr_span hcache_entry_body(const struct hcache_entry *e, uint64_t offset)
{
    size_t room;
    if (offset >= e->length)
        return (struct mr_span){NULL, 0};
    const uint8_t *at = hcache_entry_at(e, offset, &room);
    uint64_t left = e->length - offset;
    return (struct mr_span){at, room < left ? room : (size_t)left};
}

/* RFC 9111 4.3.2: for the date of a response without Last-Modified its Date stands in, or when it came. */
int hcache_entry_condition(const struct hcache_entry *e, const struct http_request *r, const uint8_t *head,
                           int64_t wall_seconds)
{
    const struct http_validators v = {(const char *)hcache_entry_etag(e).data,
                                      e->modified != HCACHE_UNKNOWN ? e->modified
                                      : e->date != HCACHE_UNKNOWN   ? e->date
                                                                    : e->freshness.arrived};
    return e->status == 200 ? http_condition_evaluate(r, head, &v, wall_seconds) : 200;
}

/* If-Range needs strong validators: no weak ETag, and a date that was not today's when it was given (RFC 9110 8.8.2.2). */
int hcache_entry_range(const struct hcache_entry *e, const struct http_request *r, const uint8_t *head,
                       int64_t wall_seconds, uint64_t *first, uint64_t *last)
{
    bool strong = e->modified != HCACHE_UNKNOWN && e->date != HCACHE_UNKNOWN && e->modified < e->date;
    const struct http_validators v = {e->etag_weak ? "" : (const char *)hcache_entry_etag(e).data,
                                      strong ? e->modified : HCACHE_UNKNOWN};
    if (e->status != 200 || r->method != HTTP_GET)
        return 200;
    return http_range_evaluate(r, head, &v, wall_seconds, e->length, first, last);
}
