/* TCP (RFC 9293), private to stack/tcp and stack/socket. Sections: constants, structures, then one block of prototypes per
 * file, in the order in which a connection meets them. */
#ifndef STACK_TCP_H
#define STACK_TCP_H

#include <millrace/congestion.h>
#include <millrace/stream.h>

#include "stack/core/layers.h"
#include "stack/tcp/tcp_seq.h"
#include "stack/tcp/tcp_table.h"
#include "stack/tcp/tcp_wire.h"

/* -- constants ------------------------------------------------------------------------------------------------------ */

#define TCP_MSS_DEFAULT_IP4 536 /* no MSS option received: RFC 9293 3.7.1, MUST-15 */
#define TCP_MSS_MINIMUM 216     /* what we will go down to: smaller is an attack, not a path (RFC 791: 256 less headers) */
#define TCP_INITIAL_WINDOW 10   /* segments: RFC 6928 */
#define TCP_BUDGET_DEFAULT (256u << 10)
#define TCP_BUDGET_MINIMUM 2048u
#define TCP_BUDGET_MAXIMUM (1u << 30) /* largest window that scaling can express */
#define TCP_BACKLOG_DEFAULT 1024
#define TCP_LISTENERS_MAX 256

#define TCP_RTO_INITIAL MR_SECOND               /* RFC 6298 2.1 */
#define TCP_RTO_REPEATED_SYN (3 * MR_SECOND)    /* for data, when the SYN had to be repeated: RFC 6298 5.7 */
#define TCP_RTO_MINIMUM (200 * MR_MILLISECOND)  /* lower than RFC 6298's second, as every deployed stack */
#define TCP_RTO_MAXIMUM (60 * MR_SECOND)        /* RFC 6298 2.5 */
#define TCP_DELAYED_ACK (40 * MR_MILLISECOND)   /* RFC 9293 3.8.6.3: below 500 ms */
#define TCP_STARVED_RETRY (5 * MR_MILLISECOND)  /* asking for memory again; nothing tells when there is some */
#define TCP_MSL (30 * MR_SECOND)                /* TIME-WAIT lasts twice this */
#define TCP_FIN_WAIT_2_MAX (60 * MR_SECOND)     /* after a full close nobody waits for ever */
#define TCP_SYN_RETRIES 7      /* 1+2+4+8+16+32+60 s and the last wait: beyond 3 minutes, MUST-23 */
#define TCP_SYN_ACK_RETRIES 5  /* 63 s: what a stranger can make us hold is bounded sooner */
#define TCP_DATA_RETRIES 12    /* at the floor 0.2 s: 282 s, beyond the 100 s of SHLD-11 */
#define TCP_PAWS_IDLE_S (24u * 86400) /* after this ts_recent says nothing: RFC 7323 5.5 */
#define TCP_CHALLENGE_ACKS_PER_S 1000 /* worker-wide, randomised: RFC 5961 section 7, CVE-2016-5696 */
#define TCP_REASM_PACKETS_MAX 256     /* out-of-order packets of one connection, beside the receive budget in bytes */
#define TCP_LEND_BYTES 64             /* a record of lent memory, see tcp_queue.c */
#define TCP_LEND_CHUNK 32768          /* bytes of lent memory under one buffer header, whose lengths have 16 bits */

/* Deadlines inside a connection: 32-bit counts of wheel ticks (131 us), 0: not armed. They wrap after 6.5 days. */
typedef uint32_t tcp_tick;

static inline tcp_tick tcp_tick_of(mr_time t)
{
    tcp_tick tick = (tcp_tick)((t + (1u << WHEEL_TICK_SHIFT) - 1) >> WHEEL_TICK_SHIFT);
    return tick ? tick : 1;
}

/* -- structures ----------------------------------------------------------------------------------------------------- */

enum tcp_state {
    TCP_CLOSED,
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED, /* of a simultaneous open only: a passive open is a half-open record until it is established */
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK, /* TIME-WAIT is a record of its own */
    TCP_STATES
};

