/* A network in virtual time: links between two ends, each end a struct mr_link, and one clock. Everything random comes
 * from the seed, so a run repeats bit for bit; a running hash over all deliveries tells when it did not.
 *
 * Nothing here advances time by itself. Who drives a run asks each end for its next arrival and each worker for its
 * deadline, calls sim_advance to the earliest, and turns the workers that are due. One thread drives all of it.
 *
 *   end[0].transmit -> filter -> path (drivers/sim/path.h) -> schedule -> end[1].receive, copied into a packet of the
 *   pool of end[1]; and the same the other way. */
#ifndef DRIVERS_SIM_SIM_H
#define DRIVERS_SIM_SIM_H

#include <millrace/link.h>

#include "drivers/sim/path.h"

struct sim;
struct rte_mempool;

/* NULL when memory is short. Virtual time starts at one second, so that differences to the start never wrap. */
struct sim *sim_create(uint64_t seed);

/* Frees the links too; workers that use them are gone by then. */
void sim_destroy(struct sim *s);

mr_time sim_now(const struct sim *s);

/* Moves the clock to `to`; going back is a bug of the caller and aborts. */
void sim_advance(struct sim *s, mr_time to);

/* For worker_options: `now` is virtual; rest, busy and wake do nothing. Lives as long as `s`. */
struct mr_clock *sim_clock(struct sim *s);

struct sim_end_options {
    const char *name;         /* copied; NULL: "simN" */
    struct rte_mempool *pool; /* packets that this end receives into; exhausted: the frame is lost, counted rx_missed */
    struct path_options out;  /* what this end sends suffers this */
};

struct sim_link_options {
    struct sim_end_options end[2];
    uint16_t mtu; /* 0: 1500; frames of more than mtu + 14 bytes are dropped and counted */
};

/* Makes a link; its ends get MAC addresses 02:4d:52:00:NN:0E of their own. Neither end offers any offload but
 * multi-segment transmission. A frame longer than a packet's room is received as a chain. False when memory is short or
 * an option is out of range. */
bool sim_link_create(struct sim *s, const struct sim_link_options *options, struct mr_link *end[2]);

/* Changes what `from` sends suffers, from now on. */
void sim_path_set(struct mr_link *from, const struct path_options *options);

/* A hook on each frame that `from` sends, before the path: it may change the bytes in place; false drops the frame
 * (counted as `filtered`). NULL takes it away. */
typedef bool (*sim_filter_fn)(void *argument, mr_time now, uint8_t *frame, uint32_t bytes);
void sim_filter_set(struct mr_link *from, sim_filter_fn filter, void *argument);

/* What became of a frame, for traces: called for each one sent, with its fate, and again when it is delivered. */
enum sim_event { SIM_SENT, SIM_DUPLICATED, SIM_DELIVERED, SIM_DROPPED };
enum sim_drop {
    SIM_DROP_NONE,
    SIM_DROP_TOO_LONG,
    SIM_DROP_FILTERED,
    SIM_DROP_QUEUE,
    SIM_DROP_LOSS,
    SIM_DROP_BURST,
    SIM_DROP_MISSED,
    SIM_DROP_CLOSED,
    SIM_DROPS
};
const char *sim_drop_text(enum sim_drop drop);

struct sim_observation {
    mr_time now;
    mr_time arrival; /* of SIM_SENT and SIM_DUPLICATED */
    const struct mr_link *from, *to;
    enum sim_event event;
    enum sim_drop drop; /* of SIM_DROPPED */
    bool corrupt;       /* a bit was flipped */
    const uint8_t *frame;
    uint32_t bytes;
};
typedef void (*sim_observer_fn)(void *argument, const struct sim_observation *o);
void sim_observer_set(struct sim *s, sim_observer_fn observer, void *argument);

/* Frames that `from` sent, by outcome: sent + duplicated = delivered + the sum of dropped + in_flight. */
struct sim_counts {
    uint64_t sent, duplicated, delivered, in_flight;
    uint64_t dropped[SIM_DROPS]; /* by enum sim_drop */
    uint64_t corrupted, marked;  /* of those sent */
    uint64_t sent_bytes, delivered_bytes;
};
void sim_counts(const struct mr_link *from, struct sim_counts *out);

/* When the next frame arrives at `end`; MR_NEVER: none is under way. At or before sim_now means now. */
mr_time sim_next(const struct mr_link *end);

/* The earliest over all ends. */
mr_time sim_next_any(const struct sim *s);

/* Hash of every delivery so far: when, where, and the bytes. */
uint64_t sim_trace_hash(const struct sim *s);

/* Conservation of frames on every end; aborts naming both values when it does not hold. */
void sim_check(const struct sim *s);

#endif
