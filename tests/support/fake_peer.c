/* Streams of the stand-in as their peers move them: connections that come and go, bytes, acknowledgements, ends. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_private.h"

#define EPHEMERAL_FIRST 32768u

/* -- opening ---------------------------------------------------------------------------------------------------------- */

static struct mr_stream *stream_new(struct mr_worker *w, const struct mr_stream_handler *handler,
                                    const struct mr_stream_options *options, void *context)
{
    struct mr_stream *s = calloc(1, sizeof *s);
    s->worker = w;
    s->handler = handler;
    s->context = context;
    s->pieces_end = &s->pieces;
    s->lends_end = &s->lends;
    s->budget = options && options->send_budget ? options->send_budget : FAKE_BUDGET;
    s->receive_budget = options && options->receive_budget ? options->receive_budget : FAKE_BUDGET;
    s->nodelay = options && options->nodelay;
    s->output = calloc(1, s->output_room = 64);
    s->next = w->streams;
    w->streams = s;
    return s;
}

static void stream_free(struct mr_stream *s)
{
    while (s->pieces) {
        struct fake_piece *p = s->pieces;
        s->pieces = p->next;
        free(p->bytes);
        free(p);
    }
    free(s->output);
    free(s);
}

void fake_streams_free(struct mr_worker *w)
{
    while (w->streams) {
        struct mr_stream *s = w->streams;
        fake_demand(s->close_delivered, "a stream is left open");
        fake_demand(!s->lends, "a lend was not released");
        w->streams = s->next;
        stream_free(s);
    }
}

static bool same_endpoint(const struct mr_endpoint *a, const struct mr_endpoint *b)
{
    return a->port == b->port && mr_address_equal(&a->address, &b->address);
}

int mr_listen(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_stream_handler *handler,
              const struct mr_stream_options *options, void *context, struct mr_listener **out)
{
    struct mr_listener *found = NULL;
    for (unsigned i = FAKE_LISTENERS_MAX; i-- > 0;) {
        struct mr_listener *l = &w->listener[i];
        if (!l->open)
            found = l;
        else if (local->port && same_endpoint(&l->local, local))
            return MR_ERROR_IN_USE;
    }
    if (w->listen_error || !found)
        return found ? w->listen_error : MR_ERROR_NO_MEMORY;
    *found = (struct mr_listener){handler, {0}, *local, context, true};
    if (options)
        found->options = *options;
    *out = found;
    return MR_OK;
}

void mr_listener_close(struct mr_listener *l)
{
    fake_demand(l->open, "a listener was closed twice");
    l->open = false;
}

void fake_listen_error(struct mr_worker *w, int error)
{
    w->listen_error = error;
}

int mr_connect(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
               const struct mr_stream_handler *handler, const struct mr_stream_options *options, void *context,
               struct mr_stream **out)
{
    if (remote->port == 0 || mr_address_is_any(&remote->address))
        return MR_ERROR_INVALID;
    if (w->connect_error)
        return w->connect_error;
    struct mr_stream *s = stream_new(w, handler, options, context);
    s->local = local ? *local : (struct mr_endpoint){0};
    if (mr_address_is_any(&s->local.address))
        s->local.address = mr_address_ip4(FAKE_ADDRESS);
    if (!s->local.port)
        s->local.port = (uint16_t)(EPHEMERAL_FIRST + w->connect_port++ % 28232);
    s->remote = *remote;
    s->connect = ++w->connects;
    *out = s;
    return MR_OK;
}

/* -- what the stack would do by itself ---------------------------------------------------------------------------------- */

static void deliver_close(struct mr_stream *s, enum mr_close_reason reason)
{
    if (s->close_delivered)
        return;
    fake_lends_release(s, UINT64_MAX);
    s->reason = reason;
    s->handler->on_close(s, reason);
    s->close_delivered = true;
}

/* Ends a connection whose both sides have ended. */
static void settle(struct mr_stream *s)
{
    if (s->aborted || s->unread_at_close || (s->finished && (!s->opened || s->acknowledged == s->sent)))
        deliver_close(s, MR_CLOSE_LOCAL);
    else if (s->shutdown && s->peer_ended && s->readable == 0 && s->acknowledged == s->sent)
        deliver_close(s, MR_CLOSE_DONE);
}

static void deliver_open(struct mr_stream *s)
{
    s->opened = true;
    if (s->handler->on_open)
        s->handler->on_open(s);
    fake_deferred_run(s->worker);
    settle(s);
}

void fake_streams_turn(struct mr_worker *w)
{
    for (struct mr_stream *s = w->streams; s; s = s->next) {
        if (!s->opened && !s->finished && !s->close_delivered && w->connect_automatic)
            deliver_open(s);
        if (!s->throttled && s->opened)
            while (!s->close_delivered && s->acknowledged < s->sent)
                fake_acknowledge(s, SIZE_MAX);
        settle(s);
    }
}

/* -- connections that come --------------------------------------------------------------------------------------------- */

static struct mr_stream *accept_from(struct mr_worker *w, const struct mr_listener *l, const struct mr_endpoint *remote)
{
    struct mr_stream *s = stream_new(w, l->handler, &l->options, l->context);
    s->local = l->local;
    if (mr_address_is_any(&s->local.address))
        s->local.address = mr_address_ip4(FAKE_ADDRESS);
    s->remote = *remote;
    deliver_open(s);
    return s;
}

