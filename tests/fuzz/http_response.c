/* Any bytes as the head of a response: the result must not depend on how they are split, every text lies within the head, and what
 * is said of the framing agrees with RFC 9112 6.3. The first byte seeds the splits, the second is the method that was asked with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/response_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_wire_limits limits = {256, 1024, 16};

static void demand(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    return copy;
}

static int parse_split(const uint8_t *data, size_t size, unsigned seed, struct http_response *r)
{
    struct http_wire w;
    int n = 0;
    http_wire_reset(&w);
    for (size_t at = 0; at < size && n == 0;) {
        at += 1 + (size_t)rand_r(&seed) % 24;
        at = at < size ? at : size;
        uint8_t *copy = exact(data, at);
        n = http_wire_response(&w, copy, at, &limits, r);
        free(copy);
    }
    return n;
}

static void check(struct http_response *r, const uint8_t *head, int length, enum http_method method)
{
    demand(r->status >= 100 && r->status <= 599, "a status is out of its range");
    demand(r->reason.offset + r->reason.length <= length, "the reason lies outside of the head");
    for (unsigned i = 0; i < r->field_count; i++)
        demand(r->fields[i].value.offset + r->fields[i].value.length <= length, "a field lies outside of the head");
    if (http_response_evaluate(r, head, method) != 0)
        return;
    demand(r->body != HTTP_BODY_UNTIL_END || !r->keep_alive, "a body until the end, and then more");
    demand(method != HTTP_HEAD || r->body == HTTP_BODY_NONE, "a body behind an answer to HEAD");
    demand(!http_response_has(r, HTTP_HEADER_CONTENT_LENGTH) || !http_response_has(r, HTTP_HEADER_TRANSFER_ENCODING),
           "two framings were believed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_response whole, split;
    struct http_wire w;
    if (size < 2)
        return 0;
    uint8_t *copy = exact(data + 2, size - 2);
    http_wire_reset(&w);
    int n = http_wire_response(&w, copy, size - 2, &limits, &whole);
    int m = parse_split(copy, size - 2, data[0], &split);
    demand(n == m, "whole and in pieces differ");
    if (n > 0) {
        demand(whole.status == split.status && whole.minor == split.minor && whole.present == split.present &&
                   whole.field_count == split.field_count &&
                   memcmp(&whole.reason, &split.reason, sizeof whole.reason) == 0 &&
                   memcmp(whole.fields, split.fields, whole.field_count * sizeof *whole.fields) == 0,
               "fields differ");
        check(&whole, copy, n, (enum http_method)(data[1] % (HTTP_METHOD_OTHER + 1)));
    }
    free(copy);
    return 0;
}
