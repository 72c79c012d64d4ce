/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) with one compression and three
 * finalisation rounds: as strong as a hash table needs against who does not see the secret. */
#include <string.h>

#include "cache/store/table.h"

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline uint64_t load_little(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* The last 0 to 7 bytes, and the length in the top byte. Never reads beyond them. */
static inline uint64_t load_tail(const uint8_t *p, size_t n)
{
    uint64_t x = (uint64_t)n << 56;
    for (size_t i = 0; i < (n & 7); i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

uint64_t cache_hash(const uint64_t secret[2], const void *key, size_t n)
{
    const uint8_t *p = key;
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du, secret[0] ^ 0x6c7967656e657261u,
                     secret[1] ^ 0x7465646279746573u};
    for (size_t whole = n / 8; whole; whole--, p += 8) {
        uint64_t word = load_little(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t word = load_tail(p, n);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