enum tcb_flag {
    TCB_TIMESTAMPS = 1 << 0,
    TCB_NODELAY = 1 << 1,
    TCB_SHUTDOWN = 1 << 2,     /* the service ended its direction: FIN follows the queue */
    TCB_FIN_SENT = 1 << 3,
    TCB_FIN_RECEIVED = 1 << 4, /* in order: every byte before it is in the receive queue or consumed */
    TCB_ACK_NOW = 1 << 5,
    TCB_ACK_DELAYED = 1 << 6,  /* one segment is unacknowledged and the timer runs */
    TCB_DETACHED = 1 << 7,     /* the service closed: no event but on_close, received data has no reader */
    TCB_PERSIST = 1 << 8,      /* deadline_send is the probe of a zero window */
    TCB_RECOVERY = 1 << 9,     /* fast recovery, until `recover` is acknowledged */
    TCB_RETRANSMIT = 1 << 10,  /* the segment at snd_una is owed again */
    TCB_WANT_WRITABLE = 1 << 11,
    TCB_ON_READY = 1 << 12,    /* in tcp->ready */
    TCB_ON_OUTPUT = 1 << 13,   /* in tcp->output */
    TCB_IN_TABLE = 1 << 14,
    TCB_HANDED = 1 << 15,      /* the service has it: on_close is owed */
    TCB_TOLD_CLOSE = 1 << 16,  /* on_close was delivered, or is not owed */
    TCB_PROBE = 1 << 17,       /* a window probe is due */
    TCB_KEEPALIVE = 1 << 18,   /* a keepalive probe is due */
    TCB_SEND_SYN = 1 << 19,    /* SYN or SYN+ACK is due */
    TCB_BACKLOG = 1 << 20,     /* counted in its listener's backlog */
    TCB_CWND_LIMITED = 1 << 21, /* the congestion window was the bound when we last sent: for every ACK until then */
    TCB_CONNECTING = 1 << 22,  /* opened by us and not yet established */
    TCB_STARVED = 1 << 23,     /* deadline_send is the next try of a service that was refused for want of memory */
    TCB_PORT_CHOSEN = 1 << 24, /* the local port is from a set of tcp_port.c */
};

enum stream_event {
    EVENT_OPEN = 1 << 0,
    EVENT_DATA = 1 << 1,
    EVENT_WRITABLE = 1 << 2,
    EVENT_CLOSE = 1 << 3, /* with the reason in the upper four bits */
};
#define EVENT_REASON_SHIFT 4

/* What all connections of a listener (or of a connect) have in common. */
struct stream_binding {
    struct mr_worker *worker;
    const struct mr_stream_handler *handler;
    struct mr_stream_options options; /* completed with defaults */
    struct mr_listener *listener;     /* NULL: of a connect, or the listener is closed */
    uint32_t references;
    uint8_t algorithm; /* index into tcp_algorithms */
    uint8_t receive_scale;
};

struct mr_stream {
    struct stream_binding *binding;
    void *context;
};

struct mr_listener {
    struct mr_endpoint local;
    struct stream_binding *binding;
    void *context;
    uint32_t half_open; /* records of ours */
    uint32_t undelivered; /* established, on_open not yet delivered */
    struct mr_listener *next; /* in the port's chain */
};

/* Send queue and recovery: exists only while something is queued or unacknowledged. Chunks are packets linked by
 * packet_meta.queue_next; chunk->sequence counts on from the first. */
struct tcp_flight {
    struct rte_mbuf *head, *tail;
    struct rte_mbuf *next; /* the chunk that holds snd_nxt; NULL: all was sent */
    uint32_t chunks;
    uint32_t end;          /* sequence after the last byte queued */
    uint32_t recover;      /* snd_max when the last loss was found (RFC 6582) */
    uint32_t inflate;      /* bytes added to cwnd by duplicate ACKs (RFC 5681 3.2) */
    tcp_tick progress;     /* when snd_una last moved, or when the queue began: for the user timeout */
    bool recover_valid;
};

