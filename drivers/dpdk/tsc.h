/* TSC ticks to nanoseconds by one multiplication: ns = base_ns + (ticks - base_ticks) * multiplier / 2^32.
 *
 * The product has 128 bits, so nothing overflows in the life of a machine. Rounding the multiplier down loses less than
 * 2^-32 ns a tick: about a nanosecond a second at 4 GHz, far below what any crystal holds. */
#ifndef DRIVERS_DPDK_TSC_H
#define DRIVERS_DPDK_TSC_H

#include <stdbool.h>
#include <stdint.h>

struct tsc_scale {
    uint64_t base_ticks, base_ns;
    uint64_t multiplier; /* ns per tick, times 2^32 */
};

/* From two readings of both clocks. False when they say nothing: no tick passed, or time ran backwards. */
static inline bool tsc_scale_make(struct tsc_scale *s, uint64_t ticks0, uint64_t ns0, uint64_t ticks1, uint64_t ns1)
{
    if (ticks1 <= ticks0 || ns1 <= ns0)
        return false;
    s->base_ticks = ticks0;
    s->base_ns = ns0;
    s->multiplier = (uint64_t)(((unsigned __int128)(ns1 - ns0) << 32) / (ticks1 - ticks0));
    return true;
}

/* Ticks before the base (another core's counter a few behind) read as the base. */
static inline uint64_t tsc_to_ns(const struct tsc_scale *s, uint64_t ticks)
{
    if (ticks < s->base_ticks)
        return s->base_ns;
    return s->base_ns + (uint64_t)(((unsigned __int128)(ticks - s->base_ticks) * s->multiplier) >> 32);
}

/* The process's scale, measured against CLOCK_MONOTONIC over a few milliseconds at the first call and the same for all
 * workers, so that their times compare. NULL when the counter is not invariant: then the clock is read from the kernel. */
const struct tsc_scale *tsc_scale_process(void);

#endif
