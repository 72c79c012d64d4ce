/* Integers in network order at any alignment, for the X_wire files. */
#ifndef STACK_BASE_BYTES_H
#define STACK_BASE_BYTES_H

#include <stdint.h>

static inline uint16_t bytes_get_16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t bytes_get_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t bytes_get_64(const uint8_t *p)
{
    return (uint64_t)bytes_get_32(p) << 32 | bytes_get_32(p + 4);
}

static inline void bytes_put_16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void bytes_put_32(uint8_t *p, uint32_t v)
{
    bytes_put_16(p, (uint16_t)(v >> 16));
    bytes_put_16(p + 2, (uint16_t)v);
}

#endif