/* Out-of-order segments: sorted by sequence, no two overlap. */
struct tcp_reasm {
    struct rte_mbuf *head, *tail;
    uint32_t bytes;
    uint32_t packets;
    uint32_t fin; /* sequence of a FIN beyond the hole */
    bool has_fin;
};

struct tcb {
    /* line 0: matching and prediction */
    struct flow_key key;
    uint8_t state;  /* enum tcp_state, written by tcp_set_state only */
    uint8_t events; /* enum stream_event, to be delivered */
    uint8_t send_scale : 4, receive_scale : 4;
    uint8_t backoff; /* doublings of the retransmission or probe timer */
    uint32_t flags;  /* enum tcb_flag */
    uint32_t rcv_nxt;
    uint32_t rcv_adv; /* right edge of the window as advertised: never moves left */
    uint32_t snd_una, snd_nxt;
    uint32_t snd_wnd; /* bytes */

    /* line 1: queues */
    struct mr_stream stream;
    struct tcp_flight *flight;
    struct tcp_reasm *reasm;
    struct rte_mbuf *receive_tail; /* circular by queue_next: tail->next is the head */
    uint32_t receive_queued;       /* bytes in order, unread */
    uint32_t ts_recent;
    uint32_t ts_offset; /* added to our clock: RFC 7323 5.4 wants it random */
    uint16_t mss;       /* payload of a full segment, options taken off */
    uint8_t algorithm;
    uint8_t dup_acks;
    uint32_t ts_recent_s; /* when ts_recent was taken, in 2^30 ns */
    tcp_tick last_sent;   /* data, for the restart after idle */

    /* line 2: congestion control */
    struct mr_congestion cc;

    /* line 3: timers, RTT, and what a changed window or an acknowledgement in the slow path needs */
    struct mr_wheel_node timer; /* one node for all of: */
    tcp_tick deadline_send;     /* retransmission, with TCB_PERSIST window probe, with TCB_STARVED on_writable */
    tcp_tick deadline_ack;
    tcp_tick deadline_idle; /* keepalive, or the end of FIN-WAIT-2 */
    uint32_t srtt_us8;      /* smoothed RTT, 1/8 us; 0: no sample yet */
    uint32_t rttvar_us4;    /* 1/4 us; before the first sample: when the SYN was sent, in us */
    uint32_t snd_wl1, snd_wl2;
    uint32_t snd_max; /* highest sequence sent, plus one */
    uint32_t last_ack_sent;
    uint16_t snd_wnd_max; /* largest window ever offered, unscaled as on the wire */
    uint16_t retransmits; /* saturating */
};
_Static_assert(offsetof(struct tcb, stream) == 64, "line 0 of the control block");
_Static_assert(offsetof(struct tcb, cc) == 128, "line 1 of the control block");
_Static_assert(offsetof(struct tcb, timer) == 192, "line 2 of the control block");
_Static_assert(sizeof(struct tcb) == 256, "four lines of control block");

/* A connection that a SYN asked for and no ACK has confirmed. */
struct tcp_half_open {
    struct flow_key key;
    uint32_t irs, iss;
    uint32_t ts_recent, ts_offset;
    uint32_t sent_us; /* of the first SYN+ACK, for the first RTT sample */
    uint16_t mss;     /* of the peer, options not taken off */
    uint16_t window;  /* advertised in our SYN+ACK */
    uint8_t send_scale, receive_scale;
    uint8_t retries;
    bool timestamps;
    bool owes; /* a SYN+ACK, in this turn */
    struct mr_listener *listener;
    struct mr_wheel_node timer;
};

/* What is left of a connection that we closed first. */
struct tcp_time_wait {
    struct flow_key key;
    uint32_t rcv_nxt, snd_nxt;
    uint32_t ts_recent, ts_offset;
    tcp_tick expires;
    uint16_t window;
    bool timestamps;
    bool port_waits;                    /* in the list of its port set */
    uint32_t next, previous;            /* index + 1, in the order of expiry */
    uint32_t port_next, port_previous;  /* the same, of those to one destination */
};

