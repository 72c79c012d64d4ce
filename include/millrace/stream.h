/* Streams: byte connections as a service sees them. TCP now; a TLS stream will be the same type.
 *
 * Events. A service gives a table of functions; each runs on the worker that owns the connection, at most once a turn,
 * and never from inside a call of this API. The order within a turn is open, data, writable, close. `on_close` is
 * delivered exactly once for every stream that was handed to a service (by on_open or by mr_connect), it is the last
 * event, and it is the one place to free what the service keeps for it.
 *
 * Receiving borrows: mr_stream_peek shows the bytes where they lie, mr_stream_consume gives them back and opens the
 * peer's window. on_data comes when more bytes or the end arrived, not again for bytes left unconsumed.
 *
 * Sending either gives (mr_stream_send copies) or lends (mr_stream_lend, zero-copy). A stream accepts what its send
 * budget allows; after a refusal on_writable comes when there is room again. */
#ifndef MILLRACE_STREAM_H
#define MILLRACE_STREAM_H

#include <millrace/address.h>
#include <millrace/error.h>
#include <millrace/types.h>

struct mr_stream;
struct mr_listener;

enum mr_close_reason {
    MR_CLOSE_DONE,        /* both directions ended in order */
    MR_CLOSE_LOCAL,       /* this side called mr_stream_close or mr_stream_abort */
    MR_CLOSE_RESET,       /* the peer reset an open connection; what came before, in order, was told by on_data */
    MR_CLOSE_REFUSED,     /* the peer refused a connect: a reset, or ICMP port or protocol unreachable */
    MR_CLOSE_TIMEOUT,     /* no answer: connect, retransmission, keepalive or user timeout */
    MR_CLOSE_UNREACHABLE, /* a connect was prohibited, by ICMP codes 9, 10 or 13 */
    MR_CLOSE_NO_MEMORY,   /* a pool is empty and the connection could not go on */
    MR_CLOSE_STOPPED,     /* the worker stops */
};

const char *mr_close_reason_text(enum mr_close_reason reason);

/* Any member but on_close may be NULL. */
struct mr_stream_handler {
    void (*on_open)(struct mr_stream *s);     /* accepted, or connected */
    void (*on_data)(struct mr_stream *s);     /* new bytes, or the peer's end of data */
    void (*on_writable)(struct mr_stream *s); /* there is room again after a refusal */
    void (*on_close)(struct mr_stream *s, enum mr_close_reason reason);
};

/* All zero means the defaults, which are the stack's. */
struct mr_stream_options {
    uint32_t receive_budget;     /* bytes the stream may hold unread, and so the largest window; default 256 KiB */
    uint32_t send_budget;        /* bytes accepted but not yet acknowledged; default 256 KiB */
    uint32_t keepalive_idle_s;   /* 0: no keepalive (RFC 9293 3.8.4: off by default) */
    uint32_t keepalive_interval_s; /* default 75 */
    uint8_t keepalive_probes;    /* default 9 */
    bool nodelay;                /* send small segments at once: no Nagle */
    uint32_t user_timeout_ms;    /* give up after unacknowledged for this long; 0: R2 of RFC 9293 3.8.3 */
    uint32_t backlog;            /* listeners: connections opened but not yet delivered; default 1024 */
    const char *congestion;      /* name of an algorithm; NULL: the default */
};

/* Accepts connections to `local` (address any: every address of ours). The context of a new stream is `context` until
 * on_open replaces it. `options` may be NULL; it and `handler` are copied or must live as long as the listener (handler).
 * MR_OK, MR_ERROR_IN_USE, MR_ERROR_NO_ADDRESS, MR_ERROR_INVALID, MR_ERROR_NO_MEMORY, MR_ERROR_UNKNOWN (congestion) */
int mr_listen(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_stream_handler *handler,
              const struct mr_stream_options *options, void *context, struct mr_listener **out);

/* Accepts no more; connections already accepted go on. */
void mr_listener_close(struct mr_listener *l);

/* Opens a connection; on_open or on_close tells how it went, never before this function has returned. `local` may be
 * NULL or have port 0 (an ephemeral port, RFC 6056, chosen in O(1) such that the device hands the answers to this worker) and
 * address any (chosen by route; when its ports to this remote are all taken, the next address of the same interface).
 * MR_OK, MR_ERROR_INVALID (broadcast, multicast, port 0), MR_ERROR_NO_ROUTE, MR_ERROR_NO_ADDRESS, MR_ERROR_NO_PORT,
 * MR_ERROR_IN_USE, MR_ERROR_NO_MEMORY, MR_ERROR_UNKNOWN (congestion) */
