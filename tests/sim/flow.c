#include "tests/sim/flow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_PORT FLOW_SERVER_PORT
#define CLOSED_PORT 9
#define CLIENT_PORT 20000
#define POISON      0xdd
#define SPANS_MAX   16

/* The API may call back from within none of its functions. */
#define CALL(set, expression)               \
    ({                                      \
        (set)->calling = true;              \
        __auto_type result_ = (expression); \
        (set)->calling = false;             \
        result_;                            \
    })
#define CALL_VOID(set, expression) \
    do {                           \
        (set)->calling = true;     \
        expression;                \
        (set)->calling = false;    \
    } while (0)

#define SIDE_FAIL(side, format, ...) \
    world_fail((side)->flow->world, "flow %u side %u: " format, (side)->flow->number, (side)->index, ##__VA_ARGS__)

/* ---- the bytes ---- */

static uint64_t word_at(uint64_t key, uint64_t index)
{
    uint64_t z = key + index * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void flow_bytes(uint64_t key, uint64_t offset, uint8_t *out, size_t n)
{
    uint64_t word = word_at(key, offset / 8);
    for (size_t i = 0; i < n; i++, offset++) {
        if (offset % 8 == 0)
            word = word_at(key, offset / 8);
        out[i] = (uint8_t)(word >> offset % 8 * 8);
    }
}

static size_t first_difference(uint64_t key, uint64_t offset, const uint8_t *data, size_t n)
{
    uint8_t expected[512];
    for (size_t at = 0; at < n; at += sizeof expected) {
        size_t piece = n - at < sizeof expected ? n - at : sizeof expected;
        flow_bytes(key, offset + at, expected, piece);
        if (memcmp(expected, data + at, piece) != 0)
            for (size_t i = 0; i < piece; i++)
                if (expected[i] != data[at + i])
                    return at + i;
    }
    return n;
}

/* ---- lent memory ---- */

struct loan {
    struct loan *next;
    struct flow_side *side;
    uint64_t offset;
    size_t bytes;
    bool released;
    uint8_t data[];
};

/* The bytes must be as they were lent; afterwards they are spoilt, so that a stack which still sends from them is found
 * out by the receiver. The memory is kept until the end: a release too many is seen, and spoilt bytes stay spoilt. */
static void loan_release(void *argument)
{
    struct loan *loan = argument;
    struct flow_side *side = loan->side;
    if (loan->released) {
        SIDE_FAIL(side, "lent memory at %" PRIu64 " released twice", loan->offset);
        return;
    }
    if (first_difference(side->key, loan->offset, loan->data, loan->bytes) != loan->bytes)
        SIDE_FAIL(side, "lent memory at %" PRIu64 " was written to", loan->offset);
    memset(loan->data, POISON, loan->bytes);
    loan->released = true;
    side->lends--;
    side->flow->set->progress++;
}

static bool side_lend(struct flow_side *side, size_t n)
{
    struct flow_set *set = side->flow->set;
    struct loan *loan = malloc(sizeof *loan + n);
    if (!loan)
        abort();
    *loan = (struct loan){.next = set->loans, .side = side, .offset = side->sent, .bytes = n};
    set->loans = loan;
    flow_bytes(side->key, side->sent, loan->data, n);
    side->lends++;
    if (CALL(set, mr_stream_lend(side->stream, loan->data, n, loan_release, loan))) {
        side->sent += n;
        return true;
    }
    side->lends--;
    loan->released = true; /* refused: ours again, and the stack must not touch it */
    return false;
}

static bool side_give(struct flow_side *side, size_t n)
{
    struct flow_set *set = side->flow->set;
    uint8_t *data = malloc(n);
    if (!data)
        abort();
    flow_bytes(side->key, side->sent, data, n);
    size_t room = CALL(set, mr_stream_send_room(side->stream));
    size_t taken = CALL(set, mr_stream_send(side->stream, data, n));
    memset(data, POISON, n);
    free(data);
    if (taken > n || taken > room)
        SIDE_FAIL(side, "%zu bytes taken of %zu with room for %zu", taken, n, room);
    side->sent += taken;
    return taken == n;
}

/* ---- what a side does ---- */

static void side_dismiss(struct flow_side *side)
{
    side->dismissed = true;
    CALL_VOID(side->flow->set, mr_stream_close(side->stream));
}

static void side_abort(struct flow_side *side)
{
    side->dismissed = side->aborted = true;
    CALL_VOID(side->flow->set, mr_stream_abort(side->stream));
}

static bool chance(struct flow_side *side, double p)
{
    return p > 0 && mr_random_unit(&side->random) < p;
}

static void side_pause(struct flow_side *side)
{
    double u = mr_random_unit(&side->random); /* mostly short, sometimes all of pause_max */
    mr_time pause = (mr_time)(u * u * u * u * (double)side->plan.pause_max);
    mr_timer_set(side->worker, &side->resume, mr_now(side->worker) + pause);
}

static void side_send(struct flow_side *side)
{
    while (side->sent < side->plan.total && !side->refused_room) {
        uint64_t left = side->plan.total - side->sent;
        size_t n = 1 + mr_random_below(&side->random, side->plan.piece_max);
        n = n < left ? n : (size_t)left;
        bool taken = chance(side, side->plan.lend) ? side_lend(side, n) : side_give(side, n);
        side->refused_room = !taken;
        side->flow->set->progress++;
        if (taken && chance(side, side->plan.send_pause)) {
            side_pause(side);
            return;
        }
    }
    if (side->sent < side->plan.total || side->shut)
        return;
    if (side->plan.ending == FLOW_CLOSE) {
        side_dismiss(side);
        return;
    }
    side->shut = true;
    CALL_VOID(side->flow->set, mr_stream_shutdown(side->stream));
}

static void side_verify(struct flow_side *side, const uint8_t *data, size_t n)
{
    struct flow_side *other = &side->flow->side[!side->index];
    size_t same = first_difference(other->key, side->received, data, n);
    if (same != n)
        SIDE_FAIL(side, "byte %" PRIu64 " is wrong", side->received + same);
    side->received += n;
    side->flow->set->progress++;
    if (side->received > other->sent)
        SIDE_FAIL(side, "received %" PRIu64 " bytes of %" PRIu64 " sent", side->received, other->sent);
}

/* In place: some of the spans, and some bytes of the last of them. */
static void side_peek(struct flow_side *side)
{
    struct flow_set *set = side->flow->set;
    struct mr_span spans[SPANS_MAX];
    unsigned most = 1 + mr_random_below(&side->random, SPANS_MAX);
    size_t readable = CALL(set, mr_stream_readable(side->stream)), shown = 0, consumed = 0;
    unsigned n = CALL(set, mr_stream_peek(side->stream, spans, most));
    if (n == 0 || n > most)
        SIDE_FAIL(side, "%u of %u spans of %zu readable bytes", n, most, readable);
    for (unsigned i = 0; i < n && i < most; i++) {
        bool partial = i + 1 == n && chance(side, 0.3);
        size_t k = partial ? mr_random_below(&side->random, (uint32_t)spans[i].length + 1) : spans[i].length;
        side_verify(side, spans[i].data, k);
        consumed += k;
        shown += spans[i].length;
    }
    if (shown > readable)
        SIDE_FAIL(side, "%zu bytes shown of %zu readable", shown, readable);
    CALL_VOID(set, mr_stream_consume(side->stream, consumed));
}

static void side_read(struct flow_side *side)
{
    struct flow_set *set = side->flow->set;
    uint8_t buffer[8192];
    size_t n = CALL(set, mr_stream_read(side->stream, buffer, 1 + mr_random_below(&side->random, sizeof buffer)));
    side_verify(side, buffer, n);
}

static void side_receive(struct flow_side *side)
{
    struct flow_set *set = side->flow->set;
    while (CALL(set, mr_stream_readable(side->stream)) > 0) {
        if (chance(side, 0.5))
            side_peek(side);
        else
            side_read(side);
        if (chance(side, side->plan.read_pause)) {
            side_pause(side);
            return;
        }
        if (side->flow->world->failure[0])
            return;
    }
    if (!side->ended && CALL(set, mr_stream_ended(side->stream))) {
        side->ended = true;
        if (side->received != side->flow->side[!side->index].sent)
            SIDE_FAIL(side, "ended after %" PRIu64 " bytes of %" PRIu64, side->received,
                      side->flow->side[!side->index].sent);
    }
}

static void side_work(struct flow_side *side)
{
    const struct flow_side_plan *p = &side->plan;
    if (!side->stream || side->dismissed || !side->opened || mr_timer_armed(&side->resume))
        return;
    side_receive(side);
    if (!mr_timer_armed(&side->resume))
        side_send(side);
    if (side->dismissed)
        return;
    if (p->ending == FLOW_ABORT && side->sent + side->received >= p->abort_bytes)
        side_abort(side);
    else if (side->shut && side->ended && p->close_when_done)
        side_dismiss(side);
}

static void resume_expired(struct mr_worker *w, struct mr_timer *t)
{
    side_work(t->context);
}

static void abort_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct flow_side *side = t->context;
    if (side->stream && !side->dismissed)
        side_abort(side);
}

/* ---- events ---- */

/* Which events may come when: nothing from inside a call, nothing after on_close, only on_close once dismissed. */
static struct flow_side *event_begin(struct mr_stream *s, const char *event)
{
    struct flow_side *side = mr_stream_context(s);
    if (side->flow->set->calling)
        SIDE_FAIL(side, "%s from inside a call", event);
    if (side->over)
        SIDE_FAIL(side, "%s after on_close", event);
    if (side->dismissed && strcmp(event, "on_close") != 0)
        SIDE_FAIL(side, "%s after the stream was closed", event);
    side->flow->set->progress++;
    return side;
}

static void once_a_turn(struct flow_side *side, uint64_t *turn, const char *event)
{
    uint64_t now = side->worker->stat[STAT_core_turns] + 1;
    if (*turn == now)
        SIDE_FAIL(side, "%s twice in one turn", event);
    *turn = now;
}

static void stream_data(struct mr_stream *s)
{
    struct flow_side *side = event_begin(s, "on_data");
    if (!side->opened)
        SIDE_FAIL(side, "on_data before on_open");
    once_a_turn(side, &side->data_turn, "on_data");
    side_work(side);
}

static void stream_writable(struct mr_stream *s)
{
    struct flow_side *side = event_begin(s, "on_writable");
    if (!side->refused_room)
        SIDE_FAIL(side, "on_writable without a refusal");
    once_a_turn(side, &side->writable_turn, "on_writable");
    side->refused_room = false;
    side_work(side);
}

static void stream_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct flow_side *side = event_begin(s, "on_close");
    side->over = true;
    side->reason = reason;
    side->stream = NULL;
    mr_timer_cancel(side->worker, &side->resume);
    mr_timer_cancel(side->worker, &side->abort_timer);
}

