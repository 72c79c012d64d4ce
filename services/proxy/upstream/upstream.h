/* Connections to backends: which one, found or opened, given back or given up. Used by layer 7 and by layer 4 alike.
 *
 *   upstream_ask --idle one found--> UPSTREAM_READY, or
 *                --connecting, queued--> UPSTREAM_PENDING --> q->ready(q)   or   q->failed(q, why)
 *   ... use q->connection ...  then exactly one of upstream_give (idle again) or upstream_drop (closed or aborted) */
#ifndef SERVICES_PROXY_UPSTREAM_UPSTREAM_H
#define SERVICES_PROXY_UPSTREAM_UPSTREAM_H

#include <millrace/service.h>

#include "proxy/balance/balance.h"
#include "proxy/config.h"
#include "proxy/health/health.h"

struct proxy;
struct proxy_plan;
struct plan_upstream;
struct plan_backend;

enum upstream_failure {
    UPSTREAM_NO_BACKEND,      /* none is fit: 503 */
    UPSTREAM_QUEUE_FULL,      /* 503 */
    UPSTREAM_QUEUE_TIMEOUT,   /* 503 */
    UPSTREAM_CONNECT_REFUSED, /* 502 */
    UPSTREAM_CONNECT_TIMEOUT, /* 504 */
    UPSTREAM_CONNECT_FAILED,  /* unreachable, no port, no memory: 502 */
    UPSTREAM_RESET,           /* an open connection was reset: 502 */
    UPSTREAM_ENDED,           /* ... or ended before a whole response: 502 */
    UPSTREAM_MALFORMED,       /* its response is none: 502 */
    UPSTREAM_TIMEOUT,         /* no answer, or silence within it: 504 */
    UPSTREAM_FAILURES,
};
const char *upstream_failure_text(enum upstream_failure f);
int upstream_failure_status(enum upstream_failure f);

/* What a worker keeps of a backend, by slot, across plans. */
struct upstream_backend {
    struct proxy *proxy;
    const struct plan_backend *plan; /* in the current plan; NULL: removed, it drains */
    uint64_t generation;
    uint32_t upstream_slot;
    struct balance *balance; /* of its upstream in the current plan; index: plan - upstream->backends */
    uint32_t member;
    struct mr_endpoint address;
    enum health_verdict health;
    uint32_t active;                                    /* requests and tunnels under way: what the balancer counts */
    uint32_t open, idle;                                /* connections */
    struct upstream_connection *idle_first, *idle_last; /* most recently used first */
    uint32_t failures_in_a_row, ejections;
    mr_time ejected_until; /* 0: not ejected */
    mr_time ejected_last;  /* when the last ejection ended */
    mr_time fit_since;     /* slow start began; 0: it is over, or there is none */
    mr_time drain_until;   /* removed or disabled: what is under way is cut then; 0: not, or done */
    bool full;             /* counted in its upstream's `full` */
    struct mr_timer idle_timer, fit_timer;
    /* bytes: added by whoever sends and receives */
    uint64_t requests, connects, connect_failures, resets, timeouts, responses[6]; /* [status / 100]; [0]: none */
    uint64_t bytes_to, bytes_from;
    mr_time latency; /* to the first byte, exponentially weighted, 1/16 */
};

/* What a worker keeps of an upstream, by slot. */
struct upstream_state {
    const struct plan_upstream *plan; /* in the current plan */
    struct proxy *proxy;
    uint64_t generation;
    uint64_t requests, retries;
    double retry_share, retry_floor; /* tokens: a share of the requests of about the last 10 s, and 10 a second */
    mr_time retry_updated;
    uint32_t full, ejected, source_next; /* backends: at their connections_max, ejected; which source address is next */
    struct upstream_request *queue_first, **queue_end;
    uint32_t queued;
    bool serving; /* in the table's list of those whose queue is looked at, at the end of the turn */
    struct upstream_state *serve_next;
};

/* What happens on a connection while it belongs to somebody; never from inside a call of this interface. */
struct upstream_user {
    void (*on_data)(struct upstream_request *q);
    void (*on_writable)(struct upstream_request *q);
    void (*on_close)(struct upstream_request *q, enum mr_close_reason reason); /* q->connection is gone */
};

