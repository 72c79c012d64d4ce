#include "stack/tcp/tcp_table.h"

#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>

#include "stack/base/assert.h"

static uint16_t tag_of(uint64_t hash)
{
    uint16_t tag = (uint16_t)(hash >> 48);
    return tag ? tag : 1;
}

/* Bit pairs of the ways whose tag equals `tag`. */
static unsigned ways_of(const struct table_bucket *b, uint16_t tag)
{
    __m128i tags = _mm_load_si128((const __m128i *)b->tag);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi16(tags, _mm_set1_epi16((short)tag)));
}

static struct table_bucket *bucket_next(const struct table *t, const struct table_bucket *b)
{
    return b->overflow ? slab_at(&t->overflow, b->overflow - 1) : NULL;
}

bool table_init(struct table *t, const struct hash_key *key, uint32_t entries,
                const struct flow_key *(*key_of)(const void *owner, uint32_t handle), const void *owner)
{
    uint32_t buckets = 16;
    while ((uint64_t)buckets * 6 < entries) /* six of eight ways at the limit: few chains */
        buckets *= 2;
    *t = (struct table){.key = *key, .mask = buckets - 1, .key_of = key_of, .owner = owner};
    t->bytes = (size_t)buckets * sizeof *t->bucket;
    t->bucket = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->bucket == MAP_FAILED) {
        t->bucket = NULL;
        return false;
    }
    return slab_init(&t->overflow, "tcp table overflow", sizeof *t->bucket, 64, buckets);
}

void table_release(struct table *t)
{
    if (t->bucket)
        munmap(t->bucket, t->bytes);
    slab_free_all(&t->overflow);
    t->bucket = NULL;
}

uint64_t table_hash(const struct table *t, const struct flow_key *key)
{
    /* IPv4: the twelve bytes that differ, not all thirty-six. */
    if (mr_address_is_ip4(&key->remote)) {
        uint8_t bytes[12];
        memcpy(bytes, key->local.bytes + 12, 4);
        memcpy(bytes + 4, key->remote.bytes + 12, 4);
        memcpy(bytes + 8, (const uint8_t *)key + offsetof(struct flow_key, local_port), 4); /* both ports */
        return hash_bytes(&t->key, bytes, sizeof bytes);
    }
    return hash_bytes(&t->key, key, sizeof *key);
}

uint32_t table_lookup(const struct table *t, const struct flow_key *key, uint64_t hash)
{
    uint16_t tag = tag_of(hash);
    for (const struct table_bucket *b = &t->bucket[hash & t->mask]; b; b = bucket_next(t, b)) {
        for (unsigned ways = ways_of(b, tag); ways; ways &= ways - 1, ways &= ways - 1) {
            uint32_t handle = b->handle[__builtin_ctz(ways) / 2];
            if (memcmp(t->key_of(t->owner, handle), key, sizeof *key) == 0)
                return handle;
        }
    }
    return FLOW_NONE;
}

uint32_t table_guess(const struct table *t, uint64_t hash)
{
    const struct table_bucket *b = &t->bucket[hash & t->mask];
    unsigned ways = ways_of(b, tag_of(hash));
    return ways ? b->handle[__builtin_ctz(ways) / 2] : FLOW_NONE;
}

bool table_insert(struct table *t, uint64_t hash, uint32_t handle)
{
    struct table_bucket *b = &t->bucket[hash & t->mask];
    unsigned empty;
    while (!(empty = ways_of(b, 0))) {
        struct table_bucket *next = bucket_next(t, b);
        if (!next) {
            next = slab_get(&t->overflow);
            if (!next)
                return false;
            b->overflow = slab_index(&t->overflow, next) + 1;
        }
        b = next;
    }
    unsigned way = (unsigned)__builtin_ctz(empty) / 2;
    b->tag[way] = tag_of(hash);
    b->handle[way] = handle;
    t->count++;
    return true;
}

/* The bucket and way that hold `handle`, which must be there; *before is the bucket that chains to it, or NULL. */
static struct table_bucket *bucket_of(struct table *t, uint64_t hash, uint32_t handle, unsigned *way,
                                      struct table_bucket **before)
{
    uint16_t tag = tag_of(hash);
    *before = NULL;
    for (struct table_bucket *b = &t->bucket[hash & t->mask]; b; *before = b, b = bucket_next(t, b))
        for (unsigned i = 0; i < TABLE_WAYS; i++)
            if (b->tag[i] == tag && b->handle[i] == handle) {
                *way = i;
                return b;
            }
    ASSERT(!"handle is in the table");
    return NULL;
}

void table_remove(struct table *t, uint64_t hash, uint32_t handle)
{
    unsigned way;
    struct table_bucket *before, *b = bucket_of(t, hash, handle, &way, &before);
    b->tag[way] = 0;
    t->count--;
    if (before && ways_of(b, 0) == 0xffff) { /* an empty overflow bucket goes back */
        before->overflow = b->overflow;
        slab_put(&t->overflow, b);
    }
}

void table_replace(struct table *t, uint64_t hash, uint32_t before, uint32_t after)
{
    unsigned way;
    struct table_bucket *chained, *b = bucket_of(t, hash, before, &way, &chained);
    b->handle[way] = after;
}

unsigned table_bucket_handles(const struct table *t, uint32_t bucket, uint32_t *handles, unsigned max)
{
    unsigned n = 0;
    for (const struct table_bucket *b = &t->bucket[bucket]; b; b = bucket_next(t, b))
        for (unsigned i = 0; i < TABLE_WAYS && n < max; i++)
            if (b->tag[i])
                handles[n++] = b->handle[i];
    return n;
}

void table_check(const struct table *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i <= t->mask; i++)
        for (const struct table_bucket *b = &t->bucket[i]; b; b = bucket_next(t, b))
            for (unsigned k = 0; k < TABLE_WAYS; k++)
                if (b->tag[k]) {
                    uint64_t hash = table_hash(t, t->key_of(t->owner, b->handle[k]));
                    ASSERT_COMPARE(hash & t->mask, ==, i);
                    ASSERT_COMPARE(tag_of(hash), ==, b->tag[k]);
                    count++;
                }
    ASSERT_COMPARE(count, ==, t->count);
}
