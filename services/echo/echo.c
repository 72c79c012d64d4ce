/* Echo over TCP and UDP (RFC 862). Small on purpose: copy this file to begin a service of your own. */
#include <stdlib.h>

#include "echo/echo.h"

struct echo_config {
    struct mr_endpoint listen;
};
static const struct mr_config_key echo_keys[] = {
    {"listen", MR_CONFIG_ENDPOINT, offsetof(struct echo_config, listen), .preset = ":7",
     .sentence = "address and port"},
    {0},
};

enum { STREAM_BYTES, DATAGRAMS, DATAGRAMS_REFUSED };
static const struct mr_service_counter echo_counters[] = {
    [STREAM_BYTES] = {"stream_bytes", "bytes echoed on streams", false},
    [DATAGRAMS] = {"datagrams", "datagrams echoed", false},
    [DATAGRAMS_REFUSED] = {"datagrams_refused", "datagrams not echoed: sent from our own port, or not accepted", false},
    {0},
};

struct echo { /* one per worker: nothing in it is shared, so nothing needs a lock */
    uint64_t *counters;
    struct mr_listener *listener;
    struct mr_port *port;
};

/* Consumes only what the stream took back: the rest closes the peer's window until on_writable brings us here again. */
static void echo_pump(struct mr_stream *s)
{
    struct echo *echo = mr_stream_context(s);
    struct mr_span span;
    while (mr_stream_peek(s, &span, 1) == 1) {
        size_t taken = mr_stream_send(s, span.data, span.length);
        mr_stream_consume(s, taken);
        echo->counters[STREAM_BYTES] += taken;
        if (taken < span.length)
            return;
    }
    if (mr_stream_ended(s)) /* the peer's half is closed and it has got all back: close ours */
        mr_stream_shutdown(s);
}

static void echo_close(struct mr_stream *s, enum mr_close_reason reason)
{
}

static const struct mr_stream_handler echo_stream = {NULL, echo_pump, echo_pump, echo_close};

static void echo_datagrams(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    struct echo *echo = mr_port_context(p);
    for (unsigned i = 0; i < n; i++) {
        /* Two echo ports that are made to answer each other would never stop (RFC 2827's reflection). */
        bool sent = burst[i].remote.port != burst[i].local.port && mr_datagram_send(p, &burst[i], 1) == 1;
        echo->counters[sent ? DATAGRAMS : DATAGRAMS_REFUSED]++;
    }
}

static const struct mr_datagram_handler echo_datagram = {echo_datagrams};

static void echo_stop(struct mr_worker *w, void *state)
{
    struct echo *echo = state;
    mr_listener_close(echo->listener);
    mr_datagram_close(echo->port);
}

static void echo_release(struct mr_worker *w, void *state)
{
    free(state);
}

static int echo_start(struct mr_worker *w, const void *configuration, uint64_t *counters, void **state)
{
    const struct echo_config *config = configuration;
    struct echo *echo = calloc(1, sizeof *echo);
    if (!echo)
        return MR_ERROR_NO_MEMORY;
    echo->counters = counters;
    int error = mr_listen(w, &config->listen, &echo_stream, NULL, echo, &echo->listener);
    if (error == MR_OK && (error = mr_datagram_open(w, &config->listen, &echo_datagram, echo, &echo->port)) != MR_OK)
        mr_listener_close(echo->listener);
    if (error != MR_OK)
        free(echo);
    *state = error == MR_OK ? echo : NULL;
    return error;
}

const struct mr_service echo_service = {.name = "echo",
                                        .sentence = "TCP and UDP echo (RFC 862)",
                                        .config_bytes = sizeof(struct echo_config),
                                        .keys = echo_keys,
                                        .counters = echo_counters,
                                        .start = echo_start,
                                        .stop = echo_stop,
                                        .release = echo_release};