static void stream_opened(struct mr_stream *s)
{
    struct flow_side *side = event_begin(s, "on_open");
    if (side->opened)
        SIDE_FAIL(side, "on_open twice");
    side->opened = true;
    side->stream = s;
    side_work(side);
}

static const struct mr_stream_handler connect_handler = {
    .on_open = stream_opened, .on_data = stream_data, .on_writable = stream_writable, .on_close = stream_close};

struct flow *flow_by_port(struct flow_set *s, uint16_t port)
{
    struct flow *found = NULL;
    for (unsigned i = 0; i < s->count; i++) {
        struct flow *f = &s->flow[i];
        if (f->plan.kind == FLOW_CONNECT && f->port[0] == port && (!found || f->started > found->started))
            found = f;
    }
    return found;
}

/* The flow that a stream of the listener belongs to: by the client's port. */
static void stream_accepted(struct mr_stream *s)
{
    struct flow_set *set = mr_stream_context(s);
    struct mr_endpoint remote;
    mr_stream_remote(s, &remote);
    struct flow *f = flow_by_port(set, remote.port);
    if (!f) {
        world_fail(set->world, "a stream from port %u, where nobody connected", remote.port);
        return;
    }
    mr_stream_set_context(s, &f->side[1]);
    stream_opened(s);
}

