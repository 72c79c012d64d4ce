/* Headers exchanges: the arguments of a binding against the headers of a message. x-match says how: all (the preset) or any of them, names
 * that begin with "x-" left out; all-with-x and any-with-x leave out x-match alone. A void value asks for presence. */
#include <inttypes.h>

#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

static const struct {
    const char *name;
    bool any, with_x;
} kinds[] = {{"all", false, false}, {"any", true, false}, {"all-with-x", false, true}, {"any-with-x", true, true}};
#define KINDS (sizeof kinds / sizeof kinds[0])

static size_t kind_of(struct mr_span text)
{
    size_t i = 0;
    while (i < KINDS && !span_equal(text, span_of(kinds[i].name)))
        i++;
    return i;
}

bool catalog_headers_legal(struct catalog_change *change)
{
    struct amqp_value v;
    int64_t integer;
    if (!amqp_table_find(change->arguments, "x-match", &v))
        return true;
    if (v.type == 'S')
        return kind_of(v.text) < KINDS ||
               catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                              "Invalid x-match field value <<\"%.*s\">>; expected all, any, all-with-x, or any-with-x",
                              (int)v.text.length, (const char *)v.text.data);
    if (amqp_value_integer(&v, &integer))
        return catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                              "Invalid x-match field type %s (value %" PRId64 "); expected longstr",
                              amqp_type_name(v.type), integer);
    return catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "Invalid x-match field type %s; expected longstr",
                          amqp_type_name(v.type));
}

void catalog_headers_prepare(struct catalog_bound *b)
{
    struct amqp_value v;
    size_t kind = amqp_table_find(b->arguments, "x-match", &v) && v.type == 'S' ? kind_of(v.text) : KINDS;
    b->any = kind < KINDS && kinds[kind].any;
    b->with_x = kind < KINDS && kinds[kind].with_x;
}

#define LOOKED_THROUGH_BYTES 256u /* so few are found as fast without an index */

static bool looked_through(struct mr_span table, struct mr_span name, struct amqp_value *value)
{
    struct mr_span have;
    for (size_t at = 0; amqp_table_next(table, &at, &have, value);)
        if (span_equal(have, name))
            return true;
    return false;
}

/* Where the first entry of this name is, or a free one to put it. */
static uint16_t *slot_of(const struct catalog_headers *h, struct mr_span name, struct amqp_value *value)
{
    uint16_t *slots = h->catalog->header_slots;
    uint32_t i = (uint32_t)catalog_hash(h->catalog->seed, name) & h->mask;
    for (; slots[i]; i = (i + 1) & h->mask) {
        struct mr_span have;
        size_t at = slots[i] - 1u;
        if (amqp_table_next(h->table, &at, &have, value) && span_equal(have, name))
            break;
    }
    return &slots[i];
}

/* Of two with one name the first counts. With a table of thousands of names in the binding as well, looking through would be their product. */
struct catalog_headers catalog_headers_of(const struct catalog *c, struct mr_span table)
{
    struct catalog_headers h = {.table = table, .catalog = c};
    struct mr_span name;
    struct amqp_value value, other;
    if (table.length <= LOOKED_THROUGH_BYTES || table.length >= CATALOG_HEADER_SLOTS)
        return h;
    for (h.mask = LOOKED_THROUGH_BYTES - 1; h.mask < table.length; h.mask = h.mask << 1 | 1)
        ;
    memset(c->header_slots, 0, (h.mask + 1) * sizeof *c->header_slots);
    for (size_t at = 0, begin = 0; amqp_table_next(table, &at, &name, &value); begin = at) {
        uint16_t *slot = slot_of(&h, name, &other);
        if (!*slot)
            *slot = (uint16_t)(begin + 1);
    }
    return h;
}
_Static_assert(QUEUE_TABLE_MAX < CATALOG_HEADER_SLOTS, "a slot names any place of a table, and half of them stay free");

static bool header_matches(const struct catalog_headers *headers, struct mr_span name, const struct amqp_value *wanted)
{
    struct amqp_value value;
    bool there = headers->mask ? *slot_of(headers, name, &value) : looked_through(headers->table, name, &value);
    return there && (wanted->type == 'V' || amqp_value_equal(wanted, &value));
}

static bool left_out(const struct catalog_bound *b, struct mr_span name)
{
    if (b->with_x)
        return span_equal(name, span_of("x-match"));
    return name.length >= 2 && name.data[0] == 'x' && name.data[1] == '-';
}

bool catalog_headers_match(const struct catalog_bound *b, const struct catalog_headers *headers)
{
    struct mr_span name;
    struct amqp_value wanted;
    for (size_t at = 0; amqp_table_next(b->arguments, &at, &name, &wanted);)
        if (!left_out(b, name) && header_matches(headers, name, &wanted) == b->any)
            return b->any;
    return !b->any;
}
