#include "tests/sim/relay.h"

#include <stdio.h>
#include <stdlib.h>

#define COPY_MAX 700

struct relay_side {
    struct relay_pair *pair;
    struct mr_stream *stream; /* NULL: over */
    bool shut;                /* our end was sent here */
};

struct relay_pair {
    struct relay_pair *next;
    struct relay *relay;
    struct flow *flow;
    struct mr_worker *worker;
    struct relay_side side[2]; /* client, server */
    struct mr_timer again;     /* a step that was limited goes on */
};

static bool chance(struct relay *r, double p)
{
    return p > 0 && mr_random_unit(&r->random) < p;
}

/* True when `to` took less than there was. */
static bool copy_some(struct relay *r, struct mr_stream *from, struct mr_stream *to)
{
    uint8_t bytes[COPY_MAX];
    size_t n = 1 + mr_random_below(&r->random, COPY_MAX), room = mr_stream_send_room(to);
    n = mr_stream_read(from, bytes, n < room ? n : room);
    size_t taken = n ? mr_stream_send(to, bytes, n) : 0;
    if (taken < n)
        world_fail(r->flows->world, "a stream with room for %zu took %zu of %zu bytes", room, taken, n);
    return taken < n;
}

static void pump(struct relay_pair *p, unsigned i)
{
    struct relay *r = p->relay;
    struct relay_side *from = &p->side[i], *to = &p->side[!i];
    if (!from->stream || !to->stream || to->shut)
        return;
    /* Copying may be refused for want of memory, and these bytes would be lost: only where there is plenty. */
    if (chance(r, r->plan.copy) && copy_some(r, from->stream, to->stream))
        return;
    bool partial = chance(r, r->plan.partial);
    size_t readable = mr_stream_readable(from->stream);
    size_t most = partial ? 1 + mr_random_below(&r->random, r->plan.step_max) : SIZE_MAX;
    size_t moved = mr_stream_splice(from->stream, to->stream, most);
    r->spliced += moved;
    r->flows->progress += moved;
    if (moved > most || moved + mr_stream_readable(from->stream) != readable)
        world_fail(r->flows->world, "%zu of %zu bytes moved, at most %zu asked for, %zu left", moved, readable, most,
                   mr_stream_readable(from->stream));
    if (moved == most && mr_stream_readable(from->stream))
        mr_timer_set(p->worker, &p->again, mr_now(p->worker) + mr_random_below(&r->random, 300000));
    if (mr_stream_ended(from->stream)) {
        to->shut = true;
        mr_stream_shutdown(to->stream);
    }
}

static void again_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct relay_pair *p = t->context;
    pump(p, 0);
    pump(p, 1);
}

static struct relay_side *side_of(struct mr_stream *s)
{
    return mr_stream_context(s);
}

static void on_data(struct mr_stream *s)
{
    struct relay_side *side = side_of(s);
    pump(side->pair, side == &side->pair->side[1]);
}

static void on_writable(struct mr_stream *s)
{
    struct relay_side *side = side_of(s);
    pump(side->pair, side == &side->pair->side[0]);
}

/* Whoever ends badly takes the other along; what ended in order was told by its end of data. */
static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct relay_side *side = side_of(s);
    struct relay_pair *p = side->pair;
    struct relay_side *other = &p->side[side == &p->side[0]];
    side->stream = NULL;
    p->relay->flows->progress++;
    /* Among these a handshake that the server forgot while its answers were lost: then it resets what comes late. */
    if (reason == MR_CLOSE_TIMEOUT || reason == MR_CLOSE_NO_MEMORY || reason == MR_CLOSE_UNREACHABLE ||
        (reason == MR_CLOSE_RESET && side == &p->side[1] && !p->flow->side[1].opened))
        p->flow->relay_gave_up = true;
    if (other->stream && reason != MR_CLOSE_DONE)
        mr_stream_abort(other->stream);
    if (!other->stream)
        mr_timer_cancel(p->worker, &p->again);
}

static const struct mr_stream_handler upstream_handler = {
    .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

static void on_accepted(struct mr_stream *s)
{
    struct relay *r = mr_stream_context(s);
    struct world *w = r->flows->world;
    struct mr_endpoint client;
    mr_stream_remote(s, &client);
    struct relay_pair *p = calloc(1, sizeof *p);
    struct flow *flow = flow_by_port(r->flows, client.port);
    if (!p || !flow) {
        world_fail(w, "a stream from port %u, where nobody connected", client.port);
        mr_stream_abort(s);
        return;
    }
    *p = (struct relay_pair){.next = r->pairs, .relay = r, .flow = flow, .worker = mr_stream_worker(s)};
    r->pairs = p;
    p->side[0] = (struct relay_side){.pair = p, .stream = s};
    p->side[1] = (struct relay_side){.pair = p};
    mr_timer_init(&p->again, again_expired, p);
    mr_stream_set_context(s, &p->side[0]);
    struct mr_endpoint local = {.port = client.port}, server = {w->host[2].address, FLOW_SERVER_PORT};
    int error =
        mr_connect(p->worker, &local, &server, &upstream_handler, &r->plan.options, &p->side[1], &p->side[1].stream);
    if (error != MR_OK)
        world_fail(w, "mr_connect: %s", mr_error_text(error));
}

static const struct mr_stream_handler accept_handler = {
    .on_open = on_accepted, .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

void relay_start(struct relay *r, struct flow_set *flows, uint64_t seed, const struct relay_plan *plan)
{
    *r = (struct relay){.flows = flows, .plan = *plan};
    mr_random_seed(&r->random, seed);
    struct mr_endpoint local = {.port = FLOW_SERVER_PORT};
    int error = mr_listen(flows->world->host[0].worker, &local, &accept_handler, &plan->options, r, &r->listener);
    if (error != MR_OK) {
        fprintf(stderr, "relay: cannot listen: %s\n", mr_error_text(error));
        exit(99);
    }
}

void relay_free(struct relay *r)
{
    for (struct relay_pair *p = r->pairs, *next; p; p = next) {
        next = p->next;
        free(p);
    }
}
