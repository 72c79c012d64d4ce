/* Hash tables by linear hashing: buckets in segments that come one by one, split in turn. Without memory for another segment chains grow, and
 * nothing fails. */
#include "queue/catalog/replica.h"

enum { BUCKETS_FIRST = 64 };

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t catalog_hash(uint64_t seed, struct mr_span s)
{
    uint64_t factor = (seed ^ 0xa0761d6478bd642fu) | 1, h = fold(s.length ^ 0xe7037ed1a0b428dbu, factor);
    for (size_t i = 0; i < s.length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, s.data + i, s.length - i < 8 ? s.length - i : 8);
        h = fold(h ^ word, factor) ^ h;
    }
    return fold(h, 0x8ebc6af09c88c6e3u);
}

static struct catalog_link **segment_create(struct memory *memory)
{
    struct catalog_link **s = memory_alloc(memory, CATALOG_SEGMENT * sizeof *s);
    if (s)
        memset(s, 0, CATALOG_SEGMENT * sizeof *s);
    return s;
}

bool catalog_index_init(struct catalog_index *x, struct memory *memory)
{
    *x = (struct catalog_index){.memory = memory, .buckets = BUCKETS_FIRST, .mask = BUCKETS_FIRST - 1};
    x->segments[0] = segment_create(memory);
    return x->segments[0] != NULL;
}

static struct catalog_link **bucket_at(const struct catalog_index *x, uint32_t i)
{
    return &x->segments[i / CATALOG_SEGMENT][i % CATALOG_SEGMENT];
}

static struct catalog_link **bucket_of(const struct catalog_index *x, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & x->mask;
    return bucket_at(x, i < x->buckets ? i : i & x->mask >> 1);
}

struct catalog_link *catalog_index_bucket(const struct catalog_index *x, uint64_t hash)
{
    return *bucket_of(x, hash);
}

struct catalog_link *catalog_index_at(const struct catalog_index *x, uint32_t bucket)
{
    return *bucket_at(x, bucket);
}

/* The next bucket takes its half of the one that has served both. */
static void bucket_split(struct catalog_index *x)
{
    uint32_t new = x->buckets, segment = new / CATALOG_SEGMENT;
    if (segment == CATALOG_SEGMENTS)
        return;
    if (!x->segments[segment] && !(x->segments[segment] = segment_create(x->memory)))
        return;
    if (new > x->mask)
        x->mask = x->mask << 1 | 1;
    x->buckets++;
    struct catalog_link **from = bucket_at(x, new & x->mask >> 1), **to = bucket_at(x, new);
    while (*from) {
        struct catalog_link *link = *from;
        if (((uint32_t)link->hash & x->mask) != new) {
            from = &link->next;
            continue;
        }
        *from = link->next;
        link->next = *to;
        *to = link;
    }
}

void catalog_index_insert(struct catalog_index *x, struct catalog_link *link)
{
    if (++x->count > x->buckets)
        bucket_split(x);
    struct catalog_link **bucket = bucket_of(x, link->hash);
    link->next = *bucket;
    *bucket = link;
}

void catalog_index_remove(struct catalog_index *x, struct catalog_link *link)
{
    struct catalog_link **at = bucket_of(x, link->hash);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    x->count--;
}
