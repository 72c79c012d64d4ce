#include "tests/support/queue_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/server.h"
#include "tests/support/fake_private.h"

/* -- a catalog that knows the queues of the test ------------------------------------------------------------------------------------ */

struct catalog {
    struct queue_world *world;
    const struct catalog_queue *routed[1];
};

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static bool span_is(struct mr_span s, const char *text)
{
    return s.length == strlen(text) && !memcmp(s.data, text, s.length);
}

const struct catalog_queue *catalog_queue_by_id(const struct catalog *c, uint64_t id)
{
    for (unsigned i = 0; i < c->world->queue_count; i++)
        if (c->world->queues[i]->declared.id == id)
            return &c->world->queues[i]->declared;
    return NULL;
}

const struct catalog_queue *catalog_queue_find(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    for (unsigned i = 0; !vhost && i < c->world->queue_count; i++)
        if (span_is(name, c->world->queues[i]->name))
            return &c->world->queues[i]->declared;
    return NULL;
}

/* One exchange, "": routes to the queue of that name. */
static const struct catalog_exchange default_exchange = {.type = EXCHANGE_DIRECT, .durable = true};

const struct catalog_exchange *catalog_exchange_find(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    return c && !vhost && !name.length ? &default_exchange : NULL;
}

unsigned catalog_route(struct catalog *c, const struct catalog_exchange *x, const struct mr_span *keys,
                       unsigned key_count, struct mr_span headers, const struct catalog_queue *const **out)
{
    assert(x == &default_exchange && key_count);
    (void)headers;
    c->routed[0] = catalog_queue_find(c, 0, keys[0]);
    *out = c->routed;
    return c->routed[0] != NULL;
}

const char *catalog_vhost_name(const struct catalog *c, unsigned vhost)
{
    return c && !vhost ? "/" : NULL;
}

void catalog_queue_each(const struct catalog *c, unsigned vhost,
                        void (*visit)(void *context, const struct catalog_queue *q), void *context)
{
    (void)vhost;
    for (unsigned i = 0; i < c->world->queue_count; i++)
        visit(context, &c->world->queues[i]->declared);
}

static void change_done(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    (void)here;
    change->done(change);
}

static void queue_forget(struct queue_world *x, unsigned i)
{
    free(x->queues[i]);
    x->queues[i] = x->queues[--x->queue_count];
}

static void change_decide(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    struct queue_world *x = here->catalog->world;
    assert(change->verb == CATALOG_QUEUE_DELETE);
    change->result = CATALOG_NOT_FOUND;
    if (x->refuse_deletes) {
        x->refuse_deletes--;
        change->result = CATALOG_NO_MEMORY;
    } else {
        for (unsigned i = 0; i < x->queue_count; i++)
            if (x->queues[i]->declared.id == change->queue_id) {
                assert(span_is(change->name, x->queues[i]->name));
                queue_removed(here, &x->queues[i]->declared);
                queue_forget(x, i);
                change->result = CATALOG_OK;
            }
    }
    change->item.run = change_done;
    broker_send(here, change->home->index, &change->item);
}

/* Decided at the owner, who alone asks for a deletion. */
void catalog_change(struct broker *b, struct catalog_change *change)
{
    change->item.run = change_decide;
    broker_send(b, b->index, &change->item);
}

void amqp_server_alarms_changed(struct broker *b)
{
    b->catalog->world->alarms_changed++;
}

/* -- life ------------------------------------------------------------------------------------------------------------------------------ */

void queue_world_init(struct queue_world *x)
{
    *x = (struct queue_world){.config = {.memory_max = 64u << 20,
                                         .segment_bytes = 1u << 20,
                                         .durability = QUEUE_FSYNC,
                                         .message_bytes_max = 16u << 20},
                              .next_id = 1,
                              .unix_offset_ns = INT64_C(1700000000) * 1000000000,
                              .now = 1000 * MR_SECOND};
}

static void log_advanced(void *context, struct qlog *log)
{
    queue_log_advanced(context, log);
}

