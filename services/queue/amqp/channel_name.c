/* Names of queues and exchanges: generated, empty, found. */
#include "queue/amqp/channel.h"

#include <string.h>

struct mr_span channel_name(uint8_t buffer[QUEUE_NAME_MAX], struct mr_span name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] != '\r' && name.data[i] != '\n')
            buffer[n++] = name.data[i];
    return (struct mr_span){buffer, n};
}

struct mr_span channel_name_generated(struct channel *ch, uint8_t buffer[QUEUE_NAME_MAX], const char *prefix)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = strlen(prefix);
    memcpy(buffer, prefix, n);
    buffer[n++] = '-';
    for (unsigned half = 0; half < 2; half++) {
        uint64_t random = mr_random(ch->broker->worker);
        for (unsigned i = 0; i < 11; i++, random >>= 6)
            buffer[n++] = (uint8_t)digits[random & 63];
    }
    return (struct mr_span){buffer, n};
}

bool channel_queue_name(struct channel *ch, struct mr_span *name, uint32_t method)
{
    if (name->length)
        return true;
    *name = (struct mr_span){ch->last_queue, ch->last_queue_length};
    if (!name->length)
        amqp_channel_error(&ch->base, AMQP_NOT_FOUND, method, "no previously declared queue");
    return name->length != 0;
}

const struct catalog_queue *channel_queue_find(struct channel *ch, struct mr_span name, uint32_t method)
{
    const struct amqp_connection *c = ch->base.connection;
    const struct catalog_queue *q = catalog_queue_find(ch->broker->catalog, c->vhost, name);
    if (!q) {
        amqp_channel_error(&ch->base, AMQP_NOT_FOUND, method, "no queue '%.*s' in vhost '%s'", SPAN(name),
                           c->vhost_name);
        return NULL;
    }
    if (q->exclusive && q->exclusive != c->id) {
        amqp_channel_error(
            &ch->base, AMQP_RESOURCE_LOCKED, method,
            "cannot obtain exclusive access to locked queue '%.*s' in vhost '%s'. It could be originally declared on "
            "another connection or the exclusive property value does not match that of the original declaration.",
            SPAN(name), c->vhost_name);
        return NULL;
    }
    return q;
}

void channel_queue_error(struct channel *ch, const struct queue_request *r, struct mr_span name, uint32_t method)
{
    static const struct {
        unsigned code;
        const char *before, *after;
    } errors[] = {
        [QUEUE_GONE] = {AMQP_NOT_FOUND, "no ", ""},
        [QUEUE_ACCESS_REFUSED] = {AMQP_ACCESS_REFUSED, "", " in exclusive use"},
        [QUEUE_IN_USE] = {AMQP_PRECONDITION_FAILED, "", " in use"},
        [QUEUE_NOT_EMPTY] = {AMQP_PRECONDITION_FAILED, "", " not empty"},
        [QUEUE_NO_MEMORY] = {AMQP_RESOURCE_ERROR, "no memory for ", ""},
        [QUEUE_UNREADABLE] = {AMQP_INTERNAL_ERROR, "a message could not be read from the log of ", ""},
    };
    unsigned result = r->result;
    if (result >= sizeof errors / sizeof *errors || !errors[result].code) {
        amqp_channel_error(&ch->base, AMQP_INTERNAL_ERROR, method, "unexpected answer %u of a queue", result);
        return;
    }
    amqp_channel_error(&ch->base, errors[result].code, method, "%squeue '%.*s' in vhost '%s'%s", errors[result].before,
                       SPAN(name), ch->base.connection->vhost_name, errors[result].after);
}
