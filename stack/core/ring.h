/* Rings between threads: rte_ring in its C11 memory model (which states in the language what the generic one leaves to
 * x86), in memory of our own, so that no name and no shared memory zone is needed. */
#ifndef STACK_CORE_RING_H
#define STACK_CORE_RING_H

#ifndef RTE_USE_C11_MEM_MODEL
#define RTE_USE_C11_MEM_MODEL
#endif
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdbool.h>
#include <stdlib.h>

/* A ring of `count` - 1 elements of `element_bytes` (a multiple of 4), `count` a power of two; RING_F_* flags say how many
 * threads put and take. NULL when memory is short. Released by free. */
static inline struct rte_ring *ring_create(unsigned element_bytes, unsigned count, unsigned flags)
{
    size_t bytes = (size_t)rte_ring_get_memsize_elem(element_bytes, count);
    struct rte_ring *r = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(bytes, RTE_CACHE_LINE_SIZE));
    if (r && rte_ring_init(r, "ring", count, flags) != 0) {
        free(r);
        return NULL;
    }
    return r;
}

/* Whether something can be taken out. Like rte_ring_empty, with loads that another thread may race with. */
static inline bool ring_waiting(const struct rte_ring *r)
{
    return __atomic_load_n(&r->prod.tail, __ATOMIC_ACQUIRE) != __atomic_load_n(&r->cons.tail, __ATOMIC_RELAXED);
}

#endif
