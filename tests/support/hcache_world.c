#include "tests/support/hcache_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct http_wire_limits limits = {4096, 8192, HTTP_FIELDS_MAX};

struct mr_span hcache_span(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

void hcache_world_open(struct hcache_world *w, const struct proxy_cache_config *config)
{
    *w = (struct hcache_world){.worker = fake_worker_create(), .now = HCACHE_WORLD_START};
    w->cache = hcache_create(w->worker, config, w->counters);
    assert(w->cache);
}

void hcache_world_close(struct hcache_world *w)
{
    uint64_t blocks = 0;
    hcache_check(w->cache);
    for (uint32_t b = 1; b < w->cache->pool.fresh; b++)
        if (w->cache->pool.next[b] == HCACHE_BLOCK_ENTRY) {
            const struct hcache_entry *e = hcache_block(&w->cache->pool, b);
            assert(e->holds == 1);
            blocks += e->blocks;
        }
    assert(blocks == w->cache->pool.used); /* nothing lives that lookups do not find */
    hcache_free(w->cache);
    fake_worker_free(w->worker);
}

static void ready(struct hcache_request *q)
{
    struct hcache_ask *a = q->context;
    a->calls++;
}

static void complain(const char *what, const char *text, int result)
{
    fprintf(stderr, "%s does not parse (%d):\n%s\n", what, result, text);
    abort();
}

void hcache_ask_make(struct hcache_world *w, struct hcache_ask *a, const char *method, const char *target,
                     const char *fields)
{
    struct http_wire wire;
    *a = (struct hcache_ask){.world = w};
    snprintf(a->target, sizeof a->target, "%s", target);
    int n = snprintf(a->head, sizeof a->head, "%s %s HTTP/1.1\r\nHost: a.example\r\n%s\r\n", method, target, fields);
    http_wire_reset(&wire);
    int result = http_wire_parse(&wire, (const uint8_t *)a->head, (size_t)n, &limits, &a->request);
    if (result != n || http_request_evaluate(&a->request, (const uint8_t *)a->head) != 0)
        complain("the request", a->head, result);
    a->q = (struct hcache_request){.cache = w->cache,
                                   .scheme = hcache_span("http"),
                                   .host = hcache_span("a.example"),
                                   .target = hcache_span(a->target),
                                   .request = &a->request,
                                   .head = (const uint8_t *)a->head,
                                   .ready = ready,
                                   .context = a};
}

enum hcache_verdict hcache_ask_lookup(struct hcache_ask *a)
{
    return hcache_lookup(&a->q, a->world->now);
}

void hcache_answer_make(struct hcache_answer *r, int status, const char *fields, enum http_method method)
{
    struct http_wire wire;
    int n = snprintf(r->head, sizeof r->head, "HTTP/1.1 %d Some\r\n%s\r\n", status, fields);
    http_wire_reset(&wire);
    int result = http_wire_response(&wire, (const uint8_t *)r->head, (size_t)n, &limits, &r->response);
    if (result != n || http_response_evaluate(&r->response, (const uint8_t *)r->head, method) != 0)
        complain("the response", r->head, result);
}

bool hcache_ask_fill(struct hcache_ask *a, int status, const char *fields, const char *body)
{
    struct hcache_answer r;
    hcache_answer_make(&r, status, fields, a->request.method);
    struct hcache_fill *f = hcache_fill_begin(&a->q, &r.response, (const uint8_t *)r.head, a->world->now);
    if (!f || !hcache_fill_append(f, (const uint8_t *)body, strlen(body)))
        return false;
    hcache_fill_end(f);
    return a->q.stored;
}

void hcache_ask_validated(struct hcache_ask *a, const char *fields)
{
    struct hcache_answer r;
    hcache_answer_make(&r, 304, fields, HTTP_GET);
    hcache_validated(&a->q, &r.response, (const uint8_t *)r.head, a->world->now);
}
