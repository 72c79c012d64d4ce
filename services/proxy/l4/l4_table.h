/* Private to l4/: what a worker keeps for layer 4. */
#ifndef SERVICES_PROXY_L4_L4_TABLE_H
#define SERVICES_PROXY_L4_L4_TABLE_H

#include "proxy/l4/l4.h"
#include "proxy/plan_hash.h"
#include "proxy/proxy.h"

/* -- TCP ---------------------------------------------------------------------------------------------------------------- */

enum l4_state {
    L4_FREE,
    EXPECT_PROXY_HEADER, /* from the client */
    EXPECT_BACKEND,      /* chosen, waited for or connecting: the client's bytes stay unread */
    JOINED,              /* bytes and ends are moved both ways */
    EXPECT_DELIVERY, /* one side was reset: what it had said before is on its way to the other, whose reset then follows */
    EXPECT_CLIENT_GONE, /* the client's stream was closed or aborted, the backend's is not ours any more */
    L4_STATES,
};
extern const char *const l4_state_names[L4_STATES];

/* One of the two streams. */
struct l4_side {
    struct mr_stream *stream; /* NULL: none yet, or it is gone */
    bool shut;                /* our end was sent there: all that the other side had to say was moved */
};

struct l4_tcp {
    struct proxy *proxy;
    enum l4_state state;
    struct l4_side client, backend;
    struct upstream_request *request; /* `own`, or a tunnel's owner's */
    struct upstream_request own;
    struct proxy_listener *listener; /* NULL: a tunnel */
    struct proxy_plan *plan;         /* held; NULL: a tunnel, whose owner holds one */
    uint32_t slot;                   /* of the backend; UINT32_MAX: none */
    mr_time opened, active, idle_timeout;
    uint64_t to_backend, to_client; /* bytes moved */
    uint64_t acknowledged;          /* of both, when the timer last looked */
    mr_time deadline, step;         /* of a delivery: until when, and how long to the next look */
    struct mr_timer timer;
    void (*ended)(void *argument); /* of a tunnel */
    void *argument;
    struct l4_tcp *next, **link; /* in the list of those in use, or (next) of the free ones */
};

/* -- UDP ---------------------------------------------------------------------------------------------------------------- */

struct l4_flow {
    struct proxy *proxy;
    struct proxy_listener *listener;
    struct mr_endpoint client; /* who sends, and is answered */
    struct mr_address local;   /* of ours, where the client sends to */
    struct mr_endpoint source; /* `client`, or whom its PROXY header names */
    struct mr_endpoint backend;
    struct mr_port *port;    /* towards the backend: what is answered there answers this flow; NULL: none yet */
    uint32_t upstream, slot; /* of the backend; UINT32_MAX: none */
    mr_time opened, active;
    uint64_t to_backend, to_client; /* bytes */
    struct mr_timer timer;
    struct l4_flow *next_in_bucket;  /* or of the free ones */
    struct l4_flow *older, *younger; /* by `active` */
};

#define L4_DATAGRAM_BYTES_MAX 9216 /* that get a PROXY header put in front */

struct l4_table {
    struct l4_tcp *connections;
    struct l4_tcp *free_connection, *first_connection;

    struct l4_flow *flows;
    struct l4_flow **buckets;
    uint32_t bucket_mask, flow_count;
    uint64_t key[2]; /* of the buckets: clients choose their ports, and must not choose our chains */
    struct l4_flow *free_flow, *oldest, *youngest;
    uint8_t datagram[L4_DATAGRAM_BYTES_MAX + 128];
};

/* -- connection.c: a connection's life --------------------------------------------------------------------------------------- */

void l4_tcp_set_state(struct l4_tcp *t, enum l4_state state);
struct l4_tcp *l4_tcp_take(struct proxy *p, struct mr_stream *client,
                           mr_time idle_timeout); /* NULL: the table is full */
/* When both streams are gone. */
void l4_tcp_finish(struct l4_tcp *t);
/* Resets what there is of both sides. */
void l4_tcp_abort(struct l4_tcp *t);
void l4_tcp_timer_after(struct l4_tcp *t, mr_time duration);
void l4_tcp_client_gone(struct l4_tcp *t, enum mr_close_reason reason);
void l4_tcp_check(const struct l4_tcp *t); /* invariants; for tests */

/* -- join.c: two streams joined ------------------------------------------------------------------------------------------------ */

extern const struct upstream_user l4_upstream_user;
/* t->request is ready. */
void l4_join(struct l4_tcp *t);
void l4_move_to_backend(struct l4_tcp *t);
void l4_move_to_client(struct l4_tcp *t);
/* One side is gone: what that means for the other. */
void l4_join_broken(struct l4_tcp *t, struct l4_side *gone, enum mr_close_reason reason);
/* The timer of a delivery: looks whether it is done, or has taken too long. */
void l4_join_deliver(struct l4_tcp *t);
/* True: neither side has moved or acknowledged a byte for the idle timeout. Else *next is when to look again. */
bool l4_join_idle(struct l4_tcp *t, mr_time *next);

/* -- flow_table.c --------------------------------------------------------------------------------------------------------------- */

bool l4_flow_table_init(struct proxy *p);
void l4_flow_table_free(struct l4_table *table);
struct l4_flow *l4_flow_find(const struct proxy_listener *l, const struct mr_datagram *d);
/* The youngest, without a backend or a port; NULL: full, and no flow has been silent for long. */
struct l4_flow *l4_flow_add(struct proxy_listener *l, const struct mr_datagram *d);
/* Ends the flow that was silent longest, if for long enough, and if it is not `but`: it has a place in the table, and a port. */
bool l4_flow_replace(struct proxy *p, const struct l4_flow *but);
void l4_flow_touch(struct l4_flow *f); /* something came: it is the youngest now */
/* Leaves its backend, closes its port, is free. */
void l4_flow_end(struct l4_flow *f);
void l4_flow_table_check(const struct proxy *p); /* invariants; for tests */

/* What "source" hashes for maglev: the same on every worker, and after a restart. No key: nothing is gained by him who knows where his
 * connections go. */
static inline uint64_t l4_hash_source(const struct mr_address *source)
{
    static const uint64_t no_key[2];
    return plan_hash(no_key, source->bytes, sizeof source->bytes);
}

#endif
