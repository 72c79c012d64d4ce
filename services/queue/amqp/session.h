/* One worker's AMQP connections and their channels: what the files of this folder share.
 *
 *     stream -> input.c: frames -> connection.c: channel 0, which channel -> channel_*.c: methods, contents
 *     stream <- output.c <---------------------- amqp_send_method, amqp_send_content <-----'
 *
 * The connection's files own struct amqp_connection, the number of a channel and what may come on it next (method, header, body). The
 * channel's files own everything else of a channel: their struct begins with struct amqp_channel. */
#ifndef SERVICES_QUEUE_AMQP_SESSION_H
#define SERVICES_QUEUE_AMQP_SESSION_H

#include <millrace/service.h>
#include <millrace/turn.h>

#include "queue/amqp/server.h"
#include "queue/amqp/wire.h"
#include "queue/broker.h"

enum {
    AMQP_OUTPUT_MAX =
        256 << 10, /* bytes that wait for the stream; above it no delivery is written and no frame is read */
    AMQP_OUTPUT_COPY_MAX = 2048, /* a body of so many bytes is copied into the output; a longer one is lent */
    AMQP_CONTROL_FRAME_MAX =
        128 << 10,            /* a method or header frame: a table of QUEUE_TABLE_MAX and all short strings fit */
    AMQP_CHANNEL_BUCKETS = 4, /* to begin with */
    AMQP_CHANNEL_BUCKETS_MAX = 4096,
};

/* -- channels ------------------------------------------------------------------------------------------------------------------------ */

enum amqp_channel_state {
    AMQP_CHANNEL_OPEN,
    AMQP_CHANNEL_EXPECT_CLOSE_OK, /* we sent channel.close: whatever else comes on its number is dropped */
    AMQP_CHANNEL_GONE, /* the number is free again (or the connection ended); what is on its way comes home */
};

enum amqp_content_state { /* of what the peer sends: section 4.2.6 */
                          AMQP_EXPECT_METHOD,
                          AMQP_EXPECT_HEADER,
                          AMQP_EXPECT_BODY,
};

struct amqp_channel {
    struct amqp_connection *connection;          /* valid until amqp_channel_free */
    struct amqp_channel *next;                   /* of the same bucket; or of those to be freed */
    struct amqp_channel *wait_next, **wait_link; /* amqp_output_wait; link NULL: it does not wait */
    uint64_t body_missing;                       /* EXPECT_BODY */
    uint32_t content_method;                     /* that the content belongs to */
    uint16_t number;
    uint8_t state;   /* enum amqp_channel_state; written by connection.c alone */
    uint8_t content; /* enum amqp_content_state; likewise */
    bool ended;      /* amqp_channel_end was called */
    bool drained;    /* amqp_channel_drained was called */
};

/* Provided by the channel's files (channel_*.c). None of these is called from inside a call of one of the functions below, but
 * amqp_channel_end: the errors call it. */

/* A new channel with its struct amqp_channel filled by amqp_channel_init; open-ok is sent by the caller. NULL: no memory. */
struct amqp_channel *amqp_channel_open(struct amqp_connection *c, uint16_t number);
/* Any method but channel.open, close and close_ok, legal in the sense of contents. Its spans are borrowed during the call. */
void amqp_channel_method(struct amqp_channel *ch, const struct amqp_method *m);
/* The header of the content of the last method: class 60. With body_bytes 0 the content is whole. */
void amqp_channel_header(struct amqp_channel *ch, const struct amqp_header *h);
/* Some bytes of the body, in order, in any pieces, never empty; with ch->body_missing 0 the content is whole. */
void amqp_channel_body(struct amqp_channel *ch, struct mr_span bytes);
/* After amqp_output_wait: there is room again. Who wants more after that waits again. */
void amqp_channel_writable(struct amqp_channel *ch);
/* It is over, by whichever side: consumers go, everything unacknowledged is put back, nothing more is sent on this channel (what is sent all
 * the same is dropped). Called once. Answered by amqp_channel_drained, from inside or later. */
