/* Events of streams: collected while segments and timers run, delivered once a turn, never from inside a call. */
#include <string.h>

#include "stack/tcp/tcp.h"

static void ready_mark(struct mr_worker *w, struct tcb *c)
{
    if (c->flags & TCB_ON_READY)
        return;
    c->flags |= TCB_ON_READY;
    w->tcp->ready[w->tcp->ready_count++] = c;
}

void stream_event(struct mr_worker *w, struct tcb *c, enum stream_event event)
{
    if (c->flags & TCB_DETACHED)
        return;
    c->events |= (uint8_t)event;
    ready_mark(w, c);
}

void stream_event_close(struct mr_worker *w, struct tcb *c, enum mr_close_reason reason)
{
    if (c->flags & TCB_TOLD_CLOSE || c->events & EVENT_CLOSE)
        return;
    c->events =
        (uint8_t)((c->events & (EVENT_OPEN | EVENT_DATA)) | EVENT_CLOSE | (unsigned)reason << EVENT_REASON_SHIFT);
    ready_mark(w, c);
}

void stream_event_again(struct mr_worker *w, struct tcb *c)
{
    ready_mark(w, c);
}

void stream_acked(struct mr_worker *w, struct tcb *c)
{
    if (!(c->flags & TCB_WANT_WRITABLE))
        return;
    uint32_t budget = c->stream.binding->options.send_budget;
    if (tcp_queue_bytes(c) > budget - budget / 4) /* some room at a time, not a byte */
        return;
    c->flags &= ~(uint32_t)TCB_WANT_WRITABLE;
    stream_event(w, c, EVENT_WRITABLE);
}

static bool attached(const struct tcb *c)
{
    return !(c->flags & TCB_DETACHED);
}

static void deliver_open(struct tcb *c, const struct mr_stream_handler *h)
{
    c->flags |= TCB_HANDED;
    if (c->flags & TCB_BACKLOG) {
        c->flags &= ~(uint32_t)TCB_BACKLOG;
        if (c->stream.binding->listener)
            c->stream.binding->listener->undelivered--;
    }
    if (h->on_open)
        h->on_open(&c->stream);
}

/* An order: open, data, writable, close. A service may close the stream in any of them; what follows is then only close. */
static unsigned deliver(struct mr_worker *w, struct tcb *c)
{
    const struct mr_stream_handler *h = c->stream.binding->handler;
    unsigned events = c->events, delivered = 0;
    c->events &= (uint8_t) ~(EVENT_OPEN | EVENT_DATA | EVENT_WRITABLE);
    if (events & EVENT_OPEN && attached(c)) {
        deliver_open(c, h);
        delivered++;
    }
    if (events & EVENT_DATA && attached(c) && h->on_data) {
        h->on_data(&c->stream);
        delivered++;
    }
    if (events & EVENT_WRITABLE && attached(c) && h->on_writable) {
        h->on_writable(&c->stream);
        delivered++;
    }
    enum mr_close_reason reason = (enum mr_close_reason)(c->events >> EVENT_REASON_SHIFT);
    /* An ended stream that is still being read; after a reset the service was shown what there was. */
    bool unread = c->receive_queued && attached(c) && reason == MR_CLOSE_DONE;
    if (c->events & EVENT_CLOSE && !unread) {
        c->events = 0;
        c->flags |= TCB_TOLD_CLOSE | TCB_DETACHED;
        h->on_close(&c->stream, reason);
        delivered++;
    }
    stat_add(w, STAT_core_events, delivered);
    return delivered;
}

bool stream_ready(const struct mr_worker *w)
{
    return w->tcp->ready_count != 0;
}

/* What becomes ready while we deliver waits for the next turn, so that one turn is bounded. */
unsigned stream_deliver(struct mr_worker *w)
{
    struct tcp *tcp = w->tcp;
    uint32_t n = tcp->ready_count;
    unsigned delivered = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct tcb *c = tcp->ready[i];
        if (i + 2 < n)
            __builtin_prefetch(&tcp->ready[i + 2]->stream);
        delivered += deliver(w, c);
        if (c->events & (EVENT_OPEN | EVENT_DATA | EVENT_WRITABLE)) {
            tcp->ready[tcp->ready_count++] = c;
            continue;
        }
        c->flags &= ~(uint32_t)TCB_ON_READY;
        tcp_conn_release(w, c);
    }
    tcp->ready_count -= n;
    memmove(tcp->ready, tcp->ready + n, tcp->ready_count * sizeof *tcp->ready);
    return delivered;
}
