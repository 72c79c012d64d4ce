/* The mixing function of the table and of lookups: a finished multiply (as splitmix64) over two words. */
#ifndef SERVICES_PROXY_BALANCE_MAGLEV_HASH_H
#define SERVICES_PROXY_BALANCE_MAGLEV_HASH_H

#include <stdint.h>

static inline uint64_t maglev_hash(uint64_t key, uint64_t which)
{
    uint64_t z = key + (which + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