static void log_state(void *context, int error)
{
    struct broker *b = context;
    broker_alarm_set(b, BROKER_ALARM_LOG, error || !qlog_ready(b->engine));
}

static void broker_begin(struct queue_world *x, unsigned i)
{
    struct broker *b = calloc(1, sizeof *b);
    assert(b);
    x->b[i] = x->shared.instance[i] = b;
    b->worker = x->w[i];
    b->counters = calloc(QUEUE_COUNTERS, sizeof *b->counters);
    b->shared = &x->shared;
    b->config = &x->config;
    b->index = i;
    b->workers = x->workers;
    b->unix_offset_ns = x->unix_offset_ns;
    b->catalog = calloc(1, sizeof *b->catalog);
    assert(b->counters && b->catalog);
    b->catalog->world = x;
    assert(memory_init(&b->memory, 2 * x->config.memory_max + (1u << 20), x->config.memory_max));
    assert(broker_shard_start(b));
    if (x->config.folder) {
        struct qlog_engine_options o = {
            .folder = x->config.folder, .pending_bytes_max = 8u << 20, .no_uring = !x->uring, .io = x->io};
        struct qlog_engine_hooks hooks = {log_advanced, log_state, b};
        int result = qlog_engine_open(&o, &hooks, b->worker, &b->engine);
        assert(result == MR_OK);
    }
    assert(queue_set_start(b));
}

void queue_world_start(struct queue_world *x, unsigned workers)
{
    x->workers = workers;
    x->shared = (struct broker_shared){.workers = workers, .config = &x->config, .node = "world"};
    for (unsigned i = 0; i < workers; i++) {
        x->w[i] = fake_worker_create();
        x->w[i]->now = x->now;
    }
    fake_group(x->w, workers);
    for (unsigned i = 0; i < workers; i++)
        broker_begin(x, i);
    for (unsigned i = 0; i < x->queue_count; i++) {
        struct catalog_queue *q = &x->queues[i]->declared;
        q->owner %= workers;
        queue_added(x->b[q->owner], q);
    }
    for (unsigned i = 0; i < workers; i++)
        queue_set_ready(x->b[i]);
}

static void broker_end(struct queue_world *x, unsigned i)
{
    struct broker *b = x->b[i];
    queue_set_release(b);
    if (b->engine)
        qlog_engine_close(b->engine);
    broker_shard_release(b);
    memory_release(&b->memory);
    free(b->catalog);
    free(b->counters);
    free(b);
    fake_worker_free(x->w[i]);
}

void queue_world_stop(struct queue_world *x)
{
    queue_world_settle(x);
    for (unsigned i = 0; i < x->workers; i++)
        queue_set_stop(x->b[i]);
    queue_world_settle(x);
    for (unsigned i = 0; i < x->workers; i++)
        if (x->b[i]->engine)
            qlog_engine_stop(x->b[i]->engine);
    queue_world_settle(x);
    for (unsigned i = 0; i < x->workers; i++)
        broker_end(x, i);
    for (unsigned i = 0; i < x->queue_count;)
        if (!x->queues[i]->declared.durable)
            queue_forget(x, i);
        else
            i++;
}

void queue_world_free(struct queue_world *x)
{
    while (x->queue_count)
        queue_forget(x, 0);
}

void queue_world_turn(struct queue_world *x, unsigned worker)
{
    fake_turn(x->w[worker]);
}

void queue_world_settle(struct queue_world *x)
{
    bool busy = true;
    for (unsigned n = 0; busy; n++) {
        assert(n < 1000000);
        busy = false;
        for (unsigned i = 0; i < x->workers; i++) {
            busy |= fake_worker_busy(x->w[i]);
            fake_turn(x->w[i]);
        }
    }
}

static void pass_to(struct queue_world *x, mr_time to)
{
    mr_time step = to - x->now;
    bool second = to / MR_SECOND != x->now / MR_SECOND;
    for (unsigned i = 0; i < x->workers; i++)
        fake_pass(x->w[i], step);
    x->now = to;
    for (unsigned i = 0; second && i < x->workers; i++)
        queue_set_second(x->b[i]);
    queue_world_settle(x);
}

