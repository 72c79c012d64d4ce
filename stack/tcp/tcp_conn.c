/* A connection's life: made, moved through its states by one writer, finished, released. */
#include "stack/base/assert.h"
#include "stack/route/route.h"
#include "stack/tcp/tcp.h"

/* What may follow each state (RFC 9293 figure 5, with TIME-WAIT as a record and CLOSED reachable from everywhere). */
static const uint16_t legal_next[TCP_STATES] = {
    [TCP_CLOSED] = 1 << TCP_SYN_SENT | 1 << TCP_ESTABLISHED,
    [TCP_SYN_SENT] = 1 << TCP_SYN_RECEIVED | 1 << TCP_ESTABLISHED,
    [TCP_SYN_RECEIVED] = 1 << TCP_ESTABLISHED,
    [TCP_ESTABLISHED] = 1 << TCP_FIN_WAIT_1 | 1 << TCP_CLOSE_WAIT,
    [TCP_FIN_WAIT_1] = 1 << TCP_FIN_WAIT_2 | 1 << TCP_CLOSING,
    [TCP_FIN_WAIT_2] = 0,
    [TCP_CLOSE_WAIT] = 1 << TCP_LAST_ACK,
    [TCP_CLOSING] = 0,
    [TCP_LAST_ACK] = 0,
};

static const char *const state_names[TCP_STATES] = {
    [TCP_CLOSED] = "UNCONN",         [TCP_SYN_SENT] = "SYN-SENT",     [TCP_SYN_RECEIVED] = "SYN-RECV",
    [TCP_ESTABLISHED] = "ESTAB",     [TCP_FIN_WAIT_1] = "FIN-WAIT-1", [TCP_FIN_WAIT_2] = "FIN-WAIT-2",
    [TCP_CLOSE_WAIT] = "CLOSE-WAIT", [TCP_CLOSING] = "CLOSING",       [TCP_LAST_ACK] = "LAST-ACK",
};

const char *tcp_state_name(enum tcp_state state)
{
    return state_names[state];
}

void tcp_set_state(struct tcb *c, enum tcp_state state)
{
    ASSERT_COMPARE(state == TCP_CLOSED || (legal_next[c->state] & 1 << state), !=, 0);
    c->state = (uint8_t)state;
}

uint16_t tcp_mss_of_path(struct mr_worker *w, const struct mr_address *remote)
{
    uint16_t headers = (uint16_t)((mr_address_is_ip4(remote) ? 20 : 40) + TCP_HEADER_BYTES);
    uint16_t mtu = route_mtu(w, remote);
    return mtu > headers + TCP_MSS_MINIMUM ? (uint16_t)(mtu - headers) : TCP_MSS_MINIMUM;
}

void tcp_conn_set_mss(struct mr_worker *w, struct tcb *c, uint16_t peer_mss)
{
    /* RFC 9293 3.7.1, MUST-15 and MUST-16; RFC 6691: options are taken off by the sender. */
    uint32_t mss = peer_mss ? peer_mss : TCP_MSS_DEFAULT_IP4;
    mss = RTE_MIN(mss, tcp_mss_of_path(w, &c->key.remote));
    mss = RTE_MAX(mss, (uint32_t)TCP_MSS_MINIMUM);
    if (c->flags & TCB_TIMESTAMPS)
        mss -= TCP_TIMESTAMP_BYTES;
    c->mss = (uint16_t)mss;
    c->cc.mss = mss;
}

struct tcb *tcp_conn_new(struct mr_worker *w, const struct flow_key *key, struct stream_binding *binding, void *context)
{
    struct tcp *tcp = w->tcp;
    struct tcb *c = slab_get(&tcp->connections);
    if (!c)
        return NULL;
    c->key = *key;
    uint32_t handle = flow_handle(FLOW_CONNECTION, slab_index(&tcp->connections, c));
    if (!table_insert(&tcp->table, table_hash(&tcp->table, key), handle)) {
        slab_put(&tcp->connections, c);
        return NULL;
    }
    binding->references++;
    c->stream = (struct mr_stream){binding, context};
    c->flags = TCB_IN_TABLE | (binding->options.nodelay ? TCB_NODELAY : 0);
    c->algorithm = binding->algorithm;
    return c;
}

