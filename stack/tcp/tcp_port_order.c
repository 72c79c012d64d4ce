/* The ports of an interface in the order of their share in the hash of an answer: known once for the key of the device, so
 * that choosing needs no search. */
#include <stdlib.h>

#include "stack/core/rss.h"
#include "stack/tcp/tcp_port.h"

struct port_order *port_order_create(const struct mr_link_rss *rss)
{
    struct port_order *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->rss = rss;
    for (unsigned i = 0; i < PORT_COUNT; i++)
        o->class_start[rss_port_bits(rss, (uint16_t)(PORT_FIRST + i)) + 1]++;
    for (unsigned c = 0; c < rss->reta_entries; c++)
        o->class_start[c + 1] = (uint16_t)(o->class_start[c + 1] + o->class_start[c]);
    uint16_t next[MR_LINK_RETA_MAX];
    memcpy(next, o->class_start, sizeof next);
    for (unsigned i = 0; i < PORT_COUNT; i++) {
        uint16_t at = next[rss_port_bits(rss, (uint16_t)(PORT_FIRST + i))]++;
        o->port_at[at] = (uint16_t)i;
        o->position_of[i] = at;
    }
    return o;
}

void port_order_fill(const struct port_order *order, struct port_set *s)
{
    const struct flow_key *d = &s->destination;
    unsigned bits = rss_tuple_bits(order->rss, &d->local, &d->remote, d->remote_port);
    for (unsigned c = 0; c < order->rss->reta_entries; c++)
        if (rss_is_ours(order->rss, c ^ bits))
            bits_add_range(&s->free, order->class_start[c], order->class_start[c + 1]);
}

bool port_order_suits(const struct port_order *order, const struct flow_key *key)
{
    const struct mr_link_rss *rss = order->rss;
    unsigned bits = rss_tuple_bits(rss, &key->local, &key->remote, key->remote_port);
    return rss_is_ours(rss, bits ^ rss_port_bits(rss, key->local_port));
}
