/* A cache over a worker of fake_stream.c, with requests and responses given as text. Aborts with a sentence when a text does not parse. */
#ifndef TESTS_SUPPORT_HCACHE_WORLD_H
#define TESTS_SUPPORT_HCACHE_WORLD_H

#include "http/http_wire.h"
#include "http/response_head.h"
#include "proxy/cache/hcache_state.h"
#include "proxy/proxy.h"
#include "tests/support/fake_stream.h"

#define HCACHE_WORLD_START 1700000000 /* Tue, 14 Nov 2023 22:13:20 GMT */

struct hcache_world {
    struct mr_worker *worker;
    uint64_t counters[PROXY_COUNTERS];
    struct hcache *cache;
    int64_t now;
};

void hcache_world_open(struct hcache_world *w, const struct proxy_cache_config *config);
void hcache_world_close(struct hcache_world *w); /* asserts that nothing is held any more */

/* A request with what its cache keeps of it. */
struct hcache_ask {
    struct hcache_request q;
    struct hcache_world *world;
    struct http_request request;
    char head[4096];
    char target[2100];
    unsigned calls; /* of `ready` */
};

/* `fields` are whole lines, each with its CRLF. */
void hcache_ask_make(struct hcache_world *w, struct hcache_ask *a, const char *method, const char *target,
                     const char *fields);
enum hcache_verdict hcache_ask_lookup(struct hcache_ask *a);

struct hcache_answer {
    struct http_response response;
    char head[8192];
};

void hcache_answer_make(struct hcache_answer *r, int status, const char *fields, enum http_method method);
/* Begins a fill and gives it all of `body`. True: it was kept. */
bool hcache_ask_fill(struct hcache_ask *a, int status, const char *fields, const char *body);
void hcache_ask_validated(struct hcache_ask *a, const char *fields);

struct mr_span hcache_span(const char *text);

#endif
