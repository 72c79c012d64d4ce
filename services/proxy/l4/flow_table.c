/* UDP flows by client, listener and address of ours: a hash table with a key of its own, and a list by age. To its listener a flow is a
 * connection. When the table is full the flow that was silent longest makes room, if it was silent for a second at least; else the newcomer is dropped. So a flood of addresses that
 * speak once each cannot push out those that are in conversation, nor keep newcomers out for as long as the idle timeout. */
#include "proxy/l4/l4_table.h"

#include <assert.h>
#include <stdlib.h>

#define SILENT_ENOUGH MR_SECOND

static void flow_expired(struct mr_worker *w, struct mr_timer *timer);

bool l4_flow_table_init(struct proxy *p)
{
    struct l4_table *t = p->l4;
    uint64_t count = p->limits.flows, buckets = 1;
    while (buckets < count)
        buckets *= 2;
    t->bucket_mask = (uint32_t)(buckets - 1);
    t->flows = calloc(count ? count : 1, sizeof *t->flows);
    t->buckets = calloc(buckets, sizeof(struct l4_flow *));
    if (!t->flows || !t->buckets)
        return false;
    t->key[0] = mr_random(p->worker);
    t->key[1] = mr_random(p->worker);
    for (uint64_t i = count; i-- > 0;) {
        struct l4_flow *f = &t->flows[i];
        mr_timer_init(&f->timer, flow_expired, f);
        f->proxy = p;
        f->next_in_bucket = t->free_flow;
        t->free_flow = f;
    }
    return true;
}

void l4_flow_table_free(struct l4_table *table)
{
    free(table->flows);
    free(table->buckets);
}

static struct l4_flow **bucket_of(const struct l4_table *t, const struct proxy_listener *l,
                                  const struct mr_endpoint *client, const struct mr_address *local)
{
    struct {
        struct mr_address client, local;
        const struct proxy_listener *listener;
        uint64_t port;
    } key = {client->address, *local, l, client->port};
    return &t->buckets[plan_hash(t->key, &key, sizeof key) & t->bucket_mask];
}

struct l4_flow *l4_flow_find(const struct proxy_listener *l, const struct mr_datagram *d)
{
    struct l4_flow *f = *bucket_of(l->proxy->l4, l, &d->remote, &d->local.address);
    while (f && (f->listener != l || f->client.port != d->remote.port ||
                 !mr_address_equal(&f->client.address, &d->remote.address) ||
                 !mr_address_equal(&f->local, &d->local.address)))
        f = f->next_in_bucket;
    return f;
}

static void age_remove(struct l4_table *t, struct l4_flow *f)
{
    *(f->older ? &f->older->younger : &t->oldest) = f->younger;
    *(f->younger ? &f->younger->older : &t->youngest) = f->older;
}

static void age_append(struct l4_table *t, struct l4_flow *f)
{
    f->older = t->youngest;
    f->younger = NULL;
    *(f->older ? &f->older->younger : &t->oldest) = f;
    t->youngest = f;
}

void l4_flow_touch(struct l4_flow *f)
{
    struct l4_table *t = f->proxy->l4;
    f->active = mr_now(f->proxy->worker);
    if (t->youngest == f)
        return;
    age_remove(t, f);
    age_append(t, f);
}

bool l4_flow_replace(struct proxy *p, const struct l4_flow *but)
{
    struct l4_flow *oldest = p->l4->oldest;
    if (!oldest || oldest == but || mr_now(p->worker) - oldest->active < SILENT_ENOUGH)
        return false;
    proxy_count(p, PROXY_L4_FLOWS_REPLACED);
    l4_flow_end(oldest);
    return true;
}

struct l4_flow *l4_flow_add(struct proxy_listener *l, const struct mr_datagram *d)
{
    struct proxy *p = l->proxy;
    struct l4_table *t = p->l4;
    if ((!t->free_flow && !l4_flow_replace(p, NULL)) || !proxy_listener_enter(l))
        return NULL;
    struct l4_flow *f = t->free_flow, **bucket = bucket_of(t, l, &d->remote, &d->local.address);
    mr_time now = mr_now(p->worker);
    t->free_flow = f->next_in_bucket;
    *f = (struct l4_flow){
        .proxy = p,
        .listener = l,
        .client = d->remote,
        .local = d->local.address,
        .source = d->remote,
        .upstream = UINT32_MAX,
        .slot = UINT32_MAX,
        .opened = now,
        .active = now,
        .timer = f->timer,
        .next_in_bucket = *bucket,
    };
    *bucket = f;
    age_append(t, f);
    mr_timer_set(p->worker, &f->timer, now + l->plan->config->idle_timeout);
    t->flow_count++;
    p->counters[PROXY_L4_FLOWS]++;
    proxy_count(p, PROXY_L4_FLOWS_OPENED);
    return f;
}

void l4_flow_end(struct l4_flow *f)
{
    struct proxy *p = f->proxy;
    struct l4_table *t = p->l4;
    struct l4_flow **link = bucket_of(t, f->listener, &f->client, &f->local);
    while (*link != f)
        link = &(*link)->next_in_bucket;
    *link = f->next_in_bucket;
    age_remove(t, f);
    mr_timer_cancel(p->worker, &f->timer);
    if (f->slot != UINT32_MAX)
        upstream_flow_leave(p, f->slot);
    if (f->port)
        mr_datagram_close(f->port);
    proxy_listener_leave(f->listener);
    f->next_in_bucket = t->free_flow;
    t->free_flow = f;
    t->flow_count--;
    p->counters[PROXY_L4_FLOWS]--;
}

/* The timer stays where it was set while datagrams come: when it fires it looks. */
static void flow_expired(struct mr_worker *w, struct mr_timer *timer)
{
    struct l4_flow *f = timer->context;
    const struct plan_listener *plan = f->listener->plan; /* NULL: it is being removed */
    mr_time deadline = plan ? f->active + plan->config->idle_timeout : 0;
    if (mr_now(w) < deadline) {
        mr_timer_set(w, timer, deadline);
        return;
    }
    proxy_count(f->proxy, PROXY_L4_FLOWS_EXPIRED);
    l4_flow_end(f);
}

void l4_flow_table_check(const struct proxy *p)
{
    const struct l4_table *t = p->l4;
    uint64_t chained = 0, aged = 0, spare = 0;
    for (uint64_t i = 0; i <= t->bucket_mask; i++)
        for (const struct l4_flow *f = t->buckets[i]; f; f = f->next_in_bucket, chained++)
            assert(bucket_of(t, f->listener, &f->client, &f->local) == &t->buckets[i]);
    for (const struct l4_flow *f = t->oldest; f; f = f->younger, aged++) {
        assert(!f->younger || (f->younger->older == f && f->younger->active >= f->active));
        assert(f->listener->plan && mr_timer_armed(&f->timer));
    }
    for (const struct l4_flow *f = t->free_flow; f; f = f->next_in_bucket)
        spare++;
    assert(chained == t->flow_count && aged == t->flow_count && spare + aged == p->limits.flows);
    assert(p->counters[PROXY_L4_FLOWS] == t->flow_count);
}
