/* An argument of a command: borrowed bytes, or a rope when it is longer than CACHE_SMALL_MAX (long values are put into
 * extents as they arrive, and the store takes them over without a copy). */
#ifndef SERVICES_CACHE_ARGUMENT_H
#define SERVICES_CACHE_ARGUMENT_H

#include "cache/store/rope.h"

struct cache_argument {
    const uint8_t *data;     /* NULL: it is a rope */
    uint32_t length;         /* of data, or of the rope */
    struct cache_rope *rope; /* owned by whoever owns the argument; who takes it over sets it to NULL here */
};

static inline struct mr_span cache_argument_span(const struct cache_argument *a)
{
    return (struct mr_span){a->data, a->length};
}

/* Compares with a word, ASCII case ignored; a rope never matches. `word` in lower case. */
bool cache_argument_is(const struct cache_argument *a, const char *word);
/* As Redis reads an integer: canonical decimal, no sign but '-', no leading zero or space. */
bool cache_argument_integer(const struct cache_argument *a, int64_t *value);
bool cache_argument_unsigned(const struct cache_argument *a, uint64_t *value);
/* As Redis reads a float: no leading space, "inf", "-inf", exponent; never NaN. */
bool cache_argument_double(const struct cache_argument *a, double *value);
bool cache_argument_long_double(const struct cache_argument *a, long double *value);

#endif
