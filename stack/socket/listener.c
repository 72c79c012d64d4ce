/* Listeners and connects: where bindings are made. */
#include <string.h>

#include "stack/base/assert.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"

#define KEEPALIVE_INTERVAL_S  75
#define KEEPALIVE_PROBES      9
#define RECEIVE_SCALE_MINIMUM 7 /* room for a window of 8 MB, in steps of 128 bytes */

static uint32_t budget_complete(uint32_t budget)
{
    budget = budget ? budget : TCP_BUDGET_DEFAULT;
    budget = RTE_MAX(budget, TCP_BUDGET_MINIMUM);
    return RTE_MIN(budget, TCP_BUDGET_MAXIMUM);
}

static uint8_t scale_for(uint32_t budget)
{
    uint8_t scale = RECEIVE_SCALE_MINIMUM;
    while (scale < TCP_WINDOW_SCALE_MAX && (65535u << scale) < budget)
        scale++;
    return scale;
}

static void options_complete(struct mr_stream_options *o, const struct mr_stream_options *given)
{
    *o = given ? *given : (struct mr_stream_options){0};
    o->receive_budget = budget_complete(o->receive_budget);
    o->send_budget = budget_complete(o->send_budget);
    o->keepalive_interval_s = o->keepalive_interval_s ? o->keepalive_interval_s : KEEPALIVE_INTERVAL_S;
    o->keepalive_probes = o->keepalive_probes ? o->keepalive_probes : KEEPALIVE_PROBES;
    o->backlog = o->backlog ? o->backlog : TCP_BACKLOG_DEFAULT;
}

/* One reference, the caller's. MR_OK, MR_ERROR_UNKNOWN, MR_ERROR_NO_MEMORY. */
static int binding_new(struct mr_worker *w, const struct mr_stream_handler *handler,
                       const struct mr_stream_options *options, struct stream_binding **out)
{
    struct tcp *tcp = w->tcp;
    int algorithm = options && options->congestion ? tcp_algorithm_find(options->congestion) : tcp->algorithm;
    if (algorithm < 0)
        return MR_ERROR_UNKNOWN;
    struct stream_binding *b = slab_get(&tcp->bindings);
    if (!b)
        return MR_ERROR_NO_MEMORY;
    b->worker = w;
    b->handler = handler;
    options_complete(&b->options, options);
    b->options.congestion = NULL; /* not ours to keep: the index is */
    b->algorithm = (uint8_t)algorithm;
    b->receive_scale = scale_for(b->options.receive_budget);
    b->references = 1;
    *out = b;
    return MR_OK;
}

static bool listener_conflicts(const struct tcp *tcp, const struct mr_endpoint *local)
{
    const struct mr_listener *l = tcp_listener_find(tcp, &local->address, local->port);
    return l && mr_address_equal(&l->local.address, &local->address);
}

int mr_listen(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_stream_handler *handler,
              const struct mr_stream_options *options, void *context, struct mr_listener **out)
{
    struct tcp *tcp = w->tcp;
    if (!local->port || !handler || !handler->on_close)
        return MR_ERROR_INVALID;
    if (!mr_address_is_any(&local->address) && !route_is_local(w, &local->address))
        return MR_ERROR_NO_ADDRESS;
    if (listener_conflicts(tcp, local))
        return MR_ERROR_IN_USE;
    struct mr_listener *l = slab_get(&tcp->listeners);
    if (!l)
        return MR_ERROR_NO_MEMORY;
    int error = binding_new(w, handler, options, &l->binding);
    if (error) {
        slab_put(&tcp->listeners, l);
        return error;
    }
    l->local = *local;
    l->context = context;
    l->binding->listener = l;
    struct mr_listener **bucket = &tcp->listener[local->port % TCP_LISTENER_BUCKETS];
    l->next = *bucket;
    *bucket = l;
    *out = l;
    return MR_OK;
}

void mr_listener_close(struct mr_listener *l)
{
    struct mr_worker *w = l->binding->worker;
    tcp_listener_forget(w, l);
    struct mr_listener **link = &w->tcp->listener[l->local.port % TCP_LISTENER_BUCKETS];
    while (*link != l)
        link = &(*link)->next;
    *link = l->next;
    l->binding->listener = NULL;
    tcp_binding_release(w, l->binding);
    slab_put(&w->tcp->listeners, l);
}