struct tcp_segment {
    struct rte_mbuf *m; /* data starts at the payload */
    uint32_t length;    /* of the payload */
    struct tcp_header h;
    struct flow_key key;
    uint64_t hash;
};

#define TCP_LISTENER_BUCKETS 64

struct tcp {
    struct table table;
    struct slab connections, half_open, time_wait, flights, reasms, lends, listeners, bindings, cc_states;
    struct mr_listener *listener[TCP_LISTENER_BUCKETS];

    struct tcp_segment burst[WORKER_BURST * 2];
    unsigned burst_count;

    struct tcb **ready; /* connections with events; capacity: each twice, once for the next turn */
    uint32_t ready_count;
    struct tcb **output; /* connections that owe something */
    uint32_t output_count;
    size_t list_bytes; /* of `output`; `ready` has twice as many */

    uint32_t time_wait_head, time_wait_tail; /* index + 1 */
    struct mr_wheel_node time_wait_timer;

    struct mr_wheel_node *ended; /* connections over, with bytes that their service has not read: by tcb.timer */

    struct tcp_ports *ports; /* of connections that we open */
    struct stream_binding *last_connect;
    uint32_t challenge_left;
    uint64_t challenge_second;
    uint8_t algorithm; /* default */
};

static inline struct tcb *tcb_of(const struct mr_stream *s)
{
    return (struct tcb *)((uint8_t *)(uintptr_t)s - offsetof(struct tcb, stream));
}

static inline struct mr_worker *tcb_worker(const struct tcb *c)
{
    return c->stream.binding->worker;
}

static inline bool tcp_is_synchronised(const struct tcb *c)
{
    return c->state >= TCP_ESTABLISHED;
}

/* Bytes outstanding as the sender sees them: less than snd_max - snd_una after a timeout sent snd_nxt back. */
static inline uint32_t tcp_in_flight(const struct tcb *c)
{
    return c->snd_nxt - c->snd_una;
}

/* Sequence after the last byte that the service gave. */
static inline uint32_t tcp_data_end(const struct tcb *c)
{
    return c->flight ? c->flight->end : c->snd_max - !!(c->flags & TCB_FIN_SENT);
}

static inline uint32_t tcp_now_us(const struct mr_worker *w)
{
    return (uint32_t)(w->now / MR_MICROSECOND);
}

/* The timestamp clock: milliseconds, RFC 7323 5.4. */
static inline uint32_t tcp_now_ms(const struct mr_worker *w)
{
    return (uint32_t)(w->now / MR_MILLISECOND);
}

/* -- tcp_in.c: gather, look up, predict ------------------------------------------------------------------------------ */

/* In-order payload into the receive queue; consumes s->m. The caller has trimmed it to the window. */
void tcp_in_deliver(struct mr_worker *w, struct tcb *c, struct tcp_segment *s);
/* The sender's window as this segment tells it (RFC 9293 3.10.7.4, fifth). */
void tcp_in_window(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s);
/* Remembers the timestamp when the segment covers the last acknowledgement sent (RFC 7323 4.3). */
void tcp_in_timestamp(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s);
/* ts_recent is so old that the peer's clock may have wrapped (RFC 7323 5.5). */
bool tcp_timestamp_is_stale(const struct mr_worker *w, const struct tcb *c);
/* An acknowledgement is owed after in-order data: every second segment at once, else delayed. */
void tcp_in_owe_ack(struct mr_worker *w, struct tcb *c);
void tcp_in_drop(struct mr_worker *w, struct tcp_segment *s, enum stat reason);

/* -- tcp_in_slow.c: RFC 9293 3.10.7, step by step -------------------------------------------------------------------- */

void tcp_in_slow(struct mr_worker *w, struct tcb *c, struct tcp_segment *s);
void tcp_in_closed(struct mr_worker *w, struct tcp_segment *s); /* no connection, no listener */
/* True when this challenge ACK may be sent: limited over the whole worker by a randomised budget. */
bool tcp_challenge_allowed(struct mr_worker *w);

