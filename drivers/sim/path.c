#include "drivers/sim/path.h"

#include <stdlib.h>

void path_init(struct path *p, const struct path_options *options, uint64_t seed)
{
    *p = (struct path){.options = *options};
    mr_random_seed(&p->random, seed);
}

void path_free(struct path *p)
{
    free(p->queue);
    *p = (struct path){0};
}

void path_set(struct path *p, const struct path_options *options)
{
    p->options = *options;
}

bool path_options_valid(const struct path_options *o)
{
    const double probability[] = {o->loss,    o->burst_enter, o->burst_leave, o->burst_loss,
                                  o->reorder, o->duplicate,   o->corrupt};
    for (unsigned i = 0; i < sizeof probability / sizeof *probability; i++)
        if (!(probability[i] >= 0 && probability[i] <= 1))
            return false;
    return o->burst_enter == 0 || o->burst_leave > 0;
}

/* A number is drawn only for what is configured: switching one impairment on leaves the others' draws in place only
 * within a run of equal options, which is all that a replay needs. */
static bool happens(struct path *p, double probability)
{
    return probability > 0 && mr_random_unit(&p->random) < probability;
}

static mr_time drawn_up_to(struct path *p, mr_time most)
{
    return most ? (mr_time)(mr_random_unit(&p->random) * (double)(most + 1)) : 0;
}

static void queue_depart(struct path *p, mr_time now)
{
    while (p->queue_count && p->queue[p->queue_head].departure <= now) {
        p->queue_bytes -= p->queue[p->queue_head].bytes;
        p->queue_head = (p->queue_head + 1) & (p->queue_limit - 1);
        p->queue_count--;
    }
}

static bool queue_grow(struct path *p)
{
    uint32_t limit = p->queue_limit ? 2 * p->queue_limit : 64;
    struct path_queued *larger = malloc(limit * sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; i < p->queue_count; i++)
        larger[i] = p->queue[(p->queue_head + i) & (p->queue_limit - 1)];
    free(p->queue);
    p->queue = larger;
    p->queue_limit = limit;
    p->queue_head = 0;
    return true;
}

bool path_reserve(struct path *p, uint32_t packets)
{
    while (p->queue_limit < packets)
        if (!queue_grow(p))
            return false;
    return true;
}

static bool queue_accepts(struct path *p, uint32_t bytes)
{
    const struct path_options *o = &p->options;
    if (o->queue_packets && p->queue_count >= o->queue_packets)
        return false;
    /* The transmitter itself holds one frame, whatever its size: otherwise a small limit would pass nothing at all. */
    if (o->queue_bytes && p->queue_count && p->queue_bytes + bytes > o->queue_bytes)
        return false;
    return p->queue_count < p->queue_limit || queue_grow(p);
}

/* When the last bit has left; the queue is FIFO, so departures only grow. */
static mr_time transmit(struct path *p, uint32_t bytes, mr_time now)
{
    mr_time start = p->transmitter_free > now ? p->transmitter_free : now;
    uint64_t rate = p->options.rate_bits_per_s;
    mr_time departure = start + (mr_time)(((unsigned __int128)bytes * 8 * MR_SECOND + rate - 1) / rate);
    p->transmitter_free = departure;
    p->queue[(p->queue_head + p->queue_count++) & (p->queue_limit - 1)] =
        (struct path_queued){.departure = departure, .bytes = bytes};
    p->queue_bytes += bytes;
    return departure;
}

static bool burst_loses(struct path *p)
{
    const struct path_options *o = &p->options;
    if (o->burst_enter == 0)
        return false;
    p->burst = p->burst ? !happens(p, o->burst_leave) : happens(p, o->burst_enter);
    return p->burst && happens(p, o->burst_loss);
}

static mr_time arrive(struct path *p, mr_time departure)
{
    const struct path_options *o = &p->options;
    mr_time arrival = departure + o->delay + drawn_up_to(p, o->jitter);
    if (!o->jitter_reorders && arrival < p->arrival_last)
        arrival = p->arrival_last;
    if (happens(p, o->reorder))
        return arrival + o->reorder_delay; /* arrival_last stays: later frames may overtake */
    if (arrival > p->arrival_last)
        p->arrival_last = arrival;
    return arrival;
}

struct path_verdict path_decide(struct path *p, uint32_t bytes, mr_time now)
{
    const struct path_options *o = &p->options;
    struct path_verdict v = {.fate = PATH_PASS};
    mr_time departure = now;
    queue_depart(p, now);
    if (o->rate_bits_per_s) {
        if (!queue_accepts(p, bytes))
            return (struct path_verdict){.fate = PATH_DROP_QUEUE};
        v.mark_ce = o->mark_bytes && p->queue_bytes > o->mark_bytes;
        departure = transmit(p, bytes, now);
    }
    if (happens(p, o->loss))
        return (struct path_verdict){.fate = PATH_DROP_LOSS};
    if (burst_loses(p))
        return (struct path_verdict){.fate = PATH_DROP_BURST};
    v.arrival = arrive(p, departure);
    v.duplicate = happens(p, o->duplicate);
    v.duplicate_arrival = v.arrival + (v.duplicate ? drawn_up_to(p, o->delay / 4 + MR_MICROSECOND) : 0);
    v.corrupt = bytes && happens(p, o->corrupt);
    if (v.corrupt)
        v.corrupt_bit = mr_random_below(&p->random, bytes * 8);
    return v;
}
