#include "cache/command/packed.h"

#include <assert.h>
#include <limits.h>
#include <stdalign.h>
#include <string.h>

/* Blocks double from the first to the last of these; an argument of CACHE_SMALL_MAX always finds room in a new one. */
#define BLOCK_BYTES_MIN 256u
#define BLOCK_BYTES_MAX 32768u

#define RECORD_ALIGN 8u
#define RECORD_ROPE  UINT32_MAX /* in place of the length: a pointer to the rope follows */

struct cache_packed_block {
    struct cache_packed_block *next;
    uint32_t used, capacity; /* of `bytes` */
    alignas(RECORD_ALIGN) uint8_t bytes[];
};

struct record {
    uint32_t length; /* of data, or RECORD_ROPE */
    uint32_t rope_length;
    uint8_t data[]; /* or struct cache_rope * */
};

static_assert(sizeof(struct cache_packed_block) + sizeof(struct record) + CACHE_SMALL_MAX <= BLOCK_BYTES_MAX,
              "an argument fits into a block");

static uint32_t record_bytes(uint32_t payload)
{
    return ((uint32_t)sizeof(struct record) + payload + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1);
}

static uint32_t record_bytes_of(const struct record *r)
{
    return record_bytes(r->length == RECORD_ROPE ? sizeof(struct cache_rope *) : r->length);
}

static struct cache_rope *record_rope(const struct record *r)
{
    struct cache_rope *rope;
    memcpy(&rope, r->data, sizeof rope);
    return rope;
}

static void record_set_rope(struct record *r, struct cache_rope *rope, uint32_t length)
{
    r->length = RECORD_ROPE;
    r->rope_length = length;
    memcpy(r->data, &rope, sizeof rope);
}

void cache_packed_init(struct cache_packed *p, struct memory *blocks)
{
    *p = (struct cache_packed){.memory = blocks};
}

static bool block_add(struct cache_packed *p, uint32_t need)
{
    uint32_t bytes = p->last ? (p->last->capacity + (uint32_t)sizeof *p->last) * 2 : BLOCK_BYTES_MIN;
    bytes = bytes < BLOCK_BYTES_MAX ? bytes : BLOCK_BYTES_MAX;
    while (bytes < need + sizeof(struct cache_packed_block))
        bytes *= 2;
    struct cache_packed_block *b = memory_alloc(p->memory, bytes);
    if (!b)
        return false;
    b->next = NULL;
    b->used = 0;
    b->capacity = bytes - (uint32_t)sizeof *b;
    *(p->last ? &p->last->next : &p->first) = b;
    p->last = b;
    p->bytes += bytes;
    return true;
}

/* Room for one more record with `payload` bytes; NULL: no memory. */
static struct record *record_add(struct cache_packed *p, uint32_t payload)
{
    uint32_t need = record_bytes(payload);
    if ((!p->last || p->last->capacity - p->last->used < need) && !block_add(p, need))
        return NULL;
    struct record *r = (struct record *)(p->last->bytes + p->last->used);
    p->last->used += need;
    return r;
}

static void rope_free(struct cache_rope *rope)
{
    unsigned budget = UINT_MAX;
    while (!cache_rope_free_step(rope, &budget))
        budget = UINT_MAX;
}

/* Our shard's, while another worker runs on it: it waits until the shard is back. */
static void rope_let_go(struct memory *memory, struct cache_rope *rope)
{
    struct memory *m = rope->memory;
    if (m != memory->partner || !m->away) {
        rope_free(rope);
        return;
    }
    rope->next = m->left;
    m->left = rope;
}

void cache_packed_returned(struct memory *m)
{
    struct cache_rope *rope = m->left;
    m->left = NULL;
    while (rope) {
        struct cache_rope *next = rope->next;
        rope_free(rope);
        rope = next;
    }
}

bool cache_packed_begin(struct cache_packed *p, uint32_t length, struct memory *ropes)
{
    assert(p->missing == 0);
    struct cache_rope *rope = NULL;
    if (length > CACHE_SMALL_MAX && !(rope = cache_rope_create(ropes)))
        return false;
    struct record *r = record_add(p, rope ? sizeof rope : length);
    if (!r) {
        if (rope)
            rope_free(rope);
        return false;
    }
    if (rope)
        record_set_rope(r, rope, length);
    else
        r->length = length;
    p->at = r->data;
    p->rope = rope;
    p->missing = length;
    p->argc += length == 0;
    return true;
}

bool cache_packed_append(struct cache_packed *p, const void *data, size_t n)
{
    assert(n <= p->missing);
    if (n == 0)
        return true;
    if (p->rope) {
        if (!cache_rope_append(p->rope, data, n))
            return false;
        p->rope_bytes += n;
    } else {
        memcpy(p->at, data, n);
        p->at += n;
    }
    p->missing -= (uint32_t)n;
    if (p->missing == 0) {
        p->rope = NULL;
        p->argc++;
    }
    return true;
}

bool cache_packed_add(struct cache_packed *p, const struct cache_argument *a)
{
    if (a->data)
        return cache_packed_begin(p, a->length, p->memory) && cache_packed_append(p, a->data, a->length);
    assert(p->missing == 0);
    struct record *r = record_add(p, sizeof a->rope);
    if (!r)
        return false;
    record_set_rope(r, a->rope, a->length);
    p->rope_bytes += a->length;
    p->argc++;
    return true;
}

void cache_packed_borrow(struct cache_packed *p)
{
    p->rope_bytes = 0;
}

/* The record behind `r`, which lies in *b; NULL r begins. NULL: there is none. */
static struct record *record_next(struct cache_packed_block **b, const struct record *r)
{
    uint32_t at = r ? (uint32_t)((const uint8_t *)r - (*b)->bytes) + record_bytes_of(r) : 0;
    while (*b && at >= (*b)->used) {
        *b = (*b)->next;
        at = 0;
    }
    return *b ? (struct record *)((*b)->bytes + at) : NULL;
}

void cache_packed_arguments(const struct cache_packed *p, struct cache_argument *argv)
{
    struct cache_packed_block *b = p->first;
    struct record *r = NULL;
    for (uint32_t i = 0; i < p->argc; i++) {
        r = record_next(&b, r);
        if (r->length == RECORD_ROPE)
            argv[i] = (struct cache_argument){NULL, r->rope_length, record_rope(r)};
        else
            argv[i] = (struct cache_argument){r->data, r->length, NULL};
    }
}

void cache_packed_taken(struct cache_packed *p, const struct cache_argument *argv)
{
    if (p->rope_bytes == 0)
        return;
    struct cache_packed_block *b = p->first;
    struct record *r = NULL;
    for (uint32_t i = 0; i < p->argc; i++) {
        r = record_next(&b, r);
        if (r->length == RECORD_ROPE && record_rope(r) && !argv[i].rope) {
            p->rope_bytes -= r->rope_length;
            record_set_rope(r, NULL, r->rope_length);
        }
    }
}

void cache_packed_free(struct cache_packed *p)
{
    struct cache_packed_block *b = p->first;
    if (p->rope_bytes || p->rope)
        for (struct record *r = record_next(&b, NULL); r; r = record_next(&b, r))
            if (r->length == RECORD_ROPE && record_rope(r))
                rope_let_go(p->memory, record_rope(r));
    for (b = p->first; b;) {
        struct cache_packed_block *next = b->next;
        memory_free(p->memory, b, b->capacity + sizeof *b);
        b = next;
    }
    cache_packed_init(p, p->memory);
}
