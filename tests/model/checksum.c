/* The checksum against the loop of RFC 1071 section 4.1: random lengths, alignments, start values and chains. */
#include <millrace/random.h>
#include <rte_mbuf.h>
#include <string.h>

#include "stack/base/assert.h"
#include "stack/base/checksum.h"
#include "tests/support/seed.h"

#define ROUNDS     40000
#define BYTES_MAX  2048
#define PIECES_MAX 9

static struct mr_random random_numbers;

/* 16-bit words in network order, the last byte padded; as they lie in memory. */
static uint16_t naive(uint16_t sum_in_memory, const uint8_t *data, size_t n)
{
    uint64_t sum = rte_be_to_cpu_16(sum_in_memory);
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? data[i] : (uint64_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return rte_cpu_to_be_16((uint16_t)sum);
}

static void bytes_fill(uint8_t *data, size_t n)
{
    unsigned mode = mr_random_below(&random_numbers, 4);
    for (size_t i = 0; i < n; i++)
        data[i] = mode == 0 ? 0xff : mode == 1 ? 0 : (uint8_t)mr_random_next(&random_numbers);
}

static void flat_check(const uint8_t *data, size_t n)
{
    uint32_t start = (uint32_t)mr_random_next(&random_numbers) >> mr_random_below(&random_numbers, 32);
    uint32_t sum = checksum_add(start, data, n);
    ASSERT_COMPARE(sum, <=, 0xffff);
    ASSERT_COMPARE(sum, ==, naive(checksum_fold(start), data, n));
    ASSERT_COMPARE(checksum_finish(sum), ==, (uint16_t)~sum);
}

static void chain_check(uint8_t *data, size_t n)
{
    struct rte_mbuf piece[PIECES_MAX];
    unsigned count = 1 + mr_random_below(&random_numbers, PIECES_MAX);
    memset(piece, 0, sizeof piece);
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t left = n - at, length = i + 1 == count ? left : mr_random_below(&random_numbers, (uint32_t)left + 1);
        piece[i].buf_addr = data + at;
        piece[i].data_len = (uint16_t)length;
        piece[i].next = i + 1 == count ? NULL : &piece[i + 1];
        at += length;
    }
    size_t offset = mr_random_below(&random_numbers, (uint32_t)n + 1);
    size_t length = mr_random_below(&random_numbers, (uint32_t)(n - offset) + 1);
    uint32_t start = (uint32_t)mr_random_next(&random_numbers);
    ASSERT_COMPARE(checksum_add_mbuf(start, piece, offset, length), ==,
                   naive(checksum_fold(start), data + offset, length));
}

/* A word changed in a checksummed whole: the updated checksum still verifies. */
static void update_check(uint8_t *data, size_t n)
{
    if (n < 4)
        return;
    uint16_t zero = 0, before, after = (uint16_t)mr_random_next(&random_numbers);
    memcpy(data, &zero, 2);
    uint16_t checksum = checksum_finish(checksum_add(0, data, n));
    size_t at = 2 + 2 * mr_random_below(&random_numbers, (uint32_t)(n - 2) / 2);
    memcpy(&before, data + at, 2);
    memcpy(data + at, &after, 2);
    checksum = checksum_update(checksum, before, after);
    memcpy(data, &checksum, 2);
    uint16_t sum = checksum_fold(checksum_add(0, data, n));
    ASSERT(sum == 0xffff || (sum == 0 && checksum == 0)); /* all bytes zero has no other form */
}

int main(int argument_count, char **arguments)
{
    mr_random_seed(&random_numbers, support_seed(arguments[0]));
    static uint8_t area[BYTES_MAX + 16];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t *data = area + mr_random_below(&random_numbers, 16);
        size_t n = mr_random_below(&random_numbers, i % 2 ? 80 : BYTES_MAX);
        bytes_fill(data, n);
        flat_check(data, n);
        chain_check(data, n);
        update_check(data, n);
    }
    return 0;
}
