#include "stack/base/toeplitz.h"

#include "stack/base/bytes.h"

/* Each bit that is set adds the 32 bits of the key that begin where the bit stands. */
uint32_t toeplitz_hash(const uint8_t *key, size_t at, const uint8_t *data, size_t n)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t window = (uint64_t)bytes_get_32(key + at + i) << 32 | (uint64_t)key[at + i + 4] << 24;
        for (uint8_t bits = data[i]; bits; bits = (uint8_t)(bits << 1), window <<= 1)
            if (bits & 0x80)
                hash ^= (uint32_t)(window >> 32);
    }
    return hash;
}
