#include "tests/support/fake_stream.h"

#include <millrace/turn.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BUDGET (256u << 10)

struct piece { /* received, unread */
    struct piece *next;
    uint8_t *bytes;
    size_t length, taken;
};

struct lend {
    struct lend *next;
    const void *data;
    size_t length;
    uint64_t end; /* in the stream of sent bytes */
    uint64_t sum; /* of the bytes, which must not change */
    void (*release)(void *argument);
    void *argument;
};

struct job {
    struct job *next;
    struct mr_worker *to; /* of a held message */
    mr_message_fn done;
    void *argument;
};

#define LISTENERS_MAX 2 /* of one service */
struct mr_listener {
    const struct mr_stream_handler *handler;
    void *context;
    bool open;
};

struct mr_port {
    struct mr_worker *worker;
    const struct mr_datagram_handler *handler;
    void *context;
    struct mr_endpoint local;
    bool open;
};

struct mr_worker {
    mr_time now;
    struct mr_deferred *deferred;
    const char *service_name; /* what mr_service_find finds */
    void *service_state;
    struct mr_timer *timers; /* unsorted, chained through node.next */
    pthread_mutex_t jobs_lock; /* workers may be turned by threads of their own */
    struct job *jobs, **jobs_end;
    struct job *held, **held_end; /* messages posted while on hold */
    struct mr_worker *const *group;
    unsigned index, count;
    bool post_hold;
    struct mr_stream *streams;
    struct mr_listener listener[LISTENERS_MAX];
    struct mr_port port;
    bool refuse, hold;
    unsigned sent_datagrams;
    struct mr_datagram last;
    uint8_t last_bytes[2048];
    uint64_t random;
};

struct mr_stream {
    struct mr_stream *next;
    struct mr_worker *worker;
    const struct mr_stream_handler *handler;
    void *context;
    struct piece *pieces, **pieces_end;
    size_t readable;
    bool peer_ended, shutdown, finished; /* finished: closed or aborted by the service */
    bool aborted, close_delivered, refused, throttled;
    uint64_t sent, acknowledged;
    size_t budget;
    struct lend *lends, **lends_end;
    char *output;
    size_t output_length, output_room;
};

static _Noreturn void broken(const char *rule)
{
    fprintf(stderr, "fake stream: the service broke a rule: %s\n", rule);
    abort();
}

static void demand(bool holds, const char *rule)
{
    if (!holds)
        broken(rule);
}

