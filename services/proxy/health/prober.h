/* What the files of the prober share: whom this worker looks after, the checks under way, and what is said of changes.
 *
 *   prober.c    when each is checked, and what follows from the result
 *   probe.c     one check: a connection, a request, a response
 *   tell.c      verdicts to the other workers
 *   announce.c  changes to the log */
#ifndef SERVICES_PROXY_HEALTH_PROBER_H
#define SERVICES_PROXY_HEALTH_PROBER_H

#include "http/response_head.h"
#include "proxy/health/health.h"

#define HEALTH_PROBES_MAX 128  /* checks under way at once, per worker */
#define HEALTH_HEAD_MAX   4096 /* bytes of a request, or of a response head */
#define HEALTH_LINES      64   /* of the log that wait to be written */
#define HEALTH_LINE_BYTES 256

struct health_table;

/* A backend that this worker checks. */
struct health_watch {
    struct health health;
    const struct plan_upstream *upstream; /* of the current plan; NULL: not looked after */
    const struct plan_backend *backend;
    struct health_table *table;
    struct mr_timer timer;      /* the next check */
    struct health_probe *probe; /* the check under way */
    uint32_t source_next;
    bool waiting, untold;
    struct health_watch *next_waiting, *next_untold;
};

enum probe_state {
    PROBE_FREE,
    PROBE_CONNECTING,
    PROBE_EXPECT_HEAD,
    PROBE_DRAINING, /* the result is known; the rest of the response comes in and is forgotten */
    PROBE_CLOSING,  /* only on_close may come */
};

struct health_probe {
    struct health_probe *next; /* free */
    struct health_table *table;
    struct health_watch *watch; /* whom the result is for; NULL: it was given, or nobody wants it any more */
    struct mr_stream *stream;
    struct mr_timer deadline;
    uint8_t state; /* enum probe_state */
    uint8_t interim;
    bool sending;        /* the request is not all taken by the stream yet */
    uint32_t sent, used; /* of bytes: a request, then what has come of a response head */
    struct http_wire wire;
    struct http_response response;
    uint8_t bytes[HEALTH_HEAD_MAX];
};

/* Lines to the log. An offload thread writes those that were there when it was sent, in the order of the ring. */
struct health_announcer {
    char lines[HEALTH_LINES][HEALTH_LINE_BYTES];
    bool warning[HEALTH_LINES];
    uint32_t first, count, writing;
    uint64_t lost, lost_writing; /* changes for which no line was free */
};

struct health_table {
    struct proxy *proxy;
    struct mr_random random;
    uint32_t slots;
    uint64_t *watched; /* by slot: generation of the backend that is checked by some worker; 0: none */
    uint32_t watch_count;
    struct health_watch *watches; /* those of this worker: slot / workers */
    struct health_probe *probes, *free;
    struct health_watch *waiting_first, **waiting_end; /* due, and no probe was free */
    struct health_watch *untold;
    struct mr_timer again; /* tells and announces what could not be */
    struct health_announcer announcer;
    bool stopping, released;
};

/* The watch of a slot that this worker is to look after; NULL: another worker's. */
struct health_watch *health_watch_of(const struct health_table *t, uint32_t slot);

/* prober.c, for probe.c: the result of w's check. Never from inside probe_begin. */
void health_found(struct health_watch *w, enum health_result r);
void health_probe_freed(struct health_table *t); /* the next that waits may begin */
void health_table_free(struct health_table *t);
void health_table_check(const struct proxy *p); /* prober_check.c: every invariant; for tests */

/* probe.c. probe_begin: false when all are in use; *error is not MR_OK when no connection could be begun (then no probe is in use). */
bool probe_begin(struct health_watch *w, int *error);
void probe_abandon(struct health_probe *probe); /* nobody wants its result */

/* tell.c */
void health_tell(struct health_watch *w);
void health_tell_again(struct health_table *t);

/* announce.c */
void health_announce(struct health_watch *w, enum health_verdict before);
void health_announce_again(struct health_table *t);

#endif