/* A stream that fails before on_open is not handed over, so this context is always a side's. */
static const struct mr_stream_handler listen_handler = {
    .on_open = stream_accepted, .on_data = stream_data, .on_writable = stream_writable, .on_close = stream_close};

/* ---- starting ---- */

static void side_connect(struct flow_side *side, uint16_t local_port, uint16_t remote_port)
{
    struct flow *f = side->flow;
    struct world *w = f->world;
    struct mr_endpoint local = {.port = local_port};
    struct mr_endpoint remote = {.address = w->host[side->index == 0 ? 0 : 1].address, .port = remote_port};
    int error = CALL(
        f->set, mr_connect(side->worker, &local, &remote, &connect_handler, &side->plan.options, side, &side->stream));
    if (error != MR_OK) {
        SIDE_FAIL(side, "mr_connect: %s", mr_error_text(error));
        return;
    }
    mr_stream_local(side->stream, &local);
    f->port[side->index] = local.port;
}

static void flow_started(struct mr_worker *worker, struct mr_timer *t)
{
    struct flow *f = t->context;
    f->started = ++f->set->started;
    bool ephemeral = f->plan.kind != FLOW_SIMULTANEOUS && f->number % 2;
    f->port[0] = (uint16_t)(ephemeral ? 0 : CLIENT_PORT + f->number);
    f->port[1] = (uint16_t)(f->plan.kind == FLOW_SIMULTANEOUS ? CLIENT_PORT + f->number
                            : f->plan.kind == FLOW_REFUSED    ? CLOSED_PORT
                                                              : SERVER_PORT);
    side_connect(&f->side[0], f->port[0], f->port[1]);
    if (f->plan.kind == FLOW_SIMULTANEOUS)
        side_connect(&f->side[1], f->port[1], f->port[0]);
    for (unsigned i = 0; i < 2; i++)
        if (f->side[i].plan.ending == FLOW_ABORT && f->side[i].plan.abort_after)
            mr_timer_set(f->side[i].worker, &f->side[i].abort_timer, mr_now(worker) + f->side[i].plan.abort_after);
    f->set->progress++;
}

