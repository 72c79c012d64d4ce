/* One instance of the proxy on a worker, and what all of them share. */
#ifndef SERVICES_PROXY_PROXY_H
#define SERVICES_PROXY_PROXY_H

#include <millrace/service.h>
#include <pthread.h>

#include "http/http_wire.h"
#include "http/response.h"
#include "proxy/plan.h"
#include "proxy/upstream/upstream.h"

extern const struct mr_service proxy_service;

enum proxy_counter {
#define COUNTER(symbol, name, sentence) PROXY_##symbol,
#define GAUGE(symbol, name, sentence)   PROXY_##symbol,
#include "proxy/counter.def"
#undef COUNTER
#undef GAUGE
    PROXY_COUNTERS,
};

struct session; /* http/session.h: a client connection of an http or forward listener */
struct l4_tcp;  /* l4/l4.h: a client connection of a tcp listener */
struct l4_flow; /* a UDP flow */
struct hcache;  /* cache/hcache.h */

/* A listener lives as long as its slot. */
struct proxy_listener {
    struct proxy *proxy;
    uint64_t generation;
    struct mr_listener *listener;     /* NULL: closed, or UDP */
    struct mr_port *port;             /* UDP */
    const struct plan_listener *plan; /* in the current plan; NULL: removed, its connections drain */
    uint64_t connections, accepted;
    mr_time drain_until; /* removed: what is still connected is cut then */
};

/* Bytes that cannot stay in a stream: a head in pieces, or what could not yet be sent. One size for all: limits.header_bytes + room. */
struct proxy_buffer {
    struct proxy_buffer *next;
    uint32_t start, used; /* bytes[start..used) are wanted */
    uint8_t bytes[];
};

struct proxy {
    struct mr_worker *worker;
    uint64_t *counters;
    struct proxy_shared *shared;
    struct proxy_plan *plan;           /* the current one */
    struct proxy_limits_config limits; /* what sizes a table as of start, the others as of the plan */
    bool stopping;

    struct proxy_listener *listeners;   /* by slot: PLAN_LISTENER_SLOTS */
    struct upstream_state *upstreams;   /* by slot: limits.upstreams */
    struct upstream_backend *backends;  /* by slot: limits.backends */
    struct upstream_table *connections; /* upstream/: pool of connections to backends */

    struct proxy_buffer *free_buffers;
    uint8_t *buffers;
    size_t buffer_stride;
    uint32_t buffers_out, buffer_bytes;

    struct http_clock clock;     /* wall clock and Date */
    struct mr_timer clock_timer; /* sets it anew once a minute, by an offload thread */
    struct mr_timer drain_timer; /* the earliest drain_until, which is drain_next */
    mr_time drain_next;
    int64_t clock_wall_ns; /* that the thread has read */
    bool clock_asked, released;
    unsigned parts; /* of them, started */
    struct http_wire_limits wire_limits;

    struct session_table *sessions; /* http/: made by session_start */
    struct l4_table *l4;            /* l4/: made by l4_start */
    struct hcache *cache;           /* NULL: no cache */
    struct health_table *health;    /* probes of the backends that this worker looks after */
};

/* On the control thread, and read by it alone but where a comment says otherwise. */
struct proxy_shared {
    unsigned workers;
    struct proxy **instances; /* of each worker, once started; written at start alone */
    pthread_mutex_t lock;     /* commands come one at a time; also guards the plans that were let go */
    struct proxy_plan *plan;  /* the newest */
    uint64_t version;
    struct plan_slots *slots;   /* who has which */
    struct proxy_plan *retired; /* counted down to 0 by workers: freed by the next command, or at the end */
    struct proxy_random {
        struct mr_random random; /* of the balancers of a worker */
        uint8_t padding[32];
    } * random;
};

struct proxy_buffer *proxy_buffer_take(struct proxy *p); /* NULL: none left */
void proxy_buffer_give(struct proxy *p, struct proxy_buffer *b);

/* One of a listener's connections has come (false: it is full or its listener is gone) or ended. Counts ACCEPTED, REFUSED_FULL and
 * SESSIONS. */
bool proxy_listener_enter(struct proxy_listener *l);
void proxy_listener_leave(struct proxy_listener *l);

/* Until when what is removed now may go on; arms the timer that cuts it then. */
mr_time proxy_drain_begin(struct proxy *p);
/* Is a listener's time over? Its connections are cut then. */
static inline bool proxy_listener_overdue(const struct proxy *p, const struct proxy_listener *l)
{
    return (!l->plan || p->stopping) && l->drain_until == 0;
}
/* No more time for what is in no plan any more. */
void proxy_drain_end(struct proxy *p);

static inline void proxy_count(struct proxy *p, enum proxy_counter c)
{
    p->counters[c]++;
}
static inline void proxy_add(struct proxy *p, enum proxy_counter c, uint64_t n)
{
    p->counters[c] += n;
}

#endif
