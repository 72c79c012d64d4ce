/* Messages: a head with the addresses and properties, and the body in pieces. All pieces but the last are full. */
#include "queue/message.h"

#include <assert.h>
#include <string.h>

#include "queue/amqp/wire.h"

_Static_assert(sizeof(struct message) + 2 * QUEUE_NAME_MAX + QUEUE_PROPERTIES_MAX <= MEMORY_LARGEST,
               "a head is one allocation");
_Static_assert(sizeof(struct message_piece) + MESSAGE_PIECE_MAX <= MEMORY_LARGEST / 2, "two pieces a page");

static void properties_apply(struct message *m, struct mr_span properties)
{
    struct amqp_properties p;
    amqp_properties_parse(properties, &p);
    if (!(p.flags & AMQP_EXPIRATION) || !amqp_expiration_parse(p.expiration, &m->ttl_ms))
        m->ttl_ms = UINT64_MAX;
    m->priority = p.priority;
    m->persistent = p.delivery_mode == 2;
}

static uint8_t *head_put(uint8_t *to, struct mr_span s)
{
    if (s.length)
        memcpy(to, s.data, s.length);
    return to + s.length;
}

struct message *message_create(struct memory *memory, struct mr_span exchange, struct mr_span routing_key,
                               struct mr_span properties, uint64_t body_bytes)
{
    if (exchange.length > QUEUE_NAME_MAX || routing_key.length > QUEUE_NAME_MAX ||
        properties.length > QUEUE_PROPERTIES_MAX)
        return NULL;
    size_t head = exchange.length + routing_key.length + properties.length;
    struct message *m = memory_alloc(memory, sizeof *m + head);
    if (!m)
        return NULL;
    *m = (struct message){
        .memory = memory,
        .references = 1,
        .head_bytes = (uint32_t)head,
        .body_bytes = body_bytes,
        .exchange_length = (uint8_t)exchange.length,
        .routing_key_length = (uint8_t)routing_key.length,
        .properties_length = (uint32_t)properties.length,
    };
    head_put(head_put(head_put(m->head, exchange), routing_key), properties);
    properties_apply(m, properties);
    return m;
}

static void pieces_free(struct memory *memory, struct message_piece *p)
{
    while (p) {
        struct message_piece *next = p->next;
        memory_free(memory, p, sizeof *p + p->capacity);
        p = next;
    }
}

/* Pieces with room for `n` more bytes of a body of which `announced` are still to come. NULL: no room, nothing is held. */
static struct message_piece *pieces_alloc(struct memory *memory, uint64_t n, uint64_t announced)
{
    struct message_piece *first = NULL, **link = &first;
    for (uint64_t room = 0; room < n;) {
        uint64_t left = announced - room;
        uint32_t capacity = left < MESSAGE_PIECE_MAX ? (uint32_t)left : MESSAGE_PIECE_MAX;
        struct message_piece *p = memory_alloc(memory, sizeof *p + capacity);
        if (!p) {
            pieces_free(memory, first);
            return NULL;
        }
        *p = (struct message_piece){.capacity = capacity};
        *link = p;
        link = &p->next;
        room += capacity;
    }
    return first;
}

static uint32_t room_in(const struct message_piece *p)
{
    return p ? p->capacity - p->length : 0;
}

bool message_append(struct message *m, const void *data, size_t n)
{
    assert(n <= m->body_bytes - m->held_bytes);
    uint32_t room = room_in(m->last);
    struct message_piece *more = NULL;
    if (n > room) {
        more = pieces_alloc(m->memory, n - room, m->body_bytes - m->held_bytes - room);
        if (!more)
            return false;
        *(m->last ? &m->last->next : &m->body) = more;
        m->last = m->last ? m->last : more;
    }
    const uint8_t *from = data;
    for (size_t left = n; left > 0;) {
        if (room_in(m->last) == 0)
            m->last = m->last->next;
        size_t part = left < room_in(m->last) ? left : room_in(m->last);
        memcpy(m->last->bytes + m->last->length, from, part);
        m->last->length += (uint32_t)part;
        from += part;
        left -= part;
    }
    m->held_bytes += n;
    return true;
}

bool message_complete(const struct message *m)
{
    return m->held_bytes == m->body_bytes;
}

void message_seal(struct message *m, uint64_t now_ms)
{
    assert(message_complete(m));
    m->published_ms = now_ms;
}

void message_drop(struct message *m)
{
    assert(m->references > 0);
    if (--m->references > 0)
        return;
    pieces_free(m->memory, m->body);
    memory_free(m->memory, m, sizeof *m + m->head_bytes);
}

struct message *message_readdress(struct memory *memory, const struct message *m, struct mr_span exchange,
                                  struct mr_span routing_key, struct mr_span properties)
{
    struct message *copy = message_create(memory, exchange, routing_key, properties, m->body_bytes);
    for (const struct message_piece *p = m->body; copy && p; p = p->next)
        if (!message_append(copy, p->bytes, p->length)) {
            message_drop(copy);
            copy = NULL;
        }
    return copy;
}

struct message *message_copy(struct memory *memory, const struct message *m)
{
    struct message *copy =
        message_readdress(memory, m, message_exchange(m), message_routing_key(m), message_properties(m));
    if (copy) {
        copy->published_ms = m->published_ms;
        copy->deliver_at_ms = m->deliver_at_ms;
        copy->ttl_ms = m->ttl_ms;
        copy->priority = m->priority;
        copy->persistent = m->persistent;
    }
    return copy;
}

uint64_t message_cost(const struct message *m)
{
    uint64_t bytes = memory_cost(sizeof *m + m->head_bytes);
    for (const struct message_piece *p = m->body; p; p = p->next)
        bytes += memory_cost(sizeof *p + p->capacity);
    return bytes;
}
