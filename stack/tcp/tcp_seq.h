/* Sequence number arithmetic modulo 2^32 (RFC 9293 section 3.4). Timestamps (RFC 7323) compare the same way. */
#ifndef STACK_TCP_SEQ_H
#define STACK_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_leq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

/* a in [low, low + n) */
static inline bool seq_in(uint32_t a, uint32_t low, uint32_t n)
{
    return a - low < n;
}

#endif
