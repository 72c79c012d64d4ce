/* Any bytes as a record of a queue's log, or as the properties of a message that dies, twice. What is taken lies inside the input, comes out as it went
 * in, and the headers of the dead are well formed whatever they were made from. */
#include <assert.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"
#include "queue/core/death.h"
#include "queue/core/durable_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct mr_span part, struct mr_span whole)
{
    assert(part.data >= whole.data && part.length <= whole.length &&
           (size_t)(part.data - whole.data) <= whole.length - part.length);
}

static void load(const struct queue_record_message *r)
{
    static struct memory memory;
    if (!memory.base)
        assert(memory_init(&memory, 64 << 20, 64 << 20));
    struct message *m = queue_record_message_load(&memory, r);
    assert(m || r->properties.length > QUEUE_PROPERTIES_MAX);
    if (!m)
        return;
    assert(message_complete(m) && m->body_bytes == r->body.length && m->ttl_ms == r->ttl_ms);
    size_t at = 0;
    for (const struct message_piece *p = m->body; p; at += p->length, p = p->next)
        assert(!memcmp(p->bytes, r->body.data + at, p->length));
    assert(at == r->body.length);
    message_drop(m);
    assert(memory.used == 0);
}

static void message_one(struct mr_span payload)
{
    struct queue_record_message r;
    uint8_t head[QUEUE_RECORD_HEAD_BYTES];
    if (!queue_record_message_parse(payload, &r))
        return;
    inside(r.exchange, payload);
    inside(r.key, payload);
    inside(r.properties, payload);
    inside(r.body, payload);
    assert(r.body.data + r.body.length == payload.data + payload.length);
    queue_record_message_emit(head, &r);
    assert(!memcmp(head, payload.data, sizeof head));
    load(&r);
}

static void ranges_one(struct mr_span payload)
{
    if (!queue_record_ranges_valid(payload))
        return;
    for (size_t i = 0; i < payload.length / QUEUE_RECORD_RANGE_BYTES; i++) {
        uint8_t bytes[QUEUE_RECORD_RANGE_BYTES];
        struct queue_record_range range = queue_record_range_read(payload, i);
        assert(range.count && range.first + range.count > range.first);
        queue_record_range_emit(bytes, range);
        assert(!memcmp(bytes, payload.data + i * sizeof bytes, sizeof bytes));
    }
}

static void death_one(struct mr_span properties, bool key_given)
{
    static uint8_t first[140000], second[140000];
    const struct mr_span q = {(const uint8_t *)"q", 1}, other = {(const uint8_t *)"other", 5};
    struct queue_death death = {
        .reason = "expired", .queue = q, .exchange = other, .key = q, .time_s = 1, .key_given = key_given};
    struct amqp_properties p;
    struct mr_span keys[8];
    bool good = amqp_properties_parse(properties, NULL) == 0;
    size_t n = queue_death_properties(first, sizeof first, properties, &death);
    assert(good || !n);
    if (!n)
        return;
    assert(n <= QUEUE_PROPERTIES_MAX);
    assert(amqp_properties_parse((struct mr_span){first, n}, &p) == 0 && amqp_table_valid(p.headers));
    assert(!(p.flags & AMQP_EXPIRATION) && queue_death_cycle(p.headers, q));
    assert(!key_given || !queue_death_copies(p.headers, keys, 8));
    death.reason = "rejected";
    n = queue_death_properties(second, sizeof second, (struct mr_span){first, n}, &death);
    if (n) {
        assert(amqp_properties_parse((struct mr_span){second, n}, &p) == 0 && amqp_table_valid(p.headers));
        assert(!queue_death_cycle(p.headers, q));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct mr_span rest = {data + 1, size - 1};
    if (data[0] % 4 == 0)
        message_one(rest);
    else if (data[0] % 4 == 1)
        ranges_one(rest);
    else
        death_one(rest, data[0] % 4 == 2);
    return 0;
}