static void flow_init(struct flow_set *s, unsigned number, uint64_t seed, const struct flow_plan *plan)
{
    struct flow *f = &s->flow[number];
    *f = (struct flow){.world = s->world, .plan = *plan, .number = number, .set = s};
    for (unsigned i = 0; i < 2; i++) {
        struct flow_side *side = &f->side[i];
        side->flow = f;
        side->index = i;
        side->worker = s->world->host[s->host[i]].worker;
        side->plan = plan->side[i];
        mr_random_seed(&side->random, seed + 2 * number + i);
        side->key = mr_random_next(&side->random);
        mr_timer_init(&side->resume, resume_expired, side);
        mr_timer_init(&side->abort_timer, abort_expired, side);
    }
    mr_timer_init(&f->start, flow_started, f);
    mr_timer_set(f->side[0].worker, &f->start, world_now(s->world) + plan->start);
}

void flow_set_create(struct flow_set *s, struct world *w, uint64_t seed, const struct flow_plan *plans, unsigned count,
                     const struct mr_stream_options *listen)
{
    flow_set_create_relayed(s, w, seed, plans, count, listen, 0);
}

void flow_set_create_relayed(struct flow_set *s, struct world *w, uint64_t seed, const struct flow_plan *plans,
                             unsigned count, const struct mr_stream_options *listen, unsigned server)
{
    *s = (struct flow_set){.world = w, .count = count, .flow = calloc(count, sizeof *s->flow), .host = {1, server}};
    struct mr_endpoint local = {.port = SERVER_PORT};
    int error = mr_listen(w->host[server].worker, &local, &listen_handler, listen, s, &s->listener);
    if (!s->flow || error != MR_OK) {
        fprintf(stderr, "flow: cannot listen: %s\n", mr_error_text(error));
        exit(99);
    }
    for (unsigned i = 0; i < count; i++)
        flow_init(s, i, seed, &plans[i]);
}

/* ---- the end ---- */

static bool flow_over(const struct flow *f)
{
    if (!f->side[0].over)
        return false;
    return f->side[1].over || (f->plan.kind != FLOW_SIMULTANEOUS && !f->side[1].opened);
}

bool flow_set_over(const struct flow_set *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!flow_over(&s->flow[i]))
            return false;
    return true;
}

static const char *side_text(const struct flow_side *side, char text[160])
{
    snprintf(text, 160, "sent %" PRIu64 "/%" PRIu64 ", received %" PRIu64 "%s%s%s%s", side->sent, side->plan.total,
             side->received, side->ended ? ", ended" : "", side->shut ? ", shut" : "", side->over ? ", " : "",
             side->over ? mr_close_reason_text(side->reason) : "");
    return text;
}

static void stall_report(struct flow_set *s, mr_time stall)
{
    char text[2][160];
    for (unsigned i = 0; i < s->count; i++)
        if (!flow_over(&s->flow[i]))
            world_fail(s->world, "flow %u port %u: nothing happened for %" PRIu64 " s: client %s; server %s", i,
                       s->flow[i].port[0], stall / MR_SECOND, side_text(&s->flow[i].side[0], text[0]),
                       side_text(&s->flow[i].side[1], text[1]));
}

