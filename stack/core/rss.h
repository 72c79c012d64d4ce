/* Which flow a device brings to this worker (struct mr_link_rss): the answer to a flow of ours has the tuple remote address,
 * local address, remote port, local port. Toeplitz is linear, so the low bits of its hash are those of the tuple without the
 * local port, xor those of the local port alone. */
#ifndef STACK_CORE_RSS_H
#define STACK_CORE_RSS_H

#include <millrace/address.h>
#include <millrace/link.h>

/* IPv4 addresses. */
unsigned rss_tuple_bits(const struct mr_link_rss *rss, const struct mr_address *local, const struct mr_address *remote,
                        uint16_t remote_port);
unsigned rss_port_bits(const struct mr_link_rss *rss, uint16_t local_port);

/* `bits` is the xor of the two. */
static inline bool rss_is_ours(const struct mr_link_rss *rss, unsigned bits)
{
    return rss->reta[bits] == rss->queue;
}

#endif
