/* A small seeded generator (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64): fast, reproducible, not
 * cryptographic. Secrets come from the operating system at start, through the seed given to a worker. */
#ifndef MILLRACE_RANDOM_H
#define MILLRACE_RANDOM_H

#include <stdint.h>

struct mr_random {
    uint64_t state[4];
};

static inline void mr_random_seed(struct mr_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->state[i] = z ^ (z >> 31);
    }
}

static inline uint64_t mr_random_next(struct mr_random *r)
{
    uint64_t *s = r->state;
    uint64_t x = s[1] * 5;
    uint64_t result = ((x << 7) | (x >> 57)) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in 0 .. bound - 1 (Lemire's multiply-shift; the bias is below 2^-32 for 32-bit bounds). */
static inline uint32_t mr_random_below(struct mr_random *r, uint32_t bound)
{
    return (uint32_t)(((mr_random_next(r) >> 32) * bound) >> 32);
}

/* Uniform in [0, 1). */
static inline double mr_random_unit(struct mr_random *r)
{
    return (double)(mr_random_next(r) >> 11) * 0x1.0p-53;
}

#endif
