/* Which ports bring answers back to this worker (RSS). The answer to a connection of ours has the tuple remote address, local
 * address, remote port, local port; its hash is the hash of the first three xor the share of the fourth, since Toeplitz is
 * linear. The share of every port is known once for the key of the device; choosing needs no search. */
#include <stdlib.h>

#include "stack/base/bytes.h"
#include "stack/base/toeplitz.h"
#include "stack/tcp/tcp_port.h"

#define PORT_AT_IP4 10 /* of the destination port in the hashed tuple */

static unsigned class_of(const struct mr_link_rss *rss, unsigned port)
{
    uint8_t bytes[2];
    bytes_put_16(bytes, (uint16_t)port);
    return toeplitz_hash(rss->key, PORT_AT_IP4, bytes, sizeof bytes) & (rss->reta_entries - 1);
}

struct port_order *port_order_create(const struct mr_link_rss *rss)
{
    struct port_order *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->rss = rss;
    for (unsigned i = 0; i < PORT_COUNT; i++)
        o->class_start[class_of(rss, PORT_FIRST + i) + 1]++;
    for (unsigned c = 0; c < rss->reta_entries; c++)
        o->class_start[c + 1] = (uint16_t)(o->class_start[c + 1] + o->class_start[c]);
    uint16_t next[MR_LINK_RETA_MAX];
    memcpy(next, o->class_start, sizeof next);
    for (unsigned i = 0; i < PORT_COUNT; i++) {
        uint16_t at = next[class_of(rss, PORT_FIRST + i)]++;
        o->port_at[at] = (uint16_t)i;
        o->position_of[i] = at;
    }
    return o;
}

/* The low bits of the hash of an answer, without the share of the local port. */
static unsigned answer_bits(const struct mr_link_rss *rss, const struct flow_key *key)
{
    uint8_t tuple[PORT_AT_IP4];
    memcpy(tuple, key->remote.bytes + 12, 4);
    memcpy(tuple + 4, key->local.bytes + 12, 4);
    bytes_put_16(tuple + 8, key->remote_port);
    return toeplitz_hash(rss->key, 0, tuple, sizeof tuple) & (rss->reta_entries - 1);
}

void port_order_fill(const struct port_order *order, struct port_set *s)
{
    unsigned bits = answer_bits(order->rss, &s->destination);
    for (unsigned c = 0; c < order->rss->reta_entries; c++)
        if (order->rss->reta[c ^ bits] == order->rss->queue)
            port_set_free(s, order->class_start[c], order->class_start[c + 1]);
}

bool port_order_suits(const struct port_order *order, const struct flow_key *key)
{
    unsigned bits = answer_bits(order->rss, key) ^ class_of(order->rss, key->local_port);
    return order->rss->reta[bits] == order->rss->queue;
}
