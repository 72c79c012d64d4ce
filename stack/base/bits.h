/* A set of numbers below BITS_MAX with the next member at or after any place in constant time: a bit for each number, and a
 * summary with a bit for each word that is not zero. */
#ifndef STACK_BASE_BITS_H
#define STACK_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define BITS_GROUPS 7
#define BITS_MAX    (BITS_GROUPS * 64 * 64)

struct bits {
    uint32_t count;
    uint64_t summary[BITS_GROUPS];
    uint64_t word[BITS_GROUPS * 64];
};

static inline bool bits_has(const struct bits *b, unsigned n)
{
    return b->word[n / 64] >> n % 64 & 1;
}

/* Adds from .. to - 1; none of them is a member. */
void bits_add_range(struct bits *b, unsigned from, unsigned to);
/* `n` is not a member, or is one. */
void bits_add(struct bits *b, unsigned n);
void bits_remove(struct bits *b, unsigned n);

/* The first member at or after `from`, else the first of all. There is one. */
unsigned bits_next(const struct bits *b, unsigned from);

void bits_check(const struct bits *b);

#endif
