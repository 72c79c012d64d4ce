/* Initial sequence numbers, timestamp offsets and ephemeral ports: keyed hashes, so that an outsider cannot predict one
 * connection from another. */
#include "stack/tcp/tcp.h"

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28232 /* up to 60999, as Linux; below it live services */
#define EPHEMERAL_TRIES 4096

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

bool tcp_choose_port(struct mr_worker *w, struct flow_key *key)
{
    struct tcp *tcp = w->tcp;
    key->local_port = 0;
    uint64_t offset = hash_secure(&w->secret, key, sizeof *key);
    for (unsigned i = 0; i < EPHEMERAL_TRIES; i++) {
        key->local_port = (uint16_t)(EPHEMERAL_FIRST + (offset + tcp->port_counter++) % EPHEMERAL_COUNT);
        if (table_lookup(&tcp->table, key, table_hash(&tcp->table, key)) == FLOW_NONE)
            return true;
    }
    return false;
}
