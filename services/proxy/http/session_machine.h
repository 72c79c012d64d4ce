/* One client connection of an http or forward listener, and the machine that it runs.
 *
 *   [EXPECT_PROXY_HEADER] -> EXPECT_REQUEST --bytes--> EXPECT_HEAD_END --head--+
 *                                  ^                                           v
 *                                  |      [EXPECT_CACHE] -> [EXPECT_UPSTREAM] -> EXPECT_RESPONSE --head--> EXPECT_BODY
 *                                  |                 own answer |                    (the body of the request goes on meanwhile)
 *                                  |                            v                                             |
 *                                  +--- [EXPECT_DISCARD_END] <- EXPECT_ROOM <---------------------------------+
 *                                       EXPECT_LINGER_END -> EXPECT_CLOSE    when the connection must end
 *                                       EXPECT_TUNNEL_END                    after CONNECT, or an Upgrade that was accepted
 *
 * The head of a request stays unread in its stream until the response begins (or its body has to move), so a request can be sent again
 * without having been kept. Requests are answered one after the other: pipelined ones wait unread. */
#ifndef SERVICES_PROXY_HTTP_SESSION_MACHINE_H
#define SERVICES_PROXY_HTTP_SESSION_MACHINE_H

#include <millrace/service.h>

#include "http/body.h"
#include "http/http_wire.h"
#include "http/response_head.h"
#include "proxy/cache/hcache.h"
#include "proxy/http/session.h"
#include "proxy/http/target_normal.h"
#include "proxy/l4/l4.h"
#include "proxy/plan.h"
#include "proxy/proxy.h"
#include "proxy/upstream/upstream.h"

/* What one peer can make us hold or do. Those with a configuration key are in proxy_limits_config. */
#define SESSION_COPY_BYTES_MAX    2048 /* a body up to this, all there, is copied behind its head: cheaper than a splice */
#define SESSION_DISCARD_BYTES_MAX (64 << 10) /* unread body that we throw away to keep a connection */
#define SESSION_LINGER_BYTES_MAX  (1 << 20)  /* input ignored after a final response before the connection is cut */
#define SESSION_REQUESTS_PER_TURN \
    16                          /* pipelined requests that one connection gets answered before others have their turn */
#define SESSION_INTERIM_MAX  8  /* 1xx responses to one request */
#define SESSION_OPTIONS_MAX  16 /* fields that one Connection may name */
#define SESSION_LOOP_MAX     8  /* times that our pseudonym may stand in Via */
#define SESSION_HEAD_ROOM    4096 /* what we add to a head at most */
#define SESSION_STICKY_BYTES 16

enum session_state {
    SESSION_FREE,
    SESSION_EXPECT_PROXY_HEADER,
    SESSION_EXPECT_REQUEST,     /* idle: not a byte of a request has come */
    SESSION_EXPECT_HEAD_END,    /* part of a head lies in s->head */
    SESSION_EXPECT_CACHE,       /* somebody else fetches what it asks for */
    SESSION_EXPECT_UPSTREAM,    /* a connection to a backend is on its way */
    SESSION_EXPECT_RESPONSE,    /* the request went out; its body may still go */
    SESSION_EXPECT_BODY,        /* the response goes to the client; the body of the request may still go */
    SESSION_EXPECT_ROOM,        /* all of a response is ours, not all of it is with the stream */
    SESSION_EXPECT_DISCARD_END, /* the response is out, a body that nobody wants is still coming in */
    SESSION_EXPECT_TUNNEL_END,
    SESSION_EXPECT_LINGER_END, /* our side has ended; input is thrown away until the peer's end */
    SESSION_EXPECT_CLOSE,      /* closed or cut: only on_close may come */
    SESSION_STATES,
};

