/* The Internet checksum (RFC 1071): one's complement sum of 16-bit words in network order.
 *
 * Sums are kept as 32-bit partial sums of words as they lie in memory (byte order does not matter to a one's complement
 * sum, RFC 1071 section 2B), so results are stored as they are, without htons. */
#ifndef STACK_BASE_CHECKSUM_H
#define STACK_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;

/* Adds `n` bytes at `data` to `sum`, folded to 16 bits; data at an even offset of the checksummed whole. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t n);

/* The same over `n` bytes of a chain from `offset` of its data; pieces may have odd lengths. */
uint32_t checksum_add_mbuf(uint32_t sum, const struct rte_mbuf *m, size_t offset, size_t n);

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
uint32_t checksum_pseudo_ip4(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length);

/* RFC 1624: the checksum after a 16-bit word changed from `before` to `after` (all as they lie in memory). */
uint16_t checksum_update(uint16_t checksum, uint16_t before, uint16_t after);

#endif
