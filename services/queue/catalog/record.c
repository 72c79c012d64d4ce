/* Records of the log `catalog`. All that name something have one form:
 *
 *     | flags u8 | exchange type u8 | id of a queue u64 | virtual host | name | source | key | arguments ... |
 *
 * with names as short strings (a byte of length before them), the arguments as on the wire to the end, and the number little-endian.
 * RECORD_START and RECORD_SNAPSHOT are a number (u64), RECORD_SNAPSHOT_END is empty. */
#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

enum { AUTO_DELETE = 1, INTERNAL = 2, DELAYED = 4, TO_EXCHANGE = 8, FLAGS = 15 };

static size_t number_put(uint8_t *to, uint64_t n)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(n >> 8 * i);
    return 8;
}

uint64_t catalog_record_number(const uint8_t *from)
{
    uint64_t n = 0;
    for (unsigned i = 8; i--;)
        n = n << 8 | from[i];
    return n;
}

static size_t name_put(uint8_t *to, struct mr_span name)
{
    *to = (uint8_t)name.length;
    if (name.length)
        memcpy(to + 1, name.data, name.length);
    return 1 + name.length;
}

void catalog_record_make(const struct catalog *c, enum catalog_record kind, const struct catalog_change *change,
                         struct catalog_record_out *out)
{
    bool to_exchange = change->verb == CATALOG_EXCHANGE_BIND || change->verb == CATALOG_EXCHANGE_UNBIND;
    uint8_t *to = out->head;
    *to++ = (uint8_t)((change->auto_delete ? AUTO_DELETE : 0) | (change->internal ? INTERNAL : 0) |
                      (change->delayed ? DELAYED : 0) | (to_exchange ? TO_EXCHANGE : 0));
    *to++ = (uint8_t)change->exchange_type;
    to += number_put(to, change->queue_id);
    to += name_put(to, span_of(c->vhosts[change->vhost]));
    to += name_put(to, change->name);
    to += name_put(to, change->source);
    to += name_put(to, change->key);
    out->head_bytes = (size_t)(to - out->head);
    out->kind = (uint8_t)kind;
    out->arguments = change->arguments;
}

static bool name_take(struct mr_span *rest, struct mr_span *name)
{
    if (!rest->length || rest->length - 1 < rest->data[0])
        return false;
    *name = (struct mr_span){rest->data + 1, rest->data[0]};
    *rest = (struct mr_span){name->data + name->length, rest->length - 1 - name->length};
    return true;
}

static bool verb_of(uint8_t kind, bool to_exchange, enum catalog_verb *verb)
{
    switch (kind) {
    case RECORD_EXCHANGE:
        *verb = CATALOG_EXCHANGE_DECLARE;
        return true;
    case RECORD_EXCHANGE_DELETE:
        *verb = CATALOG_EXCHANGE_DELETE;
        return true;
    case RECORD_QUEUE:
        *verb = CATALOG_QUEUE_DECLARE;
        return true;
    case RECORD_QUEUE_DELETE:
        *verb = CATALOG_QUEUE_DELETE;
        return true;
    case RECORD_BIND:
        *verb = to_exchange ? CATALOG_EXCHANGE_BIND : CATALOG_BIND;
        return true;
    case RECORD_UNBIND:
        *verb = to_exchange ? CATALOG_EXCHANGE_UNBIND : CATALOG_UNBIND;
        return true;
    default:
        return false;
    }
}

bool catalog_record_parse(uint8_t kind, struct mr_span payload, struct catalog_change *change, struct mr_span *vhost)
{
    enum { FIXED = 10 };
    const uint8_t *p = payload.data;
    if (payload.length < FIXED || p[0] & ~FLAGS || p[1] > EXCHANGE_HEADERS)
        return false;
    *change = (struct catalog_change){.durable = true,
                                      .auto_delete = (p[0] & AUTO_DELETE) != 0,
                                      .internal = (p[0] & INTERNAL) != 0,
                                      .delayed = (p[0] & DELAYED) != 0,
                                      .exchange_type = (enum exchange_type)p[1],
                                      .queue_id = catalog_record_number(p + 2)};
    struct mr_span rest = {p + FIXED, payload.length - FIXED};
    if (!verb_of(kind, (p[0] & TO_EXCHANGE) != 0, &change->verb) || !name_take(&rest, vhost) ||
        !name_take(&rest, &change->name) || !name_take(&rest, &change->source) || !name_take(&rest, &change->key))
        return false;
    change->arguments = rest;
    return vhost->length && amqp_table_valid(rest);
}
