#include "stack/base/checksum.h"

#include <rte_mbuf.h>

#include "stack/base/assert.h"

static inline uint64_t load64(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* One's complement addition: the carry out of the top comes in at the bottom (RFC 1071 section 2C, wider words). */
static inline uint64_t add_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* The sum of the last 0 to 7 bytes; an odd one is padded with zero as it lies in memory. */
static inline uint64_t tail_sum(const uint8_t *data, size_t n)
{
    uint64_t sum = 0;
    uint32_t four;
    uint16_t two, padded = 0;
    if (n & 4) {
        memcpy(&four, data, 4);
        sum += four;
        data += 4;
    }
    if (n & 2) {
        memcpy(&two, data, 2);
        sum += two;
        data += 2;
    }
    if (n & 1) {
        memcpy(&padded, data, 1);
        sum += padded;
    }
    return sum;
}

uint32_t checksum_add(uint32_t sum, const void *data, size_t n)
{
    const uint8_t *p = data;
    /* Four sums, so that each addition does not wait for the one before. */
    uint64_t a = sum, b = 0, c = 0, d = 0;
    for (; n >= 32; p += 32, n -= 32) {
        a = add_carry(a, load64(p));
        b = add_carry(b, load64(p + 8));
        c = add_carry(c, load64(p + 16));
        d = add_carry(d, load64(p + 24));
    }
    for (; n >= 8; p += 8, n -= 8)
        a = add_carry(a, load64(p));
    b = add_carry(b, tail_sum(p, n));
    return checksum_fold(checksum_fold_64(add_carry(add_carry(a, b), add_carry(c, d))));
}

static uint32_t add_chain(uint32_t sum, const struct rte_mbuf *m, size_t offset, size_t n)
{
    bool odd = false; /* an odd number of bytes was summed: the next piece starts in the middle of a word */
    sum = checksum_fold(sum);
    for (; n; m = m->next) {
        ASSERT(m != NULL);
        if (offset >= m->data_len) {
            offset -= m->data_len;
            continue;
        }
        size_t piece = m->data_len - offset < n ? m->data_len - offset : n;
        uint32_t add = checksum_add(0, rte_pktmbuf_mtod_offset(m, const uint8_t *, offset), piece);
        sum += odd ? __builtin_bswap16((uint16_t)add) : add; /* RFC 1071 section 2B */
        sum = checksum_fold(sum);
        odd ^= piece & 1;
        n -= piece;
        offset = 0;
    }
    return sum;
}

uint32_t checksum_add_mbuf(uint32_t sum, const struct rte_mbuf *m, size_t offset, size_t n)
{
    if (__builtin_expect(m && offset + n <= m->data_len, 1))
        return checksum_add(sum, rte_pktmbuf_mtod_offset(m, const uint8_t *, offset), n);
    return add_chain(sum, m, offset, n);
}

uint16_t checksum_update(uint16_t checksum, uint16_t before, uint16_t after)
{
    /* RFC 1624 section 3, equation 3: HC' = ~(~HC + ~m + m') */
    return checksum_finish((uint32_t)(uint16_t)~checksum + (uint16_t)~before + after);
}