struct mr_stream *fake_open(struct mr_worker *w)
{
    return fake_open_listener(w, 0);
}

struct mr_stream *fake_open_listener(struct mr_worker *w, unsigned index)
{
    fake_demand(index < FAKE_LISTENERS_MAX && w->listener[index].open, "nothing listens");
    return accept_from(w, &w->listener[index], &(struct mr_endpoint){mr_address_ip4(FAKE_PEER), 40000});
}

struct mr_stream *fake_open_from(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote)
{
    for (unsigned i = 0; i < FAKE_LISTENERS_MAX; i++)
        if (w->listener[i].open && same_endpoint(&w->listener[i].local, local))
            return accept_from(w, &w->listener[i], remote);
    return NULL;
}

/* -- connections that the service makes ---------------------------------------------------------------------------------- */

unsigned fake_connect_count(const struct mr_worker *w)
{
    return w->connects;
}

struct mr_stream *fake_connected(const struct mr_worker *w, unsigned i)
{
    struct mr_stream *s = w->streams;
    while (s && s->connect != i + 1)
        s = s->next;
    fake_demand(s != NULL, "fewer connections were made");
    return s;
}

void fake_connect_accept(struct mr_stream *s)
{
    fake_demand(s->connect && !s->opened, "what is no connect that waits was accepted");
    if (!s->finished && !s->close_delivered)
        deliver_open(s);
    settle(s);
}

void fake_connect_error(struct mr_worker *w, int error)
{
    w->connect_error = error;
}

void fake_connect_automatic(struct mr_worker *w, bool automatic)
{
    w->connect_automatic = automatic;
}

/* -- bytes ------------------------------------------------------------------------------------------------------------- */

void fake_input_quietly(struct mr_stream *s, const void *data, size_t n)
{
    fake_demand(s->opened, "input on a connection that is not open");
    if (s->close_delivered || s->finished || n == 0)
        return; /* the stack answers with a reset, the service hears nothing */
    struct fake_piece *p = malloc(sizeof *p);
    *p = (struct fake_piece){NULL, malloc(n), n, 0};
    memcpy(p->bytes, data, n);
    *s->pieces_end = p;
    s->pieces_end = &p->next;
    s->readable += n;
}

static void tell_data(struct mr_stream *s)
{
    if (!s->close_delivered && !s->finished && s->handler->on_data)
        s->handler->on_data(s);
    fake_deferred_run(s->worker);
    if (!s->throttled)
        fake_acknowledge(s, SIZE_MAX);
    settle(s);
}

void fake_input(struct mr_stream *s, const void *data, size_t n)
{
    fake_input_quietly(s, data, n);
    tell_data(s);
}

void fake_end(struct mr_stream *s)
{
    fake_demand(s->opened, "an end on a connection that is not open");
    s->peer_ended = true;
    tell_data(s);
}

void fake_lose(struct mr_stream *s, enum mr_close_reason reason)
{
    deliver_close(s, s->finished ? MR_CLOSE_LOCAL : reason);
    fake_deferred_run(s->worker);
}

void fake_reset(struct mr_stream *s)
{
    fake_lose(s, MR_CLOSE_RESET);
}

void fake_throttle(struct mr_stream *s, size_t budget)
{
    s->throttled = true;
    s->budget = budget;
}

void fake_acknowledge(struct mr_stream *s, size_t n)
{
    if (s->close_delivered || !s->opened)
        return;
    uint64_t out = s->sent - s->acknowledged;
    s->acknowledged += n < out ? n : out;
    fake_lends_release(s, s->acknowledged);
    if (s->refused && !s->finished && s->sent - s->acknowledged < s->budget) {
        s->refused = false;
        if (s->handler->on_writable)
            s->handler->on_writable(s);
        fake_deferred_run(s->worker);
    }
    settle(s);
}

/* -- looking ----------------------------------------------------------------------------------------------------------- */

const char *fake_output(const struct mr_stream *s, size_t *n)
{
    if (n)
        *n = s->output_length;
    return s->output;
}

void fake_output_clear(struct mr_stream *s)
{
    s->output_length = 0;
    s->output[0] = 0;
}

size_t fake_unread(const struct mr_stream *s)
{
    return s->close_delivered || s->finished ? 0 : s->readable;
}

size_t fake_window(const struct mr_stream *s)
{
    return s->readable < s->receive_budget ? s->receive_budget - s->readable : 0;
}

uint64_t fake_spliced(const struct mr_stream *s)
{
    return s->spliced;
}

bool fake_shutdown_seen(const struct mr_stream *s)
{
    return s->shutdown;
}

bool fake_aborted(const struct mr_stream *s)
{
    return s->aborted;
}

bool fake_reset_seen(const struct mr_stream *s)
{
    return s->aborted || s->unread_at_close;
}

bool fake_closed(const struct mr_stream *s)
{
    return s->close_delivered;
}

enum mr_close_reason fake_close_reason(const struct mr_stream *s)
{
    fake_demand(s->close_delivered, "the reason of a close that was not delivered");
    return s->reason;
}

unsigned fake_streams_open(const struct mr_worker *w)
{
    unsigned n = 0;
    for (const struct mr_stream *s = w->streams; s; s = s->next)
        n += !s->close_delivered;
    return n;
}
