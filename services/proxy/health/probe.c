/* One check: CONNECTING -> (http: EXPECT_HEAD ->) the result -> DRAINING -> closed.
 *
 * Closed in order where the backend plays along: our end is sent, what still comes is forgotten, and who does not end its own
 * direction soon is reset. So a check, whatever its peer does, is over after timeout + DRAIN_WITHIN. */
#include <stdio.h>
#include <string.h>

#include "proxy/health/prober.h"
#include "proxy/l4/proxy_protocol.h"
#include "proxy/proxy.h"

#define DRAIN_WITHIN (250 * MR_MILLISECOND)
#define INTERIM_MAX  8 /* responses 1xx before the real one */

static const struct proxy_upstream_config *config_of(const struct health_probe *probe)
{
    return probe->watch->upstream->config;
}

/* -- the end --------------------------------------------------------------------------------------------------------------- */

static void probe_free(struct health_probe *probe)
{
    struct health_table *t = probe->table;
    mr_timer_cancel(t->proxy->worker, &probe->deadline);
    probe->state = PROBE_FREE;
    probe->stream = NULL;
    probe->next = t->free;
    t->free = probe;
}

static void probe_abort(struct health_probe *probe)
{
    mr_timer_cancel(probe->table->proxy->worker, &probe->deadline);
    probe->state = PROBE_CLOSING;
    mr_stream_abort(probe->stream);
}

void probe_abandon(struct health_probe *probe)
{
    probe->watch = NULL;
    if (probe->state != PROBE_FREE && probe->state != PROBE_CLOSING)
        probe_abort(probe);
}

static void probe_drain(struct health_probe *probe)
{
    struct mr_worker *worker = probe->table->proxy->worker;
    probe->state = PROBE_DRAINING;
    mr_timer_set(worker, &probe->deadline, mr_now(worker) + DRAIN_WITHIN);
    mr_stream_consume(probe->stream, mr_stream_readable(probe->stream));
    mr_stream_shutdown(probe->stream);
}

/* Tells the result, once. What happens to the connection was decided before. */
static void probe_result(struct health_probe *probe, enum health_result r)
{
    struct health_watch *w = probe->watch;
    probe->watch = NULL;
    w->probe = NULL;
    health_found(w, r);
}

static void probe_fail(struct health_probe *probe, enum health_result r)
{
    probe_abort(probe);
    probe_result(probe, r);
}

static void deadline_expired(struct mr_worker *worker, struct mr_timer *timer)
{
    (void)worker;
    struct health_probe *probe = timer->context;
    if (probe->state == PROBE_DRAINING)
        probe_abort(probe);
    else
        probe_fail(probe, HEALTH_TIMEOUT);
}

/* -- the request ----------------------------------------------------------------------------------------------------------- */

/* A backend that expects a PROXY header is told that this connection is our own. */
static void compose_proxy_header(struct health_probe *probe)
{
    int version = config_of(probe)->proxy_protocol;
    if (version == PROXY_PROTOCOL_V1)
        probe->used = (uint32_t)proxy_protocol_write_v1(NULL, NULL, probe->bytes);
    else if (version == PROXY_PROTOCOL_V2)
        probe->used = (uint32_t)proxy_protocol_write_v2(NULL, NULL, probe->bytes);
}

static bool compose_request(struct health_probe *probe)
{
    const struct proxy_health_config *config = &config_of(probe)->health;
    size_t room = sizeof probe->bytes - probe->used;
    char address[MR_ENDPOINT_TEXT_MAX];
    int n = snprintf((char *)probe->bytes + probe->used, room,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: millrace-health\r\nConnection: close\r\n\r\n",
                     config->path,
                     config->host ? config->host : mr_endpoint_text(&probe->watch->backend->config->address, address));
    probe->used += (uint32_t)n;
    return (size_t)n < room;
}

/* True: all of it is sent, and the buffer is free for the response. */
static bool request_send(struct health_probe *probe)
{
    probe->sent += (uint32_t)mr_stream_send(probe->stream, probe->bytes + probe->sent, probe->used - probe->sent);
    probe->sending = probe->sent < probe->used;
    if (!probe->sending)
        probe->sent = probe->used = 0;
    return !probe->sending;
}

/* -- the response ---------------------------------------------------------------------------------------------------------- */

/* An interim response is taken out of the buffer; false: there are too many. */
static bool interim_forget(struct health_probe *probe, uint32_t length)
{
    probe->used -= length;
    memmove(probe->bytes, probe->bytes + length, probe->used);
    http_wire_reset(&probe->wire);
    return ++probe->interim <= INTERIM_MAX;
}

static void head_judge(struct health_probe *probe)
{
    const struct proxy_health_config *config = &config_of(probe)->health;
    uint16_t status = probe->response.status;
    bool good = status >= config->status_minimum && status <= config->status_maximum;
    probe_drain(probe);
    probe_result(probe, good ? HEALTH_GOOD : HEALTH_STATUS);
}

