/* Our own addresses, and what kind an address is. */
#include "stack/route/route_private.h"

/* Prefix length of `a` in the 128-bit key. */
static unsigned key_bits(const struct netif_address *a)
{
    return a->bits + (mr_address_is_ip4(&a->address) ? 96u : 0u);
}

static bool prefix_contains(const struct netif_address *p, const struct mr_address *a)
{
    return route_key_common(route_key_of(&p->address), route_key_of(a)) >= key_bits(p);
}

bool route_is_local(const struct mr_worker *w, const struct mr_address *a)
{
    for (unsigned i = 0; i < w->netif_count; i++)
        for (unsigned k = 0; k < w->netif[i]->address_count; k++)
            if (mr_address_equal(&w->netif[i]->address[k].address, a))
                return true;
    return false;
}

/* The last address of an IPv4 prefix; prefixes of 31 and 32 bits have none (RFC 3021). */
static bool is_broadcast_of(const struct netif_address *p, const struct mr_address *a)
{
    if (p->bits > 30 || !mr_address_is_ip4(&p->address) || !prefix_contains(p, a))
        return false;
    return (mr_address_to_ip4(a) | (p->bits ? UINT32_MAX << (32 - p->bits) : 0)) == UINT32_MAX;
}

bool route_is_group(const struct mr_worker *w, const struct mr_address *a)
{
    if (!mr_address_is_ip4(a))
        return a->bytes[0] == 0xff; /* RFC 4291 2.7 */
    uint32_t ip = mr_address_to_ip4(a);
    if (ip >> 28 == 0xe || ip == UINT32_MAX)
        return true;
    for (unsigned i = 0; i < w->netif_count; i++)
        for (unsigned k = 0; k < w->netif[i]->address_count; k++)
            if (is_broadcast_of(&w->netif[i]->address[k], a))
                return true;
    return false;
}

bool route_on_link(const struct netif *n, const struct mr_address *a)
{
    for (unsigned i = 0; i < n->address_count; i++)
        if (prefix_contains(&n->address[i], a))
            return true;
    return false;
}

bool route_source(const struct netif *n, const struct mr_address *next_hop, struct mr_address *source)
{
    const struct netif_address *best = NULL;
    bool ip4 = mr_address_is_ip4(next_hop), best_contains = false;
    for (unsigned i = 0; i < n->address_count; i++) {
        const struct netif_address *a = &n->address[i];
        if (mr_address_is_ip4(&a->address) != ip4)
            continue;
        bool contains = prefix_contains(a, next_hop);
        if (best && (!contains || (best_contains && a->bits <= best->bits)))
            continue;
        best = a;
        best_contains = contains;
    }
    if (best)
        *source = best->address;
    return best != NULL;
}

static bool is_usable(const struct mr_address *a)
{
    if (!mr_address_is_ip4(a))
        return !mr_address_is_any(a) && a->bytes[0] != 0xff;
    uint32_t top = mr_address_to_ip4(a) >> 24;
    return top != 0 && top != 127 && top < 224; /* RFC 1122 3.2.1.3 */
}

int netif_add_address(struct mr_worker *w, struct netif *n, const struct mr_address *a, unsigned bits)
{
    struct netif_address added = {.address = *a, .bits = (uint8_t)bits};
    if (!is_usable(a) || bits > (mr_address_is_ip4(a) ? 32 : 128) || is_broadcast_of(&added, a))
        return MR_ERROR_INVALID;
    if (route_is_local(w, a))
        return MR_ERROR_IN_USE;
    if (n->address_count == NETIF_ADDRESS_MAX)
        return MR_ERROR_NO_MEMORY;
    const struct mr_address on_link = mr_address_any();
    int error = route_add(w, a, bits, &on_link, n);
    if (error)
        return error;
    n->address[n->address_count++] = added;
    path_invalidate(w);
    if (mr_address_is_ip4(a))
        arp_announce(w, n, mr_address_to_ip4(a));
    return MR_OK;
}
