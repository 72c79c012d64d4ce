/* What the files of upstream/ share: the connections of a worker, and the steps between its requests, backends and queues. */
#ifndef SERVICES_PROXY_UPSTREAM_TABLE_H
#define SERVICES_PROXY_UPSTREAM_TABLE_H

#include <millrace/turn.h>

#include "proxy/proxy.h"
#include "proxy/upstream/upstream.h"

/* CLOSING ones are their backend's no more; only on_close may come. */
enum connection_state { CONNECTION_FREE, CONNECTION_OPENING, CONNECTION_BUSY, CONNECTION_IDLE, CONNECTION_CLOSING };

/* FAILING: no connection could be begun; said by the timer, for it must not be said from inside upstream_ask */
enum request_state { REQUEST_NONE, REQUEST_QUEUED, REQUEST_OPENING, REQUEST_FAILING, REQUEST_READY };

struct upstream_table {
    struct proxy *proxy;
    struct upstream_connection *connections, *free;
    uint32_t used, max; /* ever touched */
    uint32_t queued;    /* requests, of all upstreams */
    uint32_t hand;      /* the backend whose idle connection was closed last, to make room */
    struct mr_deferred serve;
    struct upstream_state *serve_first, **serve_end;
};

/* Read by the control thread to see whether a slot is free (plan_slots.c), written by its worker alone. */
static inline void upstream_count(uint32_t *n, int by)
{
    __atomic_store_n(n, *n + (uint32_t)by, __ATOMIC_RELEASE);
}

static inline struct upstream_state *upstream_state_of(const struct upstream_backend *b)
{
    return &b->proxy->upstreams[b->upstream_slot];
}

static inline const struct proxy_upstream_config *upstream_config_of(const struct upstream_backend *b)
{
    return upstream_state_of(b)->plan->config; /* of one with a plan */
}

/* pool.c */
struct upstream_connection *connection_open(struct upstream_request *q, struct upstream_backend *b,
                                            const struct proxy_upstream_config *config); /* NULL: none could be begun */
bool connection_room(struct upstream_table *t); /* for one more; false: one is closed if any is idle */
struct upstream_connection *connection_take_idle(struct upstream_request *q, struct upstream_backend *b);
void connection_close(struct upstream_connection *c, bool abort);
bool connection_close_idle(struct upstream_backend *b); /* the one that was idle longest; false: there is none */
void connection_close_all_idle(struct upstream_backend *b);
void connection_keep(struct upstream_connection *c); /* idle; closed instead when it must not be kept */
void backend_idle_expired(struct mr_worker *w, struct mr_timer *t);

/* ask.c */
void request_opened(struct upstream_request *q);
void request_failed(struct upstream_request *q, enum upstream_failure why); /* from an event */
void request_lost(struct upstream_request *q, enum mr_close_reason reason);

/* queue.c */
enum upstream_answer queue_enter(struct upstream_request *q, struct upstream_state *s);
void queue_leave(struct upstream_request *q);
void queue_serve_later(struct upstream_state *s); /* something has become free */
void queue_serve_all(struct upstream_table *t);
void queue_run(struct mr_worker *w, struct mr_deferred *d);

/* ask.c, for queue.c: tries to get going. FULL: must wait (on). */
enum place { PLACE_READY, PLACE_OPENING, PLACE_FAILED, PLACE_FULL, PLACE_NONE };
enum place request_place(struct upstream_request *q, struct upstream_state *s);

/* backend.c */
void backend_refresh(struct upstream_backend *b);        /* what its balancer knows of it */
void backend_active(struct upstream_backend *b, int by); /* requests and flows under way */
void backend_attach(struct upstream_request *q, struct upstream_backend *b);
void backend_detach(struct upstream_request *q);
void backend_connections(struct upstream_backend *b, int by); /* opened and closed */
bool backend_is_usable(const struct upstream_backend *b);     /* but for being full */
bool backend_is_full(const struct upstream_backend *b);
void backend_failed(struct upstream_backend *b); /* one more in a row: may eject it */

/* choose.c: NULL: none; *full says whether waiting helps */
const struct plan_backend *backend_choose(struct proxy *p, const struct plan_upstream *u,
                                          const struct balance_query *query, const char *sticky, bool *full);

/* budget.c */
void budget_request(struct upstream_state *s, double share, mr_time now);
bool budget_retry(struct upstream_state *s, mr_time now);

#endif
