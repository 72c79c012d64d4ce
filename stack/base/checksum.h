/* The Internet checksum (RFC 1071): one's complement sum of 16-bit words in network order.
 *
 * Sums are kept as 32-bit partial sums of words as they lie in memory (byte order does not matter to a one's complement
 * sum, RFC 1071 section 2B), so results are stored as they are, without htons. */
#ifndef STACK_BASE_CHECKSUM_H
#define STACK_BASE_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rte_mbuf;

/* Adds `n` bytes at `data` to `sum`, folded to 16 bits; data at an even offset of the checksummed whole. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t n);

/* The same over `n` bytes of a chain from `offset` of its data; pieces may have odd lengths. */
uint32_t checksum_add_mbuf(uint32_t sum, const struct rte_mbuf *m, size_t offset, size_t n);

static inline uint32_t checksum_fold_64(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    return (uint32_t)((sum & UINT32_MAX) + (sum >> 32));
}

static inline uint16_t checksum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline uint16_t checksum_finish(uint32_t sum)
{
    return (uint16_t)~checksum_fold(sum);
}

/* Partial sum of the IPv4 pseudo-header (RFC 9293 3.1): addresses in host order, `length` of the transport part. */
static inline uint32_t checksum_pseudo_ip4(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length)
{
    return checksum_fold_64((uint64_t)htonl(source) + htonl(destination) + htons(protocol) + htons(length));
}

/* The sum of five 32-bit words: an IPv4 header without options, folded but not complemented. */
static inline uint16_t checksum_of_20_bytes(const void *data)
{
    uint32_t word[5];
    memcpy(word, data, sizeof word);
    return checksum_fold(checksum_fold_64((uint64_t)word[0] + word[1] + word[2] + word[3] + word[4]));
}

/* RFC 1624: the checksum after a 16-bit word changed from `before` to `after` (all as they lie in memory). */
uint16_t checksum_update(uint16_t checksum, uint16_t before, uint16_t after);

#endif
