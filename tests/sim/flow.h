/* A test application on the public stream API: one connection whose two sides send bytes that are a function of a key
 * and their offset, in pieces of random size, partly lent; read with random partial consumes and pauses; and end in the
 * way that the plan says. Everything that the API promises is checked as it happens. */
#ifndef TESTS_SIM_FLOW_H
#define TESTS_SIM_FLOW_H

#include <millrace/random.h>
#include <millrace/stream.h>
#include <millrace/timer.h>

#include "tests/sim/world.h"

#define FLOW_SERVER_PORT 7777

enum flow_kind {
    FLOW_CONNECT,      /* side 0 connects to the listener of side 1 */
    FLOW_SIMULTANEOUS, /* both connect to each other at the same time */
    FLOW_REFUSED,      /* side 0 connects to a port where nobody listens */
};

enum flow_ending {
    FLOW_SHUTDOWN, /* half-close after the last byte, then wait for the other side's end */
    FLOW_CLOSE,    /* mr_stream_close with data still queued: the other side must send nothing */
    FLOW_ABORT,    /* mr_stream_abort at abort_bytes or abort_after, whichever comes first */
};

struct flow_side_plan {
    uint64_t total; /* bytes to send */
    enum flow_ending ending;
    uint64_t abort_bytes; /* sent and received */
    mr_time abort_after;  /* since the flow's start; 0: only by bytes */
    bool close_when_done; /* mr_stream_close after both directions ended, instead of waiting for on_close */
    uint32_t piece_max;   /* largest single send, >= 1 */
    double lend;          /* share of pieces that are lent */
    double send_pause;    /* probability after each piece */
    double read_pause;    /* probability after each read */
    mr_time pause_max;
    struct mr_stream_options options;
};

struct flow_plan {
    enum flow_kind kind;
    mr_time start; /* since the world's beginning */
    struct flow_side_plan side[2];
};

struct flow;

struct flow_side {
    struct flow *flow;
    unsigned index;
    struct mr_worker *worker;
    struct mr_stream *stream; /* NULL before it is open and after on_close */
    struct flow_side_plan plan;
    struct mr_random random;
    struct mr_timer resume, abort_timer;
    uint64_t key; /* of the bytes that this side sends */
    uint64_t sent, received;
    uint64_t data_turn, writable_turn; /* last turn in which the event came, plus one */
    unsigned lends;                    /* lent and not yet released */
    bool opened, shut, refused_room, ended, dismissed, aborted, over;
    enum mr_close_reason reason;
};

struct flow {
    struct world *world;
    struct flow_plan plan;
    unsigned number;
    unsigned started; /* as the how many-th of its set */
    uint16_t port[2];
    struct flow_side side[2];
    struct mr_timer start;
    struct flow_set *set;
    bool relay_gave_up; /* what stands between the sides ended it for want of an answer or of memory */
};

/* All flows of a world: from host 1 to host 0, the server (side 1), or through a relay on host 0 to the server on host 2. */
struct flow_set {
    struct world *world;
    unsigned count;
    struct flow *flow; /* array */
    struct mr_listener *listener;
    unsigned started;   /* flows */
    unsigned host[2];   /* of side 0 and side 1 */
    uint64_t progress;  /* grows with each event or byte: to see stalls */
    bool calling;       /* inside a call of the API: no event may come */
    struct loan *loans; /* lent memory, kept until the end */
    unsigned given_up;  /* flows that ended by timeout or lack of memory */
};

/* Takes `plans`; the flows start by themselves as the world runs. `listen` are the options of the listener. */
void flow_set_create(struct flow_set *s, struct world *w, uint64_t seed, const struct flow_plan *plans, unsigned count,
                     const struct mr_stream_options *listen);

/* The same with the servers on `server`: clients connect to host 0 all the same, which must relay from a port to the same
 * port of its own. */
void flow_set_create_relayed(struct flow_set *s, struct world *w, uint64_t seed, const struct flow_plan *plans,
                             unsigned count, const struct mr_stream_options *listen, unsigned server);

/* The flow whose client has this port, the last one started: a port that was given back may be chosen again. NULL: none. */
struct flow *flow_by_port(struct flow_set *s, uint16_t port);

/* Every flow is over on both sides. */
bool flow_set_over(const struct flow_set *s);

/* Steps until every flow is over. Fails the world when nothing happens for `stall` of virtual time. */
bool flow_set_run(struct flow_set *s, mr_time stall);

/* What each flow must have come to; fails the world when one has not. `harsh`: the link or the memory may have made a
 * connection give up, with a reason that says so. */
void flow_set_judge(struct flow_set *s, bool harsh);

/* After world_destroy, which ends what is still open. Lent memory that never came back fails the world. */
void flow_set_destroy(struct flow_set *s);

/* Bytes from `offset` of the stream of `key`. */
void flow_bytes(uint64_t key, uint64_t offset, uint8_t *out, size_t n);

#endif
