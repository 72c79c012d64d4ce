/* Field tables, read (AMQP 0-9-1 section 4.2.5.5). Types have the meaning that RabbitMQ gave them where the specification and
 * its grammar differ: `s` is a signed 16-bit integer, `l` and `L` are signed 64-bit ones, `x` is a byte array.
 *
 *     table:  | length of name | name | type | value | ...
 *     array:                          | type | value | ... */
#include "queue/amqp/table.h"

#include "queue/amqp/cursor.h"

/* How many bytes the values of a type have, and what they are; RabbitMQ's name of it. */
enum kind { NONE, BOOLEAN, SIGNED, UNSIGNED, TIME, REAL, DECIMAL, TEXT, BINARY, TABLE_WITHIN, ARRAY_WITHIN, VOID };
static const struct field_type {
    uint8_t kind, bytes;
    const char *name;
} field_types[128] = {
    ['t'] = {BOOLEAN, 1, "bool"},
    ['b'] = {SIGNED, 1, "byte"},
    ['B'] = {UNSIGNED, 1, "unsignedbyte"},
    ['s'] = {SIGNED, 2, "short"},
    ['u'] = {UNSIGNED, 2, "unsignedshort"},
    ['I'] = {SIGNED, 4, "signedint"},
    ['i'] = {UNSIGNED, 4, "unsignedint"},
    ['l'] = {SIGNED, 8, "long"},
    ['L'] = {SIGNED, 8, "long"},
    ['f'] = {REAL, 4, "float"},
    ['d'] = {REAL, 8, "double"},
    ['D'] = {DECIMAL, 5, "decimal"},
    ['S'] = {TEXT, 0, "longstr"},
    ['x'] = {BINARY, 0, "binary"},
    ['T'] = {TIME, 8, "timestamp"},
    ['F'] = {TABLE_WITHIN, 0, "table"},
    ['A'] = {ARRAY_WITHIN, 0, "array"},
    ['V'] = {VOID, 0, "void"},
};

static struct field_type type_of(char type)
{
    unsigned char c = (unsigned char)type;
    return c < 128 ? field_types[c] : (struct field_type){NONE, 0, NULL};
}

const char *amqp_type_name(char type)
{
    const char *name = type_of(type).name;
    return name ? name : "unknown";
}

static int64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;
    return (int64_t)(value << unused) >> unused;
}

static double real_of(uint64_t bits, unsigned bytes)
{
    double wide;
    float narrow;
    uint32_t half = (uint32_t)bits;
    memcpy(&wide, &bits, sizeof wide);
    memcpy(&narrow, &half, sizeof narrow);
    return bytes == 4 ? (double)narrow : wide;
}

static bool value_take(struct amqp_reader *r, struct amqp_value *v)
{
    *v = (struct amqp_value){.type = (char)amqp_take_integer(r, 1)};
    struct field_type t = type_of(v->type);
    switch ((enum kind)t.kind) {
    case NONE:
        r->failed = true;
        break;
    case BOOLEAN:
        v->boolean = amqp_take_integer(r, 1) != 0;
        break;
    case SIGNED:
        v->integer = sign_extend(amqp_take_integer(r, t.bytes), t.bytes);
        break;
    case UNSIGNED:
    case TIME:
        v->integer = (int64_t)amqp_take_integer(r, t.bytes);
        break;
    case REAL:
        v->real = real_of(amqp_take_integer(r, t.bytes), t.bytes);
        break;
    case DECIMAL:
        v->decimal.scale = (uint8_t)amqp_take_integer(r, 1);
        v->decimal.value = (int32_t)amqp_take_integer(r, 4);
        break;
    case TEXT:
    case BINARY:
    case TABLE_WITHIN:
    case ARRAY_WITHIN:
        v->text = amqp_take_long(r);
        break;
    case VOID:
        break;
    }
    return !r->failed;
}

/* Every value of a table (`named`) or an array, and what is within them. */
static bool values_valid(struct mr_span values, bool named, unsigned depth)
{
    if (depth > QUEUE_TABLE_DEPTH_MAX)
        return false;
    struct amqp_reader r = amqp_reader_of(values);
    while (r.at != r.end) {
        struct amqp_value v;
        if (named)
            amqp_take_short(&r);
        if (!value_take(&r, &v))
            return false;
        if ((v.type == 'F' || v.type == 'A') && !values_valid(v.text, v.type == 'F', depth + 1))
            return false;
    }
    return true;
}

