/* Congestion control as a table of functions. Built-in algorithms and plug-ins use the same table; the stack owns loss
 * detection, retransmission and pacing, the algorithm answers with a window and a rate. */
#ifndef MILLRACE_CONGESTION_H
#define MILLRACE_CONGESTION_H

#include <millrace/types.h>

#define MR_CONGESTION_ABI 1
#define MR_CONGESTION_INLINE_BYTES 40
#define MR_CONGESTION_STATE_MAX 1024

/* Shared between the stack and the algorithm; 64 bytes, one line of a connection's control block. */
struct mr_congestion {
    uint32_t cwnd;        /* bytes; the stack clamps it to at least one MSS */
    uint32_t ssthresh;    /* bytes; UINT32_MAX: not yet known */
    uint64_t pacing_rate; /* bytes per second; 0: not paced */
    uint32_t burst;       /* bytes that may leave back to back when paced; 0: the stack's choice */
    uint32_t mss;         /* bytes of payload per full segment; set by the stack */
    union {
        uint8_t state[MR_CONGESTION_INLINE_BYTES]; /* private, when it fits */
        void *external;                            /* private, from a slab, when larger */
    };
};

/* What one acknowledgement told. All durations in microseconds; 0 in rtt_us means no sample. */
struct mr_rate_sample {
    mr_time now;
    uint32_t acked;         /* bytes newly acknowledged, cumulatively or selectively */
    uint32_t lost;          /* bytes newly marked lost */
    uint32_t ce_marked;     /* bytes reported as marked Congestion Experienced */
    uint32_t in_flight;     /* bytes outstanding after this acknowledgement */
    uint32_t prior_in_flight; /* ... and before it */
    uint32_t rtt_us;        /* this sample */
    uint32_t srtt_us;
    uint32_t min_rtt_us;
    uint64_t delivered;     /* bytes delivered over `interval_us`; 0: no rate sample */
    uint32_t interval_us;
    bool app_limited;       /* the sender had less to send than the window allowed */
    bool in_recovery;       /* loss recovery is under way */
    bool cwnd_limited;      /* the window, not the application or the peer, was the bound */
};

enum mr_congestion_loss {
    MR_LOSS_FAST, /* detected by acknowledgements: enter recovery */
    MR_LOSS_TIMEOUT,
};

/* A named variable for plots and `conns`: doubles as read from the private state. */
struct mr_congestion_variable {
    const char *name;
    const char *unit;
    double (*read)(const struct mr_congestion *c);
};

struct mr_congestion_parameter {
    const char *name;
    const char *unit;
    double minimum, maximum, preset;
    const char *sentence;
};

struct mr_congestion_algorithm {
    uint32_t abi; /* MR_CONGESTION_ABI */
    uint32_t state_bytes;
    const char *name;
    const char *sentence; /* one line with its source */
    const struct mr_congestion_variable *variables;   /* ends with name NULL; may be NULL */
    const struct mr_congestion_parameter *parameters; /* ends with name NULL; may be NULL */

    /* cwnd, ssthresh and mss are set before; on a swap they carry over. Required. */
    void (*init)(struct mr_congestion *c, const double *parameters, mr_time now);
    void (*on_sent)(struct mr_congestion *c, uint32_t bytes, uint32_t in_flight, mr_time now);
    void (*on_ack)(struct mr_congestion *c, const struct mr_rate_sample *s); /* required */
    /* A loss event: at most one a round trip for MR_LOSS_FAST. `in_flight` is from before it. */
    void (*on_loss)(struct mr_congestion *c, enum mr_congestion_loss kind, uint32_t in_flight, mr_time now); /* required */
    void (*on_rto)(struct mr_congestion *c, uint32_t in_flight, mr_time now); /* NULL: on_loss(MR_LOSS_TIMEOUT) */
    void (*on_recovered)(struct mr_congestion *c, mr_time now);               /* the recovery point was passed */
    void (*on_ecn)(struct mr_congestion *c, uint32_t in_flight, mr_time now);
    void (*on_undo)(struct mr_congestion *c, mr_time now); /* the last loss was spurious */
    void (*on_idle_restart)(struct mr_congestion *c, mr_time idle, mr_time now);
    mr_time (*on_timer)(struct mr_congestion *c, mr_time now); /* returns the next deadline or MR_NEVER */
    void (*release)(struct mr_congestion *c);
};

static inline void *mr_congestion_state(struct mr_congestion *c, const struct mr_congestion_algorithm *a)
{
    return a->state_bytes <= MR_CONGESTION_INLINE_BYTES ? (void *)c->state : c->external;
}

#endif