int mr_connect(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
               const struct mr_stream_handler *handler, const struct mr_stream_options *options, void *context,
               struct mr_stream **out);

void *mr_stream_context(const struct mr_stream *s);
void mr_stream_set_context(struct mr_stream *s, void *context);
struct mr_worker *mr_stream_worker(const struct mr_stream *s);
void mr_stream_local(const struct mr_stream *s, struct mr_endpoint *out);
void mr_stream_remote(const struct mr_stream *s, struct mr_endpoint *out);

/* Receiving. */

/* Fills up to `max` spans with the unread bytes in order and returns how many; they stay valid until consumed. */
unsigned mr_stream_peek(const struct mr_stream *s, struct mr_span *spans, unsigned max);

/* Gives back the first `n` unread bytes; n must not exceed mr_stream_readable. */
void mr_stream_consume(struct mr_stream *s, size_t n);

/* Copies and consumes up to `n` bytes; returns how many. */
size_t mr_stream_read(struct mr_stream *s, void *buffer, size_t n);

/* Unread bytes. */
size_t mr_stream_readable(const struct mr_stream *s);

/* True when the peer has ended its direction and every byte of it was consumed. */
bool mr_stream_ended(const struct mr_stream *s);

/* Sending. */

/* Copies as much of `data` as the send budget takes and returns how many bytes; fewer than `n` promises on_writable. */
size_t mr_stream_send(struct mr_stream *s, const void *data, size_t n);

/* Sends `data` without copying. It must not change until `release(argument)` is called, once, on this worker, when
 * neither the stack nor the device needs it any more. All or nothing: false promises on_writable and takes nothing (the
 * caller still owns `data`). At least one lend of any size is accepted by a stream with nothing queued. n > 0. */
bool mr_stream_lend(struct mr_stream *s, const void *data, size_t n, void (*release)(void *argument), void *argument);

/* Bytes that mr_stream_send would take now. */
size_t mr_stream_send_room(const struct mr_stream *s);

/* Bytes accepted and not yet acknowledged by the peer. */
size_t mr_stream_unacknowledged(const struct mr_stream *s);

/* Moves up to `n` unread bytes of `from` behind what `to` already sends, without copying them: the packets that hold them
 * change queues. Both are streams of one worker. Returns how many moved: at most what is readable, and what the send budget
 * of `to` takes; fewer than were asked for and readable promises on_writable of `to`. What has moved is consumed, so the window
 * that the peer of `from` sees follows what the peer of `to` takes. Moves nothing to a stream that was shut down or closed. */
size_t mr_stream_splice(struct mr_stream *from, struct mr_stream *to, size_t n);

/* Ends our direction after what is queued (half-close). Receiving goes on. */
void mr_stream_shutdown(struct mr_stream *s);

/* Closes in order: sends what is queued, then FIN; unread or later received data resets the connection (RFC 9293
 * 3.10.4, RFC 2525 2.17). The service gets only on_close after this. */
void mr_stream_close(struct mr_stream *s);

/* Closes at once with a reset and drops what is queued. The service gets only on_close after this. */
void mr_stream_abort(struct mr_stream *s);

/* Runtime options. MR_OK or MR_ERROR_UNKNOWN. */
int mr_stream_set_congestion(struct mr_stream *s, const char *name);
void mr_stream_set_nodelay(struct mr_stream *s, bool nodelay);

/* What `ss -ti` shows. */
struct mr_stream_info {
    struct mr_endpoint local, remote;
    const char *state; /* "ESTAB", ... as ss prints them */
    const char *congestion;
    uint32_t receive_queue, send_queue; /* bytes */
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t cwnd, ssthresh; /* bytes */
    uint32_t in_flight;      /* bytes */
    uint32_t send_window, receive_window;
    uint16_t mss;
    uint8_t send_scale, receive_scale;
    uint8_t backoff;
    uint32_t retransmits;
    bool timestamps, sack;
};
void mr_stream_info(const struct mr_stream *s, struct mr_stream_info *out);

#endif
