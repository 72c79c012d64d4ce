/* Initial sequence numbers and timestamp offsets: keyed hashes, so that an outsider cannot predict one connection from
 * another. */
#include "stack/tcp/tcp.h"

uint32_t tcp_initial_sequence(const struct mr_worker *w, const struct flow_key *key)
{
    /* RFC 6528: M + F(4-tuple, secret), M a clock of 4 us. */
    return (uint32_t)(w->now / (4 * MR_MICROSECOND)) + (uint32_t)hash_secure(&w->secret, key, sizeof *key);
}

uint32_t tcp_timestamp_offset(const struct mr_worker *w, const struct flow_key *key)
{
    struct {
        struct flow_key key;
        uint32_t purpose;
    } input = {*key, 0x7473}; /* a stream of its own beside sequence numbers */
    return (uint32_t)hash_secure(&w->secret, &input, sizeof input);
}
