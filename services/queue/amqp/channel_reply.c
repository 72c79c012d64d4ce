/* Direct reply-to (rabbitmq.com/docs/direct-reply-to): a consumer of the pseudo queue amq.rabbitmq.reply-to without acknowledgements. Its
 * address, amq.rabbitmq.reply-to.<worker>.<key>, takes the place of that name in reply-to of what the channel publishes; what others
 * publish to the address by the default exchange is written to the channel, on whatever worker it lives, and is stored nowhere: what finds
 * no room in the output is dropped, as what finds no consumer.
 * The key is random, so that an address cannot be guessed. */
#include "queue/amqp/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct channel_reply {
    struct channel *channel;
    struct channel_reply *next, **link; /* of this worker */
    uint64_t key;
    uint8_t tag_length;
    uint8_t tag[QUEUE_NAME_MAX];
};

/* A copy under way to the worker of the address, and the original back home. */
struct reply_item {
    struct broker_item item;
    struct broker *home;
    struct message *message; /* of `home` */
    uint64_t key;
};

#define ADDRESS TEXT_SPAN("amq.rabbitmq.reply-to.")

bool channel_reply_named(struct mr_span name)
{
    return span_equal(name, REPLY_QUEUE) || span_begins(name, ADDRESS);
}

static bool address_parse(struct mr_span address, unsigned *worker, uint64_t *key)
{
    char text[64];
    if (!span_begins(address, ADDRESS) || address.length - ADDRESS.length >= sizeof text)
        return false;
    size_t n = address.length - ADDRESS.length;
    memcpy(text, address.data + ADDRESS.length, n);
    text[n] = 0;
    char *end;
    unsigned long index = strtoul(text, &end, 10);
    if (end == text || *end != '.' || index >= QUEUE_WORKERS_MAX)
        return false;
    char *digits = end + 1;
    *key = strtoull(digits, &end, 16);
    *worker = (unsigned)index;
    return end != digits && !*end;
}

struct mr_span channel_reply_address(struct channel *ch, uint8_t buffer[QUEUE_NAME_MAX])
{
    int n = snprintf((char *)buffer, QUEUE_NAME_MAX, "amq.rabbitmq.reply-to.%u.%016llx", ch->broker->index,
                     (unsigned long long)ch->reply->key);
    return (struct mr_span){buffer, (size_t)n};
}

/* -- the consumer ------------------------------------------------------------------------------------------------------------------------ */

bool channel_reply_tagged(const struct channel *ch, struct mr_span tag)
{
    return ch->reply && span_equal(tag, (struct mr_span){ch->reply->tag, ch->reply->tag_length});
}

void channel_reply_consume(struct channel *ch, const struct amqp_method *m)
{
    uint8_t generated[QUEUE_NAME_MAX];
    struct mr_span tag = m->basic_consume.consumer_tag;
    struct channel_reply *r;
    if (ch->reply || !m->basic_consume.no_ack) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id,
                           m->basic_consume.no_ack ? "reply consumer already set"
                                                   : "reply consumer cannot acknowledge");
        return;
    }
    if (!(r = channel_alloc(ch, sizeof *r))) {
        channel_no_memory(ch, m->id);
        return;
    }
    if (!tag.length)
        tag = channel_name_generated(ch, generated, "amq.ctag");
    struct channel_reply **all = &ch->base.connection->server->replies;
    *r = (struct channel_reply){.channel = ch, .next = *all, .link = all, .key = mr_random(ch->broker->worker)};
    if (r->next)
        r->next->link = &r->next;
    *all = r;
    r->tag_length = (uint8_t)tag.length;
    memcpy(r->tag, tag.data, tag.length);
    ch->reply = r;
    if (!m->basic_consume.no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_basic_consume_ok, .basic_consume_ok = {.consumer_tag = tag}});
}

void channel_reply_end(struct channel *ch)
{
    struct channel_reply *r = ch->reply;
    if (!r)
        return;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    ch->reply = NULL;
    channel_free(ch, r, sizeof *r);
}

bool channel_reply_cancel(struct channel *ch, struct mr_span tag)
{
    if (!channel_reply_tagged(ch, tag))
        return false;
    channel_reply_end(ch);
    return true;
}

/* -- replies ------------------------------------------------------------------------------------------------------------------------------ */

static struct channel_reply *reply_find(const struct broker *here, uint64_t key)
{
    struct channel_reply *r = here->amqp->replies;
    while (r && r->key != key)
        r = r->next;
    return r;
}

/* Of another worker nothing is known here: who asks by queue.declare is told yes. */
bool channel_reply_exists(struct channel *ch, struct mr_span address)
{
    unsigned worker;
    uint64_t key;
    if (span_equal(address, REPLY_QUEUE))
        return true;
    if (!address_parse(address, &worker, &key) || worker >= ch->broker->workers)
        return false;
    return worker != ch->broker->index || reply_find(ch->broker, key);
}

static void reply_release(void *message)
{
    message_drop(message);
}

static void reply_deliver(struct channel *ch, const struct message *m)
{
    struct message *copy = message_copy(&ch->broker->memory, m);
    struct amqp_method method = {
        .id = AMQP_basic_deliver,
        .basic_deliver = {.consumer_tag = {ch->reply->tag, ch->reply->tag_length},
                          .delivery_tag = ch->tag + 1,
                          .exchange = message_exchange(m),
                          .routing_key = message_routing_key(m)},
    };
    if (!copy)
        return;
    enum amqp_sent sent =
        amqp_send_content(ch->base.connection, ch->base.number, &method, copy, false, reply_release, copy);
    ch->tag += sent != AMQP_SENT_NOT;
    if (sent != AMQP_SENT_LENT)
        message_drop(copy);
}

static void reply_home(struct broker *home, struct broker_item *item)
{
    struct reply_item *i = (struct reply_item *)item;
    message_drop(i->message);
    memory_free(&home->memory, i, sizeof *i);
}

static void reply_arrived(struct broker *here, struct broker_item *item)
{
    struct reply_item *i = (struct reply_item *)item;
    struct channel_reply *r = reply_find(here, i->key);
    if (r)
        reply_deliver(r->channel, i->message);
    item->run = reply_home;
    broker_send(here, i->home->index, item);
}

void channel_reply_send(struct channel *ch, struct message *m)
{
    unsigned worker;
    uint64_t key;
    if (!address_parse(message_routing_key(m), &worker, &key) || worker >= ch->broker->workers)
        return;
    struct reply_item *i = channel_alloc(ch, sizeof *i);
    if (!i)
        return;
    *i =
        (struct reply_item){.item = {.run = reply_arrived}, .home = ch->broker, .message = message_hold(m), .key = key};
    broker_send(ch->broker, worker, &i->item);
}