/* -- tcp_listen.c ---------------------------------------------------------------------------------------------------- */

struct mr_listener *tcp_listener_find(const struct tcp *tcp, const struct mr_address *address, uint16_t port);
void tcp_listen_in(struct mr_worker *w, struct mr_listener *l, struct tcp_segment *s);
void tcp_half_open_in(struct mr_worker *w, struct tcp_half_open *h, struct tcp_segment *s);
void tcp_half_open_drop(struct mr_worker *w, struct tcp_half_open *h);
/* Releases every half-open record of a listener that closes. */
void tcp_listener_forget(struct mr_worker *w, struct mr_listener *l);

/* -- tcp_conn.c: create, destroy, states ------------------------------------------------------------------------------ */

/* A connection in the table with its binding's options, state CLOSED. NULL: none free, counted. */
struct tcb *tcp_conn_new(struct mr_worker *w, const struct flow_key *key, struct stream_binding *binding, void *context);
/* The peer's MSS and what our path allows, less options: sets c->mss and the initial window. */
void tcp_conn_set_mss(struct mr_worker *w, struct tcb *c, uint16_t peer_mss);
void tcp_set_state(struct tcb *c, enum tcp_state state);
const char *tcp_state_name(enum tcp_state state); /* as ss prints it */
/* The connection is over: out of the table, timers stopped, queues freed but what is in order and unread when `reason` is
 * MR_CLOSE_DONE. The service hears on_close. */
void tcp_conn_finish(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason);
/* Frees the block when nobody refers to it any more. */
void tcp_conn_release(struct mr_worker *w, struct tcb *c);
/* Sends a reset, then finishes. */
void tcp_conn_abort(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason);
void tcp_binding_release(struct mr_worker *w, struct stream_binding *b);
uint16_t tcp_mss_of_path(struct mr_worker *w, const struct mr_address *remote);

/* -- tcp_secret.c: what an outsider must not predict ------------------------------------------------------------------ */

uint32_t tcp_initial_sequence(const struct mr_worker *w, const struct flow_key *key); /* RFC 6528 */
uint32_t tcp_timestamp_offset(const struct mr_worker *w, const struct flow_key *key);

/* -- tcp_port.c: local ports of connections that we open -------------------------------------------------------------- */

bool tcp_ports_init(struct mr_worker *w);
void tcp_ports_release(struct mr_worker *w);
/* Chooses key->local_port towards `n` (RFC 6056), such that answers come to this worker. *sequence_min is set when the port is
 * that of a connection in TIME-WAIT, which is gone then. False: all are taken. What was chosen is given back by release. */
bool tcp_port_choose(struct mr_worker *w, const struct netif *n, struct flow_key *key, uint32_t *sequence_min);
void tcp_port_release(struct mr_worker *w, const struct flow_key *key);
/* A record takes the place of a connection whose port was chosen, and ends. */
void tcp_port_wait_begin(struct mr_worker *w, struct tcp_time_wait *t);
void tcp_port_wait_end(struct mr_worker *w, struct tcp_time_wait *t);
void tcp_port_check(struct mr_worker *w, uint32_t chosen);

/* -- tcp_queue.c: the send queue --------------------------------------------------------------------------------------- */

size_t tcp_queue_copy(struct mr_worker *w, struct tcb *c, const uint8_t *data, size_t n);
bool tcp_queue_lend(struct mr_worker *w, struct tcb *c, const uint8_t *data, size_t n, void (*release)(void *), void *argument);
/* Puts as much of `data` into the room that the last chunk has left as fits, when that was never sent. */
size_t tcp_queue_fill(struct tcb *c, const uint8_t *data, size_t n);
/* Received packets are appended between begin (false: no memory) and end. tcp_queue_may_move tells whether one may come;
 * tcp_queue_move consumes it, with all its bytes. */
