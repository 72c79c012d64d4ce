#include "drivers/wrap/ring.h"

#include <stdlib.h>

bool ring_init(struct ring *r, uint32_t bytes)
{
    *r = (struct ring){.bytes = bytes};
    r->data = aligned_alloc(64, bytes);
    return r->data != NULL;
}

void ring_free(struct ring *r)
{
    free(r->data);
    r->data = NULL;
}

static struct ring_record *record_at(const struct ring *r, uint64_t position)
{
    return (struct ring_record *)(r->data + (position & (r->bytes - 1)));
}

void *ring_reserve(struct ring *r, uint32_t n)
{
    uint32_t need = (uint32_t)(sizeof(struct ring_record) + n + RING_ALIGN - 1) & ~(RING_ALIGN - 1u);
    uint32_t to_end = r->bytes - (uint32_t)(r->reserved & (r->bytes - 1));
    uint32_t skip = need > to_end ? to_end : 0;
    uint64_t used = r->reserved - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    if (used + skip + need > r->bytes)
        return NULL;
    if (skip) {
        *record_at(r, r->reserved) = (struct ring_record){.bytes = skip, .skip = 1};
        r->reserved += skip;
    }
    struct ring_record *record = record_at(r, r->reserved);
    *record = (struct ring_record){.bytes = need};
    r->reserved += need;
    return record + 1;
}

void ring_publish(struct ring *r)
{
    __atomic_store_n(&r->tail, r->reserved, __ATOMIC_RELEASE);
}

const void *ring_peek(struct ring *r)
{
    uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
    while (r->head != tail) {
        struct ring_record *record = record_at(r, r->head);
        if (!record->skip)
            return record + 1;
        __atomic_store_n(&r->head, r->head + record->bytes, __ATOMIC_RELEASE);
    }
    return NULL;
}

void ring_consume(struct ring *r)
{
    __atomic_store_n(&r->head, r->head + record_at(r, r->head)->bytes, __ATOMIC_RELEASE);
}
