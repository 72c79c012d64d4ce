/* Changes of the catalog asked for by a channel. */
#include "queue/amqp/channel.h"

#include <stddef.h>
#include <string.h>

static struct mr_span keep(uint8_t **to, struct mr_span from)
{
    struct mr_span kept = {*to, from.length};
    if (from.length)
        memcpy(*to, from.data, from.length);
    *to += from.length;
    return kept;
}

struct channel_change *channel_change_create(struct channel *ch, uint32_t method, enum catalog_verb verb,
                                             struct mr_span name, struct mr_span source, struct mr_span key,
                                             struct mr_span arguments)
{
    size_t bytes = sizeof(struct channel_change) + name.length + source.length + key.length + arguments.length;
    if (bytes > MEMORY_LARGEST) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, method, "arguments of %zu bytes are more than are kept",
                           arguments.length);
        return NULL;
    }
    struct channel_change *c = channel_alloc(ch, bytes);
    if (!c) {
        channel_no_memory(ch, method);
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->channel = ch;
    c->bytes = (uint32_t)bytes;
    c->method = method;
    uint8_t *to = c->data;
    c->change.home = ch->broker;
    c->change.verb = verb;
    c->change.vhost = ch->base.connection->vhost;
    c->change.connection = ch->base.connection->id;
    c->change.name = keep(&to, name);
    c->change.source = keep(&to, source);
    c->change.key = keep(&to, key);
    c->change.arguments = keep(&to, arguments);
    return c;
}

static void change_done(struct catalog_change *change)
{
    static const uint16_t codes[] = {
        [CATALOG_NOT_FOUND] = AMQP_NOT_FOUND,
        [CATALOG_ACCESS_REFUSED] = AMQP_ACCESS_REFUSED,
        [CATALOG_RESOURCE_LOCKED] = AMQP_RESOURCE_LOCKED,
        [CATALOG_PRECONDITION_FAILED] = AMQP_PRECONDITION_FAILED,
        [CATALOG_COMMAND_INVALID] = AMQP_COMMAND_INVALID,
        [CATALOG_NOT_ALLOWED] = AMQP_NOT_ALLOWED,
        [CATALOG_NO_MEMORY] = AMQP_RESOURCE_ERROR,
    };
    struct channel_change *c = change->context;
    struct channel *ch = c->channel;
    channel_go_on(ch);
    if (!channel_ended(ch)) {
        if (change->result == CATALOG_OK)
            c->then(ch, c);
        else
            amqp_channel_error(&ch->base, codes[change->result], c->method, "%s", change->text);
    }
    channel_free(ch, c, c->bytes);
    channel_drop(ch);
}

void channel_change_send(struct channel_change *c, bool no_wait,
                         void (*then)(struct channel *ch, struct channel_change *c))
{
    struct channel *ch = c->channel;
    c->no_wait = no_wait;
    c->then = then;
    c->change.done = change_done;
    c->change.context = c;
    channel_wait(ch, c->method);
    catalog_change(ch->broker, &c->change);
}
