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

enum route_kind route_kind_ip4(const struct mr_worker *w, uint32_t ip)
{
    const struct route *r = w->route;
    bool group = ip >> 28 == 0xe || ip == UINT32_MAX;
    for (unsigned i = 0; i < r->own_count; i++) {
        if (ip == r->own[i].address)
            return ROUTE_LOCAL;
        group |= ip == r->own[i].broadcast;
    }
    return group ? ROUTE_GROUP : ROUTE_OTHER;
}

bool route_is_local(const struct mr_worker *w, const struct mr_address *a)
{
    for (unsigned i = 0; i < w->netif_count; i++)
        for (unsigned k = 0; k < w->netif[i]->address_count; k++)
            if (mr_address_equal(&w->netif[i]->address[k].address, a))
                return true;
    return false;
}

/* The last address of an IPv4 prefix; prefixes of 31 and 32 bits have none (RFC 3021): the address itself. */
static uint32_t broadcast_of(uint32_t address, unsigned bits)
{
    return bits > 30 ? address : bits ? address | UINT32_MAX >> bits : UINT32_MAX;
}

bool route_is_group(const struct mr_worker *w, const struct mr_address *a)
{
    if (!mr_address_is_ip4(a))
        return a->bytes[0] == 0xff; /* RFC 4291 2.7 */
    return route_kind_ip4(w, mr_address_to_ip4(a)) == ROUTE_GROUP;
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
    struct route *r = w->route;
    struct netif_address added = {.address = *a, .bits = (uint8_t)bits};
    bool ip4 = mr_address_is_ip4(a);
    if (!is_usable(a) || bits > (ip4 ? 32 : 128))
        return MR_ERROR_INVALID;
    struct route_own own = {mr_address_to_ip4(a), ip4 ? broadcast_of(mr_address_to_ip4(a), bits) : 0};
    if (ip4 && bits <= 30 && own.address == own.broadcast)
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
    if (ip4)
        r->own[r->own_count++] = own;
    path_invalidate(w);
    if (ip4)
        arp_announce(w, n, own.address);
    return MR_OK;
}