void amqp_channel_end(struct amqp_channel *ch);
/* After amqp_channel_drained and when the number is free: gives its memory back. Never from inside another call. */
void amqp_channel_free(struct amqp_channel *ch);
void amqp_channel_check(const struct amqp_channel *ch); /* invariants; tests */

/* Deletes the exclusive queues of a connection. Once, when its last channel has drained (a declare may be under way until then); what is
 * under way afterwards does not need the connection. */
void amqp_exclusive_end(struct amqp_connection *c);

/* Provided by the connection's files. */

void amqp_channel_init(struct amqp_channel *ch, struct amqp_connection *c, uint16_t number);
/* Nothing refers to the channel any more: no publication, request, change, subscriber, lent body. Once, after amqp_channel_end. */
void amqp_channel_drained(struct amqp_channel *ch);
struct amqp_channel *amqp_channel_find(const struct amqp_connection *c, uint16_t number); /* NULL: it is not open */

/* Sends channel.close (or connection.close when `code` is a hard one), counts it and ends the channel: amqp_channel_end has run when this
 * returns. The text on the wire is "NOT_FOUND - " and what `format` makes of it, cut at 255 bytes. class_and_method: enum
 * amqp_method_id of what was wrong; 0: none. */
void amqp_channel_error(struct amqp_channel *ch, unsigned code, uint32_t class_and_method, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Likewise for the connection: all its channels are ended. Does nothing when the connection is already closing. */
void amqp_connection_error(struct amqp_connection *c, unsigned code, uint32_t class_and_method, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* -- output (output.c) ------------------------------------------------------------------------------------------------------------------ */

/* One frame. Always taken: a peer that does not read its answers is not read either, so what can gather is bounded; without memory the
 * connection is cut. Dropped on a connection that is closing; a channel says nothing any more once ch->ended. */
void amqp_send_method(struct amqp_connection *c, uint16_t channel, const struct amqp_method *m);

enum amqp_sent {
    AMQP_SENT_NOT, /* no room or no memory, or the connection is closing: nothing was written. amqp_output_wait tells when to try again */
    AMQP_SENT_COPIED, /* written; the message is not needed any more, and `release` is not called */
    AMQP_SENT_LENT, /* written; the message is read until release(argument), once, later, on this worker: also after the channel ended */
};
/* Method, header and body frames, the body split at the frame_max of the connection. Asks amqp_output_room unless `always` (returns: they
 * answer the peer, like methods). */
enum amqp_sent amqp_send_content(struct amqp_connection *c, uint16_t channel, const struct amqp_method *m,
                                 const struct message *message, bool always, void (*release)(void *argument),
                                 void *argument);
bool amqp_output_room(const struct amqp_connection *c); /* for a delivery of any size */
void amqp_output_wait(
    struct amqp_channel *ch); /* amqp_channel_writable will be called, in turn with others, not from inside */

/* -- input: who cannot go on stops the connection -------------------------------------------------------------------------------------- */

/* No frame of the connection is read until amqp_connection_resume was called as often: an answer from another worker is awaited before the
 * channel's next method may run, or as much is under way as may be. Reading goes on at the end of the turn. */
void amqp_connection_hold(struct amqp_connection *c);
void amqp_connection_resume(struct amqp_connection *c);

/* -- connections ------------------------------------------------------------------------------------------------------------------------ */

enum amqp_connection_state {
    AMQP_EXPECT_PROTOCOL, /* "AMQP" 0 0 9 1 */
    AMQP_EXPECT_START_OK,
    AMQP_EXPECT_SECURE_OK,
    AMQP_EXPECT_TUNE_OK,
    AMQP_EXPECT_OPEN,
    AMQP_OPEN,
    AMQP_EXPECT_CLOSE_OK, /* we sent connection.close */
    AMQP_EXPECT_END,      /* our last byte is queued and our direction ended: what still comes is dropped */
    AMQP_CLOSED,          /* no stream; what is on its way comes home */
    AMQP_CONNECTION_STATES
};

enum amqp_capability { /* of the client, from its client-properties */
                       AMQP_CAPABLE_CONFIRMS = 1 << 0,
                       AMQP_CAPABLE_EXCHANGE_BINDINGS = 1 << 1,
                       AMQP_CAPABLE_NACK = 1 << 2,
                       AMQP_CAPABLE_CANCEL_NOTIFY = 1 << 3,
                       AMQP_CAPABLE_BLOCKED = 1 << 4,
                       AMQP_CAPABLE_AUTHENTICATION_CLOSE = 1 << 5,
};

struct amqp_output; /* output.c: a piece of what waits */

struct amqp_connection {
    struct amqp_server *server;
    struct broker *broker;
    struct mr_stream *stream;             /* NULL: closed */
    struct amqp_connection *next, **link; /* all of the worker */
    struct amqp_connection *turn_next,
        **turn_link;               /* those with something to do at the end of the turn; link NULL: not there */
    uint64_t id;                   /* never 0, never used twice; catalog_change.connection */
    const struct queue_user *user; /* once logged in */
    const char *vhost_name;        /* once open */
    unsigned vhost;
    uint32_t frame_max; /* as tuned, head and end included */
    uint32_t capabilities;
    uint16_t channel_max; /* as tuned */
    uint8_t state;        /* enum amqp_connection_state; written by amqp_connection_set_state alone */
    uint8_t mechanism;    /* of the login: handshake.c */
    bool publisher;       /* has published: is not read while an alarm is set */
    bool blocked_told;    /* connection.blocked was sent, unblocked not yet */
    bool cut;             /* to be reset at the end of the turn */
    bool ended;           /* EXPECT_END: our end was sent */
    bool lingers;         /* EXPECT_END: the peer said close, and may end first */
    bool finished;        /* the stream was closed or aborted: only its on_close is awaited */
    bool starved;         /* there was no memory for a content: channels are not told of room for a while */
    bool input_stopped;   /* there may be frames that were not read because they may not */
    uint16_t refused;     /* the reply code of a close of ours; 0: none */
    uint32_t holds;

    /* channels */
    struct amqp_channel **buckets; /* a power of two; NULL: none yet */
    uint32_t bucket_count;
    uint32_t channel_count;                      /* with a number */
    uint32_t channel_alive;                      /* not freed yet */
    struct amqp_channel *waiters, **waiters_end; /* for output room */

    /* input */
    uint32_t
        frame_missing; /* payload bytes of the body frame being read that have not come; then its end octet is due */
    uint16_t frame_channel;
    bool frame_within; /* in the middle of a body frame */

    /* output */
    struct amqp_output *output, *output_last;
    uint64_t output_bytes; /* that wait, lent ones included */
    uint32_t lent;         /* contents whose release is due */

    /* time */
    struct mr_timer timer;
    mr_time heard;     /* when bytes came last */
    mr_time due;       /* handshake, close */
    mr_time heartbeat; /* interval; 0: none */
    uint64_t sent_bytes, sent_mark;

    /* shown by amqp_server_each; kept by the channel's files */
    uint32_t consumers;
    uint64_t unacknowledged, published, delivered;
    struct amqp_exclusive *exclusive; /* channel_queue.c; NULL: it has declared no exclusive queue */
};

struct amqp_server {
    struct broker *broker;
    struct mr_listener *listener;
    struct amqp_connection *connections;
    uint32_t connection_count; /* with a stream */
    uint64_t connection_last;
    struct amqp_connection *turn, **turn_end; /* output to write, input to go on with, channels to tell */
    struct amqp_channel *dead;                /* to be freed at the end of the turn */
    struct channel_reply *replies;            /* consumers of direct replies: channel_reply.c */
    struct mr_deferred deferred;
    uint8_t *scratch; /* AMQP_CONTROL_FRAME_MAX + AMQP_FRAME_OVERHEAD: a frame that straddles packets */
    bool stopping;
};

void amqp_connection_set_state(struct amqp_connection *c, enum amqp_connection_state state);
static inline bool amqp_connection_open(const struct amqp_connection *c)
{
    return c->state == AMQP_OPEN;
}

#endif
