/* SipHash-c-d: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2. */
#include "stack/base/hash.h"

#include <endian.h>
#include <string.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static inline void sip_word(struct sip *s, uint64_t word, unsigned rounds)
{
    s->v3 ^= word;
    sip_rounds(s, rounds);
    s->v0 ^= word;
}

static inline uint64_t load64_le(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return le64toh(word);
}

static inline uint64_t load32_le(const uint8_t *data)
{
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return le32toh(word);
}

/* The last 1 to 7 bytes, by loads that may overlap: the bytes they share are the same. */
static inline uint64_t load_tail_le(const uint8_t *data, size_t n)
{
    if (n >= 4)
        return load32_le(data) | load32_le(data + n - 4) << (8 * (n - 4));
    return (uint64_t)data[0] | (uint64_t)data[n / 2] << (8 * (n / 2)) | (uint64_t)data[n - 1] << (8 * (n - 1));
}

#define HASH_FLOW_BYTES 12 /* two IPv4 addresses and two ports */

/* Inlined into its callers with constant rounds. */
static inline __attribute__((always_inline)) uint64_t sip_hash(const struct hash_key *key, const uint8_t *data,
                                                               size_t n, unsigned compression, unsigned finalization)
{
    struct sip s = {key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
                    key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)n << 56; /* the length modulo 256, above the bytes that fill no word */
    for (; n >= 8; data += 8, n -= 8)
        sip_word(&s, load64_le(data), compression);
    if (n)
        last |= load_tail_le(data, n);
    sip_word(&s, last, compression);
    s.v2 ^= 0xff;
    sip_rounds(&s, finalization);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t n)
{
    if (__builtin_expect(n == HASH_FLOW_BYTES, 1)) /* once a segment: unrolled for its length */
        return sip_hash(key, data, HASH_FLOW_BYTES, 1, 3);
    return sip_hash(key, data, n, 1, 3);
}

uint64_t hash_secure(const struct hash_key *key, const void *data, size_t n)
{
    return sip_hash(key, data, n, 2, 4);
}
