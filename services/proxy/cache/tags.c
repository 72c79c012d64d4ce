#include "proxy/cache/tags.h"

#include <stdlib.h>

#include "proxy/cache/key.h"

bool hcache_tags_init(struct hcache_tags *t, uint32_t count)
{
    uint32_t buckets = 1;
    while (buckets < count)
        buckets *= 2;
    *t = (struct hcache_tags){.count = count, .mask = buckets - 1};
    t->slots = calloc((size_t)count + 1, sizeof *t->slots);
    t->buckets = calloc(buckets, sizeof *t->buckets);
    if (!t->slots || !t->buckets) {
        hcache_tags_release(t);
        return false;
    }
    for (uint32_t i = count; i; i--) {
        t->slots[i].next = t->free;
        t->free = i;
    }
    return true;
}

void hcache_tags_release(struct hcache_tags *t)
{
    free(t->slots);
    free(t->buckets);
    *t = (struct hcache_tags){0};
}

static bool is_between(uint8_t c)
{
    return c == ' ' || c == '\t' || c == ',';
}

static bool tag_next(struct mr_span *list, struct mr_span *tag)
{
    const uint8_t *p = list->data, *end = p + list->length;
    while (p < end && is_between(*p))
        p++;
    const uint8_t *start = p;
    while (p < end && !is_between(*p))
        p++;
    *tag = (struct mr_span){start, (size_t)(p - start)};
    *list = (struct mr_span){p, (size_t)(end - p)};
    return p > start;
}

static bool is_among(const uint64_t *hashes, int n, uint64_t hash)
{
    for (int i = 0; i < n; i++)
        if (hashes[i] == hash)
            return true;
    return false;
}

int hcache_tags_read(const uint64_t secret[2], const struct http_response *r, const uint8_t *head,
                     uint64_t hashes[HCACHE_TAGS_MAX])
{
    static const enum http_header fields[] = {HTTP_HEADER_CACHE_TAG, HTTP_HEADER_SURROGATE_KEY};
    const struct http_field *f;
    int n = 0;
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++)
        for (unsigned at = 0; (f = http_response_next(r, fields[i], &at));) {
            struct mr_span list = http_request_text(head, f->value), tag;
            while (tag_next(&list, &tag)) {
                uint64_t hash = hcache_hash(secret, tag.data, tag.length);
                if (is_among(hashes, n, hash))
                    continue;
                if (n == HCACHE_TAGS_MAX)
                    return -1;
                hashes[n++] = hash;
            }
        }
    return n;
}

uint32_t hcache_tag_find(const struct hcache_tags *t, uint64_t hash)
{
    uint32_t slot = t->buckets[hash & t->mask];
    while (slot && t->slots[slot].hash != hash)
        slot = t->slots[slot].next;
    return slot;
}

uint32_t hcache_tag_hold(struct hcache_tags *t, uint64_t hash)
{
    uint32_t slot = hcache_tag_find(t, hash);
    if (!slot && (slot = t->free)) {
        uint32_t *bucket = &t->buckets[hash & t->mask];
        t->free = t->slots[slot].next;
        t->slots[slot] = (struct hcache_tag){.hash = hash, .next = *bucket};
        *bucket = slot;
        t->used++;
    }
    if (slot)
        t->slots[slot].holds++;
    return slot;
}

void hcache_tag_release(struct hcache_tags *t, uint32_t slot)
{
    struct hcache_tag *tag = &t->slots[slot];
    if (--tag->holds)
        return;
    uint64_t last = tag->hard > tag->soft ? tag->hard : tag->soft;
    t->forgotten = last > t->forgotten ? last : t->forgotten;
    uint32_t *link = &t->buckets[tag->hash & t->mask];
    while (*link != slot)
        link = &t->slots[*link].next;
    *link = tag->next;
    tag->next = t->free;
    t->free = slot;
    t->used--;
}
