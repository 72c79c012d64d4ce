/* TIME-WAIT (RFC 9293 3.10.7.4, 3.6.1): 96 bytes instead of a control block, in the order of expiry, under one timer. When
 * records run out the oldest goes early, counted. */
#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

static struct tcp_time_wait *record(struct tcp *tcp, uint32_t index_1)
{
    return index_1 ? slab_at(&tcp->time_wait, index_1 - 1) : NULL;
}

static uint32_t handle_of(struct tcp *tcp, const struct tcp_time_wait *t)
{
    return flow_handle(FLOW_TIME_WAIT, slab_index(&tcp->time_wait, t));
}

static void list_append(struct mr_worker *w, struct tcp_time_wait *t)
{
    struct tcp *tcp = w->tcp;
    uint32_t index_1 = slab_index(&tcp->time_wait, t) + 1;
    t->expires = tcp_tick_of(w->now + 2 * TCP_MSL);
    t->previous = tcp->time_wait_tail;
    t->next = 0;
    if (tcp->time_wait_tail)
        record(tcp, tcp->time_wait_tail)->next = index_1;
    else
        tcp->time_wait_head = index_1;
    tcp->time_wait_tail = index_1;
    if (!wheel_node_armed(&tcp->time_wait_timer))
        wheel_arm(&w->wheel, &tcp->time_wait_timer, WHEEL_TCP_TIME_WAIT, w->now + 2 * TCP_MSL);
}

static void list_remove(struct tcp *tcp, struct tcp_time_wait *t)
{
    *(t->previous ? &record(tcp, t->previous)->next : &tcp->time_wait_head) = t->next;
    *(t->next ? &record(tcp, t->next)->previous : &tcp->time_wait_tail) = t->previous;
}

void tcp_time_wait_drop(struct mr_worker *w, struct tcp_time_wait *t)
{
    struct tcp *tcp = w->tcp;
    list_remove(tcp, t);
    tcp_port_wait_end(w, t);
    table_remove(&tcp->table, table_hash(&tcp->table, &t->key), handle_of(tcp, t));
    slab_put(&tcp->time_wait, t);
}

void tcp_time_wait_expired(struct mr_worker *w, struct mr_wheel_node *node)
{
    struct tcp *tcp = w->tcp;
    tcp_tick now = (tcp_tick)(w->now >> WHEEL_TICK_SHIFT);
    struct tcp_time_wait *t;
    while ((t = record(tcp, tcp->time_wait_head)) && (int32_t)(t->expires - now) <= 0)
        tcp_time_wait_drop(w, t);
    if (t)
        wheel_arm(&w->wheel, node, WHEEL_TCP_TIME_WAIT,
                  w->now + ((mr_time)(t->expires - now) << WHEEL_TICK_SHIFT));
}

void tcp_time_wait_enter(struct mr_worker *w, struct tcb *c)
{
    struct tcp *tcp = w->tcp;
    struct tcp_time_wait *t = slab_get(&tcp->time_wait);
    if (!t && tcp->time_wait_head) {
        stat_add(w, STAT_tcp_time_wait_reused, 1);
        tcp_time_wait_drop(w, record(tcp, tcp->time_wait_head));
        t = slab_get(&tcp->time_wait);
    }
    stat_add(w, STAT_tcp_closed, 1);
    if (t) {
        t->key = c->key;
        t->rcv_nxt = c->rcv_nxt;
        t->snd_nxt = c->snd_max;
        t->ts_recent = c->ts_recent;
        t->ts_offset = c->ts_offset;
        t->timestamps = c->flags & TCB_TIMESTAMPS;
        t->window = (uint16_t)RTE_MIN((c->rcv_adv - c->rcv_nxt) >> c->receive_scale, 65535u);
        table_replace(&tcp->table, table_hash(&tcp->table, &c->key),
                      flow_handle(FLOW_CONNECTION, slab_index(&tcp->connections, c)), handle_of(tcp, t));
        c->flags &= ~(uint32_t)TCB_IN_TABLE;
        list_append(w, t);
        if (c->flags & TCB_PORT_CHOSEN)
            tcp_port_wait_begin(w, t);
        if (c->flags & TCB_ACK_NOW)
            tcp_send_time_wait_ack(w, t);
    }
    tcp_conn_finish(w, c, MR_CLOSE_DONE);
}

/* RFC 9293 3.10.7.4 and MAY-2, RFC 6191: may this SYN open a new connection over the old one? */
static bool may_reopen(const struct tcp_time_wait *t, const struct tcp_segment *s)
{
    if ((s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
        return false;
    if (t->timestamps && s->h.options.has_timestamp && s->h.options.timestamp_value != t->ts_recent)
        return seq_lt(t->ts_recent, s->h.options.timestamp_value);
    return seq_lt(t->rcv_nxt, s->h.seq);
}

bool tcp_time_wait_in(struct mr_worker *w, struct tcp_time_wait *t, struct tcp_segment *s)
{
    if (may_reopen(t, s) && tcp_listener_find(w->tcp, &t->key.local, t->key.local_port)) {
        stat_add(w, STAT_tcp_time_wait_reused, 1);
        tcp_time_wait_drop(w, t);
        return false;
    }
    if (s->h.flags & TCP_RST) { /* RFC 1337: a reset does not end TIME-WAIT */
        tcp_in_drop(w, s, DROP_tcp_time_wait);
        return true;
    }
    bool fin_again = (s->h.flags & TCP_FIN) && s->h.seq + s->length + 1 == t->rcv_nxt;
    if (fin_again) { /* our last ACK was lost: say it again and wait anew */
        list_remove(w->tcp, t);
        list_append(w, t);
        tcp_send_time_wait_ack(w, t);
    } else if ((s->length || s->h.flags & (TCP_SYN | TCP_FIN) || s->h.seq != t->rcv_nxt) && tcp_challenge_allowed(w)) {
        tcp_send_time_wait_ack(w, t);
    }
    tcp_in_drop(w, s, DROP_tcp_time_wait);
    return true;
}