/* Connects of one service look alike: they share the last binding when nothing differs. */
static int connect_binding(struct mr_worker *w, const struct mr_stream_handler *handler,
                           const struct mr_stream_options *options, struct stream_binding **out)
{
    struct tcp *tcp = w->tcp;
    struct stream_binding *fresh;
    int error = binding_new(w, handler, options, &fresh);
    if (error)
        return error;
    struct stream_binding *last = tcp->last_connect;
    if (last && last->handler == handler && last->algorithm == fresh->algorithm &&
        memcmp(&last->options, &fresh->options, sizeof last->options) == 0) {
        tcp_binding_release(w, fresh);
        *out = last;
        return MR_OK;
    }
    if (last)
        tcp_binding_release(w, last);
    tcp->last_connect = fresh; /* keeps the one reference */
    *out = fresh;
    return MR_OK;
}

/* A port for key->local or, when `any` will do and its ports to this remote are taken, for the other addresses of the
 * interface, in turn. */
static bool connect_port(struct mr_worker *w, const struct netif *n, bool any, struct flow_key *key,
                         uint32_t *sequence_min)
{
    if (tcp_port_choose(w, n, key, sequence_min))
        return true;
    const struct mr_address first = key->local;
    for (unsigned i = 0; any && i < n->address_count; i++) {
        key->local = n->address[i].address;
        if (mr_address_is_ip4(&key->local) == mr_address_is_ip4(&first) && !mr_address_equal(&key->local, &first) &&
            tcp_port_choose(w, n, key, sequence_min))
            return true;
    }
    return false;
}

/* Source address, port and the checks of RFC 9293 3.10.1. */
static int connect_key(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
                       struct flow_key *key, uint32_t *sequence_min)
{
    struct route_result route;
    if (!remote->port || mr_address_is_any(&remote->address) || route_is_group(w, &remote->address))
        return MR_ERROR_INVALID; /* MUST-46 */
    if (!route_lookup(w, &remote->address, &route))
        return MR_ERROR_NO_ROUTE;
    bool chosen = local && !mr_address_is_any(&local->address);
    if (chosen && !route_is_local(w, &local->address))
        return MR_ERROR_NO_ADDRESS;
    *key = (struct flow_key){chosen ? local->address : route.source, remote->address, local ? local->port : 0,
                             remote->port};
    if (!key->local_port)
        return connect_port(w, route.netif, !chosen, key, sequence_min) ? MR_OK : MR_ERROR_NO_PORT;
    return table_lookup(&w->tcp->table, key, table_hash(&w->tcp->table, key)) == FLOW_NONE ? MR_OK : MR_ERROR_IN_USE;
}

int mr_connect(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
               const struct mr_stream_handler *handler, const struct mr_stream_options *options, void *context,
               struct mr_stream **out)
{
    struct flow_key key;
    struct stream_binding *binding;
    uint32_t sequence_min = 0;
    if (!handler || !handler->on_close)
        return MR_ERROR_INVALID;
    int error = connect_binding(w, handler, options, &binding);
    if (!error)
        error = connect_key(w, local, remote, &key, &sequence_min);
    if (error)
        return error;
    bool port_chosen = !local || !local->port;
    struct tcb *c = tcp_conn_new(w, &key, binding, context);
    if (!c) {
        if (port_chosen)
            tcp_port_release(w, &key);
        return MR_ERROR_NO_MEMORY;
    }
    c->flags |= port_chosen ? TCB_PORT_CHOSEN : 0;
    c->snd_una = tcp_initial_sequence(w, &key);
    if (sequence_min && seq_lt(c->snd_una, sequence_min))
        c->snd_una = sequence_min;
    c->snd_nxt = c->snd_max = c->snd_una + 1;
    c->ts_offset = tcp_timestamp_offset(w, &key);
    c->mss = TCP_MSS_DEFAULT_IP4; /* until the peer has told its own */
    c->flags |= TCB_HANDED | TCB_SEND_SYN | TCB_CONNECTING;
    tcp_set_state(c, TCP_SYN_SENT);
    tcp_output_mark(w, c);
    stat_add(w, STAT_tcp_connects, 1);
    *out = &c->stream;
    return MR_OK;
}
