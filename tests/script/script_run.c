/* Plays the steps of a script in order. An action happens at its time; an expectation lets the clock run until what it
 * waits for comes or its time is over. The clock jumps from deadline to deadline of the worker, so hours cost nothing. */
#include "tests/script/script_run.h"

#include <rte_mempool.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/core/layers.h"
#include "tests/support/support.h"

#define RUN_PACKETS 4096

/* An assertion of the stack ends the script, not the whole run. */
static sigjmp_buf on_abort;

double run_seconds(const struct run *run, mr_time at)
{
    return ((double)at - (double)run->world.start) / 1e9;
}

void run_trace(struct run *run, const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof run->trace - run->trace_bytes;
    if (room < 1024)
        return;
    int n = snprintf(run->trace + run->trace_bytes, room, "#   %11.6f ", run_seconds(run, run->world.now));
    va_start(arguments, format);
    n += vsnprintf(run->trace + run->trace_bytes + n, room - (size_t)n - 1, format, arguments);
    va_end(arguments);
    run->trace_bytes += (size_t)n;
    run->trace[run->trace_bytes++] = '\n';
    run->trace[run->trace_bytes] = '\0';
}

bool run_fail(struct run *run, const char *format, ...)
{
    va_list arguments;
    if (run->failure[0] || run->over)
        return false;
    va_start(arguments, format);
    vsnprintf(run->failure, sizeof run->failure, format, arguments);
    va_end(arguments);
    return false;
}

static mr_time step_time(const struct run *run, mr_time offset)
{
    return (run->step->time.relative ? run->at : run->world.start) + offset;
}

static mr_time tolerance(const struct run *run)
{
    return run->script->settings.tolerance_us * MR_MICROSECOND;
}

/* Advances to the time of an action. */
static bool run_until(struct run *run, mr_time until)
{
    if (until < run->world.now)
        return run_fail(run, "the time of this step has passed: it is %.6f", run_seconds(run, run->world.now));
    while (world_step(&run->world, until) && !run->failure[0])
        ;
    run->at = run->world.now;
    return !run->failure[0];
}

/* True when it lies within the step's range, a tolerance allowed. */
static bool time_fits(const struct run *run, mr_time at)
{
    return at + tolerance(run) >= step_time(run, run->step->time.low) &&
           at <= step_time(run, run->step->time.high) + tolerance(run);
}

static bool segment_accept(struct run *run, struct flow *f)
{
    struct caught_segment *caught = &f->segment[f->segment_first++];
    struct script_segment got = caught->segment;
    const struct script_segment *expected = run->step->segment;
    char text[512], error[256];
    script_segment_relative(&got, &f->base);
    if (expected->sequence_raw)
        got.sequence = caught->segment.sequence;
    if (expected->ack_raw)
        got.ack.low = caught->segment.ack.low;
    if (!script_segment_matches(expected, &got, error, sizeof error))
        return run_fail(run, "%s\n# got:      %.6f > %s", error, run_seconds(run, caught->at),
                        script_segment_text(&got, text, sizeof text));
    if (!time_fits(run, caught->at))
        return run_fail(run, "it came at %.6f, expected from %.6f to %.6f", run_seconds(run, caught->at),
                        run_seconds(run, step_time(run, run->step->time.low)),
                        run_seconds(run, step_time(run, run->step->time.high)));
    run->at = caught->at;
    return true;
}

static bool segment_await(struct run *run, struct flow *f)
{
    mr_time end = step_time(run, run->step->time.high) + tolerance(run);
    while (f->segment_first == f->segment_count) {
        if (run->failure[0] || run->world.restless)
            return false;
        if (run->world.now >= end)
            return run_fail(run, "no segment came");
        world_step(&run->world, end);
    }
    return segment_accept(run, f);
}

