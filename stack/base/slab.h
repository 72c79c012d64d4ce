/* A slab: a fixed number of objects of one size, addressed by index, LIFO reuse, one reservation of address space at
 * start. Pages that were never used cost nothing, so a limit may be generous. */
#ifndef STACK_BASE_SLAB_H
#define STACK_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
    uint8_t *base;
    const char *name;
    uint32_t stride;   /* bytes of an object, a multiple of 8 */
    uint32_t limit;    /* objects */
    uint32_t used;     /* objects handed out now */
    uint32_t touched;  /* objects ever handed out: [0, touched) */
    uint32_t free;     /* index + 1 of the first free object, 0: none */
    uint32_t fail_after; /* tests: allocations until one fails, UINT32_MAX: never */
};

/* `align` is a power of two up to 64; the stride is `bytes` rounded up to it. False when the reservation fails. */
bool slab_init(struct slab *s, const char *name, size_t bytes, size_t align, uint32_t limit);
void slab_free_all(struct slab *s);

/* Zeroed object, or NULL at the limit. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);

static inline void *slab_at(const struct slab *s, uint32_t index)
{
    return s->base + (size_t)index * s->stride;
}

static inline uint32_t slab_index(const struct slab *s, const void *object)
{
    return (uint32_t)(((const uint8_t *)object - s->base) / s->stride);
}

#endif
