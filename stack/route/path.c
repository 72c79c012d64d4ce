/* The path cache: direct-mapped, one line a destination. A hit needs no other table.
 *
 * The index is a keyed multiplication, not the keyed hash of the tables that hold state: who found colliding addresses
 * would only cause misses, which cost a route and a neighbour lookup and no memory. */
#include "stack/ip4/ip4_wire.h"
#include "stack/route/route_private.h"

static struct path *path_slot(struct mr_worker *w, const struct mr_address *remote)
{
    struct route_key key;
    memcpy(&key, remote, sizeof key);
    uint64_t mixed = (key.high + w->secret.k0) * 0x9e3779b97f4a7c15u ^ (key.low ^ w->secret.k0);
    return &w->route->path[mixed * (w->secret.k1 | 1) >> (64 - PATH_CACHE_BITS)];
}

/* RFC 1112 6.4: the low 23 bits of the group go into 01:00:5e:00:00:00. */
static void group_mac(uint32_t ip, uint8_t mac[6])
{
    if (!ip4_is_multicast(ip)) {
        memset(mac, 0xff, 6);
        return;
    }
    const uint8_t mapped[6] = {0x01, 0x00, 0x5e, ip >> 16 & 0x7f, ip >> 8 & 0xff, ip & 0xff};
    memcpy(mac, mapped, 6);
}

/* Limited broadcast needs no route: it leaves by the first interface that has an address. */
static bool lookup(struct mr_worker *w, const struct mr_address *remote, struct route_result *out)
{
    if (route_lookup(w, remote, out))
        return true;
    if (mr_address_to_ip4(remote) != IP4_LIMITED_BROADCAST)
        return false;
    for (unsigned i = 0; i < w->netif_count; i++)
        if (route_source(w->netif[i], remote, &out->source)) {
            out->netif = w->netif[i];
            out->next_hop = *remote;
            return true;
        }
    return false;
}

static void path_make(struct mr_worker *w, const struct mr_address *remote, struct path *p)
{
    struct route_result route;
    uint32_t ip = mr_address_to_ip4(remote);
    *p = (struct path){.destination = *remote, .kind = PATH_NONE};
    if (!lookup(w, remote, &route))
        return;
    p->netif = route.netif;
    p->source = mr_address_to_ip4(&route.source);
    p->next_hop = mr_address_to_ip4(&route.next_hop);
    p->multicast = ip4_is_multicast(ip);
    if (route_is_local(w, remote)) {
        p->kind = PATH_SELF;
        p->source = ip;
    } else if (route_is_group(w, remote)) {
        p->kind = PATH_READY;
        group_mac(ip, p->mac);
    } else {
        p->kind = arp_peek(w, p->netif, p->next_hop, p->mac) ? PATH_READY : PATH_UNRESOLVED;
    }
    /* What may change without a word to us is not kept: an answer to ARP makes UNRESOLVED ready at any time. */
    if (p->kind == PATH_READY || p->kind == PATH_SELF) {
        p->generation = w->route->generation;
        p->expires = w->now + PATH_VALID_TIME;
    }
}

const struct path *path_find(struct mr_worker *w, const struct mr_address *remote)
{
    struct path *p = path_slot(w, remote);
    if (__builtin_expect(p->generation == w->route->generation && w->now < p->expires &&
                             mr_address_equal(&p->destination, remote),
                         1)) {
        stat_add(w, STAT_route_path_hits, 1);
        return p;
    }
    stat_add(w, STAT_route_path_misses, 1);
    path_make(w, remote, p);
    return p;
}

struct netif *path_netif(struct mr_worker *w, const struct mr_address *remote)
{
    return mr_address_is_ip4(remote) ? path_find(w, remote)->netif : NULL;
}

void path_invalidate(struct mr_worker *w)
{
    w->route->generation++;
}