/* Events that a script does not name pass by, but a close never does. */
static bool event_find(struct run *run, struct flow *f)
{
    const struct script_step *step = run->step;
    for (unsigned i = f->event_first; i < f->event_count; i++) {
        const struct caught_event *e = &f->event[i];
        bool wanted = strcmp(e->word, step->word) == 0 && (!step->detail[0] || strcmp(e->detail, step->detail) == 0);
        if (wanted && time_fits(run, e->at)) {
            f->event_first = i + 1;
            run->at = e->at > run->at ? e->at : run->at;
            return true;
        }
        if (strcmp(e->word, "close") == 0)
            return run_fail(run, "close %s came at %.6f", e->detail, run_seconds(run, e->at));
    }
    return false;
}

static bool event_await(struct run *run, struct flow *f)
{
    mr_time end = step_time(run, run->step->time.high) + tolerance(run);
    while (!event_find(run, f)) {
        if (run->failure[0] || run->world.restless)
            return false;
        if (run->world.now >= end)
            return run_fail(run, "no such event came");
        world_step(&run->world, end);
    }
    return true;
}

static bool segments_pending(struct run *run)
{
    char text[512];
    for (unsigned i = 0; i < run->flow_count; i++) {
        struct flow *f = &run->flow[i];
        if (f->segment_first == f->segment_count)
            continue;
        struct script_segment got = f->segment[f->segment_first].segment;
        script_segment_relative(&got, &f->base);
        run_fail(run, "a segment that no step expects\n# got:      %.6f > %s",
                 run_seconds(run, f->segment[f->segment_first].at), script_segment_text(&got, text, sizeof text));
        return true;
    }
    return false;
}

static bool no_segment(struct run *run)
{
    mr_time end = run->at + (mr_time)run->step->number;
    do
        if (segments_pending(run) || run->failure[0])
            return false;
    while (world_step(&run->world, end));
    run->at = run->world.now;
    return !segments_pending(run) && !run->failure[0];
}

static bool no_event(struct run *run, struct flow *f)
{
    for (unsigned i = f->event_first; i < f->event_count; i++)
        if (strcmp(f->event[i].word, run->step->word) == 0)
            return run_fail(run, "%s %s came at %.6f", f->event[i].word, f->event[i].detail,
                            run_seconds(run, f->event[i].at));
    return true;
}

static struct mr_stream_options stream_options(const struct script_settings *o)
{
    return (struct mr_stream_options){.receive_budget = (uint32_t)o->receive_budget,
                                      .send_budget = (uint32_t)o->send_budget,
                                      .keepalive_idle_s = (uint32_t)o->keepalive_idle,
                                      .keepalive_interval_s = (uint32_t)o->keepalive_interval,
                                      .keepalive_probes = (uint8_t)o->keepalive_probes,
                                      .nodelay = o->nodelay,
                                      .user_timeout_ms = (uint32_t)o->user_timeout,
                                      .backlog = (uint32_t)o->backlog};
}

static bool act_listen(struct run *run, struct flow *f)
{
    struct mr_stream_options options = stream_options(&run->script->settings);
    struct mr_endpoint local = {.port = (uint16_t)run->step->number};
    int error = mr_listen(run->world.worker, &local, &flow_handler, &options, f, &f->listener);
    return error == MR_OK || run_fail(run, "mr_listen: %s", mr_error_text(error));
}

static bool act_connect(struct run *run, struct flow *f)
{
    struct mr_stream_options options = stream_options(&run->script->settings);
    struct mr_endpoint local, remote = {mr_address_ip4(WORLD_PEER_IP), f->base.peer_port};
    f->sent = f->received = 0;
    int error = mr_connect(run->world.worker, NULL, &remote, &flow_handler, &options, f, &f->stream);
    if (error != MR_OK)
        return run_fail(run, "mr_connect: %s", mr_error_text(error));
    mr_stream_local(f->stream, &local);
    f->base.local_port = local.port;
    return true;
}

static bool act_send(struct run *run, struct flow *f)
{
    static uint8_t bytes[65536];
    uint64_t left = (uint64_t)run->step->number, accepted = 0;
    while (left > 0) {
        size_t part = left < sizeof bytes ? left : sizeof bytes;
        for (size_t i = 0; i < part; i++)
            bytes[i] = script_pattern_local(f->sent + i);
        size_t taken = mr_stream_send(f->stream, bytes, part);
        memset(bytes, 0xdb, part); /* it was copied */
        f->sent += taken;
        accepted += taken;
        left -= taken;
        if (taken < part)
            break;
    }
    return script_in(run->step->range, (int64_t)accepted) ||
           run_fail(run, "the stream accepted %llu bytes", (unsigned long long)accepted);
}

