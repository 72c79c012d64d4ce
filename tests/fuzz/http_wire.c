/* Any bytes as a request head, and behind it as a chunked body: the result must not depend on how they are split. The
 * first byte seeds the splits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"
#include "http/http_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_wire_limits limits = {256, 1024, 16};

static void differ(const char *what, long whole, long split)
{
    fprintf(stderr, "%s: whole %ld, split %ld\n", what, whole, split);
    abort();
}

/* A copy of exactly `n` bytes, so that a byte read too far is seen. */
static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    return copy;
}

static int parse_split(const uint8_t *data, size_t size, unsigned seed, struct http_request *r)
{
    struct http_wire w;
    int n = 0;
    http_wire_reset(&w);
    for (size_t at = 0; at < size && n == 0;) {
        at += 1 + (size_t)rand_r(&seed) % 24;
        at = at < size ? at : size;
        uint8_t *copy = exact(data, at);
        n = http_wire_parse(&w, copy, at, &limits, r);
        free(copy);
    }
    return n;
}

static void compare_requests(const struct http_request *a, const struct http_request *b)
{
    if (a->method != b->method || a->form != b->form || a->minor != b->minor || a->present != b->present ||
        a->field_count != b->field_count || memcmp(&a->target, &b->target, 3 * sizeof a->target) != 0 ||
        memcmp(a->fields, b->fields, a->field_count * sizeof *a->fields) != 0)
        differ("fields", a->field_count, b->field_count);
}

static void check_within(const struct http_request *r, int length)
{
    for (unsigned i = 0; i < r->field_count; i++) {
        const struct http_field *f = &r->fields[i];
        if (f->name.length == 0 || f->value.offset + f->value.length > length || f->name.offset > f->value.offset)
            differ("a field lies outside of the head", i, length);
    }
    if (r->path.offset + r->path.length > length || r->query.offset + r->query.length > length)
        differ("the target lies outside of the head", r->path.length, length);
}

static int fuzz_head(const uint8_t *data, size_t size, unsigned seed)
{
    static struct http_request whole, split; /* two runs leave different rubbish where nothing was written */
    struct http_wire w;
    http_wire_reset(&w);
    uint8_t *copy = exact(data, size);
    int n = http_wire_parse(&w, copy, size, &limits, &whole);
    int m = parse_split(data, size, seed, &split);
    if (n != m)
        differ("head", n, m);
    if (n > 0) {
        compare_requests(&whole, &split);
        check_within(&whole, n);
        n = http_request_evaluate(&whole, copy) < 0 ? 0 : n;
    }
    free(copy);
    return n;
}

/* Payload as a sum; `step` 0 is whole. Returns the status, or 1 when the body ended and 0 when it wants more. */
static int body_run(const uint8_t *data, size_t size, unsigned seed, bool whole, uint64_t *sum, size_t *used)
{
    struct http_request r = {.body = HTTP_BODY_CHUNKED};
    struct http_body b;
    http_body_begin(&b, &r, 4096);
    *sum = *used = 0;
    while (*used < size && !http_body_ended(&b)) {
        size_t n = whole ? size - *used : 1 + (size_t)rand_r(&seed) % 9;
        n = n < size - *used ? n : size - *used;
        struct mr_span payload;
        uint8_t *copy = exact(data + *used, n);
        int taken = http_body_next(&b, copy, n, &payload);
        for (size_t i = 0; taken > 0 && i < payload.length; i++)
            *sum = *sum * 31 + payload.data[i];
        free(copy);
        if (taken < 0)
            return taken;
        if (taken == 0)
            differ("a body does not go on", (long)*used, (long)size);
        *used += (size_t)taken;
    }
    return http_body_ended(&b);
}

static void fuzz_body(const uint8_t *data, size_t size, unsigned seed)
{
    uint64_t sums[2];
    size_t used[2];
    int whole = body_run(data, size, seed, true, &sums[0], &used[0]);
    int split = body_run(data, size, seed, false, &sums[1], &used[1]);
    if (whole != split)
        differ("body", whole, split);
    if (whole >= 0 && (sums[0] != sums[1] || used[0] != used[1]))
        differ("payload", (long)used[0], (long)used[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned seed = data[0];
    int n = fuzz_head(data + 1, size - 1, seed);
    fuzz_body(data + 1 + (n > 0 ? n : 0), size - 1 - (size_t)(n > 0 ? n : 0), seed);
    return 0;
}
