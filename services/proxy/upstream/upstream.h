/* Connections to backends: which one, found or opened, given back or given up. Used by layer 7 and by layer 4 alike.
 *
 *   upstream_ask --idle one found--> UPSTREAM_READY, or
 *                --connecting, queued--> UPSTREAM_PENDING --> q->ready(q)   or   q->failed(q, why)
 *   ... use q->connection ...  then exactly one of upstream_give (idle again) or upstream_drop (closed or aborted) */
#ifndef SERVICES_PROXY_UPSTREAM_UPSTREAM_H
#define SERVICES_PROXY_UPSTREAM_UPSTREAM_H

#include <millrace/service.h>

#include "proxy/balance/balance.h"
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
    const struct plan_backend *plan; /* in the current plan; NULL: removed, it drains */
    struct balance *balance;         /* of its upstream in the current plan; index: plan - upstream->backends */
    uint32_t member;
    struct mr_endpoint address;
    enum health_verdict health;
    uint32_t active;                        /* requests and tunnels under way: what the balancer counts */
    uint32_t open, idle;                    /* connections */
    struct upstream_connection *idle_first; /* most recently used first */
    uint32_t failures_in_a_row, ejections;
    mr_time ejected_until;                                                         /* 0: not ejected */
    mr_time fit_since;                                                             /* for slow start */
    uint64_t requests, connects, connect_failures, resets, timeouts, responses[6]; /* [status / 100]; [0]: none */
    uint64_t bytes_to, bytes_from;
    mr_time latency; /* to the first byte, exponentially weighted, 1/16 */
};

/* What a worker keeps of an upstream, by slot. */
struct upstream_state {
    const struct plan_upstream *plan; /* in the current plan */
    uint64_t requests, retries;
    double retry_tokens;
    struct upstream_request *queue_first, **queue_end;
    uint32_t queued;
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
    /* ------ */
    struct balance_query query;
    const struct plan_backend *backend; /* chosen */
    struct upstream_connection *connection;
    uint8_t state; /* upstream/ask.c */
    bool counted;
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

/* How the try went, for ejection and statistics: status 100 .. 599 once the head of a response is there; or a failure. */
void upstream_succeeded(struct upstream_request *q, int status, mr_time first_byte);
void upstream_failed(struct upstream_request *q, enum upstream_failure why);

/* Back to the pool, or closed when it is too old, unhealthy, drained, stopped, or has unread input. */
void upstream_give(struct upstream_request *q);
/* Closed in order, or aborted. */
void upstream_drop(struct upstream_request *q, bool abort);

int upstream_start(struct proxy *p);
void upstream_stop(struct proxy *p);
void upstream_release(struct proxy *p);

/* For plan_apply and health: what is fit has changed. */
void upstream_backend_update(struct proxy *p, uint32_t slot);
void upstream_health_changed(struct proxy *p, uint32_t slot, enum health_verdict verdict);

#endif