struct loan {
    struct run *run;
    size_t length;
    uint8_t bytes[];
};

static void loan_released(void *argument)
{
    struct loan *loan = argument;
    loan->run->released++;
    free(loan);
}

static bool act_lend(struct run *run, struct flow *f)
{
    struct loan *loan = malloc(sizeof *loan + (size_t)run->step->number);
    loan->run = run;
    loan->length = (size_t)run->step->number;
    for (size_t i = 0; i < loan->length; i++)
        loan->bytes[i] = script_pattern_local(f->sent + i);
    bool taken = mr_stream_lend(f->stream, loan->bytes, loan->length, loan_released, loan);
    if (taken) {
        f->sent += (uint64_t)run->step->number;
        run->loans++;
    } else {
        free(loan);
    }
    return taken == !!run->step->range.low || run_fail(run, "the loan was %s", taken ? "taken" : "refused");
}

static bool act_read(struct run *run, struct flow *f)
{
    size_t n = flow_read(f, (size_t)run->step->number);
    return script_in(run->step->range, (int64_t)n) || run_fail(run, "%zu bytes were there to read", n);
}

static bool act_renumber(struct flow *f)
{
    f->base.local_isn_known = f->base.local_ts_known = false;
    return true;
}

static bool act_on_stream(struct run *run, struct flow *f)
{
    if (!f->stream)
        return run_fail(run, "there is no stream");
    switch (run->step->kind) {
    case STEP_SEND:
        return act_send(run, f);
    case STEP_LEND:
        return act_lend(run, f);
    case STEP_READ:
        return act_read(run, f);
    case STEP_SHUTDOWN:
        mr_stream_shutdown(f->stream);
        return true;
    case STEP_CLOSE:
        mr_stream_close(f->stream);
        return true;
    case STEP_ABORT:
        mr_stream_abort(f->stream);
        return true;
    default:
        mr_stream_set_nodelay(f->stream, run->step->number);
        return true;
    }
}

static bool inject(struct run *run, struct flow *f)
{
    static uint8_t datagram[SCRIPT_DATAGRAM_MAX];
    const struct script_step *step = run->step;
    run_trace(run, "%s", step->text);
    size_t n = step->kind == STEP_ICMP_IN ? script_icmp_build(&step->icmp, &f->base, datagram)
                                          : script_segment_build(step->segment, &f->base, datagram);
    for (unsigned i = 0; i < (step->segment ? step->segment->times : 1); i++) {
        if (i)
            world_settle(&run->world);
        if (!world_inject(&run->world, datagram, n, step->segment && step->segment->group_mac))
            return run_fail(run, "no packet is left for the segment");
    }
    return true;
}

static bool act(struct run *run, struct flow *f)
{
    if (run->step->kind != STEP_SEGMENT_IN && run->step->kind != STEP_ICMP_IN)
        run_trace(run, "%s", run->step->text);
    switch (run->step->kind) {
    case STEP_SEGMENT_IN:
    case STEP_ICMP_IN:
        return inject(run, f);
    case STEP_LISTEN:
        return act_listen(run, f);
    case STEP_UNLISTEN:
        mr_listener_close(f->listener);
        return true;
    case STEP_CONNECT:
        return act_connect(run, f);
    case STEP_RENUMBER:
        return act_renumber(f);
    case STEP_FAIL_PACKETS:
        run->world.worker->fail_packets_after = run->step->number ? 0 : UINT32_MAX;
        return true;
    case STEP_EXPECT:
        return expect_check(run, f, run->step);
    case STEP_NO_EVENT:
        return no_event(run, f);
    case STEP_WAIT:
        return true;
    default:
        return act_on_stream(run, f);
    }
}

