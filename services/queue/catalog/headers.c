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
                              catalog_type_name(v.type), integer);
    return catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "Invalid x-match field type %s; expected longstr",
                          catalog_type_name(v.type));
}

void catalog_headers_prepare(struct catalog_bound *b)
{
    struct amqp_value v;
    size_t kind = amqp_table_find(b->arguments, "x-match", &v) && v.type == 'S' ? kind_of(v.text) : KINDS;
    b->any = kind < KINDS && kinds[kind].any;
    b->with_x = kind < KINDS && kinds[kind].with_x;
}

static bool header_matches(struct mr_span headers, struct mr_span name, const struct amqp_value *wanted)
{
    struct mr_span have;
    struct amqp_value value;
    for (size_t at = 0; amqp_table_next(headers, &at, &have, &value);)
        if (span_equal(have, name))
            return wanted->type == 'V' || amqp_value_equal(wanted, &value);
    return false;
}

static bool left_out(const struct catalog_bound *b, struct mr_span name)
{
    if (b->with_x)
        return span_equal(name, span_of("x-match"));
    return name.length >= 2 && name.data[0] == 'x' && name.data[1] == '-';
}

bool catalog_headers_match(const struct catalog_bound *b, struct mr_span headers)
{
    struct mr_span name;
    struct amqp_value wanted;
    for (size_t at = 0; amqp_table_next(b->arguments, &at, &name, &wanted);)
        if (!left_out(b, name) && header_matches(headers, name, &wanted) == b->any)
            return b->any;
    return !b->any;
}
