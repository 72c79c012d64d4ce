/* The stack's side of a run: catches the segments that it sends and the events that it delivers. */
#include <stdlib.h>
#include <string.h>

#include "tests/script/script_run.h"

struct flow *flow_of(struct run *run, uint16_t peer_port)
{
    for (unsigned i = 0; i < run->flow_count; i++)
        if (run->flow[i].base.peer_port == peer_port)
            return &run->flow[i];
    if (run->flow_count == RUN_FLOWS_MAX) {
        run_fail(run, "more than %d flows", RUN_FLOWS_MAX);
        return NULL;
    }
    struct flow *f = &run->flow[run->flow_count++];
    const struct script_settings *o = &run->script->settings;
    f->run = run;
    f->segment = calloc(RUN_QUEUE_MAX, sizeof *f->segment);
    f->base = (struct script_base){.peer_ip = WORLD_PEER_IP,
                                   .local_ip = WORLD_LOCAL_IP,
                                   .peer_port = peer_port,
                                   .local_port = (uint16_t)o->local_port,
                                   .peer_isn = (uint32_t)o->peer_isn,
                                   .peer_ts = (uint32_t)o->peer_ts,
                                   .window = 65535,
                                   .peer_first = 1,
                                   .local_first = 1};
    return f;
}

/* Every payload byte of ours must be what the application sent at its place. A keepalive may carry one byte of garbage
 * before the window (RFC 9293 3.8.4). */
static void payload_check(struct flow *f, const struct script_segment *s, const uint8_t *payload)
{
    int64_t first = s->sequence + !!(s->flags & FLAG_SYN) - f->base.local_first;
    for (uint32_t i = 0; i < s->length; i++) {
        int64_t offset = first + i;
        if (offset < 0 && s->length == 1)
            return;
        if (offset < 0 || (uint64_t)offset >= f->sent)
            run_fail(f->run, "payload at %lld, but the application sent %llu bytes", (long long)(s->sequence + i),
                     (unsigned long long)f->sent);
        else if (payload[i] != script_pattern_local((uint64_t)offset))
            run_fail(f->run, "payload at %lld is 0x%02x, the application sent 0x%02x", (long long)(s->sequence + i),
                     payload[i], script_pattern_local((uint64_t)offset));
    }
}

static void segment_captured(struct run *run, const uint8_t *datagram, size_t n)
{
    char text[512], error[256];
    struct script_segment s;
    const uint8_t *payload;
    if (!script_segment_read(datagram, n, &s, &payload, error, sizeof error)) {
        run_trace(run, "> (malformed)");
        run_fail(run, "the stack sent a malformed segment: %s", error);
        return;
    }
    struct flow *f = flow_of(run, (uint16_t)(datagram[22] << 8 | datagram[23]));
    if (!f || f->segment_count == RUN_QUEUE_MAX) {
        run_fail(run, "more segments than a run keeps");
        return;
    }
    f->segment[f->segment_count++] = (struct caught_segment){run->world.now, s};
    script_segment_relative(&s, &f->base);
    if (f->base.peer_port == SCRIPT_DEFAULT_PORT)
        run_trace(run, "> %s", script_segment_text(&s, text, sizeof text));
    else
        run_trace(run, ":%u > %s", f->base.peer_port, script_segment_text(&s, text, sizeof text));
    if ((datagram[20] << 8 | datagram[21]) != f->base.local_port)
        run_fail(run, "the segment comes from port %d, not %u", datagram[20] << 8 | datagram[21], f->base.local_port);
    payload_check(f, &s, payload);
}

void flow_captured(void *argument, const uint8_t *datagram, size_t n)
{
    struct run *run = argument;
    if (run->over)
        return;
    if (n > 9 && datagram[9] == 6)
        segment_captured(run, datagram, n);
    else
        run_trace(run, "> (protocol %d, %zu bytes)", n > 9 ? datagram[9] : -1, n);
}

static void event_record(struct flow *f, const char *word, const char *detail)
{
    struct run *run = f->run;
    if (run->over)
        return;
    run_trace(run, "event :%u %s %s", f->base.peer_port, word, detail);
    if (f->event_count == sizeof f->event / sizeof *f->event) {
        run_fail(run, "more events than a run keeps");
        return;
    }
    struct caught_event *e = &f->event[f->event_count++];
    e->at = run->world.now;
    snprintf(e->word, sizeof e->word, "%s", word);
    snprintf(e->detail, sizeof e->detail, "%s", detail);
}

static void on_open(struct mr_stream *s)
{
    struct mr_endpoint remote;
    struct flow *f = mr_stream_context(s);
    mr_stream_remote(s, &remote);
    if (!f->stream || f->base.peer_port != remote.port) { /* accepted */
        f = flow_of(f->run, remote.port);
        if (!f)
            return;
        mr_stream_set_context(s, f);
        f->stream = s;
        f->sent = f->received = 0;
    }
    event_record(f, "open", "");
}

static void on_data(struct mr_stream *s)
{
    struct flow *f = mr_stream_context(s);
    if (f->run->script->settings.auto_read)
        flow_read(f, mr_stream_readable(s));
    event_record(f, mr_stream_ended(s) ? "end" : "data", "");
}

static void on_writable(struct mr_stream *s)
{
    event_record(mr_stream_context(s), "writable", "");
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    static const char *const names[] = {
        [MR_CLOSE_DONE] = "done",           [MR_CLOSE_LOCAL] = "local",     [MR_CLOSE_RESET] = "reset",
        [MR_CLOSE_REFUSED] = "refused",     [MR_CLOSE_TIMEOUT] = "timeout", [MR_CLOSE_UNREACHABLE] = "unreachable",
        [MR_CLOSE_NO_MEMORY] = "no_memory", [MR_CLOSE_STOPPED] = "stopped"};
    struct flow *f = mr_stream_context(s);
    if (f->stream == s)
        f->stream = NULL;
    event_record(f, "close", names[reason]);
}

const struct mr_stream_handler flow_handler = {on_open, on_data, on_writable, on_close};

size_t flow_read(struct flow *f, size_t n)
{
    uint8_t bytes[4096];
    size_t total = 0;
    while (total < n) {
        size_t part = mr_stream_read(f->stream, bytes, n - total < sizeof bytes ? n - total : sizeof bytes);
        for (size_t i = 0; i < part; i++, f->received++)
            if (bytes[i] != script_pattern_peer(f->received))
                run_fail(f->run, "byte %llu of the stream is 0x%02x, the peer sent 0x%02x",
                         (unsigned long long)f->received, bytes[i], script_pattern_peer(f->received));
        total += part;
        if (part == 0)
            break;
    }
    return total;
}
