/* Publishing: a message of the caller's bytes, routed as any other. */
#include <stdio.h>
#include <string.h>

#include "queue/amqp/wire.h"
#include "queue/interface/interface.h"

struct publishing {
    struct publication publication;
    mr_queue_done_fn done;
    void *context;
};

#define PROPERTIES_MAX 2048 /* five short strings and some numbers */

/* As on the wire; 0: it does not fit, which spans of at most 255 bytes do. */
static size_t properties_emit(const struct mr_queue_message *m, uint8_t *to)
{
    char expiration[24];
    struct amqp_properties p = {.content_type = m->content_type,
                                .correlation_id = m->correlation_id,
                                .reply_to = m->reply_to,
                                .message_id = m->message_id,
                                .delivery_mode = m->transient ? 1 : 2,
                                .priority = m->priority,
                                .flags = AMQP_DELIVERY_MODE};
    p.flags |= m->content_type.length ? AMQP_CONTENT_TYPE : 0;
    p.flags |= m->correlation_id.length ? AMQP_CORRELATION_ID : 0;
    p.flags |= m->reply_to.length ? AMQP_REPLY_TO : 0;
    p.flags |= m->message_id.length ? AMQP_MESSAGE_ID : 0;
    p.flags |= m->priority ? AMQP_PRIORITY : 0;
    if (m->ttl_ms) {
        int n = snprintf(expiration, sizeof expiration, "%llu", (unsigned long long)m->ttl_ms);
        p.expiration = (struct mr_span){(const uint8_t *)expiration, (size_t)n};
        p.flags |= AMQP_EXPIRATION;
    }
    return amqp_properties_emit(to, PROPERTIES_MAX, &p);
}

static struct message *message_make(struct broker *b, const struct mr_queue_message *from)
{
    uint8_t bytes[PROPERTIES_MAX];
    struct mr_span properties = {bytes, properties_emit(from, bytes)};
    uint64_t now_ms = broker_unix_ms(b);
    struct message *m = message_create(&b->memory, from->exchange, from->key, properties, from->body.length);
    if (m && from->body.length && !message_append(m, from->body.data, from->body.length)) {
        message_drop(m);
        return NULL;
    }
    if (m && from->delay_ms)
        m->deliver_at_ms = now_ms + from->delay_ms;
    if (m)
        message_seal(m, now_ms);
    return m;
}

static bool publishable(const struct broker *b, const struct mr_queue_message *m)
{
    return interface_name_fits(m->exchange) && interface_name_fits(m->key) && interface_name_fits(m->content_type) &&
           interface_name_fits(m->correlation_id) && interface_name_fits(m->reply_to) &&
           interface_name_fits(m->message_id) && m->body.length <= b->config->message_bytes_max &&
           m->delay_ms < INT64_MAX / 2;
}

static void published(struct publication *publication)
{
    struct publishing *p = (struct publishing *)publication, was = *p;
    struct broker *b = publication->home;
    enum mr_queue_outcome outcome = publication->rejected ? MR_QUEUE_REFUSED
                                    : publication->failed ? MR_QUEUE_NO_MEMORY
                                                          : MR_QUEUE_DONE;
    b->counters[outcome == MR_QUEUE_DONE ? QUEUE_COUNTER_CONFIRMED : QUEUE_COUNTER_REFUSED]++;
    memory_free(&b->memory, p, sizeof *p);
    if (was.done)
        was.done(was.context, outcome);
}

/* MR_OK: `p` and its message are taken. */
static int publish_to(struct mr_queues *q, const struct catalog_exchange *x, struct publishing *p)
{
    struct broker *b = q->broker;
    struct message *m = p->publication.message;
    struct mr_span key = message_routing_key(m);
    uint64_t bytes = m->body_bytes;
    int count = broker_publish(b, q->vhost, x, &key, 1, &p->publication);
    if (count < 0 || (count == 0 && interface_say(b, MR_QUEUE_UNROUTED, p->done, p->context) != MR_OK))
        return MR_ERROR_NO_MEMORY;
    if (count == 0) {
        message_drop(m);
        memory_free(&b->memory, p, sizeof *p);
    }
    b->counters[QUEUE_COUNTER_PUBLISHED]++;
    b->counters[QUEUE_COUNTER_PUBLISHED_BYTES] += bytes;
    b->counters[QUEUE_COUNTER_UNROUTED] += count == 0;
    broker_memory_look(b);
    return MR_OK;
}

static void ignore(void *context, enum mr_queue_outcome outcome)
{
}

int mr_queue_publish(struct mr_queues *q, const struct mr_queue_message *m, mr_queue_done_fn done, void *context)
{
    struct broker *b = q->broker;
    const struct catalog_exchange *x;
    if (!publishable(b, m))
        return MR_ERROR_INVALID;
    if (b->alarms || b->stopping)
        return MR_ERROR_NO_MEMORY; /* as connections are held up */
    if (!done)
        done = ignore;
    x = catalog_exchange_find(b->catalog, q->vhost, m->exchange);
    if (!x || x->internal)
        return interface_say(b, x ? MR_QUEUE_REFUSED : MR_QUEUE_NOT_FOUND, done, context);
    struct publishing *p = memory_alloc(&b->memory, sizeof *p);
    struct message *made = p ? message_make(b, m) : NULL;
    int error = MR_ERROR_NO_MEMORY;
    if (made) {
        *p = (struct publishing){
            .publication = {.home = b, .message = made, .done = published}, .done = done, .context = context};
        error = publish_to(q, x, p);
    }
    if (error == MR_OK)
        return MR_OK;
    if (made)
        message_drop(made);
    if (p)
        memory_free(&b->memory, p, sizeof *p);
    return error;
}
