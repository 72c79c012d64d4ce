/* The TCP of one worker: made with its tables and pools, told of ICMP errors, walked for `conns`, ended. */
#include "stack/tcp/tcp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stack/base/assert.h"
#include "stack/route/route.h"

static const struct flow_key *key_of(const void *owner, uint32_t handle)
{
    const struct tcp *tcp = owner;
    uint32_t index = flow_handle_index(handle);
    switch (flow_handle_kind(handle)) {
    case FLOW_HALF_OPEN:
        return slab_at(&tcp->half_open, index);
    case FLOW_TIME_WAIT:
        return slab_at(&tcp->time_wait, index);
    default:
        return slab_at(&tcp->connections, index);
    }
}

/* Address space for `n` pointers; pages are used as the lists grow. */
static void *list_new(size_t n)
{
    void *p = mmap(NULL, n * sizeof(void *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool tcp_init(struct mr_worker *w, const struct worker_limits *limits, const char *congestion)
{
    struct tcp *tcp = calloc(1, sizeof *tcp);
    if (!tcp)
        return false;
    w->tcp = tcp;
    int algorithm = congestion ? tcp_algorithm_find(congestion) : 0;
    if (algorithm < 0)
        return false;
    tcp->algorithm = (uint8_t)algorithm;
    uint32_t n = limits->connections;
    struct hash_key table_key = {mr_random_next(&w->random) ^ w->secret.k0, mr_random_next(&w->random) ^ w->secret.k1};
    tcp->list_bytes = n * sizeof(void *);
    tcp->ready = list_new(2 * (size_t)n);
    tcp->output = list_new(n);
    return tcp->ready && tcp->output && slab_init(&tcp->connections, "tcp connections", sizeof(struct tcb), 64, n) &&
           slab_init(&tcp->half_open, "tcp half-open", sizeof(struct tcp_half_open), 8, limits->half_open) &&
           slab_init(&tcp->time_wait, "tcp time-wait", sizeof(struct tcp_time_wait), 8, limits->time_wait) &&
           slab_init(&tcp->flights, "tcp flights", sizeof(struct tcp_flight), 64, n) &&
           slab_init(&tcp->reasms, "tcp reassembly", sizeof(struct tcp_reasm), 8, n) &&
           slab_init(&tcp->lends, "tcp lent memory", TCP_LEND_BYTES, 8, w->pool->size) &&
           slab_init(&tcp->listeners, "tcp listeners", sizeof(struct mr_listener), 8, TCP_LISTENERS_MAX) &&
           slab_init(&tcp->bindings, "tcp bindings", sizeof(struct stream_binding), 8, n + TCP_LISTENERS_MAX) &&
           slab_init(&tcp->cc_states, "tcp congestion state", MR_CONGESTION_STATE_MAX, 64, n) &&
           tcp_ports_init(w) && table_init(&tcp->table, &table_key, n + limits->half_open + limits->time_wait, key_of, tcp);
}

static void *record_of(struct tcp *tcp, uint32_t handle)
{
    return (void *)(uintptr_t)key_of(tcp, handle); /* every record starts with its key */
}

void tcp_walk(struct mr_worker *w, enum flow_kind kind, void (*each)(struct mr_worker *w, void *record, void *argument),
              void *argument)
{
    struct table *t = &w->tcp->table;
    for (uint32_t bucket = 0; bucket <= t->mask; bucket++) {
        uint32_t handles[TCP_WALK_CHAIN];
        unsigned n = table_bucket_handles(t, bucket, handles, TCP_WALK_CHAIN);
        for (unsigned i = 0; i < n; i++)
            if (flow_handle_kind(handles[i]) == kind)
                each(w, record_of(w->tcp, handles[i]), argument);
    }
}

static void close_one(struct mr_worker *w, void *record, void *unused)
{
    struct tcb *c = record;
    if (c->flags & TCB_DETACHED)
        return;
    if (c->state < TCP_ESTABLISHED)
        tcp_conn_abort(w, c, MR_CLOSE_STOPPED);
    else
        mr_stream_close(&c->stream);
}

void tcp_stop_listening(struct mr_worker *w)
{
    for (unsigned i = 0; i < TCP_LISTENER_BUCKETS; i++)
        while (w->tcp->listener[i])
            mr_listener_close(w->tcp->listener[i]);
}

void tcp_close_all(struct mr_worker *w)
{
    tcp_walk(w, FLOW_CONNECTION, close_one, NULL);
}

bool tcp_idle(const struct mr_worker *w)
{
    return w->tcp->connections.used == 0;
}

static void abort_one(struct mr_worker *w, void *record, void *unused)
{
    tcp_conn_abort(w, record, MR_CLOSE_STOPPED);
}

static void drop_half_open(struct mr_worker *w, void *record, void *unused)
{
    tcp_half_open_drop(w, record);
}


void tcp_release(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    if (tcp->table.bucket) {
        tcp_walk(w, FLOW_CONNECTION, abort_one, NULL);
        tcp_walk(w, FLOW_HALF_OPEN, drop_half_open, NULL);
    }
    /* In no table any more, but their services wait for on_close; each leaves the list when that is delivered. */
    for (struct mr_wheel_node *n = tcp->ended; n; n = n->next)
        mr_stream_abort(&((struct tcb *)((uint8_t *)n - offsetof(struct tcb, timer)))->stream);
    while (tcp->ready_count || tcp->output_count) {
        stream_deliver(w);
        tcp_output(w);
    }
    while (tcp->time_wait_head)
        tcp_time_wait_drop(w, slab_at(&tcp->time_wait, tcp->time_wait_head - 1));
    if (wheel_node_armed(&tcp->time_wait_timer))
        wheel_cancel(&w->wheel, &tcp->time_wait_timer);
    for (unsigned i = 0; i < w->netif_count; i++) /* packets that still refer to lent memory */
        netif_flush(w, w->netif[i]);
    struct slab *slabs[] = {&tcp->connections, &tcp->half_open, &tcp->time_wait, &tcp->flights,  &tcp->reasms,
                            &tcp->listeners,   &tcp->bindings,  &tcp->cc_states, &tcp->lends};
    for (unsigned i = 0; i < sizeof slabs / sizeof *slabs; i++)
        slab_free_all(slabs[i]);
    tcp_ports_release(w);
    table_release(&tcp->table);
    if (tcp->ready)
        munmap(tcp->ready, tcp->list_bytes * 2);
    if (tcp->output)
        munmap(tcp->output, tcp->list_bytes);
    free(tcp);
    w->tcp = NULL;
}

/* -- ICMP ------------------------------------------------------------------------------------------------------------------ */

/* RFC 1191 and RFC 5927: a smaller MTU is believed for data that is really outstanding, and never below what any path
 * must carry. */
static void fragment_needed(struct mr_worker *w, struct tcb *c, uint16_t mtu)
{
    uint32_t headers = 20 + TCP_HEADER_BYTES + (c->flags & TCB_TIMESTAMPS ? TCP_TIMESTAMP_BYTES : 0);
    uint32_t mss = RTE_MAX(mtu > headers ? mtu - headers : 0, (uint32_t)TCP_MSS_MINIMUM);
    if (mss >= c->mss)
        return;
    c->mss = (uint16_t)mss;
    c->cc.mss = mss;
    c->snd_nxt = c->snd_una; /* what is out was too large: again, in smaller pieces, without backing off */
    if (c->flight)
        c->flight->next = c->flight->head;
    tcp_output_mark(w, c);
}

void tcp_error(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote, uint32_t sequence,
               int type, int code, uint16_t mtu)
{
    /* A connect fails at these (protocol, port, prohibited: RFC 1122 4.2.3.9, RFC 1812 5.2.7.1), never at the soft ones
     * (net or host unreachable, MUST-56); an open connection rides out all of them, for they are easily forged. */
    static const uint32_t hard_errors = 1u << 2 | 1u << 3 | 1u << 9 | 1u << 10 | 1u << 13;
    struct tcp *tcp = w->tcp;
    struct flow_key key = {local->address, remote->address, local->port, remote->port};
    uint32_t handle = table_lookup(&tcp->table, &key, table_hash(&tcp->table, &key));
    if (handle == FLOW_NONE || flow_handle_kind(handle) != FLOW_CONNECTION)
        return;
    struct tcb *c = slab_at(&tcp->connections, flow_handle_index(handle));
    if (!seq_in(sequence, c->snd_una, c->snd_max - c->snd_una)) /* RFC 5927 4.1: it quotes what is outstanding */
        return;
    if (type == 3 && code == 4)
        fragment_needed(w, c, mtu);
    else if (type == 3 && c->state == TCP_SYN_SENT && (hard_errors & 1u << (code & 31)))
        tcp_conn_finish(w, c, code == 2 || code == 3 ? MR_CLOSE_REFUSED : MR_CLOSE_UNREACHABLE);
}

/* -- conns ------------------------------------------------------------------------------------------------------------------- */

struct each_info {
    void (*each)(const struct mr_stream_info *info, void *argument);
    void *argument;
};

static void connection_info(struct mr_worker *w, void *record, void *argument)
{
    struct each_info *e = argument;
    struct mr_stream_info info;
    mr_stream_info(&((struct tcb *)record)->stream, &info);
    e->each(&info, e->argument);
}

static void record_info(const struct flow_key *key, const char *state, struct each_info *e)
{
    struct mr_stream_info info = {.local = {key->local, key->local_port},
                                  .remote = {key->remote, key->remote_port},
                                  .state = state,
                                  .congestion = ""};
    e->each(&info, e->argument);
}

static void half_open_info(struct mr_worker *w, void *record, void *argument)
{
    record_info(record, "SYN-RECV", argument);
}

static void time_wait_info(struct mr_worker *w, void *record, void *argument)
{
    record_info(record, "TIME-WAIT", argument);
}

void tcp_each_connection(struct mr_worker *w, void (*each)(const struct mr_stream_info *info, void *argument), void *argument)
{
    struct each_info e = {each, argument};
    tcp_walk(w, FLOW_CONNECTION, connection_info, &e);
    tcp_walk(w, FLOW_HALF_OPEN, half_open_info, &e);
    tcp_walk(w, FLOW_TIME_WAIT, time_wait_info, &e);
}
