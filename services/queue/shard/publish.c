/* A message into its queues: routed by the replica of the publisher's worker, one struct queue_put for each queue, sent to its owner; the
 * last answer ends the publication. */
#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"
#include "queue/core/queue.h"

#define PARTS_MAX 512u /* puts of one allocation: a fan-out to more takes several */

struct publication_parts {
    struct publication_parts *next;
    unsigned count;
    struct publication copy; /* where nobody waits; of the first alone */
    struct queue_put puts[];
};
_Static_assert(sizeof(struct publication_parts) + PARTS_MAX * sizeof(struct queue_put) <= MEMORY_LARGEST,
               "one allocation");

static size_t parts_bytes(unsigned count)
{
    return sizeof(struct publication_parts) + count * sizeof(struct queue_put);
}

static void parts_free(struct memory *memory, struct publication_parts *parts)
{
    while (parts) {
        struct publication_parts *next = parts->next;
        memory_free(memory, parts, parts_bytes(parts->count));
        parts = next;
    }
}

static struct publication_parts *parts_create(struct memory *memory, unsigned count)
{
    struct publication_parts *first = NULL;
    while (count) {
        unsigned n = count < PARTS_MAX ? count : PARTS_MAX;
        struct publication_parts *parts = memory_alloc(memory, parts_bytes(n));
        if (!parts) {
            parts_free(memory, first);
            return NULL;
        }
        parts->next = first;
        parts->count = n;
        first = parts;
        count -= n;
    }
    return first;
}

static int parts_send(struct broker *b, const struct catalog_queue *const *queues, unsigned count,
                      struct publication *p)
{
    struct publication_parts *parts = parts_create(&b->memory, count);
    if (!parts)
        return -1;
    if (!p->done) {
        parts->copy = *p;
        p = &parts->copy;
    }
    p->parts = parts;
    p->targets = p->missing = count;
    p->rejected = p->failed = 0;
    for (unsigned i = 0; parts; parts = parts->next)
        for (unsigned j = 0; j < parts->count; j++, i++) {
            parts->puts[j] = (struct queue_put){
                .item = {.run = queue_put_arrived}, .publication = p, .queue_id = queues[i]->id, .message = p->message};
            broker_send(b, queues[i]->owner, &parts->puts[j].item);
        }
    return (int)count;
}

void broker_put_answered(struct broker *home, struct broker_item *item)
{
    struct queue_put *put = (struct queue_put *)item;
    struct publication *p = put->publication;
    p->rejected += put->result == PUT_REJECTED;
    p->failed += put->result == PUT_FAILED;
    if (--p->missing)
        return;
    void (*done)(struct publication *) = p->done;
    struct message *m = p->message;
    p->message = NULL;
    message_drop(m);
    parts_free(&home->memory, p->parts); /* with it `p`, where nobody waits */
    if (done)
        done(p);
}

static struct mr_span headers_of(const struct message *m)
{
    struct mr_span all = message_properties(m);
    struct amqp_properties p;
    if (all.length < 2 || !(all.data[0] & AMQP_HEADERS >> 8) || amqp_properties_parse(all, &p))
        return (struct mr_span){NULL, 0};
    return p.headers;
}

void broker_delay_obey(const struct catalog_exchange *x, struct message *m, struct mr_span headers)
{
    struct amqp_value v;
    int64_t delay_ms;
    if (x->delayed && !m->deliver_at_ms && amqp_table_find(headers, "x-delay", &v) &&
        amqp_value_integer(&v, &delay_ms) && delay_ms > 0)
        m->deliver_at_ms = m->published_ms + (uint64_t)delay_ms;
}

int broker_publish(struct broker *b, unsigned vhost, const struct catalog_exchange *exchange,
                   const struct mr_span *keys, unsigned key_count, struct publication *p)
{
    const struct catalog_queue *const *queues;
    struct mr_span headers = headers_of(p->message);
    (void)vhost; /* the exchange knows it */
    broker_delay_obey(exchange, p->message, headers);
    unsigned count = catalog_route(b->catalog, exchange, keys, key_count, headers, &queues);
    return count ? parts_send(b, queues, count, p) : 0;
}

int broker_publish_to(struct broker *b, const struct catalog_queue *queue, struct publication *p)
{
    return parts_send(b, &queue, 1, p);
}