bool flow_set_run(struct flow_set *s, mr_time stall)
{
    uint64_t progress = s->progress;
    mr_time since = world_now(s->world);
    while (!flow_set_over(s)) {
        if (!world_step(s->world, since + stall)) {
            stall_report(s, stall);
            return false;
        }
        if (progress != s->progress) {
            progress = s->progress;
            since = world_now(s->world);
        }
    }
    return true;
}

/* A reader that paused right after the last byte has not looked for the end; that it was done tells of the end too. */
static bool side_complete(const struct flow_side *side)
{
    return side->received == side->flow->side[!side->index].plan.total &&
           (side->ended || side->reason == MR_CLOSE_DONE);
}

/* True for what a bad link or an empty pool may bring upon a connection that nobody aborted. */
static bool reason_gives_up(enum mr_close_reason reason)
{
    return reason == MR_CLOSE_TIMEOUT || reason == MR_CLOSE_NO_MEMORY || reason == MR_CLOSE_UNREACHABLE;
}

static void side_judge(struct flow_side *side)
{
    struct flow_side *other = &side->flow->side[!side->index];
    bool wants_all = other->plan.ending != FLOW_ABORT && side->plan.ending == FLOW_SHUTDOWN;
    if (side->reason == MR_CLOSE_DONE && !side->dismissed && !side_complete(side))
        SIDE_FAIL(side, "done with %" PRIu64 " of %" PRIu64 " bytes", side->received, other->plan.total);
    if (side->aborted || other->aborted) {
        bool was_over = side->reason == MR_CLOSE_DONE && side->shut; /* and only on_close was still to come */
        if (side->aborted && side->reason != MR_CLOSE_LOCAL && !was_over)
            SIDE_FAIL(side, "aborted, but closed for: %s", mr_close_reason_text(side->reason));
        return;
    }
    if (wants_all && !side_complete(side))
        SIDE_FAIL(side, "over (%s) with %" PRIu64 " of %" PRIu64 " bytes", mr_close_reason_text(side->reason),
                  side->received, other->plan.total);
    /* A stream that was closed after both directions ended may be said to be either. */
    if (side->reason != MR_CLOSE_DONE && !(side->dismissed && side->reason == MR_CLOSE_LOCAL))
        SIDE_FAIL(side, "closed for: %s", mr_close_reason_text(side->reason));
}

static void flow_judge(struct flow_set *s, struct flow *f, bool harsh)
{
    bool gave_up = f->relay_gave_up;
    for (unsigned i = 0; i < 2; i++)
        gave_up |= f->side[i].over && reason_gives_up(f->side[i].reason);
    /* The listener forgot the handshake after a minute of lost SYN+ACKs, just as one of them arrived. */
    gave_up |= f->plan.kind == FLOW_CONNECT && !f->side[1].opened && f->side[0].reason == MR_CLOSE_RESET;
    if (gave_up && harsh) {
        s->given_up++;
        return;
    }
    if (f->plan.kind == FLOW_REFUSED) {
        struct flow_side *side = &f->side[0];
        bool expected = side->reason == MR_CLOSE_REFUSED || (side->aborted && side->reason == MR_CLOSE_LOCAL);
        if (side->opened || !expected)
            SIDE_FAIL(side, "connect to a closed port: %s", mr_close_reason_text(side->reason));
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        if (f->side[i].over)
            side_judge(&f->side[i]);
        else if (!f->side[!i].aborted)
            SIDE_FAIL(&f->side[i], "never opened, though nobody aborted");
}

void flow_set_judge(struct flow_set *s, bool harsh)
{
    for (unsigned i = 0; i < s->count; i++)
        flow_judge(s, &s->flow[i], harsh);
}

void flow_set_destroy(struct flow_set *s)
{
    for (unsigned i = 0; i < s->count; i++)
        for (unsigned k = 0; k < 2; k++)
            if (s->flow[i].side[k].lends)
                SIDE_FAIL(&s->flow[i].side[k], "%u lent pieces never released", s->flow[i].side[k].lends);
    while (s->loans) {
        struct loan *next = s->loans->next;
        free(s->loans);
        s->loans = next;
    }
    free(s->flow);
}