bool tcp_queue_begin(struct mr_worker *w, struct tcb *c);
bool tcp_queue_may_move(const struct mr_worker *w, const struct tcb *c);
void tcp_queue_move(struct mr_worker *w, struct tcb *c, struct rte_mbuf *m);
void tcp_queue_end(struct mr_worker *w, struct tcb *c);
/* Frees what lies before `ack`; *sample_us is when the last of it was sent; *sampled: that makes
 * an RTT sample by Karn's rule. */
void tcp_queue_acked(struct mr_worker *w, struct tcb *c, uint32_t ack, uint32_t *sample_us, bool *sampled);
void tcp_queue_free(struct mr_worker *w, struct tcb *c);
/* A packet of `n` payload bytes from sequence `seq`, headroom for all headers, or NULL; marks what it covers as sent.
 * `chunk` is where to start looking. */
struct rte_mbuf *tcp_queue_segment(struct mr_worker *w, struct tcb *c, struct rte_mbuf *chunk, uint32_t seq, uint32_t n);
uint32_t tcp_queue_bytes(const struct tcb *c);

/* -- tcp_reasm.c ------------------------------------------------------------------------------------------------------- */

/* Keeps an out-of-order segment (trimmed to the window) with its FIN; consumes s->m. */
void tcp_reasm_add(struct mr_worker *w, struct tcb *c, struct tcp_segment *s);
/* Moves what became contiguous to the receive queue; true when the FIN was reached. */
bool tcp_reasm_advance(struct mr_worker *w, struct tcb *c);
void tcp_reasm_free(struct mr_worker *w, struct tcb *c);
/* Appends a packet chain's payload to the receive queue and moves rcv_nxt; consumes. */
void tcp_receive_append(struct mr_worker *w, struct tcb *c, struct rte_mbuf *m);
void tcp_receive_free(struct mr_worker *w, struct tcb *c);
/* The first packet of a receive queue that is not empty: to look at, to take out (the caller owns it then), to shorten by
 * less than all its bytes. */
static inline struct rte_mbuf *tcp_receive_head(const struct tcb *c)
{
    return packet_meta(c->receive_tail)->queue_next;
}
struct rte_mbuf *tcp_receive_take(struct mr_worker *w, struct tcb *c);
void tcp_receive_trim(struct tcb *c, uint32_t n);
/* Takes `n` bytes off the front or the back of a chain whose pkt_len is larger. */
void packet_trim_front(struct rte_mbuf *m, uint32_t n);
void packet_trim_back(struct rte_mbuf *m, uint32_t n);

/* -- tcp_out.c ---------------------------------------------------------------------------------------------------------- */

void tcp_output_mark(struct mr_worker *w, struct tcb *c);
static inline void tcp_ack_now(struct mr_worker *w, struct tcb *c)
{
    c->flags |= TCB_ACK_NOW;
    tcp_output_mark(w, c);
}
/* Right edge that the receive budget allows now; rcv_adv moves there when it is worth it (RFC 9293 3.8.6.2.2). */
bool tcp_window_update_due(const struct tcb *c);
/* The segment at snd_una again, at once. */
bool tcp_send_head(struct mr_worker *w, struct tcb *c);
/* A reset in answer to a segment without a connection (RFC 9293 3.10.7.1), or from a connection. */
void tcp_send_reset_to(struct mr_worker *w, const struct tcp_segment *s);
void tcp_send_reset(struct mr_worker *w, struct tcb *c);
void tcp_send_syn_ack(struct mr_worker *w, struct tcp_half_open *h);
void tcp_send_time_wait_ack(struct mr_worker *w, struct tcp_time_wait *t);
void tcp_send_half_open_ack(struct mr_worker *w, struct tcp_half_open *h);

/* -- tcp_loss.c ---------------------------------------------------------------------------------------------------------- */

