#include "queue/core/durable_record.h"

#include <endian.h>
#include <string.h>

#include "queue/amqp/wire.h"

static uint64_t read64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static void write64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static void write32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

bool queue_record_message_parse(struct mr_span payload, struct queue_record_message *out)
{
    const uint8_t *p = payload.data;
    if (payload.length < QUEUE_RECORD_HEAD_BYTES)
        return false;
    *out = (struct queue_record_message){.entry = read64(p),
                                         .published_ms = read64(p + 8),
                                         .arrived_ms = read64(p + 16),
                                         .deliver_at_ms = read64(p + 24),
                                         .ttl_ms = read64(p + 32),
                                         .body_bytes = read64(p + 40),
                                         .deliveries = read32(p + 48),
                                         .priority = p[56],
                                         .persistent = p[57] == 1};
    size_t properties = read32(p + 52), exchange = p[58], key = p[59], left = payload.length - QUEUE_RECORD_HEAD_BYTES;
    if (p[57] > 1 || left < exchange + key || left - exchange - key < properties ||
        left - exchange - key - properties != out->body_bytes)
        return false;
    p += QUEUE_RECORD_HEAD_BYTES;
    out->exchange = (struct mr_span){p, exchange};
    out->key = (struct mr_span){p += exchange, key};
    out->properties = (struct mr_span){p += key, properties};
    out->body = (struct mr_span){p + properties, (size_t)out->body_bytes};
    return amqp_properties_parse(out->properties, NULL) == 0;
}

void queue_record_message_emit(uint8_t to[QUEUE_RECORD_HEAD_BYTES], const struct queue_record_message *r)
{
    write64(to, r->entry);
    write64(to + 8, r->published_ms);
    write64(to + 16, r->arrived_ms);
    write64(to + 24, r->deliver_at_ms);
    write64(to + 32, r->ttl_ms);
    write64(to + 40, r->body_bytes);
    write32(to + 48, r->deliveries);
    write32(to + 52, (uint32_t)r->properties.length);
    to[56] = r->priority;
    to[57] = r->persistent;
    to[58] = (uint8_t)r->exchange.length;
    to[59] = (uint8_t)r->key.length;
}

struct queue_record_range queue_record_range_read(struct mr_span payload, size_t index)
{
    const uint8_t *p = payload.data + index * QUEUE_RECORD_RANGE_BYTES;
    return (struct queue_record_range){read64(p), read32(p + 8), read32(p + 12)};
}

bool queue_record_ranges_valid(struct mr_span payload)
{
    if (!payload.length || payload.length % QUEUE_RECORD_RANGE_BYTES)
        return false;
    for (size_t i = 0; i < payload.length / QUEUE_RECORD_RANGE_BYTES; i++) {
        struct queue_record_range r = queue_record_range_read(payload, i);
        if (!r.count || r.first > UINT64_MAX - r.count)
            return false;
    }
    return true;
}

void queue_record_range_emit(uint8_t to[QUEUE_RECORD_RANGE_BYTES], struct queue_record_range r)
{
    write64(to, r.first);
    write32(to + 8, r.count);
    write32(to + 12, r.deliveries);
}

struct message *queue_record_message_load(struct memory *memory, const struct queue_record_message *r)
{
    struct message *m = message_create(memory, r->exchange, r->key, r->properties, r->body_bytes);
    if (!m)
        return NULL;
    if (r->body.length && !message_append(m, r->body.data, r->body.length)) {
        message_drop(m);
        return NULL;
    }
    m->deliver_at_ms = r->deliver_at_ms;
    m->ttl_ms = r->ttl_ms;
    m->priority = r->priority;
    m->persistent = r->persistent;
    message_seal(m, r->published_ms);
    return m;
}