/* In steps that keep the clocks of the workers together. */
void queue_world_pass(struct queue_world *x, uint64_t ms)
{
    const mr_time step = 100 * MR_MILLISECOND;
    mr_time end = x->now + (mr_time)ms * MR_MILLISECOND;
    while (x->now < end) {
        mr_time next = (x->now / step + 1) * step;
        pass_to(x, next < end ? next : end);
    }
}

uint64_t queue_world_unix_ms(const struct queue_world *x)
{
    return broker_unix_ms(x->b[0]);
}

void queue_world_check(const struct queue_world *x)
{
    for (unsigned i = 0; i < x->workers; i++)
        queue_set_check(x->b[i]);
}

/* -- queues ------------------------------------------------------------------------------------------------------------------------------ */

struct queue_arguments queue_world_arguments(void)
{
    return (struct queue_arguments){.message_ttl_ms = UINT64_MAX,
                                    .length_max = UINT64_MAX,
                                    .length_bytes_max = UINT64_MAX,
                                    .delivery_limit = UINT64_MAX,
                                    .durability = QUEUE_FSYNC};
}

static struct mr_span span_copy(char *to, size_t bytes, struct mr_span from)
{
    assert(from.length < bytes);
    if (from.length)
        memcpy(to, from.data, from.length);
    return (struct mr_span){(const uint8_t *)to, from.length};
}

const struct catalog_queue *queue_world_declare(struct queue_world *x, const char *name, unsigned owner, bool durable,
                                                const struct queue_arguments *a)
{
    struct queue_world_queue *q = calloc(1, sizeof *q);
    assert(q && x->queue_count < QUEUE_WORLD_QUEUES && strlen(name) < sizeof q->name);
    strcpy(q->name, name);
    q->declared = (struct catalog_queue){.id = x->next_id++,
                                         .owner = owner % x->workers,
                                         .durable = durable,
                                         .name = span_of(q->name),
                                         .arguments = a ? *a : queue_world_arguments()};
    struct queue_arguments *own = &q->declared.arguments;
    own->dead_letter_exchange =
        span_copy(q->dead_letter_exchange, sizeof q->dead_letter_exchange, own->dead_letter_exchange);
    own->dead_letter_key = span_copy(q->dead_letter_key, sizeof q->dead_letter_key, own->dead_letter_key);
    if (!durable)
        own->durability = QUEUE_MEMORY;
    x->queues[x->queue_count++] = q;
    queue_added(x->b[q->declared.owner], &q->declared);
    return &q->declared;
}

struct queue_world_queue *queue_world_find(const struct queue_world *x, const char *name)
{
    for (unsigned i = 0; i < x->queue_count; i++)
        if (!strcmp(x->queues[i]->name, name))
            return x->queues[i];
    return NULL;
}

static uint64_t id_of(const struct queue_world *x, const char *name)
{
    const struct queue_world_queue *q = queue_world_find(x, name);
    return q ? q->declared.id : UINT64_MAX;
}

struct queue *queue_world_queue(const struct queue_world *x, const char *name)
{
    const struct queue_world_queue *q = queue_world_find(x, name);
    return q ? queue_find(x->b[q->declared.owner], q->declared.id) : NULL;
}

/* -- publishing ---------------------------------------------------------------------------------------------------------------------------- */

struct sent {
    struct publication publication;
    struct queue_world *world;
    struct queue_world_publication *shown;
};

static void published(struct publication *p)
{
    struct sent *s = (struct sent *)p;
    s->world->rejected += p->rejected;
    s->world->failed += p->failed;
    s->world->confirmed += p->targets - p->rejected - p->failed;
    if (s->shown) {
        s->shown->answered = true;
        s->shown->targets = p->targets;
        s->shown->rejected = p->rejected;
        s->shown->failed = p->failed;
    }
    free(s);
}

