/* The routing table: prefixes of both families in one trie of 128-bit keys, IPv4 as ::ffff:0:0/96 and below. */
#include <stdlib.h>

#include "stack/route/route_private.h"

bool route_init(struct mr_worker *w)
{
    struct route *r = w->route = aligned_alloc(64, RTE_ALIGN(sizeof *r, 64));
    if (!r)
        return false;
    memset(r, 0, sizeof *r);
    r->generation = 1;
    route_trie_init(&r->trie);
    route_loop_init(&r->loop);
    return true;
}

void route_release(struct mr_worker *w)
{
    route_loop_release(w);
    free(w->route);
    w->route = NULL;
}

/* Prefix length in the 128-bit key, or -1 when it is beyond the family's. */
static int key_bits(const struct mr_address *prefix, unsigned bits)
{
    if (!mr_address_is_ip4(prefix))
        return bits <= 128 ? (int)bits : -1;
    return bits <= 32 ? (int)bits + 96 : -1;
}

/* The interface on whose prefix `gateway` is: `wanted`, or the first when that is NULL. */
static struct netif *gateway_netif(const struct mr_worker *w, const struct mr_address *gateway, struct netif *wanted)
{
    for (unsigned i = 0; i < w->netif_count; i++)
        if ((!wanted || wanted == w->netif[i]) && route_on_link(w->netif[i], gateway))
            return w->netif[i];
    return NULL;
}

int route_add(struct mr_worker *w, const struct mr_address *prefix, unsigned bits, const struct mr_address *gateway,
              struct netif *netif)
{
    struct route *r = w->route;
    int length = key_bits(prefix, bits);
    bool on_link = mr_address_is_any(gateway);
    if (length < 0 || (on_link && !netif))
        return MR_ERROR_INVALID;
    if (!on_link) {
        if (mr_address_is_ip4(gateway) != mr_address_is_ip4(prefix) || route_is_local(w, gateway) ||
            route_is_group(w, gateway))
            return MR_ERROR_INVALID;
        if (!(netif = gateway_netif(w, gateway, netif)))
            return MR_ERROR_NO_ROUTE;
    }
    struct route_key key = route_key_mask(route_key_of(prefix), (unsigned)length);
    int index = route_trie_get(&r->trie, key, (unsigned)length);
    for (int i = 0; index < 0 && i < ROUTE_MAX; i++)
        if (!r->entry[i].netif)
            index = i;
    if (index < 0 || !route_trie_put(&r->trie, key, (unsigned)length, index))
        return MR_ERROR_NO_MEMORY;
    r->entry[index] = (struct route_entry){.prefix = key, .gateway = *gateway, .netif = netif, .bits = (uint8_t)length};
    path_invalidate(w);
    return MR_OK;
}

int route_remove(struct mr_worker *w, const struct mr_address *prefix, unsigned bits)
{
    int length = key_bits(prefix, bits);
    if (length < 0)
        return MR_ERROR_INVALID;
    int index = route_trie_remove(&w->route->trie, route_key_of(prefix), (unsigned)length);
    if (index < 0)
        return MR_ERROR_UNKNOWN;
    w->route->entry[index].netif = NULL;
    path_invalidate(w);
    return MR_OK;
}

bool route_lookup(struct mr_worker *w, const struct mr_address *destination, struct route_result *out)
{
    int index = route_trie_find(&w->route->trie, route_key_of(destination));
    if (index < 0)
        return false;
    const struct route_entry *e = &w->route->entry[index];
    out->netif = e->netif;
    out->next_hop = mr_address_is_any(&e->gateway) ? *destination : e->gateway;
    return route_source(e->netif, &out->next_hop, &out->source);
}

uint16_t route_mtu(struct mr_worker *w, const struct mr_address *destination)
{
    const struct netif *n = path_netif(w, destination);
    return n ? n->mtu : 0;
}

void route_check(const struct mr_worker *w)
{
    route_trie_check(&w->route->trie);
}