/* A message body on its way from one stream to the other. */
struct session_flow {
    struct http_body body; /* its framing as it comes */
    bool chunked;          /* it leaves in chunks, written anew */
    bool open;             /* the end of a chunk's line is owed */
    bool finished;         /* its last byte is with the other stream, or in `frame` */
    uint8_t frame_at, frame_length;
    char frame[24];
    uint64_t chunk;             /* bytes that were announced and are still to be spliced: they lie readable */
    uint64_t moved;             /* bytes of payload */
    struct proxy_buffer *spill; /* what had no room; it goes first */
};

enum session_progress {
    FLOW_DONE,
    FLOW_STARVED, /* waits for who sends */
    FLOW_BLOCKED, /* waits for who receives */
    FLOW_CUT,     /* who sends has ended within the body */
    FLOW_REFUSED, /* its framing is malformed, or it is too long: -status in *error */
};

struct session {
    struct mr_stream *stream;
    struct session_table *table;
    struct proxy *proxy;
    struct proxy_listener *listener;
    uint8_t state;  /* enum session_state */
    uint8_t method; /* of the request being answered */
    uint8_t minor;
    uint8_t interim; /* 1xx responses so far */
    bool forward;    /* of a forward listener */
    bool keep_alive; /* of the client's connection */
    bool back_keep;  /* ... and the backend's */
    bool expect_continue;
    bool upgrade;        /* Upgrade was passed on */
    bool sent;           /* a byte of the request is on its way: it may have been acted upon */
    bool head_done;      /* the head of the request is consumed, and with it goes the chance of a second try */
    bool blocked;        /* the deadline is the send timeout's */
    bool resume;         /* it had its share of this turn */
    bool began;          /* the head of a response has gone to the client */
    bool revalidates;    /* no client: it fetches for the cache */
    uint32_t head_bytes; /* the head, and a body that was copied with it, unread in the stream */
    uint32_t discarded;
    mr_time deadline, armed;
    mr_time asked; /* when the request was read */
    struct mr_timer timer;
    struct session *next_free;

    struct proxy_buffer *head;   /* a head of a request that came in pieces */
    struct proxy_buffer *answer; /* ... of a response */
    struct session_flow up, down;
    uint64_t sent_bytes, acknowledged; /* to the client, since it opened; when send_timeout last looked */
    uint64_t bytes_in, bytes_out;      /* of payload, of the request under way */

    struct proxy_plan *plan;              /* held while a request is under way */
    const struct plan_listener *bound;    /* the listener in it */
    const struct plan_route *route;       /* NULL: the listener's own upstream, or forward */
    const struct plan_upstream *upstream; /* NULL: forward */
    struct mr_stream *back;               /* the backend's, while it is ours */
    struct mr_stream *direct; /* the same when it was opened here (session_forward.c), connecting included */
    struct upstream_request request;
    struct l4_tcp *tunnel; /* after an Upgrade: layer 4 moves the bytes, the client's events are passed on to it */
    char sticky[SESSION_STICKY_BYTES + 1]; /* as the client sent it; "" : none */

    struct hcache_request cache;
    bool cached;                 /* the cache was asked, and is to be told how it ends */
    struct hcache_fill *fill;    /* the response goes there, too */
    struct hcache_entry *served; /* goes to the client from served_at to served_end; held */
    uint64_t served_at, served_end;
    struct proxy_buffer *url; /* what an unsafe method may change: host, then target from `start` on */

    struct mr_endpoint client, local;
    uint8_t client_bytes; /* of client_text */
    char client_text[MR_ADDRESS_TEXT_MAX];
};

/* A request and what it asks for, under the hand of whoever looks at it: one for all sessions, valid until another head is read. */
struct session_view {
    struct http_request request;
    const uint8_t *head;
    uint32_t length;
    struct mr_span authority;        /* as it goes into Host, with its port */
    struct target_authority address; /* the same, taken apart */
    struct mr_span path;             /* in its normal form; empty: "*" or a CONNECT */
    struct mr_span query;            /* with its question mark */
};

/* A log line at most each tenth of a second, written by an offload thread. */
struct session_log {
    struct session_table *table;
    char text[256];
    bool under_way;
    uint64_t suppressed;
    mr_time next;
};

