/* One direction of an imperfect link as a function of frames, time and a seed: what happens to each frame and when it
 * arrives. The simulated network and the real-time impairment wrapper use the same model.
 *
 *   frame -> queue (drop-tail) -> transmitter (rate) -> loss -> delay + jitter -> reorder -> duplicate, corrupt -> arrival
 *
 * A frame that the wire loses has used its time on the transmitter. Lengths are those of the frames as handed over:
 * preamble, FCS and inter-frame gap are not counted. */
#ifndef DRIVERS_SIM_PATH_H
#define DRIVERS_SIM_PATH_H

#include <millrace/random.h>
#include <millrace/types.h>

/* All zero is a perfect link. Probabilities are per frame, 0 to 1. */
struct path_options {
    uint64_t rate_bits_per_s; /* 0: infinite, and then there is no queue */
    mr_time delay;
    mr_time jitter;         /* added uniformly from 0 to this */
    bool jitter_reorders;   /* false: a frame is held until its predecessor has arrived */
    uint32_t queue_packets; /* frames waiting for or on the transmitter; 0: no limit */
    uint32_t queue_bytes;   /* ... and their bytes; 0: no limit */
    uint32_t mark_bytes;    /* ECN-capable frames that find more than this queued are marked CE; 0: never */
    double loss;            /* independent of each other */
    /* Bursts (Gilbert 1960, Elliott 1963): two states, moved between once a frame. */
    double burst_enter; /* good to bad; 0: no bursts */
    double burst_leave; /* bad to good; the mean burst lasts 1 / burst_leave frames */
    double burst_loss;  /* in the bad state */
    double reorder;     /* frames delayed by reorder_delay more while later ones overtake them */
    mr_time reorder_delay;
    double duplicate; /* a second copy arrives after the first */
    double corrupt;   /* one bit is flipped, anywhere in the frame */
};

enum path_fate { PATH_PASS, PATH_DROP_QUEUE, PATH_DROP_LOSS, PATH_DROP_BURST, PATH_FATES };

struct path_verdict {
    enum path_fate fate; /* the rest is valid for PATH_PASS */
    mr_time arrival;
    bool duplicate;
    mr_time duplicate_arrival; /* not before `arrival` */
    bool corrupt;
    uint32_t corrupt_bit; /* from the first bit of the frame */
    bool mark_ce;
};

struct path_queued {
    mr_time departure;
    uint32_t bytes;
};

struct path {
    struct path_options options;
    struct mr_random random;
    mr_time transmitter_free;  /* when the last accepted frame has left */
    mr_time arrival_last;      /* for order */
    bool burst;                /* in the bad state */
    struct path_queued *queue; /* ring of frames not yet departed, oldest at queue_head */
    uint32_t queue_limit, queue_head, queue_count;
    uint64_t queue_bytes;
};

void path_init(struct path *p, const struct path_options *options, uint64_t seed);
void path_free(struct path *p);

/* Room for `packets` in the queue, so that path_decide allocates nothing up to there. False when memory is short. */
bool path_reserve(struct path *p, uint32_t packets);

/* Changes the conditions from now on; frames already under way keep their times. */
void path_set(struct path *p, const struct path_options *options);

/* What happens to a frame of `bytes` handed over at `now`, which never goes back. */
struct path_verdict path_decide(struct path *p, uint32_t bytes, mr_time now);

/* True when the options are in range: probabilities within 0..1, a way out of the burst state. */
bool path_options_valid(const struct path_options *o);

#endif
