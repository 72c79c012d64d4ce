/* What every call of the C interface needs: virtual hosts, names, answers, a message as it is shown. */
#include "queue/interface/interface.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "queue/amqp/wire.h"
#include "queue/log/log.h"

/* -- life --------------------------------------------------------------------------------------------------------------------- */

static struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

bool interface_start(struct broker *b)
{
    const struct queue_config *config = b->config;
    struct interface *i = calloc(1, sizeof *i + config->vhost_count * sizeof i->hosts[0]);
    if (!i)
        return false;
    /* Touched by large messages alone, and as far as they reach. */
    void *scratch = mmap(NULL, config->message_bytes_max, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED) {
        free(i);
        return false;
    }
    i->scratch = scratch;
    i->host_count = config->vhost_count;
    i->delivery_last = mr_random(b->worker) >> 28; /* with the worker's 6 bits no more than a JSON number holds */
    for (unsigned k = 0; k < i->host_count; k++)
        i->hosts[k] = (struct mr_queues){b, catalog_vhost_find(b->catalog, span_of(config->vhosts[k].name))};
    b->interface = i;
    return true;
}

void interface_stop(struct broker *b)
{
    for (unsigned k = 0; k < INTERFACE_HELD_BUCKETS; k++)
        for (struct interface_held *h = b->interface->held[k]; h; h = h->next)
            mr_timer_cancel(b->worker, &h->timer);
}

void interface_release(struct broker *b)
{
    struct interface *i = b->interface;
    for (unsigned k = 0; k < INTERFACE_HELD_BUCKETS; k++)
        while (i->held[k])
            interface_held_forget(i->held[k]);
    munmap(i->scratch, b->config->message_bytes_max);
    free(i);
    b->interface = NULL;
}

/* -- finding ------------------------------------------------------------------------------------------------------------------- */

struct mr_queues *mr_queues_find_host(struct mr_worker *w, struct mr_span name)
{
    struct broker *b = mr_service_find(w, queue_service.name);
    unsigned vhost = b ? catalog_vhost_find(b->catalog, name) : UINT32_MAX;
    for (unsigned k = 0; b && vhost != UINT32_MAX && k < b->interface->host_count; k++)
        if (b->interface->hosts[k].vhost == vhost)
            return &b->interface->hosts[k];
    return NULL;
}

struct mr_queues *mr_queues_find(struct mr_worker *w)
{
    return mr_queues_find_host(w, span_of("/"));
}

const struct catalog_queue *interface_queue(const struct mr_queues *q, struct mr_span name,
                                            enum mr_queue_outcome *outcome)
{
    const struct catalog_queue *found = catalog_queue_find(q->broker->catalog, q->vhost, name);
    *outcome = !found ? MR_QUEUE_NOT_FOUND : found->exclusive ? MR_QUEUE_IN_USE : MR_QUEUE_DONE;
    return *outcome == MR_QUEUE_DONE ? found : NULL;
}

/* -- answers -------------------------------------------------------------------------------------------------------------------- */

enum mr_queue_outcome interface_outcome(enum queue_result result)
{
    static const enum mr_queue_outcome outcomes[] = {
        [QUEUE_DONE] = MR_QUEUE_DONE,
        [QUEUE_EMPTY] = MR_QUEUE_EMPTY,
        [QUEUE_GONE] = MR_QUEUE_NOT_FOUND,
        [QUEUE_ACCESS_REFUSED] = MR_QUEUE_IN_USE,
        [QUEUE_IN_USE] = MR_QUEUE_IN_USE,
        [QUEUE_NOT_EMPTY] = MR_QUEUE_IN_USE,
        [QUEUE_UNKNOWN_TAG] = MR_QUEUE_REFUSED,
        [QUEUE_NO_MEMORY] = MR_QUEUE_NO_MEMORY,
        [QUEUE_UNREADABLE] = MR_QUEUE_NO_MEMORY,
    };
    return outcomes[result];
}

struct saying {
    struct broker_item item;
    enum mr_queue_outcome outcome;
    mr_queue_done_fn done;
    mr_queue_message_fn message;
    void *context;
};

static void say(struct broker *here, struct broker_item *item)
{
    struct saying s = *(struct saying *)item;
    memory_free(&here->memory, item, sizeof s);
    if (s.done)
        s.done(s.context, s.outcome);
    else
        s.message(s.context, s.outcome, NULL);
}

static int say_later(struct broker *b, const struct saying *what)
{
    struct saying *s = memory_alloc(&b->memory, sizeof *s);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    *s = *what;
    s->item.run = say;
    broker_send(b, b->index, &s->item);
    return MR_OK;
}

int interface_say(struct broker *b, enum mr_queue_outcome outcome, mr_queue_done_fn done, void *context)
{
    return say_later(b, &(struct saying){.outcome = outcome, .done = done, .context = context});
}

int interface_say_message(struct broker *b, enum mr_queue_outcome outcome, mr_queue_message_fn done, void *context)
{
    return say_later(b, &(struct saying){.outcome = outcome, .message = done, .context = context});
}

/* -- requests ------------------------------------------------------------------------------------------------------------------- */

struct queue_request *interface_request(struct broker *b, uint64_t queue_id, enum queue_verb verb, unsigned entries,
                                        void (*done)(struct queue_request *r), void *context)
{
    struct queue_request *r = memory_alloc(&b->memory, sizeof *r + entries * sizeof r->entries[0]);
    if (r)
        *r = (struct queue_request){
            .home = b, .verb = verb, .queue_id = queue_id, .done = done, .context = context, .entry_count = entries};
    return r;
}

void interface_request_free(struct queue_request *r)
{
    memory_free(&r->home->memory, r, queue_request_bytes(r));
}

bool interface_settle(struct broker *b, uint64_t queue_id, uint64_t entry, enum queue_settle how)
{
    struct queue_request *r = interface_request(b, queue_id, QUEUE_SETTLE, 1, NULL, NULL);
    if (!r)
        return false;
    r->settle = how;
    r->entries[0] = entry;
    queue_request_send(r);
    return true;
}

/* -- a message as it is shown --------------------------------------------------------------------------------------------------- */

static struct mr_span body_of(struct broker *b, const struct message *m)
{
    const struct message_piece *piece = m->body;
    size_t used = 0;
    if (!piece)
        return (struct mr_span){NULL, 0};
    if (!piece->next)
        return (struct mr_span){piece->bytes, piece->length};
    for (; piece; piece = piece->next) {
        memcpy(b->interface->scratch + used, piece->bytes, piece->length);
        used += piece->length;
    }
    return (struct mr_span){b->interface->scratch, used};
}

void interface_show(struct broker *b, const struct message *m, struct mr_queue_message *out)
{
    struct amqp_properties p = {0};
    if (amqp_properties_parse(message_properties(m), &p) != 0)
        p = (struct amqp_properties){0}; /* they were proved when it was published */
    *out = (struct mr_queue_message){
        .exchange = message_exchange(m),
        .key = message_routing_key(m),
        .body = body_of(b, m),
        .content_type = p.content_type,
        .correlation_id = p.correlation_id,
        .reply_to = p.reply_to,
        .message_id = p.message_id,
        .ttl_ms = m->ttl_ms == UINT64_MAX ? 0 : m->ttl_ms,
        .priority = m->priority,
        .transient = !m->persistent,
        .published_ms = m->published_ms,
    };
}
