/* Layer 7 of the proxy: the input is a script of what clients, backends and time do. Every invariant is checked after each step, the
 * fake stack checks the rules of the API, and at the end nothing may be left. What each backend got must read as whole requests, one
 * behind the other, of which none but the last may be incomplete: whatever clients send, nothing else ever reaches a backend.
 *
 * A step is one byte: the low 3 bits say what, the next 2 which of 4 peers, and the top 3 how much. The first byte chooses the
 * configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_private.h"
#include "tests/support/proxy_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENT_INPUT, BACKEND_INPUT, TURN, PASS, ACKNOWLEDGE, THROTTLE, END, RESET };
#define PEERS 4

static void demand(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static struct proxy_config *config_make(unsigned choice)
{
    struct proxy_config *c = proxy_world_config();
    struct proxy_upstream_config *u = &c->upstreams[0];
    c->limits.line_bytes = 200;
    c->limits.header_bytes = 1024;
    c->limits.body_bytes = 5000;
    c->limits.buffers = 3;
    c->forwarded = choice & 1;
    c->x_forwarded = choice & 2;
    c->trust_forwarded = choice & 4;
    u->connections_max = choice & 8 ? 1 : 0;
    if (choice & 16)
        u->sticky_cookie = strdup("S");
    if (choice & 32)
        c->cache.bytes = 1 << 20;
    proxy_world_route(c, "/c/*", "app")->cache = true;
    proxy_world_route(c, "/s/*", "app")->strip_prefix = strdup("/s/");
    if ((choice & 0xc0) == 0xc0) {
        c->listeners[0].mode = PROXY_FORWARD;
        free(c->listeners[0].upstream);
        c->listeners[0].upstream = NULL;
    }
    c->listeners[0].proxy_protocol = (choice & 0xc0) == 0x80;
    return c;
}

/* One request of what a backend got. Returns its bytes; 0: it is not whole, or it became a tunnel. */
static size_t request_read(const uint8_t *data, size_t n)
{
    static struct http_request r;
    struct http_wire_limits limits = {2000, 8000, HTTP_FIELDS_MAX};
    struct http_wire w;
    struct http_body body;
    struct mr_span payload;
    http_wire_reset(&w);
    int length = http_wire_parse(&w, data, n, &limits, &r);
    demand(length >= 0, "a backend got what is no request");
    if (length == 0)
        return 0;
    demand(http_request_evaluate_passed(&r, data) == 0, "a backend got a request that means nothing");
    demand(r.minor == 1 && r.method != HTTP_CONNECT && r.method != HTTP_TRACE && r.form != HTTP_TARGET_ABSOLUTE,
           "a backend got what is not written by us");
    demand(http_request_has(&r, HTTP_HEADER_VIA), "a request without Via");
    demand(!http_request_has(&r, HTTP_HEADER_PROXY_AUTHORIZATION) && !http_request_has(&r, HTTP_HEADER_TE),
           "a field of one hop went on");
    if (http_request_has(&r, HTTP_HEADER_UPGRADE))
        return 0;
    size_t at = (size_t)length;
    http_body_begin(&body, &r, UINT64_MAX);
    while (!http_body_ended(&body)) {
        int used = http_body_next(&body, data + at, n - at, &payload);
        demand(used >= 0, "a backend got a body that is malformed");
        if (used == 0)
            return 0;
        at += (size_t)used;
    }
    return at;
}

static void backend_read(struct mr_stream *s, bool tunnel)
{
    size_t n, used, requests = 0;
    const uint8_t *data = (const uint8_t *)fake_output(s, &n);
    for (size_t at = 0; !tunnel && at < n; at += used, requests++)
        if ((used = request_read(data + at, n - at)) == 0)
            break;
    demand(requests <= proxy_world.counters[PROXY_REQUESTS] + proxy_world.counters[PROXY_RETRIES],
           "a backend got more requests than clients sent");
}

static void client_read(struct mr_stream *s, bool tunnel)
{
    static struct http_response r;
    struct http_wire_limits limits = {2000, 8000, HTTP_FIELDS_MAX};
    struct http_wire w;
    size_t n;
    const uint8_t *data = (const uint8_t *)fake_output(s, &n);
    http_wire_reset(&w);
    int length = http_wire_response(&w, data, n, &limits, &r);
    demand(length >= 0, "a client got what is no response");
    demand(length == 0 || tunnel || http_response_evaluate(&r, data, HTTP_HEAD) == 0,
           "a client got a response that contradicts itself");
}

static struct mr_stream *backend_of(unsigned which)
{
    unsigned n = fake_connect_count(proxy_world.worker);
    return n > which ? fake_connected(proxy_world.worker, n - 1 - which) : NULL;
}

/* Its peer can say something: connected, and not at its end. */
static bool peer_speaks(const struct mr_stream *s)
{
    return s && s->opened && !s->close_delivered && !s->peer_ended;
}

static size_t input(struct mr_stream *s, unsigned amount, const uint8_t *data, size_t size)
{
    size_t n = (size_t)1 << (amount + 2);
    n = n < size ? n : size;
    if (peer_speaks(s) && n > 0)
        fake_input(s, data, n);
    return n;
}

static void peer_change(struct mr_stream *s, unsigned what, unsigned amount)
{
    if (!s || fake_closed(s))
        return;
    if (what == ACKNOWLEDGE)
        fake_acknowledge(s, (size_t)1 << (2 * amount));
    else if (what == THROTTLE)
        fake_throttle(s, (size_t)1 << (2 * amount));
    else if (what == RESET)
        fake_reset(s);
    else if (peer_speaks(s))
        fake_end(s);
}

static size_t step(struct mr_stream **clients, const uint8_t *data, size_t size)
{
    unsigned what = data[0] & 7, which = data[0] >> 3 & 3, amount = data[0] >> 5;
    struct mr_stream **c = &clients[which];
    switch (what) {
    case CLIENT_INPUT:
        if (!*c || fake_closed(*c))
            *c = proxy_world_client();
        return 1 + input(*c, amount, data + 1, size - 1);
    case BACKEND_INPUT:
        return 1 + input(backend_of(which), amount, data + 1, size - 1);
    case TURN:
        proxy_world_settle();
        return 1;
    case PASS:
        fake_pass(proxy_world.worker, (mr_time)(amount + 1) * MR_SECOND);
        return 1;
    default:
        peer_change(which & 1 ? backend_of(which >> 1) : clients[which >> 1], what, amount);
        return 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_stream *clients[PEERS] = {NULL};
    if (size < 2)
        return 0;
    unsigned choice = data[0];
    proxy_world_start(config_make(choice));
    for (size_t at = 1; at < size;)
        at += step(clients, data + at, size - at);
    proxy_world_settle();
    bool forward = (choice & 0xc0) == 0xc0;
    for (unsigned i = 0; i < fake_connect_count(proxy_world.worker); i++)
        backend_read(fake_connected(proxy_world.worker, i), forward && proxy_world.counters[PROXY_SESSION_TUNNELS] > 0);
    for (unsigned i = 0; i < PEERS; i++)
        if (clients[i])
            client_read(clients[i], forward);
    for (struct mr_stream *p = proxy_world.worker->streams; p; p = p->next)
        p->throttled = false; /* what was closed in order with bytes outstanding is the stack's to time out */
    proxy_world_stop();
    return 0;
}
