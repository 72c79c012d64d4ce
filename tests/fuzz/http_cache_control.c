/* Any bytes as Cache-Control, and as the fields of a request and a response (a zero byte between them) that go through a cache: what was kept
 * comes back, ages and lifetimes stay within their bound, and nothing is left over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/hcache_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_wire_limits limits = {4096, 8192, HTTP_FIELDS_MAX};
static const struct proxy_cache_config config = {.bytes = 8 * HCACHE_BLOCK_BYTES,
                                                 .object_bytes_max = 2 * HCACHE_BLOCK_BYTES,
                                                 .heuristic_max = 3600 * MR_SECOND,
                                                 .stale_while_revalidate = 10 * MR_SECOND,
                                                 .waiting_max = 2};
static struct hcache_world world;

static void expect(bool holds, const char *sentence)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", sentence);
    abort();
}

static void control(struct mr_span text)
{
    struct hcache_control c = {0}, twice = {0}, targeted = {0};
    hcache_control_add(&c, text);
    for (unsigned d = 0; d < HCACHE_NUMBERS; d++)
        expect(c.seconds[d] <= HCACHE_DELTA_MAX, "a number is above the bound");
    for (unsigned i = 0; i < c.list_count; i++)
        expect(c.lists[i].data >= text.data && c.lists[i].data + c.lists[i].length <= text.data + text.length,
               "a list lies outside of the text");
    hcache_control_add(&twice, text);
    twice.list_count = 0;
    hcache_control_add(&twice, text);
    expect((twice.present | 1u << HCACHE_NO_CACHE | 1u << HCACHE_PRIVATE) ==
                   (c.present | 1u << HCACHE_NO_CACHE | 1u << HCACHE_PRIVATE) &&
               memcmp(twice.seconds, c.seconds, sizeof c.seconds) == 0,
           "the same line once more changes something");
    hcache_control_add_targeted(&targeted, text);
}

static bool parse_request(struct hcache_ask *a, const char *fields, int n)
{
    struct http_wire w;
    hcache_ask_make(&world, a, "GET", "/", "");
    int whole = snprintf(a->head, sizeof a->head, "GET / HTTP/1.1\r\nHost: a.example\r\n%.*s\r\n", n, fields);
    http_wire_reset(&w);
    return whole < (int)sizeof a->head &&
           http_wire_parse(&w, (const uint8_t *)a->head, (size_t)whole, &limits, &a->request) > 0 &&
           http_request_evaluate(&a->request, (const uint8_t *)a->head) == 0;
}

static bool parse_response(struct hcache_answer *r, int status, const char *fields, int n)
{
    struct http_wire w;
    int whole = snprintf(r->head, sizeof r->head, "HTTP/1.1 %d OK\r\n%.*s\r\n", status, n, fields);
    http_wire_reset(&w);
    return whole < (int)sizeof r->head &&
           http_wire_response(&w, (const uint8_t *)r->head, (size_t)whole, &limits, &r->response) > 0 &&
           http_response_evaluate(&r->response, (const uint8_t *)r->head, HTTP_GET) == 0;
}

static void look_again(struct hcache_ask *a, const struct hcache_answer *r)
{
    char text[512];
    uint64_t first, last;
    enum hcache_verdict v = hcache_ask_lookup(a);
    const struct hcache_entry *e = a->q.entry;
    expect(hcache_validators(&a->q, text, sizeof text) <= sizeof text, "the validators are longer than their room");
    expect(hcache_status_field(&a->q, "millrace", world.now, text) < HCACHE_STATUS_BYTES, "the status is too long");
    if (e) {
        expect(hcache_entry_age(e, world.now) <= HCACHE_DELTA_MAX && e->freshness.lifetime <= HCACHE_DELTA_MAX,
               "an age or a lifetime is above its bound");
        hcache_entry_condition(e, &a->request, a->q.head, world.now);
        if (hcache_entry_range(e, &a->request, a->q.head, world.now, &first, &last) == 206)
            expect(first <= last && last < hcache_entry_length(e), "a range lies outside of the entry");
    }
    if (v == HCACHE_VALIDATE)
        hcache_validated(&a->q, &r->response, (const uint8_t *)r->head, world.now);
    hcache_end(&a->q);
}

static void exchange(const uint8_t *data, size_t size)
{
    static struct hcache_ask a, b;
    static struct hcache_answer r, again;
    const uint8_t *zero = memchr(data, 0, size);
    size_t n = zero ? (size_t)(zero - data) : 0, rest = zero ? size - n - 1 : size;
    const char *fields = (const char *)(zero ? zero + 1 : data);
    if (n > 2000 || rest > 6000 || memchr(fields, 0, rest) || !parse_request(&a, (const char *)data, (int)n) ||
        !parse_response(&r, 200, fields, (int)rest) || !parse_response(&again, 304, fields, (int)rest))
        return;
    b = a;
    b.q.request = &b.request;
    b.q.head = (const uint8_t *)b.head;
    b.q.context = &b;
    b.q.target = hcache_span(b.target);
    hcache_ask_lookup(&a);
    struct hcache_fill *f = hcache_fill_begin(&a.q, &r.response, (const uint8_t *)r.head, world.now);
    if (f && (r.response.body != HTTP_BODY_LENGTH || r.response.content_length == 4)) {
        expect(hcache_fill_append(f, (const uint8_t *)"body", r.response.body == HTTP_BODY_NONE ? 0 : 4),
               "no room for four bytes");
        hcache_fill_end(f);
        expect(a.q.stored, "a whole response was not kept");
    } else if (f) {
        hcache_fill_abort(f);
    }
    hcache_end(&a.q);
    hcache_check(world.cache);
    look_again(&b, &again);
    world.now += 100;
    look_again(&b, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    control((struct mr_span){data, size});
    hcache_world_open(&world, &config);
    exchange(data, size);
    hcache_world_close(&world);
    return 0;
}