/* `more`: the next step belongs to the same turn. */
static bool step_run(struct run *run, bool more)
{
    struct flow *f = flow_of(run, run->step->port);
    if (!f)
        return false;
    if (run->step->kind == STEP_SEGMENT_OUT)
        return segment_await(run, f);
    if (run->step->kind == STEP_EVENT)
        return event_await(run, f);
    if (!run->step->together && !run_until(run, step_time(run, run->step->time.low)))
        return false;
    if (run->step->kind == STEP_NO_SEGMENT)
        return no_segment(run);
    if (!act(run, f))
        return false;
    if (!more)
        world_settle(&run->world);
    return !run->failure[0];
}

/* What must hold when a script is over: no close that it did not name, nothing outbound when it is strict. */
static bool end_check(struct run *run)
{
    run->step = NULL;
    for (unsigned i = 0; i < run->flow_count; i++)
        for (unsigned e = run->flow[i].event_first; e < run->flow[i].event_count; e++)
            if (strcmp(run->flow[i].event[e].word, "close") == 0)
                return run_fail(run, "event close %s was not expected", run->flow[i].event[e].detail);
    return !run->script->settings.strict_end || !segments_pending(run);
}

static void steps_run(struct run *run)
{
    for (unsigned i = 0; i < run->script->count; i++) {
        run->step = &run->script->step[i];
        bool more = i + 1 < run->script->count && run->script->step[i + 1].together;
        if (!step_run(run, more) || run->failure[0] || run->world.restless)
            break;
    }
    if (run->world.restless)
        run_fail(run, "the worker does not come to rest");
    if (!run->failure[0])
        end_check(run);
}

static void report(const struct run *run)
{
    if (run->step)
        printf("# %s:%d: %s\n# expected: %s\n", run->script->file, run->step->line, run->failure, run->step->text);
    else
        printf("# %s: at the end: %s\n", run->script->file, run->failure);
    printf("# trace:\n%s", run->trace);
}

static void aborted(int signal_number)
{
    siglongjmp(on_abort, 1);
}

/* Ends the worker; everything that it borrowed must have come back. */
static bool world_end(struct run *run)
{
    run->over = true;
    unsigned missing = world_close(&run->world);
    run->over = run->failure[0] != '\0';
    run->step = run->failure[0] ? run->step : NULL;
    if (run->loans != run->released)
        run_fail(run, "%u of %u loans were not released", run->loans - run->released, run->loans);
    if (missing)
        run_fail(run, "%u packets leaked", missing);
    return missing == 0;
}

static void run_world(struct run *run, struct rte_mempool **pool)
{
    const struct script_settings *o = &run->script->settings;
    struct world_options options = {.mtu = (uint16_t)o->mtu,
                                    .seed = o->seed,
                                    .limits = {.connections = (uint32_t)o->connections,
                                               .half_open = (uint32_t)o->half_open,
                                               .time_wait = (uint32_t)o->time_wait}};
    if (!world_open(&run->world, *pool, RUN_PACKETS, &options)) {
        run_fail(run, "the worker cannot be made");
        return;
    }
    run->world.captured = flow_captured;
    run->world.argument = run;
    run->at = run->world.start;
    memcpy(run->stat_before, run->world.worker->stat, sizeof run->stat_before);
    steps_run(run);
    if (!world_end(run))
        *pool = NULL; /* the next script starts with a whole one */
}

bool script_run(const struct script *s)
{
    static struct rte_mempool *pool;
    struct run *run = calloc(1, sizeof *run);
    struct sigaction action = {.sa_handler = aborted, .sa_flags = SA_NODEFER}, before;
    if (!pool)
        pool = support_pool(RUN_PACKETS);
    run->script = s;
    sigaction(SIGABRT, &action, &before);
    if (sigsetjmp(on_abort, 1) == 0) {
        run_world(run, &pool);
    } else {
        run->over = false;
        run->failure[0] = '\0';
        run_fail(run, "the stack stopped at an assertion");
        pool = NULL;
    }
    sigaction(SIGABRT, &before, NULL);
    bool passed = !run->failure[0];
    if (!passed)
        report(run);
    for (unsigned i = 0; i < run->flow_count; i++)
        free(run->flow[i].segment);
    free(run);
    return passed;
}