/* `s` acknowledges new data: frees, samples, recovers, grows. */
void tcp_loss_acked(struct mr_worker *w, struct tcb *c, const struct tcp_segment *s);
/* A duplicate acknowledgement in the sense of RFC 5681 section 2. */
void tcp_loss_duplicate(struct mr_worker *w, struct tcb *c);
void tcp_loss_timeout(struct mr_worker *w, struct tcb *c);
void tcp_rtt_sample(struct tcb *c, uint32_t rtt_us);
mr_time tcp_rto(const struct tcb *c); /* without backoff */
/* Bytes that congestion control lets be outstanding now, inflation and limited transmit included. */
uint32_t tcp_congestion_window(const struct tcb *c);

/* -- tcp_timer.c: named events, policy in one place ------------------------------------------------------------------------ */

void tcp_timer_sent(struct mr_worker *w, struct tcb *c);         /* data, SYN or FIN left */
void tcp_timer_acked(struct mr_worker *w, struct tcb *c);        /* snd_una moved */
void tcp_timer_window_closed(struct mr_worker *w, struct tcb *c); /* data waits, nothing is out, no window */
void tcp_timer_window_opened(struct mr_worker *w, struct tcb *c);
void tcp_timer_starved(struct mr_worker *w, struct tcb *c);
void tcp_timer_delay_ack(struct mr_worker *w, struct tcb *c);
void tcp_timer_heard(struct mr_worker *w, struct tcb *c); /* any acceptable segment: for keepalive */
void tcp_timer_fin_wait_2(struct mr_worker *w, struct tcb *c);
void tcp_timer_stop(struct mr_worker *w, struct tcb *c);

/* -- tcp_timewait.c ---------------------------------------------------------------------------------------------------------- */

/* Replaces a connection by a TIME-WAIT record, then finishes it. */
void tcp_time_wait_enter(struct mr_worker *w, struct tcb *c);
/* Returns true when the segment was consumed; false when it is a SYN that may open a new connection: the record is gone
 * and the segment goes on to the listener. */
bool tcp_time_wait_in(struct mr_worker *w, struct tcp_time_wait *t, struct tcp_segment *s);
void tcp_time_wait_drop(struct mr_worker *w, struct tcp_time_wait *t);

/* -- tcp.c: walks ------------------------------------------------------------------------------------------------------------ */

#define TCP_WALK_CHAIN 64 /* records of one bucket that a walk sees: chains are far shorter */

/* Calls `each` with every record of one kind; it may remove that record. */
void tcp_walk(struct mr_worker *w, enum flow_kind kind, void (*each)(struct mr_worker *w, void *record, void *argument),
              void *argument);

/* -- tcp_check.c ------------------------------------------------------------------------------------------------- */

void tcp_check_connection(struct mr_worker *w, const struct tcb *c);

/* -- cc/ ------------------------------------------------------------------------------------------------------------------------- */

extern const struct mr_congestion_algorithm *const tcp_algorithms[]; /* ends with NULL; the first is the default */
int tcp_algorithm_find(const char *name);                            /* index, or -1 */
void tcp_congestion_start(struct mr_worker *w, struct tcb *c, unsigned algorithm);
void tcp_congestion_stop(struct mr_worker *w, struct tcb *c);

/* -- socket/: events towards the service ------------------------------------------------------------------------------------------- */

void stream_event(struct mr_worker *w, struct tcb *c, enum stream_event event);
void stream_event_close(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason);
/* Delivers what is pending in the next round: an on_close that waited for the last byte to be read. */
void stream_event_again(struct mr_worker *w, struct tcb *c);
/* The stream has room again: on_writable when it was refused before. */
void stream_acked(struct mr_worker *w, struct tcb *c);
static inline bool stream_may_send(const struct tcb *c)
{
    return c->state != TCP_CLOSED && !(c->flags & (TCB_SHUTDOWN | TCB_DETACHED));
}
/* What a refusal promises: on_writable. When it was for memory, not for the budget, no acknowledgement may be due to bring
 * it: a timer does, since the next turn would most likely refuse again, and so on without rest. */
void stream_refused(struct mr_worker *w, struct tcb *c);
/* Bytes have left the receive queue: the window may open, an end that waited for it may be told. */
void stream_consumed(struct mr_worker *w, struct tcb *c);

#endif