static struct message *message_make(struct queue_world *x, unsigned worker, const char *name,
                                    const struct queue_world_message *from)
{
    static const uint8_t none[2];
    struct mr_span properties = from->properties.length ? from->properties : (struct mr_span){none, sizeof none};
    size_t bytes = from->body_bytes || !from->body ? from->body_bytes : strlen(from->body);
    struct message *m =
        message_create(&x->b[worker]->memory, (struct mr_span){NULL, 0}, span_of(name), properties, bytes);
    if (!m)
        return NULL;
    if (bytes && !message_append(m, from->body, bytes)) {
        message_drop(m);
        return NULL;
    }
    m->ttl_ms = from->has_ttl ? from->ttl_ms : m->ttl_ms;
    m->priority = from->priority;
    m->persistent = from->persistent;
    if (from->delay_ms)
        m->deliver_at_ms = queue_world_unix_ms(x) + from->delay_ms;
    message_seal(m, queue_world_unix_ms(x));
    return m;
}

bool queue_world_publish(struct queue_world *x, unsigned worker, const char *name, const struct queue_world_message *m,
                         struct queue_world_publication *shown)
{
    struct queue_world_queue *q = queue_world_find(x, name);
    struct message *message = q ? message_make(x, worker, name, m) : NULL;
    if (shown)
        *shown = (struct queue_world_publication){.answered = false};
    if (!message)
        return false;
    struct sent *s = calloc(1, sizeof *s);
    assert(s);
    s->world = x;
    s->shown = shown;
    s->publication = (struct publication){.home = x->b[worker], .message = message, .done = published};
    int targets = broker_publish_to(x->b[worker], &q->declared, &s->publication);
    if (targets <= 0) {
        message_drop(message);
        free(s);
    }
    return targets > 0;
}

bool queue_world_publish_text(struct queue_world *x, unsigned worker, const char *name, const char *text)
{
    return queue_world_publish(x, worker, name, &(struct queue_world_message){.body = text}, NULL);
}

/* -- requests ------------------------------------------------------------------------------------------------------------------------------ */

struct asked {
    bool answered;
    struct queue_request answer;
};

static void request_answered(struct queue_request *r)
{
    struct asked *asked = r->context;
    if (asked) {
        asked->answered = true;
        asked->answer = *r;
    }
    free(r);
}

static void send(struct queue_world *x, unsigned worker, uint64_t queue_id, const struct queue_request *from,
                 const uint64_t *entries, uint32_t n, struct asked *asked)
{
    struct queue_request *r = calloc(1, sizeof *r + n * sizeof *entries);
    assert(r);
    memcpy(r, from, sizeof *r);
    r->entry_count = n;
    if (n)
        memcpy(r->entries, entries, n * sizeof *entries);
    r->home = x->b[worker];
    r->queue_id = queue_id;
    r->done = request_answered;
    r->context = asked;
    queue_request_send(r);
}

void queue_world_send(struct queue_world *x, unsigned worker, uint64_t queue_id, const struct queue_request *r,
                      const uint64_t *entries, uint32_t n)
{
    send(x, worker, queue_id, r, entries, n, NULL);
}

struct queue_request queue_world_ask(struct queue_world *x, unsigned worker, const char *name,
                                     const struct queue_request *r, const uint64_t *entries, uint32_t n)
{
    struct asked asked = {.answered = false};
    send(x, worker, id_of(x, name), r, entries, n, &asked);
    for (unsigned turns = 0; !asked.answered; turns++) {
        assert(turns < 100000);
        for (unsigned i = 0; i < x->workers; i++)
            fake_turn(x->w[i]);
    }
    return asked.answer;
}

enum queue_result queue_world_settle_entry(struct queue_world *x, unsigned worker, const char *name, uint64_t entry,
                                           enum queue_settle how)
{
    return queue_world_ask(x, worker, name, &(struct queue_request){.verb = QUEUE_SETTLE, .settle = how}, &entry, 1)
        .result;
}