static uint64_t sum_of(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Worker. */

struct mr_worker *fake_worker_create(void)
{
    struct mr_worker *w = calloc(1, sizeof *w);
    w->now = 1000 * MR_SECOND;
    pthread_mutex_init(&w->jobs_lock, NULL);
    w->jobs_end = &w->jobs;
    w->held_end = &w->held;
    w->count = 1;
    w->random = 42;
    return w;
}

static void stream_free(struct mr_stream *s)
{
    while (s->pieces) {
        struct piece *p = s->pieces;
        s->pieces = p->next;
        free(p->bytes);
        free(p);
    }
    free(s->output);
    free(s);
}

void fake_worker_free(struct mr_worker *w)
{
    while (w->streams) {
        struct mr_stream *s = w->streams;
        demand(s->close_delivered, "a stream is left open");
        demand(!s->lends, "a lend was not released");
        w->streams = s->next;
        stream_free(s);
    }
    demand(!w->jobs && !w->held, "work is left with offload threads");
    demand(!w->timers, "a timer is left armed");
    for (unsigned i = 0; i < LISTENERS_MAX; i++)
        demand(!w->listener[i].open, "a listener is left open");
    demand(!w->port.open, "a port is left open");
    free(w);
}

mr_time mr_now(const struct mr_worker *w)
{
    return w->now;
}

uint64_t mr_random(struct mr_worker *w)
{
    return w->random = w->random * 6364136223846793005u + 1442695040888963407u;
}

unsigned mr_worker_index(const struct mr_worker *w)
{
    return w->index;
}

unsigned mr_worker_count(const struct mr_worker *w)
{
    return w->count;
}

size_t mr_worker_status(const struct mr_worker *w, char *text, size_t bytes)
{
    return (size_t)snprintf(text, bytes, "fake_worker 1\n");
}

void mr_log(enum mr_log_level level, const char *area, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", area);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* Timers. */

void fake_service_add(struct mr_worker *w, const char *name, void *state)
{
    w->service_name = name;
    w->service_state = state;
}

void *mr_service_find(const struct mr_worker *w, const char *name)
{
    return w->service_name && !strcmp(w->service_name, name) ? w->service_state : NULL;
}

void mr_defer(struct mr_worker *w, struct mr_deferred *d)
{
    struct mr_deferred **end = &w->deferred;
    if (d->queued)
        return;
    while (*end)
        end = &(*end)->next;
    d->queued = true;
    d->next = NULL;
    *end = d;
}

/* Every event of a stream is a turn of its own. */
static void deferred_run(struct mr_worker *w)
{
    struct mr_deferred *d = w->deferred;
    w->deferred = NULL;
    while (d) {
        struct mr_deferred *next = d->next;
        d->queued = false;
        d->run(w, d);
        d = next;
    }
}

void mr_timer_init(struct mr_timer *t, void (*expired)(struct mr_worker *w, struct mr_timer *t), void *context)
{
    *t = (struct mr_timer){.expired = expired, .context = context};
}

void mr_timer_cancel(struct mr_worker *w, struct mr_timer *t)
{
    if (!t->node.link)
        return;
    struct mr_timer **link = &w->timers;
    while (*link && *link != t)
        link = (struct mr_timer **)&(*link)->node.next;
    demand(*link == t, "a timer was overwritten while armed");
    *link = (struct mr_timer *)t->node.next;
    t->node.link = NULL;
}

void mr_timer_set(struct mr_worker *w, struct mr_timer *t, mr_time deadline)
{
    mr_timer_cancel(w, t);
    t->node.deadline = deadline;
    t->node.next = (struct mr_wheel_node *)w->timers;
    t->node.link = &t->node.next; /* only says that it is armed */
    w->timers = t;
}

static void timers_run(struct mr_worker *w)
{
    for (struct mr_timer *t = w->timers; t;) {
        if (t->node.deadline > w->now) {
            t = (struct mr_timer *)t->node.next;
            continue;
        }
        mr_timer_cancel(w, t);
        t->expired(w, t);
        t = w->timers; /* it may have set or cancelled others */
    }
}

/* Offload. */

int mr_offload(struct mr_worker *w, void (*work)(void *argument), mr_message_fn done, void *argument)
{
    if (w->refuse)
        return MR_ERROR_NO_MEMORY;
    struct job *job = malloc(sizeof *job);
    *job = (struct job){NULL, w, done, argument};
    *w->jobs_end = job;
    w->jobs_end = &job->next;
    work(argument);
    return MR_OK;
}

int mr_post(struct mr_worker *from, unsigned target, mr_message_fn fn, void *argument)
{
    struct mr_worker *to = from->group ? from->group[target] : from;
    demand(target < mr_worker_count(from), "a message to no worker");
    struct job *job = malloc(sizeof *job);
    *job = (struct job){NULL, to, fn, argument};
    struct job ***end = from->post_hold ? &from->held_end : &to->jobs_end;
    pthread_mutex_lock(&to->jobs_lock);
    **end = job;
    *end = &job->next;
    pthread_mutex_unlock(&to->jobs_lock);
    return MR_OK;
}

void fake_group(struct mr_worker *const *workers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        workers[i]->group = workers;
        workers[i]->index = i;
        workers[i]->count = n;
    }
}

bool fake_worker_busy(const struct mr_worker *w)
{
    return w->jobs || w->held || w->deferred;
}

void fake_post_hold(struct mr_worker *w, bool hold)
{
    w->post_hold = hold;
    while (!hold && w->held) {
        struct job *job = w->held;
        w->held = job->next;
        job->next = NULL;
        *job->to->jobs_end = job;
        job->to->jobs_end = &job->next;
    }
    if (!w->held)
        w->held_end = &w->held;
}

static void jobs_run(struct mr_worker *w)
{
    if (w->hold)
        return;
    pthread_mutex_lock(&w->jobs_lock);
    struct job *batch = w->jobs;
    w->jobs = NULL;
    w->jobs_end = &w->jobs;
    pthread_mutex_unlock(&w->jobs_lock);
    while (batch) {
        struct job *next = batch->next;
        batch->done(w, batch->argument);
        free(batch);
        batch = next;
    }
}

void fake_offload_refuse(struct mr_worker *w, bool refuse)
{
    w->refuse = refuse;
}

void fake_offload_hold(struct mr_worker *w, bool hold)
{
    w->hold = hold;
}

/* Streams: the service's side. */

static const struct mr_stream *usable(const struct mr_stream *s)
{
    demand(!s->close_delivered, "a stream was used after its on_close");
    demand(!s->finished, "a stream was used after mr_stream_close or mr_stream_abort");
    return s;
}

void *mr_stream_context(const struct mr_stream *s)
{
    return s->context;
}

void mr_stream_set_context(struct mr_stream *s, void *context)
{
    s->context = context;
}

void mr_stream_local(const struct mr_stream *s, struct mr_endpoint *out)
{
    *out = (struct mr_endpoint){mr_address_ip4(0xc6120002), 1};
}

void mr_stream_remote(const struct mr_stream *s, struct mr_endpoint *out)
{
    *out = (struct mr_endpoint){mr_address_ip4(0xc6120001), 40000};
}

struct mr_worker *mr_stream_worker(const struct mr_stream *s)
{
    return s->worker;
}

unsigned mr_stream_peek(const struct mr_stream *s, struct mr_span *spans, unsigned max)
{
    unsigned n = 0;
    for (struct piece *p = usable(s)->pieces; p && n < max; p = p->next)
        spans[n++] = (struct mr_span){p->bytes + p->taken, p->length - p->taken};
    return n;
}

void mr_stream_consume(struct mr_stream *s, size_t n)
{
    demand(n <= usable(s)->readable, "more was consumed than is readable");
    s->readable -= n;
    while (n > 0) {
        struct piece *p = s->pieces;
        size_t part = p->length - p->taken < n ? p->length - p->taken : n;
        p->taken += part;
        n -= part;
        if (p->taken < p->length)
            continue;
        if (!(s->pieces = p->next))
            s->pieces_end = &s->pieces;
        free(p->bytes);
        free(p);
    }
}

size_t mr_stream_readable(const struct mr_stream *s)
{
    return usable(s)->readable;
}

bool mr_stream_ended(const struct mr_stream *s)
{
    return usable(s)->peer_ended && s->readable == 0;
}

size_t mr_stream_unacknowledged(const struct mr_stream *s)
{
    return (size_t)(usable(s)->sent - s->acknowledged);
}

size_t mr_stream_send_room(const struct mr_stream *s)
{
    size_t out = mr_stream_unacknowledged(s);
    return s->shutdown || out >= s->budget ? 0 : s->budget - out;
}

static void record(struct mr_stream *s, const void *data, size_t n)
{
    if (s->output_length + n + 1 > s->output_room) {
        s->output_room = (s->output_length + n + 1) * 2;
        s->output = realloc(s->output, s->output_room);
    }
    memcpy(s->output + s->output_length, data, n);
    s->output_length += n;
    s->output[s->output_length] = 0;
    s->sent += n;
}

size_t mr_stream_send(struct mr_stream *s, const void *data, size_t n)
{
    demand(!usable(s)->shutdown, "data was sent after mr_stream_shutdown");
    size_t room = mr_stream_send_room(s), taken = n < room ? n : room;
    record(s, data, taken);
    s->refused |= taken < n;
    return taken;
}

bool mr_stream_lend(struct mr_stream *s, const void *data, size_t n, void (*release)(void *argument), void *argument)
{
    demand(!usable(s)->shutdown, "data was lent after mr_stream_shutdown");
    demand(n > 0, "nothing was lent");
    if (n > mr_stream_send_room(s) && mr_stream_unacknowledged(s) > 0) {
        s->refused = true;
        return false;
    }
    record(s, data, n);
    struct lend *l = malloc(sizeof *l);
    *l = (struct lend){NULL, data, n, s->sent, sum_of(data, n), release, argument};
    *s->lends_end = l;
    s->lends_end = &l->next;
    return true;
}

static void lends_release(struct mr_stream *s, uint64_t upto)
{
    while (s->lends && s->lends->end <= upto) {
        struct lend *l = s->lends;
        demand(sum_of(l->data, l->length) == l->sum, "lent bytes changed before their release");
        if (!(s->lends = l->next))
            s->lends_end = &s->lends;
        l->release(l->argument);
        free(l);
    }
}

void mr_stream_shutdown(struct mr_stream *s)
{
    usable(s);
    s->shutdown = true;
}

void mr_stream_close(struct mr_stream *s)
{
    usable(s);
    s->finished = s->shutdown = true;
}

void mr_stream_abort(struct mr_stream *s)
{
    usable(s);
    s->finished = s->aborted = true;
}

/* Streams: the peer's side. */

static void deliver_close(struct mr_stream *s, enum mr_close_reason reason)
{
    if (s->close_delivered)
        return;
    lends_release(s, UINT64_MAX);
    s->handler->on_close(s, reason);
    s->close_delivered = true;
}

/* What the stack would do by itself: end a connection whose both sides have ended. */
static void settle(struct mr_stream *s)
{
    if (s->aborted || (s->finished && s->acknowledged == s->sent))
        deliver_close(s, MR_CLOSE_LOCAL);
    else if (s->shutdown && s->peer_ended && s->readable == 0 && s->acknowledged == s->sent)
        deliver_close(s, MR_CLOSE_DONE);
}

struct mr_stream *fake_open(struct mr_worker *w)
{
    return fake_open_listener(w, 0);
}

struct mr_stream *fake_open_listener(struct mr_worker *w, unsigned index)
{
    demand(index < LISTENERS_MAX && w->listener[index].open, "nothing listens");
    struct mr_stream *s = calloc(1, sizeof *s);
    s->worker = w;
    s->handler = w->listener[index].handler;
    s->context = w->listener[index].context;
    s->pieces_end = &s->pieces;
    s->lends_end = &s->lends;
    s->budget = DEFAULT_BUDGET;
    s->output = calloc(1, s->output_room = 64);
    s->next = w->streams;
    w->streams = s;
    if (s->handler->on_open)
        s->handler->on_open(s);
    deferred_run(w);
    settle(s);
    return s;
}

void fake_input_quietly(struct mr_stream *s, const void *data, size_t n)
{
    if (s->close_delivered || s->finished || n == 0)
        return; /* the stack answers with a reset, the service hears nothing */
    struct piece *p = malloc(sizeof *p);
    *p = (struct piece){NULL, malloc(n), n, 0};
    memcpy(p->bytes, data, n);
    *s->pieces_end = p;
    s->pieces_end = &p->next;
    s->readable += n;
}

static void tell_data(struct mr_stream *s)
{
    if (!s->close_delivered && !s->finished && s->handler->on_data)
        s->handler->on_data(s);
    deferred_run(s->worker);
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
    s->peer_ended = true;
    tell_data(s);
}

void fake_reset(struct mr_stream *s)
{
    deliver_close(s, MR_CLOSE_RESET);
}

void fake_throttle(struct mr_stream *s, size_t budget)
{
    s->throttled = true;
    s->budget = budget;
}

void fake_acknowledge(struct mr_stream *s, size_t n)
{
    if (s->close_delivered)
        return;
    uint64_t out = s->sent - s->acknowledged;
    s->acknowledged += n < out ? n : out;
    lends_release(s, s->acknowledged);
    if (s->refused && !s->finished && s->sent - s->acknowledged < s->budget) {
        s->refused = false;
        if (s->handler->on_writable)
            s->handler->on_writable(s);
        deferred_run(s->worker);
    }
    settle(s);
}

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

bool fake_shutdown_seen(const struct mr_stream *s)
{
    return s->shutdown;
}

bool fake_aborted(const struct mr_stream *s)
{
    return s->aborted;
}

bool fake_closed(const struct mr_stream *s)
{
    return s->close_delivered;
}

unsigned fake_streams_open(const struct mr_worker *w)
{
    unsigned n = 0;
    for (const struct mr_stream *s = w->streams; s; s = s->next)
        n += !s->close_delivered;
    return n;
}

void fake_turn(struct mr_worker *w)
{
    jobs_run(w);
    timers_run(w);
    deferred_run(w);
    for (struct mr_stream *s = w->streams; s; s = s->next) {
        if (!s->throttled)
            while (!s->close_delivered && s->acknowledged < s->sent)
                fake_acknowledge(s, SIZE_MAX);
        settle(s);
    }
}

void fake_pass(struct mr_worker *w, mr_time duration)
{
    const mr_time step = 100 * MR_MILLISECOND;
    for (; duration > 0; duration -= duration < step ? duration : step) {
        w->now += duration < step ? duration : step;
        fake_turn(w);
    }
}

int mr_listen(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_stream_handler *handler,
              const struct mr_stream_options *options, void *context, struct mr_listener **out)
{
    for (unsigned i = 0; i < LISTENERS_MAX; i++)
        if (!w->listener[i].open) {
            w->listener[i] = (struct mr_listener){handler, context, true};
            *out = &w->listener[i];
            return MR_OK;
        }
    return MR_ERROR_IN_USE;
}

void mr_listener_close(struct mr_listener *l)
{
    demand(l->open, "a listener was closed twice");
    l->open = false;
}

/* Datagrams. */

int mr_datagram_open(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_datagram_handler *handler,
                     void *context, struct mr_port **out)
{
    if (w->port.open)
        return MR_ERROR_IN_USE;
    w->port = (struct mr_port){w, handler, context, *local, true};
    *out = &w->port;
    return MR_OK;
}

unsigned mr_datagram_send(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        demand(burst[i].payload.length <= sizeof p->worker->last_bytes, "a datagram longer than the test's");
        p->worker->last = burst[i];
        memcpy(p->worker->last_bytes, burst[i].payload.data, burst[i].payload.length);
        p->worker->last.payload.data = p->worker->last_bytes;
        p->worker->sent_datagrams++;
    }
    return n;
}

void mr_datagram_close(struct mr_port *p)
{
    demand(p->open, "a port was closed twice");
    p->open = false;
}

void *mr_port_context(const struct mr_port *p)
{
    return p->context;
}

struct mr_worker *mr_port_worker(const struct mr_port *p)
{
    return p->worker;
}

void fake_datagram(struct mr_worker *w, const struct mr_endpoint *remote, const void *data, size_t n)
{
    struct mr_datagram d = {w->port.local, *remote, {data, n}};
    w->port.handler->on_datagrams(&w->port, &d, 1);
}

unsigned fake_datagrams_sent(const struct mr_worker *w, struct mr_datagram *last)
{
    if (last)
        *last = w->last;
    return w->sent_datagrams;
}