void tcp_binding_release(struct mr_worker *w, struct stream_binding *b)
{
    ASSERT_COMPARE(b->references, >, 0);
    if (--b->references == 0)
        slab_put(&w->tcp->bindings, b);
}

static void leave_backlog(struct tcb *c)
{
    if (!(c->flags & TCB_BACKLOG))
        return;
    c->flags &= ~(uint32_t)TCB_BACKLOG;
    if (c->stream.binding->listener)
        c->stream.binding->listener->undelivered--;
}

/* A connection that is over stays findable while its service reads; its timer node, idle now, is the link. */
static void ended_add(struct tcp *tcp, struct tcb *c)
{
    struct mr_wheel_node *n = &c->timer;
    n->next = tcp->ended;
    n->link = &tcp->ended;
    if (n->next)
        n->next->link = &n->next;
    tcp->ended = n;
}

static void ended_remove(struct tcb *c)
{
    struct mr_wheel_node *n = &c->timer;
    if (!n->link)
        return;
    *n->link = n->next;
    if (n->next)
        n->next->link = n->link;
    n->link = NULL;
}

void tcp_conn_finish(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason)
{
    struct tcp *tcp = w->tcp;
    if (c->flags & TCB_IN_TABLE) {
        uint32_t handle = flow_handle(FLOW_CONNECTION, slab_index(&tcp->connections, c));
        table_remove(&tcp->table, table_hash(&tcp->table, &c->key), handle);
        c->flags &= ~(uint32_t)TCB_IN_TABLE;
        if (c->flags & TCB_PORT_CHOSEN)
            tcp_port_release(w, &c->key);
    }
    tcp_set_state(c, TCP_CLOSED);
    tcp_timer_stop(w, c);
    tcp_queue_free(w, c);
    tcp_reasm_free(w, c);
    tcp_congestion_stop(w, c);
    /* RFC 9293 3.10.7.4 flushes all queues at a reset; what came before it in the same turn, and the service would have been
     * told of in a turn of its own, is shown to it first. */
    bool untold = reason == MR_CLOSE_RESET && (c->events & EVENT_DATA);
    if ((reason != MR_CLOSE_DONE && !untold) || (c->flags & TCB_DETACHED)) {
        if (c->receive_queued) /* bytes are lost: the service must not take what it has for all of it */
            c->flags &= ~(uint32_t)TCB_FIN_RECEIVED;
        tcp_receive_free(w, c);
    }
    if (!(c->flags & TCB_HANDED)) { /* never shown to a service: nobody is told */
        leave_backlog(c);
        c->events = 0;
        c->flags |= TCB_TOLD_CLOSE;
    } else {
        stream_event_close(w, c, reason);
        if (c->receive_queued)
            ended_add(tcp, c);
    }
    tcp_conn_release(w, c);
}

void tcp_conn_release(struct mr_worker *w, struct tcb *c)
{
    if (c->state != TCP_CLOSED || !(c->flags & TCB_TOLD_CLOSE) || (c->flags & (TCB_ON_READY | TCB_ON_OUTPUT | TCB_IN_TABLE)))
        return;
    leave_backlog(c);
    ended_remove(c);
    tcp_receive_free(w, c);
    tcp_binding_release(w, c->stream.binding);
    slab_put(&w->tcp->connections, c);
}

void tcp_conn_abort(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason)
{
    /* RFC 9293 3.10.5: a reset in every state that the peer may believe in. */
    if (c->state >= TCP_SYN_RECEIVED)
        tcp_send_reset(w, c);
    stat_add(w, STAT_tcp_aborted, 1);
    tcp_conn_finish(w, c, reason);
}