struct session_table {
    struct proxy *proxy;
    struct session *sessions, *free;
    uint32_t used, limit, open;
    bool released;
    struct session_view view;
    struct http_response response; /* the response under the parser's hand */
    char *path;                    /* a path in its normal form */
    char *key;                     /* host and target, for the cache */
    size_t key_bytes;
    char *scratch; /* a head under construction, with a small body */
    size_t scratch_bytes;
    struct session_log log;
};

/* Bytes of a message under construction. What does not fit is noted, and the message then not sent. */
struct session_writer {
    char *start, *at, *end;
    bool overflow;
};
static inline void session_put(struct session_writer *w, const void *bytes, size_t n)
{
    if (__builtin_expect((size_t)(w->end - w->at) < n, 0)) {
        w->overflow = true;
        return;
    }
    __builtin_memcpy(w->at, bytes, n);
    w->at += n;
}
static inline void session_put_span(struct session_writer *w, struct mr_span s)
{
    if (s.length > 0) /* an empty one may be nowhere, which memcpy does not take */
        session_put(w, s.data, s.length);
}
#define session_put_text(w, text) session_put(w, "" text, sizeof text - 1)
void session_put_number(struct session_writer *w, uint64_t n);
struct session_writer session_writer_begin(struct session_table *t);

/* session.c: events, time, and the machine */
extern const char *const session_state_names[];
void session_set_state(struct session *s, enum session_state state);
void session_advance(struct session *s);
void session_deadline(struct session *s, mr_time deadline);
void session_deadline_after(struct session *s, mr_time duration);
void session_linger(struct session *s);
void session_abort(struct session *s);                 /* both sides: what was promised does not come */
struct session *session_take(struct session_table *t); /* NULL: all are in use */
void session_begin(struct session *s);                 /* its timer and its place in the count */
void session_free(struct session *s);
void session_check(const struct session *s); /* every invariant; for tests */

/* session_request.c: a head is read, and decided upon */
bool session_step_proxy_header(struct session *s);
bool session_step_request(struct session *s);
bool session_step_head_end(struct session *s);
void session_route_query(const struct session *s, const struct session_view *v, struct route_query *q);
void session_head_release(struct session *s); /* the head is consumed, its buffer given back */
void session_request_end(struct session *s);  /* the request is answered: plan and buffers are let go */
bool session_head_copy(struct session *s, const struct session_view *v); /* into a buffer; false: there is none */
const struct session_view *session_view_again(struct session *s);        /* of a head that is still there */

/* session_view.c: what a request asks for. 0, or the negative status to answer. */
int session_view_fill(struct session *s, struct session_view *v, const uint8_t *head, uint32_t length);

/* session_fields.c: the fields that go on to the next hop (RFC 9110 7.6.1). False: Connection names too many. */
struct session_fields {
    const uint8_t *head;
    const struct http_field *fields;
    unsigned count;
    uint64_t present;
    uint64_t skip;      /* bit h: not the fields `h` */
    const char *cookie; /* name of a cookie that is taken out of Cookie; NULL: none */
};
#define SESSION_HOP_BY_HOP                                                                                       \
    (1ull << HTTP_HEADER_CONNECTION | 1ull << HTTP_HEADER_KEEP_ALIVE | 1ull << HTTP_HEADER_PROXY_CONNECTION |    \
     1ull << HTTP_HEADER_PROXY_AUTHORIZATION | 1ull << HTTP_HEADER_PROXY_AUTHENTICATE | 1ull << HTTP_HEADER_TE | \
     1ull << HTTP_HEADER_TRAILER | 1ull << HTTP_HEADER_TRANSFER_ENCODING | 1ull << HTTP_HEADER_UPGRADE |         \
     1ull << HTTP_HEADER_CONTENT_LENGTH)
/* What a client could say of itself. */
#define SESSION_ABOUT_CLIENT                                                                                       \
    (1ull << HTTP_HEADER_FORWARDED | 1ull << HTTP_HEADER_X_FORWARDED_FOR | 1ull << HTTP_HEADER_X_FORWARDED_PROTO | \
     1ull << HTTP_HEADER_X_FORWARDED_HOST)
