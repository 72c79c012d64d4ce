/* BITFIELD: operations on integers of any width at any bit. The arguments are walked twice: once to see that all are well
 * formed and how far they write, once to do them. */
#include "cache/command/bit.h"

enum operation { GET, SET, INCRBY };
enum overflow { WRAP, SATURATE, FAIL };

struct field {
    enum operation operation;
    enum overflow overflow; /* kept from one to the next */
    bool is_signed;
    unsigned width; /* bits */
    uint64_t offset;
    int64_t value; /* of SET and INCRBY */
};

static bool read_overflow(struct cache_call *call, const struct cache_argument *a, enum overflow *o)
{
    static const char *const names[] = {[WRAP] = "wrap", [SATURATE] = "sat", [FAIL] = "fail"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (cache_argument_is(a, names[i])) {
            *o = (enum overflow)i;
            return true;
        }
    cache_reply_error(call->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

static bool read_type(struct cache_call *call, const struct cache_argument *a, struct field *f)
{
    int64_t width;
    bool prefixed = a->data && a->length && (a->data[0] == 'i' || a->data[0] == 'u');
    struct cache_argument digits = {.data = prefixed ? a->data + 1 : NULL, .length = prefixed ? a->length - 1 : 0};
    f->is_signed = prefixed && a->data[0] == 'i';
    if (prefixed && cache_argument_integer(&digits, &width) && width >= 1 && width <= (f->is_signed ? 64 : 63)) {
        f->width = (unsigned)width;
        return true;
    }
    cache_reply_error(call->reply,
                      "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
                      "but i64 is.");
    return false;
}

enum step { STEP_FIELD, STEP_END, STEP_MALFORMED };

/* The next operation from argv[*i] on, which moves behind it. */
static enum step field_next(struct cache_call *call, unsigned *i, struct field *f)
{
    for (; *i < call->argc; *i += 2) {
        const struct cache_argument *a = &call->argv[*i];
        unsigned left = call->argc - *i - 1;
        if (left >= 1 && cache_argument_is(a, "overflow")) {
            if (!read_overflow(call, a + 1, &f->overflow))
                return STEP_MALFORMED;
            continue;
        }
        bool set = cache_argument_is(a, "set"), get = cache_argument_is(a, "get");
        if (left < (get ? 2 : 3) || !(get || set || cache_argument_is(a, "incrby"))) {
            cache_reply_syntax_error(call->reply);
            return STEP_MALFORMED;
        }
        f->operation = get ? GET : set ? SET : INCRBY;
        if (!read_type(call, a + 1, f) || !cache_bit_offset(call, a + 2, f->width, &f->offset))
            return STEP_MALFORMED;
        if (!get && !cache_argument_integer(a + 3, &f->value)) {
            cache_reply_not_integer(call->reply);
            return STEP_MALFORMED;
        }
        *i += get ? 3 : 4;
        return STEP_FIELD;
    }
    return STEP_END;
}

struct plan {
    uint64_t fields;
    uint64_t first;  /* byte that is written */
    uint64_t length; /* bytes that the value must have for what is written; 0: nothing is */
};

static bool plan_make(struct cache_call *call, struct plan *p)
{
    struct field f = {0};
    unsigned i = 2;
    enum step step;
    *p = (struct plan){0};
    while ((step = field_next(call, &i, &f)) == STEP_FIELD) {
        p->fields++;
        uint64_t end = ((f.offset + f.width - 1) >> 3) + 1;
        if (f.operation == GET)
            continue;
        if (!p->length || f.offset >> 3 < p->first)
            p->first = f.offset >> 3;
        if (end > p->length)
            p->length = end;
    }
    if (step == STEP_END && p->length > CACHE_VALUE_MAX) {
        cache_reply_error(call->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    return step == STEP_END;
}

#define FIELD_BYTES 9 /* 64 bits that begin inside a byte */

static unsigned field_bytes(const struct field *f)
{
    return (unsigned)(((f->offset + f->width - 1) >> 3) - (f->offset >> 3)) + 1;
}

/* The value, zero or sign extended to 64 bits. */
static uint64_t field_read(const struct cache_entry *e, const struct field *f)
{
    uint8_t bytes[FIELD_BYTES];
    unsigned n = field_bytes(f);
    cache_string_copy(e, f->offset >> 3, bytes, n);
    unsigned __int128 all = 0;
    for (unsigned i = 0; i < n; i++)
        all = all << 8 | bytes[i];
    uint64_t value = (uint64_t)(all >> (n * 8 - (f->offset & 7) - f->width)) << (64 - f->width);
    return f->is_signed ? (uint64_t)((int64_t)value >> (64 - f->width)) : value >> (64 - f->width);
}

static void field_write(struct cache_store *s, struct cache_entry *e, const struct field *f, uint64_t value)
{
    uint8_t bytes[FIELD_BYTES];
    unsigned n = field_bytes(f), shift = n * 8 - (unsigned)(f->offset & 7) - f->width;
    cache_string_copy(e, f->offset >> 3, bytes, n);
    unsigned __int128 mask = (unsigned __int128)(UINT64_MAX >> (64 - f->width)) << shift, all = 0;
    for (unsigned i = 0; i < n; i++)
        all = all << 8 | bytes[i];
    all = (all & ~mask) | ((unsigned __int128)value << shift & mask);
    for (unsigned i = n; i-- > 0; all >>= 8)
        bytes[i] = (uint8_t)all;
    cache_store_write_at(s, e, f->offset >> 3, bytes, n);
}

/* What is written: the sum, or what the overflow rule makes of it. False: it overflows and shall fail. */
static bool field_result(const struct field *f, uint64_t before, uint64_t *result)
{
    __int128 sum;
    if (f->operation == SET)
        sum = f->is_signed ? (__int128)f->value : (__int128)(uint64_t)f->value;
    else
        sum = (f->is_signed ? (__int128)(int64_t)before : (__int128)before) + f->value;
    __int128 max = ((__int128)1 << (f->width - f->is_signed)) - 1, min = f->is_signed ? -max - 1 : 0;
    bool overflows = sum > max || sum < min;
    if (overflows && f->overflow == FAIL)
        return false;
    if (overflows && f->overflow == SATURATE)
        sum = sum > max ? max : min;
    uint64_t value = (uint64_t)sum << (64 - f->width);
    *result = f->is_signed ? (uint64_t)((int64_t)value >> (64 - f->width)) : value >> (64 - f->width);
    return true;
}

static void field_run(struct cache_call *call, struct cache_entry *e, const struct field *f)
{
    uint64_t before = field_read(e, f), result;
    if (f->operation == GET) {
        cache_reply_integer(call->reply, (int64_t)before);
    } else if (!field_result(f, before, &result)) {
        cache_reply_null(call->reply);
    } else {
        field_write(call->store, e, f, result);
        cache_reply_integer(call->reply, (int64_t)(f->operation == SET ? before : result));
    }
}

static void fields_run(struct cache_call *call, struct cache_entry *e, uint64_t fields)
{
    struct field f = {0};
    unsigned i = 2;
    cache_reply_array(call->reply, fields);
    while (field_next(call, &i, &f) == STEP_FIELD)
        field_run(call, e, &f);
}

enum cache_outcome cache_command_bitfield(struct cache_call *call)
{
    struct plan plan;
    struct cache_entry *e;
    if (!plan_make(call, &plan) || !cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (!plan.length) {
        fields_run(call, e, plan.fields);
        return CACHE_DONE;
    }

    struct mr_span key = cache_argument_span(&call->argv[1]);
    enum cache_room room = cache_string_make(call, key, plan.first, plan.length - plan.first, &e);
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (!e)
        return cache_command_bitfield(call);
    fields_run(call, e, plan.fields);
    cache_call_changed(call, call->store, key);
    return CACHE_DONE;
}

enum cache_outcome cache_command_bitfield_ro(struct cache_call *call)
{
    struct plan plan;
    struct cache_entry *e;
    if (!plan_make(call, &plan))
        return CACHE_DONE;
    if (plan.length)
        cache_reply_error(call->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        fields_run(call, e, plan.fields);
    return CACHE_DONE;
}
