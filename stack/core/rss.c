#include "stack/core/rss.h"

#include "stack/base/bytes.h"
#include "stack/base/toeplitz.h"

#define LOCAL_PORT_AT 10 /* of the answer's destination port in the hashed tuple */

unsigned rss_tuple_bits(const struct mr_link_rss *rss, const struct mr_address *local, const struct mr_address *remote,
                        uint16_t remote_port)
{
    uint8_t tuple[LOCAL_PORT_AT];
    memcpy(tuple, remote->bytes + 12, 4);
    memcpy(tuple + 4, local->bytes + 12, 4);
    bytes_put_16(tuple + 8, remote_port);
    return toeplitz_hash(rss->key, 0, tuple, sizeof tuple) & (rss->reta_entries - 1);
}

unsigned rss_port_bits(const struct mr_link_rss *rss, uint16_t local_port)
{
    uint8_t bytes[2];
    bytes_put_16(bytes, local_port);
    return toeplitz_hash(rss->key, LOCAL_PORT_AT, bytes, sizeof bytes) & (rss->reta_entries - 1);
}
