/* Every invariant of a connection and of the tables around it: called by tests and the simulator after each event. */
#include "stack/base/assert.h"
#include "stack/tcp/tcp.h"

static void check_flight(const struct tcb *c)
{
    const struct tcp_flight *f = c->flight;
    if (!f)
        return;
    ASSERT(f->head && f->tail);
    uint32_t at = packet_meta(f->head)->sequence;
    ASSERT_COMPARE(seq_leq(at, seq_max(c->snd_una, c->snd_una + (c->state < TCP_ESTABLISHED))), ==, true);
    uint32_t chunks = 0;
    bool next_seen = f->next == NULL;
    for (struct rte_mbuf *m = f->head; m; m = packet_meta(m)->queue_next) {
        ASSERT_COMPARE(packet_meta(m)->sequence, ==, at);
        ASSERT_COMPARE(packet_meta(m)->length, >, 0);
        if (m == f->next) {
            next_seen = true;
            if (tcp_is_synchronised(c))
                ASSERT(seq_in(c->snd_nxt, at, packet_meta(m)->length));
        }
        at += packet_meta(m)->length;
        chunks++;
        if (!packet_meta(m)->queue_next)
            ASSERT(m == f->tail);
    }
    ASSERT_COMPARE(at, ==, f->end);
    ASSERT_COMPARE(chunks, ==, f->chunks);
    ASSERT(next_seen);
    if (!f->next && tcp_is_synchronised(c))
        ASSERT(seq_leq(f->end, c->snd_nxt));
}

static void check_receive(const struct tcb *c)
{
    uint32_t bytes = 0;
    if (c->receive_tail) {
        const struct rte_mbuf *m = c->receive_tail;
        do {
            m = packet_meta((struct rte_mbuf *)(uintptr_t)m)->queue_next;
            ASSERT_COMPARE(m->data_len, ==, packet_meta((struct rte_mbuf *)(uintptr_t)m)->length);
            bytes += m->data_len;
        } while (m != c->receive_tail);
    }
    ASSERT_COMPARE(bytes, ==, c->receive_queued);
}

static void check_reasm(const struct tcb *c)
{
    const struct tcp_reasm *r = c->reasm;
    if (!r)
        return;
    uint32_t bytes = 0, packets = 0, at = c->rcv_nxt;
    for (struct rte_mbuf *m = r->head; m; m = packet_meta(m)->queue_next) {
        ASSERT(packets ? seq_leq(at, packet_meta(m)->sequence) : seq_lt(at, packet_meta(m)->sequence));
        ASSERT_COMPARE(m->data_len, ==, packet_meta(m)->length);
        at = packet_meta(m)->sequence + packet_meta(m)->length;
        bytes += packet_meta(m)->length;
        packets++;
    }
    ASSERT(!packets || seq_leq(at, c->rcv_adv));
    ASSERT_COMPARE(bytes, ==, r->bytes);
    ASSERT_COMPARE(packets, ==, r->packets);
    ASSERT_COMPARE(packets, <=, TCP_REASM_PACKETS_MAX + 8);
}

static void check_timers(const struct tcb *c)
{
    bool outstanding = c->snd_una != c->snd_max && c->state != TCP_CLOSED && !(c->flags & TCB_SEND_SYN);
    if (outstanding)
        ASSERT_COMPARE(c->deadline_send, !=, 0);
    if (c->deadline_send || c->deadline_ack || c->deadline_idle)
        ASSERT(wheel_node_armed(&c->timer));
    bool waiting = tcp_is_synchronised(c) && c->flight && seq_lt(c->snd_nxt, c->flight->end);
    if (waiting && !(c->flags & TCB_ON_OUTPUT)) /* somebody will wake it: an acknowledgement, a timer */
        ASSERT_COMPARE(c->deadline_send, !=, 0);
}

void tcp_check_connection(struct mr_worker *w, const struct tcb *c)
{
    ASSERT_COMPARE(c->state, <, TCP_STATES);
    check_receive(c);
    if (c->state == TCP_CLOSED) {
        ASSERT(!c->flight && !c->reasm);
        ASSERT(!(c->flags & TCB_IN_TABLE));
        return;
    }
    ASSERT(seq_leq(c->snd_una, c->snd_nxt));
    ASSERT(seq_leq(c->snd_nxt, c->snd_max));
    ASSERT(seq_leq(c->rcv_nxt, c->rcv_adv));
    if (tcp_is_synchronised(c)) {
        ASSERT_COMPARE(c->cc.cwnd, >=, c->mss);
        ASSERT_COMPARE(c->receive_queued, <=, c->stream.binding->options.receive_budget + (1u << c->receive_scale));
    }
    ASSERT_COMPARE(!!(c->flags & TCB_FIN_SENT), <=, !!(c->flags & TCB_SHUTDOWN));
    check_flight(c);
    check_reasm(c);
    check_timers(c);
}

struct counted {
    uint32_t connections, ports_chosen;
};

static void check_one(struct mr_worker *w, void *record, void *argument)
{
    const struct tcb *c = record;
    struct counted *counted = argument;
    tcp_check_connection(w, c);
    ASSERT(c->flags & TCB_IN_TABLE);
    counted->connections++;
    counted->ports_chosen += !!(c->flags & TCB_PORT_CHOSEN);
}

static void check_time_wait(struct mr_worker *w, void *record, void *argument)
{
    ((struct counted *)argument)->ports_chosen += ((const struct tcp_time_wait *)record)->port_waits;
}

void tcp_check(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    struct counted counted = {0};
    tcp_walk(w, FLOW_CONNECTION, check_one, &counted);
    tcp_walk(w, FLOW_TIME_WAIT, check_time_wait, &counted);
    tcp_port_check(w, counted.ports_chosen);
    ASSERT_COMPARE(counted.connections, <=, tcp->connections.used);
    ASSERT_COMPARE(counted.connections + tcp->half_open.used + tcp->time_wait.used, ==, tcp->table.count);
    table_check(&tcp->table);
}
