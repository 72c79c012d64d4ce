/* /status: what the worker that serves this connection has counted, as text: one `name value` a line. */
#include <stdio.h>

#include "http/connection.h"

static const char *const names[] = {
#define COUNTER(symbol, name, sentence) name,
#include "http/counter.def"
#undef COUNTER
};

void http_status_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct http *http = c->http;
    char text[HTTP_BUFFER_BYTES_MIN];
    int n = snprintf(text, sizeof text,
                     "millrace worker %u of %u\nhttp_connections_open %u\nhttp_files_cached_bytes %llu\n",
                     mr_worker_index(http->worker), mr_worker_count(http->worker), http->connections_open,
                     (unsigned long long)http->files.bytes);
    size_t used = (size_t)n;
    for (unsigned i = 0; i < HTTP_COUNTERS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "http_%s %llu\n", names[i],
                                 (unsigned long long)http->counters[i]);
    used += mr_worker_status(http->worker, text + used, sizeof text - used);
    http_answer_text(c, 200, "text/plain; charset=utf-8", text, used);
}
