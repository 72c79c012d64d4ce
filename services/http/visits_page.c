/* /visits: a page that counts how often it was asked for, in the cache of this process: the example of a handler that asks another service
 * and answers later. A path behind it has a count of its own (/visits/home). */
#include <millrace/cache.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/connection.h"

#define KEY_BYTES_MAX 128

struct visit {
    struct http_ticket ticket;
    struct http *http;
    struct visit *next;
};

static void page_answer(struct http_connection *c, const struct mr_cache_answer *a)
{
    char page[512];
    if (a->kind != MR_CACHE_INTEGER) { /* "OOM ...": the cache says why */
        int n = snprintf(page, sizeof page, "<!doctype html><title>Visits</title><p>The cache says: %.*s</p>\n",
                         (int)(a->text.length < 256 ? a->text.length : 256), (const char *)a->text.data);
        http_answer_text(c, 503, "text/html; charset=utf-8", page, (size_t)n);
        return;
    }
    int n = snprintf(page, sizeof page,
                     "<!doctype html><html lang=en><meta charset=utf-8><title>Visits</title>"
                     "<style>body{font:1.1rem system-ui;margin:4rem auto;max-width:30rem}b{font-size:3rem}</style>"
                     "<p>This page was asked for <br><b>%lld</b> %s.</p>"
                     "<p>Counted by <code>INCRBY</code> in the cache of the same process.</p></html>\n",
                     (long long)a->integer, a->integer == 1 ? "time" : "times");
    http_answer_text(c, 200, "text/html; charset=utf-8", page, (size_t)n);
}

/* The peer may have gone meanwhile: then nobody is answered. */
static void counted(void *context, const struct mr_cache_answer *a)
{
    struct visit *v = context;
    struct http_connection *c = http_ticket_connection(v->ticket);
    v->next = v->http->free_visits;
    v->http->free_visits = v;
    if (!c)
        return;
    page_answer(c, a);
    http_connection_advance(c);
}

bool http_visits_start(struct http *http)
{
    http->visits = calloc(HTTP_VISITS_MAX, sizeof *http->visits);
    for (unsigned i = 0; http->visits && i < HTTP_VISITS_MAX; i++) {
        http->visits[i].http = http;
        http->visits[i].next = http->free_visits;
        http->free_visits = &http->visits[i];
    }
    return http->visits != NULL;
}

void http_visits_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct http *http = c->http;
    struct mr_cache *cache = mr_cache_find(http->worker);
    struct mr_span path = http_request_text(head, r->path);
    uint8_t key[KEY_BYTES_MAX];
    struct visit *v = http->free_visits;
    if (path.length > sizeof key) {
        http_answer_error(c, 404);
        return;
    }
    if (!cache || !v) { /* none configured, or too many are waiting for it */
        http_answer_error(c, 503);
        return;
    }
    memcpy(key, path.data, path.length);
    http->free_visits = v->next;
    v->ticket = http_answer_later(c);
    if (mr_cache_increment(cache, (struct mr_span){key, path.length}, 1, counted, v) == MR_OK)
        return;
    v->next = http->free_visits;
    http->free_visits = v;
    http_answer_error(http_ticket_connection(v->ticket), 503);
}