size_t queue_world_body(const struct message *m, char *text, size_t bytes)
{
    size_t used = 0;
    for (const struct message_piece *p = m->body; p; p = p->next)
        for (uint32_t i = 0; i < p->length && used + 1 < bytes; i++)
            text[used++] = (char)p->bytes[i];
    text[used] = 0;
    return used;
}

bool queue_world_get(struct queue_world *x, unsigned worker, const char *name, char *text, size_t bytes,
                     uint64_t *entry, bool *redelivered)
{
    struct queue_request r =
        queue_world_ask(x, worker, name, &(struct queue_request){.verb = QUEUE_GET, .no_ack = !entry}, NULL, 0);
    if (r.result != QUEUE_DONE)
        return false;
    queue_world_body(r.delivery->message, text, bytes);
    if (entry)
        *entry = r.delivery->entry;
    if (redelivered)
        *redelivered = r.delivery->redelivered;
    queue_delivery_return(r.delivery);
    return true;
}

struct queue_status queue_world_status(struct queue_world *x, const char *name)
{
    struct queue_status status = {0};
    queue_world_ask(x, 0, name, &(struct queue_request){.verb = QUEUE_STATUS, .status = &status}, NULL, 0);
    return status;
}

/* -- consumers ----------------------------------------------------------------------------------------------------------------------------- */

static void deliver(struct queue_subscriber *s, struct queue_delivery *d)
{
    struct queue_world_consumer *c = s->context;
    assert(!c->cancelled && d->item.to == s->home);
    if (!c->refuse) {
        if (c->count == c->room) {
            c->room = c->room ? 2 * c->room : 16;
            c->got = realloc(c->got, c->room * sizeof *c->got);
            assert(c->got);
        }
        struct queue_world_delivery *got = &c->got[c->count++];
        *got = (struct queue_world_delivery){
            .entry = d->entry, .deliveries = d->deliveries, .redelivered = d->redelivered};
        queue_world_body(d->message, got->body, sizeof got->body);
    }
    d->refused = c->refuse;
    if (c->hold) {
        d->next = NULL;
        *c->held_end = d;
        c->held_end = &d->next;
    } else {
        queue_delivery_return(d);
    }
}

static void cancelled(struct queue_subscriber *s)
{
    struct queue_world_consumer *c = s->context;
    assert(!c->cancelled);
    c->cancelled = true;
}

enum queue_result queue_world_consume(struct queue_world *x, struct queue_world_consumer *c, unsigned worker,
                                      const char *name, const struct queue_request *options)
{
    bool hold = c->hold, refuse = c->refuse;
    *c = (struct queue_world_consumer){.world = x, .worker = worker, .hold = hold, .refuse = refuse};
    c->subscriber =
        (struct queue_subscriber){.home = x->b[worker], .deliver = deliver, .cancelled = cancelled, .context = c};
    c->held_end = &c->held;
    snprintf(c->queue, sizeof c->queue, "%s", name);
    struct queue_request r = options ? *options : (struct queue_request){.verb = QUEUE_CONSUME};
    r.verb = QUEUE_CONSUME;
    r.subscriber = &c->subscriber;
    return queue_world_ask(x, worker, name, &r, NULL, 0).result;
}

enum queue_result queue_world_cancel(struct queue_world_consumer *c)
{
    struct queue_request r = {.verb = QUEUE_CANCEL, .subscriber = &c->subscriber};
    return queue_world_ask(c->world, c->worker, c->queue, &r, NULL, 0).result;
}

unsigned queue_world_return(struct queue_world_consumer *c, unsigned n)
{
    unsigned given = 0;
    for (; c->held && given < n; given++) {
        struct queue_delivery *d = c->held;
        if (!(c->held = d->next))
            c->held_end = &c->held;
        queue_delivery_return(d);
    }
    return given;
}

void queue_world_consumer_free(struct queue_world_consumer *c)
{
    free(c->got);
    c->got = NULL;
    c->count = c->room = 0;
}
