/* What the files of SORT share. */
#ifndef SERVICES_CACHE_COMMAND_SORT_H
#define SERVICES_CACHE_COMMAND_SORT_H

#include "cache/command/command.h"

/* Bytes that lie in the keyspace: an element, or a value that a pattern found. */
struct cache_sort_text {
    enum { CACHE_SORT_NOTHING, CACHE_SORT_BYTES, CACHE_SORT_ROPE, CACHE_SORT_INTEGER } kind;
    uint32_t length;
    union {
        const uint8_t *bytes;
        const struct cache_rope *rope;
        int64_t integer;
    };
};

struct cache_sort_item {
    struct cache_sort_text element;
    union {
        double score;
        struct cache_sort_text text;
    } weight;
    uint32_t index; /* where it was: the order of what is equal */
};

/* sort_text.c */
#define CACHE_SORT_DIGITS 24
struct cache_sort_text cache_sort_text_of(struct mr_span bytes, const struct cache_rope *rope);
/* Its bytes; an integer's are written to `digits`. Not for ropes. */
struct mr_span cache_sort_span(const struct cache_sort_text *t, char digits[CACHE_SORT_DIGITS]);
int cache_sort_text_compare(const struct cache_sort_text *a, const struct cache_sort_text *b); /* nothing comes first */
bool cache_sort_text_score(const struct cache_sort_text *t, double *score);                    /* false: not a number */
void cache_sort_text_reply(struct cache_reply *r, const struct cache_sort_text *t);
/* What the pattern says of an element: "#" itself, "a*" a key's string, "a*->f" a field of a key's hash. */
struct cache_sort_text cache_sort_lookup(const struct cache_call *call, struct mr_span pattern,
                                         const struct cache_sort_text *element);

/* sort_vector.c: items in pieces of memory, sorted in place. */
struct cache_sort_vector {
    struct memory *memory;
    struct cache_sort_item **piece;
    uint64_t count, capacity;
};
#define CACHE_SORT_ITEMS_MAX (UINT64_C(8000) << 10) /* more are refused */
uint64_t cache_sort_vector_cost(uint64_t items);
bool cache_sort_vector_init(struct cache_sort_vector *v, struct memory *m, uint64_t capacity); /* false: no memory */
void cache_sort_vector_free(struct cache_sort_vector *v);
struct cache_sort_item *cache_sort_vector_at(const struct cache_sort_vector *v, uint64_t i);
void cache_sort_vector_sort(struct cache_sort_vector *v, bool alpha, bool descending);

#endif
