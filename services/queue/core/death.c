#include "queue/core/death.h"

#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"
#include "queue/limits.h"

static bool span_is(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && (!a.length || memcmp(a.data, b.data, a.length) == 0);
}

static struct mr_span text_span(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static bool name_is(struct mr_span name, const char *text)
{
    return span_is(name, text_span(text));
}

static bool field_is(struct mr_span table, const char *name, struct mr_span text)
{
    struct amqp_value v;
    return amqp_table_find(table, name, &v) && v.type == 'S' && span_is(v.text, text);
}

static bool deaths_find(struct mr_span headers, struct amqp_value *deaths)
{
    return amqp_table_find(headers, "x-death", deaths) && deaths->type == 'A';
}

/* -- the header x-death -------------------------------------------------------------------------------------------------------- */

static void key_put(struct amqp_table_out *o, struct mr_span key)
{
    amqp_array_put(o, &(struct amqp_value){.type = 'S', .text = key});
}

/* The header's own type is an array of long strings; anything else names no keys. */
static void copies_put(struct amqp_table_out *o, struct mr_span headers, const char *name)
{
    struct amqp_value list, v;
    size_t at = 0;
    if (!amqp_table_find(headers, name, &list) || list.type != 'A')
        return;
    while (amqp_array_next(list.text, &at, &v))
        if (v.type == 'S')
            key_put(o, v.text);
}

static void death_put(struct amqp_table_out *o, const struct amqp_properties *p, const struct queue_death *death)
{
    size_t table = amqp_array_open_table(o);
    amqp_table_put_integer(o, "count", 1);
    amqp_table_put_text(o, "reason", text_span(death->reason));
    amqp_table_put_text(o, "queue", death->queue);
    amqp_table_put(o, text_span("time"), &(struct amqp_value){.type = 'T', .integer = (int64_t)death->time_s});
    amqp_table_put_text(o, "exchange", death->exchange);
    size_t keys = amqp_table_open(o, "routing-keys", 'A');
    key_put(o, death->key);
    copies_put(o, p->headers, "CC");
    copies_put(o, p->headers, "BCC");
    amqp_table_close(o, keys);
    if (p->flags & AMQP_EXPIRATION)
        amqp_table_put_text(o, "original-expiration", p->expiration);
    amqp_table_close(o, table);
}

/* The same queue and reason again: everything is as it was the first time but the count. */
static void death_count(struct amqp_table_out *o, struct mr_span before)
{
    struct mr_span name;
    struct amqp_value v;
    int64_t count = 0;
    size_t at = 0, table = amqp_array_open_table(o);
    if (amqp_table_find(before, "count", &v))
        amqp_value_integer(&v, &count);
    amqp_table_put_integer(o, "count", count < INT64_MAX ? count + 1 : count);
    while (amqp_table_next(before, &at, &name, &v))
        if (!name_is(name, "count"))
            amqp_table_put(o, name, &v);
    amqp_table_close(o, table);
}

static bool death_same(const struct amqp_value *v, const struct queue_death *death)
{
    return v->type == 'F' && field_is(v->text, "queue", death->queue) &&
           field_is(v->text, "reason", text_span(death->reason));
}

static void deaths_put(struct amqp_table_out *o, const struct amqp_properties *p, const struct queue_death *death,
                       unsigned older_max)
{
    struct amqp_value deaths, v;
    bool any = deaths_find(p->headers, &deaths), again = false;
    size_t array = amqp_table_open(o, "x-death", 'A');
    for (size_t at = 0; any && !again && amqp_array_next(deaths.text, &at, &v);)
        if (death_same(&v, death)) {
            death_count(o, v.text);
            again = true;
        }
    if (!again)
        death_put(o, p, death);
    for (size_t at = 0; any && older_max && amqp_array_next(deaths.text, &at, &v);)
        if (!death_same(&v, death)) {
            amqp_array_put(o, &v);
            older_max--;
        }
    amqp_table_close(o, array);
}

static bool is_first_death(struct mr_span name)
{
    return name_is(name, "x-first-death-reason") || name_is(name, "x-first-death-queue") ||
           name_is(name, "x-first-death-exchange");
}

static void headers_put(struct amqp_table_out *o, const struct amqp_properties *p, const struct queue_death *death,
                        unsigned older_max)
{
    struct amqp_value deaths, v;
    struct mr_span name;
    bool first = !amqp_table_find(p->headers, "x-death", &deaths); /* of whatever type */
    for (size_t at = 0; amqp_table_next(p->headers, &at, &name, &v);)
        if (!name_is(name, "x-death") && !(death->key_given && name_is(name, "CC")) && !(first && is_first_death(name)))
            amqp_table_put(o, name, &v);
    if (first) {
        amqp_table_put_text(o, "x-first-death-reason", text_span(death->reason));
        amqp_table_put_text(o, "x-first-death-queue", death->queue);
        amqp_table_put_text(o, "x-first-death-exchange", death->exchange);
    }
    deaths_put(o, p, death, older_max);
}

/* The table is built behind where the properties go, and copied to its place with them. */
size_t queue_death_properties(uint8_t *to, size_t room, struct mr_span properties, const struct queue_death *death)
{
    struct amqp_properties p, out;
    if (amqp_properties_parse(properties, &p))
        return 0;
    for (unsigned older_max = QUEUE_X_DEATH_MAX - 1;; older_max /= 2) {
        struct amqp_table_out o = {.data = to + room / 2, .room = room - room / 2};
        headers_put(&o, &p, death, older_max);
        out = p;
        out.flags = (uint16_t)((p.flags & ~AMQP_EXPIRATION) | AMQP_HEADERS);
        out.expiration = (struct mr_span){NULL, 0};
        out.headers = (struct mr_span){o.data, o.used};
        size_t length = o.failed ? 0 : amqp_properties_emit(to, room / 2, &out);
        if (length && length <= QUEUE_PROPERTIES_MAX && o.used <= QUEUE_TABLE_MAX)
            return length;
        if (!older_max)
            return 0;
    }
}

bool queue_death_cycle(struct mr_span headers, struct mr_span queue)
{
    struct amqp_value deaths, v;
    size_t at = 0;
    if (!deaths_find(headers, &deaths))
        return false;
    while (amqp_array_next(deaths.text, &at, &v)) {
        if (v.type != 'F' || field_is(v.text, "reason", text_span("rejected")))
            return false; /* somebody did this on purpose */
        if (field_is(v.text, "queue", queue))
            return true;
    }
    return false;
}

unsigned queue_death_copies(struct mr_span headers, struct mr_span *keys, unsigned max)
{
    struct amqp_value list, v;
    unsigned n = 0;
    size_t at = 0;
    if (!amqp_table_find(headers, "CC", &list) || list.type != 'A')
        return 0;
    while (n < max && amqp_array_next(list.text, &at, &v))
        if (v.type == 'S')
            keys[n++] = v.text;
    return n;
}