struct upstream_connection {
    struct mr_stream *stream;
    struct proxy *proxy;
    uint32_t slot; /* of the backend */
    uint8_t state; /* upstream/pool.c */
    bool
        reused; /* it served a request before this one: a failure before the first byte of the answer may be a race with its idle timeout */
    uint64_t requests;
    mr_time opened, idle_since;
    struct upstream_request *user;            /* NULL: idle */
    struct upstream_connection *next, **link; /* in the idle list or the free list */
};

/* Embedded in a session. The caller fills what stands above the line before upstream_ask, and keeps it for retries. */
struct upstream_request {
    struct proxy *proxy;
    const struct plan_upstream *upstream; /* of the plan that the session holds */
    const struct upstream_user *user;
    void (*ready)(struct upstream_request *q); /* q->connection is open and ours */
    void (*failed)(struct upstream_request *q, enum upstream_failure why);
    uint64_t hash;
    const char *sticky;               /* value of the sticky cookie as the client sent it, 16 characters; NULL: none */
    bool fresh;                       /* never an idle connection: layer 4, and retries after a reused one failed */
    struct mr_endpoint client, local; /* for the PROXY header */
    void *context;                    /* the caller's */
    /* ------ */
    struct balance_query query;
    const struct plan_backend *backend;   /* chosen; valid from ready to give or drop, in failed and in on_close */
    struct proxy_plan *plan;              /* that it is of, held */
    const struct plan_upstream *tried_in; /* what query.tried are members of; for comparison */
    uint32_t slot;                        /* of the backend */
    struct upstream_connection *connection;
    uint8_t state; /* upstream/ask.c */
    uint8_t why;   /* enum upstream_failure: FAILING */
    bool counted;  /* in the backend's `active` */
    bool reused, answered;
    bool good; /* ... and nothing is known against it yet */
    uint32_t tries;
    mr_time asked;
    struct mr_timer timer;                 /* connect and queue timeouts */
    struct upstream_request *next, **link; /* queue */
};

enum upstream_answer { UPSTREAM_READY, UPSTREAM_PENDING };

/* A new request. Always answers: failures come by q->failed, from a later event, never from inside. */
enum upstream_answer upstream_ask(struct upstream_request *q);

/* The same request once more, elsewhere if possible, when the budget allows; false: not (the caller fails it). What was tried is
 * remembered. The connection was dropped before. */
bool upstream_retry(struct upstream_request *q, enum upstream_answer *answer);

/* While PENDING: forgets it. */
void upstream_cancel(struct upstream_request *q);

/* How the try went, for ejection and statistics: status 100 .. 599 once the head of a response is there; or a failure, which for one that
 * came by q->failed is known already and does nothing. A tunnel that is open has succeeded with status 0.
 * A failure may follow a success, when the rest of a response does not come. */
void upstream_succeeded(struct upstream_request *q, int status, mr_time first_byte);
void upstream_failed(struct upstream_request *q, enum upstream_failure why);

/* Back to the pool (never when a PROXY header was sent: the connection is its client's), or closed when it is too old, unhealthy, drained, stopped, or has unread input. */
void upstream_give(struct upstream_request *q);
/* Closed in order, or aborted. Harmless when the connection is gone. */
void upstream_drop(struct upstream_request *q, bool abort);

/* Without a connection, for UDP: the slot of the backend that takes a new flow; -1: none is fit. */
int upstream_choose(struct proxy *p, const struct plan_upstream *u, const struct balance_query *query);
/* A flow begins, or ends, on it: counts as a connection for the balancer. */
void upstream_flow_enter(struct proxy *p, uint32_t slot);
void upstream_flow_leave(struct proxy *p, uint32_t slot);
/* May a flow that goes there go on? Not to one that was removed, disabled, or found down; to one that drains it may. */
bool upstream_flow_may_stay(const struct proxy *p, uint32_t slot);

int upstream_start(struct proxy *p);
void upstream_stop(struct proxy *p);
void upstream_release(struct proxy *p);

/* For plan_apply: the slot's backend is `b` of `u` in the plan that comes; or is none any more, and drains. */
void upstream_backend_set(struct proxy *p, const struct plan_upstream *u, const struct plan_backend *b);
void upstream_backend_remove(struct proxy *p, uint32_t slot);
void upstream_state_set(struct proxy *p, uint32_t slot, const struct plan_upstream *u);
/* For plan_apply and health: what is fit has changed. */
void upstream_backend_update(struct proxy *p, uint32_t slot);
void upstream_health_changed(struct proxy *p, uint32_t slot, enum health_verdict verdict);

#endif