bool amqp_table_valid(struct mr_span table)
{
    return table.length <= QUEUE_TABLE_MAX && values_valid(table, true, 1);
}

static struct amqp_reader reader_at(struct mr_span s, size_t at)
{
    return amqp_reader_of(at < s.length ? (struct mr_span){s.data + at, s.length - at} : (struct mr_span){0});
}

bool amqp_table_next(struct mr_span table, size_t *at, struct mr_span *name, struct amqp_value *value)
{
    struct amqp_reader r = reader_at(table, *at);
    *name = amqp_take_short(&r);
    if (!value_take(&r, value))
        return false;
    *at = (size_t)(r.at - table.data);
    return true;
}

bool amqp_array_next(struct mr_span array, size_t *at, struct amqp_value *value)
{
    struct amqp_reader r = reader_at(array, *at);
    if (!value_take(&r, value))
        return false;
    *at = (size_t)(r.at - array.data);
    return true;
}

static bool span_equal(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool find_span(struct mr_span table, struct mr_span name, struct amqp_value *value)
{
    struct mr_span found;
    for (size_t at = 0; amqp_table_next(table, &at, &found, value);)
        if (span_equal(found, name))
            return true;
    return false;
}

bool amqp_table_find(struct mr_span table, const char *name, struct amqp_value *value)
{
    return find_span(table, (struct mr_span){(const uint8_t *)name, strlen(name)}, value);
}

static bool is_integer(char type)
{
    enum kind kind = (enum kind)type_of(type).kind;
    return kind == SIGNED || kind == UNSIGNED;
}

bool amqp_value_integer(const struct amqp_value *v, int64_t *out)
{
    if (!is_integer(v->type))
        return false;
    *out = v->integer;
    return true;
}

static bool array_equal(struct mr_span a, struct mr_span b)
{
    struct amqp_value one, other;
    size_t i = 0, j = 0;
    while (amqp_array_next(a, &i, &one))
        if (!amqp_array_next(b, &j, &other) || !amqp_value_equal(&one, &other))
            return false;
    return !amqp_array_next(b, &j, &other);
}

bool amqp_value_equal(const struct amqp_value *a, const struct amqp_value *b)
{
    struct field_type t = type_of(a->type), u = type_of(b->type);
    if (is_integer(a->type) && is_integer(b->type))
        return a->integer == b->integer;
    if (t.kind != u.kind)
        return false;
    switch ((enum kind)t.kind) {
    case BOOLEAN:
        return a->boolean == b->boolean;
    case SIGNED:
    case UNSIGNED:
    case TIME:
        return a->integer == b->integer;
    case REAL: /* what is not a number is like another that is none, else a table would differ from itself */
        return a->real == b->real || (a->real != a->real && b->real != b->real);
    case DECIMAL:
        return a->decimal.scale == b->decimal.scale && a->decimal.value == b->decimal.value;
    case TEXT:
    case BINARY:
        return span_equal(a->text, b->text);
    case TABLE_WITHIN:
        return amqp_table_equal(a->text, b->text);
    case ARRAY_WITHIN:
        return array_equal(a->text, b->text);
    case VOID:
        return true;
    case NONE:
        break;
    }
    return false;
}

/* Whether `b` has every name of `a`, and if `values`, each with the same value. A name is looked up only where `b` has another
 * one next, and at most LOOKUPS_MAX times: nobody's table of thousands of names in another order holds up a worker. */
#define LOOKUPS_MAX 128u
static bool table_within(struct mr_span a, struct mr_span b, bool values)
{
    struct mr_span name, other_name;
    struct amqp_value value, other;
    unsigned lookups = 0;
    for (size_t i = 0, j = 0; amqp_table_next(a, &i, &name, &value);) {
        bool here = amqp_table_next(b, &j, &other_name, &other) && span_equal(name, other_name);
        if (!here && (lookups++ == LOOKUPS_MAX || !find_span(b, name, &other)))
            return false;
        if (values && !amqp_value_equal(&value, &other))
            return false;
    }
    return true;
}

static size_t entries_count(struct mr_span table)
{
    struct mr_span name;
    struct amqp_value value;
    size_t n = 0;
    for (size_t at = 0; amqp_table_next(table, &at, &name, &value);)
        n++;
    return n;
}

/* Values are compared in one direction alone: with both, the work would double with each table within another. */
bool amqp_table_equal(struct mr_span a, struct mr_span b)
{
    return span_equal(a, b) ||
           (entries_count(a) == entries_count(b) && table_within(a, b, true) && table_within(b, a, false));
}