bool session_fields_write(struct session_writer *w, const struct session_fields *f);
bool session_option_listed(const struct session_fields *f, const char *option); /* in a field Connection */
bool session_cookie_find(const struct http_request *r, const uint8_t *head, const char *name, struct mr_span *value);

/* session_request_out.c: false: it does not fit */
bool session_request_write(struct session *s, const struct session_view *v, struct session_writer *w);

/* session_upstream.c: the backend's side */
void session_ask(struct session *s, const struct session_view *v);
void session_send_request(struct session *s, const struct session_view *v);
void session_back_answered(struct session *s, const struct http_response *r);
void session_back_done(struct session *s);                       /* the exchange is complete */
void session_back_drop(struct session *s, bool abort);           /* it is not */
void session_fail(struct session *s, enum upstream_failure why); /* before a response: once more, or an error page */
void session_back_failed(struct session *s,
                         enum upstream_failure why); /* on an open connection: noted, dropped, then session_fail */
uint64_t session_hash(const struct plan_upstream *u, const struct session *s, const struct session_view *v);

/* session_response.c */
bool session_step_response(struct session *s);
bool session_respond_begin(struct session *s, struct session_writer *w, int status, struct mr_span reason);
void session_response_via(struct session *s, const struct http_response *r, const uint8_t *head,
                          struct session_writer *w);
bool session_respond_send(struct session *s, struct session_writer *w); /* false: the client was cut */

/* session_body.c */
void session_count_up(struct session *s, uint64_t n);
void session_count_down(struct session *s, uint64_t n);
bool session_send(struct session *s, struct mr_stream *to, struct session_flow *f, const void *bytes, size_t n);
enum session_progress session_flow_move(struct session *s, struct session_flow *f, struct mr_stream *from,
                                        struct mr_stream *to, int *error);
bool session_move_up(struct session *s); /* true: something is decided, the machine goes on */
bool session_step_body(struct session *s);
bool session_step_room(struct session *s);
bool session_step_discard(struct session *s);
void session_flow_release(struct session *s, struct session_flow *f);

/* session_forward.c */
void session_forward(struct session *s, const struct session_view *v);
bool session_step_tunnel(struct session *s);

/* session_upgrade.c */
bool session_upgrade_wanted(const struct http_request *r, const uint8_t *head);
void session_upgrade(struct session *s, const struct http_response *r, const uint8_t *head, uint32_t length);

/* session_cache.c */
bool session_cacheable(const struct session *s);
void session_cache_ask(struct session *s, const struct session_view *v);
void session_cache_timeout(struct session *s);
uint64_t session_cache_skip(const struct session *s);
void session_cache_validators(struct session *s, struct session_writer *w);
void session_cache_status(struct session *s, struct session_writer *w);
/* A final response, whose head is `used` bytes of its stream, is told to the cache. True: it was all that was wanted of the backend; the
 * request is answered, or sent again. */
bool session_cache_response(struct session *s, const struct http_response *r, const uint8_t *head, size_t used);
void session_cache_changed(struct session *s, const struct http_response *r, const uint8_t *head);
bool session_cache_failed(struct session *s); /* true: a stale entry was served instead of an error */
void session_cache_append(struct session *s, struct mr_span payload);
void session_cache_fill_end(struct session *s, bool whole);
bool session_cache_flush(struct session *s);
void session_cache_end(struct session *s);
bool session_refresh_body(struct session *s);

/* session_error.c, session_log.c */
void session_persistence(struct session *s, struct session_writer *w); /* decides on it, and writes Connection */
void session_respond_own(struct session *s, struct session_writer *w); /* an answer that is no backend's */
void session_answer(struct session *s, int status);        /* a short page of ours; the connection goes on if it can */
void session_refuse(struct session *s, int status);        /* ... and the end of the connection */
void session_refuse_unread(struct session *s, int status); /* the same for a head that could not be read */
void session_log_failure(struct session *s, int status, const char *reason);

#endif
