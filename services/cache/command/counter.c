/* Numbers kept as strings: INCR and its relatives. */
#include "cache/command/string.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* An integer stays where it is; whatever else spelled one becomes one. False: no memory. */
static bool integer_store(struct cache_call *call, struct cache_entry *e, int64_t value)
{
    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (e && e->encoding == CACHE_STRING_INTEGER) {
        cache_entry_value(e)->integer = value;
        cache_call_changed(call, call->store, key);
        return true;
    }
    e = e ? cache_store_replace_integer(call->store, e, value)
          : cache_store_set_integer(call->store, call->database, key, value);
    if (e)
        cache_call_counted(call, call->store);
    return e;
}

static enum cache_outcome add(struct cache_call *call, int64_t by)
{
    struct cache_entry *e;
    int64_t value = 0;
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if (e && !cache_string_integer(e, &value)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        cache_reply_error(call->reply, "ERR increment or decrement would overflow");
        return CACHE_DONE;
    }

    if (!integer_store(call, e, value))
        cache_reply_out_of_memory(call->reply);
    else
        cache_reply_integer(call->reply, value);
    return CACHE_DONE;
}

enum cache_outcome cache_command_incr(struct cache_call *call)
{
    return add(call, 1);
}

enum cache_outcome cache_command_decr(struct cache_call *call)
{
    return add(call, -1);
}

enum cache_outcome cache_command_incrby(struct cache_call *call)
{
    int64_t by;
    if (cache_argument_integer(&call->argv[2], &by))
        return add(call, by);
    cache_reply_not_integer(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_decrby(struct cache_call *call)
{
    int64_t by;
    if (!cache_argument_integer(&call->argv[2], &by))
        cache_reply_not_integer(call->reply);
    else if (by == INT64_MIN)
        cache_reply_error(call->reply, "ERR decrement would overflow");
    else
        return add(call, -by);
    return CACHE_DONE;
}

/* -- INCRBYFLOAT ------------------------------------------------------------------------------------------------------------ */

/* 17 digits behind the point, without the zeros at the end: a long double has them to spare, so that 0.1 + 0.2 is 0.3. */
unsigned cache_float_text(long double value, char text[CACHE_FLOAT_TEXT_MAX])
{
    int n = snprintf(text, CACHE_FLOAT_TEXT_MAX, "%.17Lf", value);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    if (n == 2 && memcmp(text, "-0", 2) == 0) {
        text[0] = '0';
        n = 1;
    }
    return (unsigned)n;
}

/* The number that the entry is; false: none. */
static bool float_value(const struct cache_entry *e, long double *value)
{
    char digits[24];
    struct mr_span span = cache_string_span(e, digits);
    struct cache_argument a = {.data = span.data, .length = (uint32_t)span.length};
    return span.data && cache_argument_long_double(&a, value);
}

enum cache_outcome cache_command_incrbyfloat(struct cache_call *call)
{
    struct cache_entry *e;
    long double value = 0, by;
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    if ((e && !float_value(e, &value)) || !cache_argument_long_double(&call->argv[2], &by)) {
        cache_reply_not_float(call->reply);
        return CACHE_DONE;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        cache_reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return CACHE_DONE;
    }

    char text[CACHE_FLOAT_TEXT_MAX];
    struct mr_span key = cache_argument_span(&call->argv[1]),
                   sum = cache_text_span(text, cache_float_text(value, text));
    e = e ? cache_store_replace(call->store, e, sum) : cache_store_set(call->store, call->database, key, sum);
    if (!e) {
        cache_reply_out_of_memory(call->reply);
        return CACHE_DONE;
    }
    cache_call_counted(call, call->store);
    cache_reply_bulk(call->reply, sum.data, sum.length);
    /* Arithmetic of another machine could round differently: the log gets the sum. */
    cache_call_propagate(call, 4, (struct mr_span[]){CACHE_SPAN("SET"), key, sum, CACHE_SPAN("KEEPTTL")});
    return CACHE_DONE;
}
