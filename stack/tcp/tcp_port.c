/* Choosing a local port in constant time, at a random place (RFC 6056), never one whose 4-tuple is still in the table.
 *
 * A set remembers which ports to its destination are taken; it is given up, longest idle first, when sets run out. When none
 * is free a connection in TIME-WAIT gives way after a second if timestamps tell the new connection's segments from the
 * old one's (RFC 6191, from the side that opens). */
#include "stack/tcp/tcp_port.h"

#include <stdlib.h>

#include "stack/base/assert.h"
#include "stack/core/secret.h"

#define PROBES        1024        /* without a set */
#define WAITING_LOOKS 8           /* records of TIME-WAIT that are asked whether they give way */
#define SEQUENCE_GAP  (65535 + 2) /* between an old connection's last byte and the new one's first */

bool tcp_ports_init(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    tcp->ports = calloc(1, sizeof *tcp->ports);
    return tcp->ports && slab_init(&tcp->ports->sets, "tcp port sets", sizeof(struct port_set), 64, PORT_SETS_MAX);
}

void tcp_ports_release(struct mr_worker *w)
{
    struct tcp_ports *p = w->tcp->ports;
    if (!p)
        return;
    for (unsigned i = 0; i < NETIF_MAX; i++)
        free(p->order[i]);
    slab_free_all(&p->sets);
    free(p);
    w->tcp->ports = NULL;
}

bool tcp_add_netif(struct mr_worker *w, const struct netif *n)
{
    const struct mr_link_rss *rss = n->link->rss;
    if (!rss || !rss->tcp || rss->reta_entries < 2)
        return true;
    ASSERT_COMPARE(rss->key_bytes, >=, 16);
    ASSERT_COMPARE(rss->reta_entries & (rss->reta_entries - 1), ==, 0);
    ASSERT_COMPARE(rss->reta_entries, <=, MR_LINK_RETA_MAX);
    w->tcp->ports->order[n->index] = port_order_create(rss);
    return w->tcp->ports->order[n->index] != NULL;
}

/* -- sets ---------------------------------------------------------------------------------------------------------------- */

static struct port_set *set_at(const struct tcp_ports *p, uint32_t index_1)
{
    return index_1 ? slab_at(&p->sets, index_1 - 1) : NULL;
}

static uint32_t *bucket_of(struct tcp *tcp, const struct flow_key *destination)
{
    return &tcp->ports->bucket[(table_hash(&tcp->table, destination) >> 32) % PORT_SET_BUCKETS];
}

static bool set_is_for(const struct port_set *s, const struct flow_key *destination)
{
    return memcmp(&s->destination, destination, sizeof *destination) == 0;
}

static struct port_set *set_find(struct tcp *tcp, const struct flow_key *key)
{
    struct tcp_ports *p = tcp->ports;
    struct flow_key destination = *key;
    destination.local_port = 0;
    if (p->last && set_is_for(p->last, &destination))
        return p->last;
    struct port_set *s = set_at(p, *bucket_of(tcp, &destination));
    while (s && !set_is_for(s, &destination))
        s = set_at(p, s->next);
    if (s)
        p->last = s;
    return s;
}

static void idle_append(struct tcp_ports *p, struct port_set *s)
{
    uint32_t index_1 = slab_index(&p->sets, s) + 1;
    s->idle_next = 0;
    s->idle_previous = p->idle_tail;
    *(p->idle_tail ? &set_at(p, p->idle_tail)->idle_next : &p->idle_head) = index_1;
    p->idle_tail = index_1;
}

static void idle_remove(struct tcp_ports *p, struct port_set *s)
{
    *(s->idle_previous ? &set_at(p, s->idle_previous)->idle_next : &p->idle_head) = s->idle_next;
    *(s->idle_next ? &set_at(p, s->idle_next)->idle_previous : &p->idle_tail) = s->idle_previous;
}

static void set_drop(struct tcp *tcp, struct port_set *s)
{
    struct tcp_ports *p = tcp->ports;
    uint32_t *link = bucket_of(tcp, &s->destination), index_1 = slab_index(&p->sets, s) + 1;
    while (*link != index_1)
        link = &set_at(p, *link)->next;
    *link = s->next;
    idle_remove(p, s);
    if (p->last == s)
        p->last = NULL;
    slab_put(&p->sets, s);
}

static struct port_set *set_new(struct tcp *tcp, const struct flow_key *destination, const struct port_order *order)
{
    struct tcp_ports *p = tcp->ports;
    struct port_set *s = slab_get(&p->sets);
    if (!s && p->idle_head) {
        set_drop(tcp, set_at(p, p->idle_head));
        s = slab_get(&p->sets);
    }
    if (!s)
        return NULL;
    s->destination = *destination;
    s->order = order;
    if (order)
        port_order_fill(order, s);
    else
        bits_add_range(&s->free, 0, PORT_COUNT);
    uint32_t *bucket = bucket_of(tcp, destination);
    s->next = *bucket;
    *bucket = slab_index(&p->sets, s) + 1;
    idle_append(p, s);
    p->last = s;
    return s;
}

static unsigned port_of(const struct port_set *s, unsigned position)
{
    return PORT_FIRST + (s->order ? s->order->port_at[position] : position);
}

static unsigned position_of(const struct port_set *s, unsigned port)
{
    return s->order ? s->order->position_of[port - PORT_FIRST] : port - PORT_FIRST;
}

static void set_take(struct tcp_ports *p, struct port_set *s, unsigned position)
{
    bits_remove(&s->free, position);
    if (s->used++ == 0)
        idle_remove(p, s);
}

