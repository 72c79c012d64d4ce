/* The numbers of a connection's channels: a table of chains that grows with them. */
#include <assert.h>

#include "queue/amqp/connection.h"

static struct amqp_channel **bucket_of(const struct amqp_connection *c, uint16_t number)
{
    return &c->buckets[number & (c->bucket_count - 1)]; /* clients number from 1 upwards */
}

struct amqp_channel *amqp_channel_find(const struct amqp_connection *c, uint16_t number)
{
    struct amqp_channel *ch = c->buckets ? *bucket_of(c, number) : NULL;
    while (ch && ch->number != number)
        ch = ch->next;
    return ch;
}

static void buckets_free(struct amqp_connection *c)
{
    if (c->buckets)
        memory_free(&c->broker->memory, c->buckets, c->bucket_count * sizeof *c->buckets);
    c->buckets = NULL;
    c->bucket_count = 0;
}

/* Twice as many, or the first ones. Without memory longer chains do as well. */
static bool buckets_grow(struct amqp_connection *c)
{
    struct amqp_connection before = {.buckets = c->buckets, .bucket_count = c->bucket_count, .broker = c->broker};
    uint32_t count = c->buckets ? c->bucket_count * 2 : AMQP_CHANNEL_BUCKETS;
    struct amqp_channel **fresh = memory_alloc(&c->broker->memory, count * sizeof *fresh);
    if (!fresh)
        return c->buckets != NULL;
    for (uint32_t i = 0; i < count; i++)
        fresh[i] = NULL;
    c->buckets = fresh;
    c->bucket_count = count;
    for (uint32_t i = 0; i < before.bucket_count; i++) {
        for (struct amqp_channel *ch = before.buckets[i], *next; ch; ch = next) {
            next = ch->next;
            struct amqp_channel **bucket = bucket_of(c, ch->number);
            ch->next = *bucket;
            *bucket = ch;
        }
    }
    buckets_free(&before);
    return true;
}

void amqp_channel_init(struct amqp_channel *ch, struct amqp_connection *c, uint16_t number)
{
    *ch = (struct amqp_channel){.connection = c, .number = number, .state = AMQP_CHANNEL_OPEN};
}

static void open_ok(struct amqp_connection *c, uint16_t number)
{
    struct amqp_method ok = {.id = AMQP_channel_open_ok};
    amqp_send_method(c, number, &ok);
}

struct amqp_channel *amqp_channels_open(struct amqp_connection *c, uint16_t number)
{
    if (c->channel_count >= c->channel_max) {
        amqp_connection_error(c, AMQP_NOT_ALLOWED, AMQP_channel_open,
                              "number of channels opened (%u) has reached the negotiated channel_max (%u)",
                              c->channel_count, c->channel_max);
        return NULL;
    }
    bool full = c->channel_count >= c->bucket_count && c->bucket_count < AMQP_CHANNEL_BUCKETS_MAX;
    struct amqp_channel *ch = !full || buckets_grow(c) ? amqp_channel_open(c, number) : NULL;
    if (!ch) {
        amqp_connection_error(c, AMQP_RESOURCE_ERROR, AMQP_channel_open, "no memory for a channel");
        return NULL;
    }
    struct amqp_channel **bucket = bucket_of(c, number);
    ch->next = *bucket;
    *bucket = ch;
    c->channel_count++;
    c->channel_alive++;
    c->broker->counters[QUEUE_COUNTER_CHANNELS_OPEN]++;
    open_ok(c, number);
    return ch;
}

void amqp_channels_finish(struct amqp_channel *ch)
{
    if (ch->ended)
        return;
    amqp_output_forget(ch);
    ch->ended = true;
    ch->content = AMQP_EXPECT_METHOD;
    amqp_channel_end(ch);
}

static void bury(struct amqp_channel *ch)
{
    struct amqp_server *server = ch->connection->server;
    ch->next = server->dead;
    server->dead = ch;
    mr_defer(server->broker->worker, &server->deferred);
}

void amqp_channels_remove(struct amqp_channel *ch)
{
    struct amqp_connection *c = ch->connection;
    struct amqp_channel **link = bucket_of(c, ch->number);
    while (*link != ch)
        link = &(*link)->next;
    *link = ch->next;
    c->channel_count--;
    c->broker->counters[QUEUE_COUNTER_CHANNELS_OPEN]--;
    amqp_channels_finish(ch);
    ch->state = AMQP_CHANNEL_GONE;
    if (ch->drained)
        bury(ch);
}

void amqp_channel_drained(struct amqp_channel *ch)
{
    assert(ch->ended && !ch->drained);
    ch->drained = true;
    if (ch->state == AMQP_CHANNEL_GONE)
        bury(ch);
}

void amqp_channels_end(struct amqp_connection *c)
{
    for (uint32_t i = 0; i < c->bucket_count; i++)
        while (c->buckets[i])
            amqp_channels_remove(c->buckets[i]);
    buckets_free(c);
}

void amqp_channels_each(const struct amqp_connection *c, void (*visit)(const struct amqp_channel *ch))
{
    for (uint32_t i = 0; i < c->bucket_count; i++)
        for (const struct amqp_channel *ch = c->buckets[i]; ch; ch = ch->next)
            visit(ch);
}

void amqp_channels_bury(struct amqp_server *server)
{
    struct amqp_channel *ch;
    while ((ch = server->dead) != NULL) {
        struct amqp_connection *c = ch->connection;
        server->dead = ch->next;
        amqp_channel_free(ch);
        c->channel_alive--;
        amqp_connection_settle(c);
    }
}