static void head_parse(struct health_probe *probe)
{
    static const struct http_wire_limits limits = {1024, HEALTH_HEAD_MAX, HTTP_FIELDS_MAX};
    for (;;) {
        int n = http_wire_response(&probe->wire, probe->bytes, probe->used, &limits, &probe->response);
        if (n == 0 && probe->used < sizeof probe->bytes) {
            if (mr_stream_ended(probe->stream))
                probe_fail(probe, HEALTH_ENDED);
            return;
        }
        if (n <= 0 || http_response_evaluate(&probe->response, probe->bytes, HTTP_GET) != 0)
            break;
        if (probe->response.status >= 200 || probe->response.status == 101) {
            head_judge(probe);
            return;
        }
        if (!interim_forget(probe, (uint32_t)n))
            break;
    }
    probe_fail(probe, HEALTH_MALFORMED);
}

static void head_read(struct health_probe *probe)
{
    probe->used +=
        (uint32_t)mr_stream_read(probe->stream, probe->bytes + probe->used, sizeof probe->bytes - probe->used);
    head_parse(probe);
}

/* -- events ---------------------------------------------------------------------------------------------------------------- */

static void on_open(struct mr_stream *s)
{
    struct health_probe *probe = mr_stream_context(s);
    bool http = config_of(probe)->health.type == HEALTH_HTTP;
    compose_proxy_header(probe);
    if (http && !compose_request(probe)) {
        probe_fail(probe, HEALTH_NO_MEMORY);
        return;
    }
    bool sent = request_send(probe);
    if (http) {
        probe->state = PROBE_EXPECT_HEAD;
        return;
    }
    if (sent) /* a new connection takes so few bytes */
        probe_drain(probe);
    else
        probe_abort(probe);
    probe_result(probe, HEALTH_GOOD);
}

static void on_data(struct mr_stream *s)
{
    struct health_probe *probe = mr_stream_context(s);
    if (probe->state == PROBE_DRAINING)
        mr_stream_consume(s, mr_stream_readable(s));
    else if (probe->state == PROBE_EXPECT_HEAD && !probe->sending)
        head_read(probe);
}

static void on_writable(struct mr_stream *s)
{
    struct health_probe *probe = mr_stream_context(s);
    if (probe->state == PROBE_EXPECT_HEAD && probe->sending && request_send(probe))
        head_read(probe); /* what came meanwhile */
}

static enum health_result close_result(const struct health_probe *probe, enum mr_close_reason reason)
{
    bool open = probe->state == PROBE_EXPECT_HEAD;
    switch (reason) {
    case MR_CLOSE_DONE:
    case MR_CLOSE_LOCAL:
        return HEALTH_ENDED;
    case MR_CLOSE_RESET:
        return open ? HEALTH_RESET : HEALTH_REFUSED;
    case MR_CLOSE_REFUSED:
        return HEALTH_REFUSED;
    case MR_CLOSE_TIMEOUT:
        return HEALTH_TIMEOUT;
    case MR_CLOSE_UNREACHABLE:
        return HEALTH_UNREACHABLE;
    case MR_CLOSE_NO_MEMORY:
    case MR_CLOSE_STOPPED:
        return HEALTH_NO_MEMORY;
    }
    return HEALTH_NO_MEMORY;
}

static void on_close(struct mr_stream *s, enum mr_close_reason reason)
{
    struct health_probe *probe = mr_stream_context(s);
    struct health_table *t = probe->table;
    enum health_result r = close_result(probe, reason);
    probe_free(probe);
    if (probe->watch)
        probe_result(probe, r);
    health_probe_freed(t);
}

/* -- the beginning --------------------------------------------------------------------------------------------------------- */

/* From the upstream's addresses in turn, as its other connections. */
static int probe_connect(struct health_probe *probe)
{
    static const struct mr_stream_handler handler = {
        .on_open = on_open, .on_data = on_data, .on_writable = on_writable, .on_close = on_close};
    static const struct mr_stream_options options = {.nodelay = true, .receive_budget = HEALTH_HEAD_MAX};
    struct health_watch *w = probe->watch;
    const struct proxy_upstream_config *config = config_of(probe);
    struct mr_worker *worker = probe->table->proxy->worker;
    const struct mr_endpoint *remote = &w->backend->config->address;
    if (config->source_count == 0)
        return mr_connect(worker, NULL, remote, &handler, &options, probe, &probe->stream);
    struct mr_endpoint local = {config->sources[w->source_next++ % config->source_count], 0};
    return mr_connect(worker, &local, remote, &handler, &options, probe, &probe->stream);
}

bool probe_begin(struct health_watch *w, int *error)
{
    struct health_table *t = w->table;
    struct mr_worker *worker = t->proxy->worker;
    struct health_probe *probe = t->free;
    if (!probe)
        return false;
    t->free = probe->next;
    probe->watch = w;
    probe->state = PROBE_CONNECTING;
    probe->sent = probe->used = 0;
    probe->interim = 0;
    http_wire_reset(&probe->wire);
    mr_timer_init(&probe->deadline, deadline_expired, probe);
    *error = probe_connect(probe);
    if (*error != MR_OK) {
        probe->watch = NULL;
        probe_free(probe);
        return true;
    }
    w->probe = probe;
    mr_timer_set(worker, &probe->deadline, mr_now(worker) + config_of(probe)->health.timeout);
    return true;
}