static void set_give_back(struct tcp_ports *p, struct port_set *s, unsigned port)
{
    unsigned position = position_of(s, port);
    if (bits_has(&s->free, position)) /* taken before the set was made, when there was none to be had */
        return;
    bits_add(&s->free, position);
    if (--s->used == 0)
        idle_append(p, s);
}

/* -- choosing -------------------------------------------------------------------------------------------------------------- */

static bool key_is_free(const struct tcp *tcp, const struct flow_key *key)
{
    return table_lookup(&tcp->table, key, table_hash(&tcp->table, key)) == FLOW_NONE;
}

/* Positions may be free whose 4-tuple was taken by a connect that named its port. */
static bool choose_free(struct mr_worker *w, struct port_set *s, struct flow_key *key)
{
    unsigned from = secret_below(w, PORT_COUNT);
    for (uint32_t left = s->free.count; left; left--) {
        unsigned position = bits_next(&s->free, from);
        key->local_port = (uint16_t)port_of(s, position);
        if (key_is_free(w->tcp, key)) {
            set_take(w->tcp->ports, s, position);
            return true;
        }
        from = position + 1 < PORT_COUNT ? position + 1 : 0;
    }
    return false;
}

/* The new connection's timestamps are larger after a second, and its sequence numbers begin beyond the old one's. */
static bool gives_way(const struct mr_worker *w, const struct tcp_time_wait *t)
{
    tcp_tick entered = t->expires - tcp_tick_of(2 * TCP_MSL);
    return t->timestamps && (int32_t)(tcp_tick_of(w->now) - entered) > (int32_t)tcp_tick_of(MR_SECOND);
}

static bool choose_waiting(struct mr_worker *w, struct port_set *s, struct flow_key *key, uint32_t *sequence_min)
{
    struct tcp *tcp = w->tcp;
    uint32_t at = s->waiting_head;
    for (unsigned i = 0; at && i < WAITING_LOOKS; i++) {
        struct tcp_time_wait *t = slab_at(&tcp->time_wait, at - 1);
        at = t->port_next;
        if (!gives_way(w, t))
            continue;
        key->local_port = t->key.local_port;
        *sequence_min = t->snd_nxt + SEQUENCE_GAP;
        *sequence_min += !*sequence_min;
        stat_add(w, STAT_tcp_time_wait_reused, 1);
        tcp_time_wait_drop(w, t);
        set_take(tcp->ports, s, position_of(s, key->local_port));
        return true;
    }
    return false;
}

static bool choose_by_trying(struct mr_worker *w, const struct port_order *order, struct flow_key *key)
{
    for (unsigned i = 0; i < PROBES; i++) {
        key->local_port = (uint16_t)(PORT_FIRST + secret_below(w, PORT_COUNT));
        if ((!order || port_order_suits(order, key)) && key_is_free(w->tcp, key))
            return true;
    }
    return false;
}

bool tcp_port_choose(struct mr_worker *w, const struct netif *n, struct flow_key *key, uint32_t *sequence_min)
{
    const struct port_order *order = mr_address_is_ip4(&key->remote) ? w->tcp->ports->order[n->index] : NULL;
    key->local_port = 0;
    struct port_set *s = set_find(w->tcp, key);
    if (s && s->order != order && !s->used) { /* the route leads through another interface now */
        set_drop(w->tcp, s);
        s = NULL;
    }
    if (!s)
        s = set_new(w->tcp, key, order);
    if (!s)
        return choose_by_trying(w, order, key);
    return choose_free(w, s, key) || choose_waiting(w, s, key, sequence_min);
}

void tcp_port_release(struct mr_worker *w, const struct flow_key *key)
{
    struct port_set *s = set_find(w->tcp, key);
    if (s)
        set_give_back(w->tcp->ports, s, key->local_port);
}

/* -- TIME-WAIT ------------------------------------------------------------------------------------------------------------- */

void tcp_port_wait_begin(struct mr_worker *w, struct tcp_time_wait *t)
{
    struct tcp *tcp = w->tcp;
    struct port_set *s = set_find(tcp, &t->key);
    if (!s || bits_has(&s->free, position_of(s, t->key.local_port)))
        return;
    t->port_waits = true;
    uint32_t index_1 = slab_index(&tcp->time_wait, t) + 1;
    t->port_next = 0;
    t->port_previous = s->waiting_tail;
    *(s->waiting_tail ? &((struct tcp_time_wait *)slab_at(&tcp->time_wait, s->waiting_tail - 1))->port_next
                      : &s->waiting_head) = index_1;
    s->waiting_tail = index_1;
}

void tcp_port_wait_end(struct mr_worker *w, struct tcp_time_wait *t)
{
    struct tcp *tcp = w->tcp;
    if (!t->port_waits)
        return;
    struct port_set *s = set_find(tcp, &t->key); /* not given up while a port of it is taken */
    struct tcp_time_wait *next = t->port_next ? slab_at(&tcp->time_wait, t->port_next - 1) : NULL;
    struct tcp_time_wait *previous = t->port_previous ? slab_at(&tcp->time_wait, t->port_previous - 1) : NULL;
    *(previous ? &previous->port_next : &s->waiting_head) = t->port_next;
    *(next ? &next->port_previous : &s->waiting_tail) = t->port_previous;
    set_give_back(tcp->ports, s, t->key.local_port);
}

/* -- checking -------------------------------------------------------------------------------------------------------------- */

void tcp_port_check(struct mr_worker *w, uint32_t chosen)
{
    const struct tcp_ports *p = w->tcp->ports;
    uint32_t used = 0;
    for (unsigned i = 0; i < PORT_SET_BUCKETS; i++)
        for (const struct port_set *s = set_at(p, p->bucket[i]); s; s = set_at(p, s->next)) {
            bits_check(&s->free);
            used += s->used;
        }
    ASSERT_COMPARE(used, <=, chosen);
}
